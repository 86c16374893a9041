//! What the reader of configurations thinks of an answer, before anything is written.
//!
//! Why here: the rules for names, URLs, networks and models stand in the reader alone. An answer is put into the text that
//! would be written, the text is read as the program would read it, and what is wrong at the answer's own keys is said.
//!
//! Never here: files. A draft names none but those that the answers name.

use std::path::Path;

use http::uri::Authority;

use super::answers::Answers;
use super::template::Sheet;
use super::yaml::Hints;
use crate::config::report::Severity;
use crate::config::{Context, Expectation, Loaded, read};

/// Which keys of the configuration an answer ends up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Names,
    Certificate,
    Email,
    Ollama,
    Models,
    Allow,
    Keys,
}

impl About {
    pub(super) const ALL: [Self; 7] =
        [Self::Names, Self::Certificate, Self::Email, Self::Ollama, Self::Models, Self::Allow, Self::Keys];

    fn paths(self) -> &'static [&'static str] {
        match self {
            About::Names => &["edge.domain"],
            About::Certificate => &["edge.tls", "edge.certificate", "edge.certificate_key"],
            About::Email => &["edge.acme.email"],
            About::Ollama => &["gateway.upstreams"],
            About::Models => &["gateway.models", "chat.backend.model"],
            About::Allow => &["gateway.whitelist", "edge.page.allow"],
            About::Keys => &["gateway.auth"],
        }
    }
}

/// What is wrong with an answer, and what to write instead.
pub(super) fn wrong(answers: &Answers, about: About) -> Option<String> {
    let problems = reading(answers).report.problems();
    let own = |path: &str| about.paths().iter().any(|own| path.starts_with(own));
    let first = problems.iter().find(|p| p.severity == Severity::Error && own(&p.place.path))?;
    Some(format!("{}: {}", first.what, first.fix))
}

/// Where Ollama is asked: host and port, and the path in front of its own.
pub(super) fn runtime(answers: &Answers) -> Option<(Authority, String)> {
    let (settings, _) = reading(answers).settings().ok()?;
    let upstream = settings.gateway?.config.upstreams.into_iter().next()?;
    Some((upstream.authority, upstream.base_path))
}

fn reading(answers: &Answers) -> Loaded {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let digests: Vec<String> = (1..=answers.keys.len()).map(digest).collect();
    let sheet = Sheet {
        answers,
        file: "",
        chat_digest: &digest(0),
        digests: &digests,
        chat_key_file: None,
        password_file: "page.passwd",
        audit_file: "audit.jsonl",
        data_dir: "data",
    };
    let file = Path::new("");
    let nothing = |_: &str| None;
    read(file, &sheet.text(Hints::Commented), Expectation::default(), &Context::new(file, &nothing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::init::answers::{Certificate, Model, OwnCertificate};

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_wrong_is_said_at_its_own_question() {
        let good = Answers { names: texts(&["ai.example.com"]), ..Answers::default() };
        let own = |chain: &str| {
            Certificate::Own(OwnCertificate { chain: chain.into(), key: "/etc/ssl/key.pem".into() })
        };
        for (answers, about, part) in [
            (
                Answers { names: texts(&["https://ai.example.com"]), ..good.clone() },
                About::Names,
                "not a host name",
            ),
            (
                Answers { names: texts(&["a.example.com", "A.example.com"]), ..good.clone() },
                About::Names,
                "twice",
            ),
            (
                Answers { certificate: own("/etc/ssl/a b.pem"), ..good.clone() },
                About::Certificate,
                "characters",
            ),
            (
                Answers { email: Some("nobody".into()), ..good.clone() },
                About::Email,
                "not an address for mail",
            ),
            (Answers { ollama: "https://gpu:11434".into(), ..good.clone() }, About::Ollama, "not built yet"),
            (Answers { ollama: "http://gpu:11434/v1".into(), ..good.clone() }, About::Ollama, "leave it off"),
            (
                Answers { models: vec![Model::of_flag("a b")], ..good.clone() },
                About::Models,
                "not a model name",
            ),
            (
                Answers { models: vec![Model::of_flag("gpt-oss:120b-cloud")], ..good.clone() },
                About::Models,
                "cloud",
            ),
            (Answers { allow: texts(&["10.0.0.1/16"]), ..good.clone() }, About::Allow, "did you mean"),
            (Answers { keys: texts(&["alice", "chat"]), ..good.clone() }, About::Keys, "used twice"),
            (Answers { keys: texts(&["al ice"]), ..good.clone() }, About::Keys, "not an id"),
        ] {
            for asked in About::ALL {
                let said = wrong(&answers, asked);
                match asked == about {
                    true => assert!(said.clone().is_some_and(|said| said.contains(part)), "{part}: {said:?}"),
                    false => assert_eq!(said, None, "{part} at {asked:?}"),
                }
            }
        }
        assert_eq!(About::ALL.map(|about| wrong(&good, about)), [const { None }; 7]);
    }

    #[test]
    fn the_runtime_is_found_as_the_gateway_will_find_it() {
        let answers = Answers { ollama: "http://localhost:11434/proxy/".into(), ..Answers::default() };
        let (authority, base) = runtime(&answers).unwrap();
        assert_eq!((authority.as_str(), base.as_str()), ("localhost:11434", "/proxy"));
    }
}
