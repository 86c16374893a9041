//! The answers that flags give, and what is wrong with them.
//!
//! Why here: a script gets every mistake at once, a person is asked only for what no flag says.
//!
//! Never here: the terminal.

use std::path::Path;

use super::advice;
use super::answers::{
    Answers, Certificate, FIRST_KEY, Front, Model, OLLAMA, OwnCertificate, page_unless_told,
};
use super::draft::{self, About};
use crate::cli::{Init, InitPage, InitTls};
use crate::commands::init::answers::Page;
use crate::edge::cert::NotPublic;

/// Names, models, networks and keys that one file is begun with.
pub(super) const LISTED_MAX: usize = 200;

/// The flags' answers; what none gives has its default.
pub(super) fn answers(options: &Init) -> Answers {
    let names = match options.domain.as_slice() {
        [] if options.tls == Some(InitTls::Off) => host_name().into_iter().collect(),
        given => given.to_vec(),
    };
    let keys = if options.key.is_empty() { vec![FIRST_KEY.to_owned()] } else { options.key.clone() };
    let front = if options.tls == Some(InitTls::Up) { Front::Program } else { Front::Nginx };
    Answers {
        names,
        front,
        certificate: certificate(options),
        email: options.email.clone(),
        ollama: options.ollama.as_deref().map_or_else(|| OLLAMA.to_owned(), ollama_url),
        models: options.model.iter().map(|text| Model::of_flag(text)).collect(),
        allow: options.allow.clone(),
        page: options.page.map_or_else(|| page_unless_told(&options.allow), page),
        keys,
    }
}

fn certificate(options: &Init) -> Certificate {
    match (options.tls, &options.certificate, &options.certificate_key) {
        (Some(InitTls::Off), ..) => Certificate::Off,
        (_, Some(chain), Some(key)) => {
            Certificate::Own(OwnCertificate { chain: absolute(chain), key: absolute(key) })
        }
        _ => Certificate::Asked,
    }
}

pub(super) fn page(page: InitPage) -> Page {
    match page {
        InitPage::Password => Page::Password,
        InitPage::Open => Page::Open,
        InitPage::Off => Page::Off,
    }
}

/// A file is named from where the program was started; the configuration names it from everywhere.
pub(super) fn absolute(file: &Path) -> std::path::PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// `gpu-1`, `gpu-1:11434` and the whole URL mean the same.
pub(super) fn ollama_url(text: &str) -> String {
    if text.contains("://") {
        return text.to_owned();
    }
    let host_ends = text.rfind(']').unwrap_or_default();
    let has_port = text.get(host_ends..).is_some_and(|rest| rest.contains(':'));
    if has_port { format!("http://{text}") } else { format!("http://{text}:11434") }
}

/// What this machine calls itself.
pub(super) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    (!name.is_empty() && name != "(none)").then_some(name)
}

/// Everything that is wrong with the flags themselves. `alone`: nobody can be asked for what is missing.
pub(super) fn wrong(options: &Init, answers: &Answers, alone: bool) -> Vec<String> {
    let mut all = counts(options);
    let name = advice::doubtful_name(answers).filter(|(kind, _)| *kind != NotPublic::Example);
    let address = matches!(name, Some((NotPublic::Address, _)));
    let given = About::ALL.into_iter().filter(|about| alone || is_given(options, *about));
    // An address is said below, beside the flag that gave it.
    let given = given.filter(|about| !(address && *about == About::Certificate));
    all.extend(given.filter_map(|about| Some(format!("{}: {}", flag(about), draft::wrong(answers, about)?))));
    let own = options.certificate.is_some();
    match options.tls {
        Some(InitTls::Files) if !own && alone => {
            all.push("--tls files: give --certificate and --certificate-key".to_owned());
        }
        Some(InitTls::Certbot | InitTls::Off) if own => {
            all.push("--certificate: is read with --tls files or --tls up alone".to_owned());
        }
        _ => {}
    }
    if let (true, Certificate::Own(own)) = (own, &answers.certificate) {
        let wrong = advice::look(own).wrong;
        all.extend(wrong.into_iter().map(|(flag, what)| format!("{flag}: {what}")));
    }
    // Who answers questions chooses another way; who has said --tls knows what makes a name's certificate, but an address has none.
    let chosen = options.tls.is_some();
    if let Some((kind, what)) = name
        && (if chosen { address } else { alone })
    {
        all.push(format!("--domain: {}", advice::no_certificate(kind, &what)));
    }
    if alone && !answers.serves_others() {
        all.extend(idle(options).into_iter().map(|flag| format!("{flag}: needs --domain")));
    }
    all
}

/// Flags that say nothing where this machine alone is served.
fn idle(options: &Init) -> Vec<&'static str> {
    let given = [
        ("--tls", options.tls.is_some()),
        ("--certificate", options.certificate.is_some()),
        ("--email", options.email.is_some()),
        ("--page", options.page.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
}

fn counts(options: &Init) -> Vec<String> {
    let lists = [
        ("--domain", options.domain.len()),
        ("--model", options.model.len()),
        ("--allow", options.allow.len()),
        ("--key", options.key.len()),
    ];
    let long = lists.into_iter().filter(|(_, count)| *count > LISTED_MAX);
    long.map(|(flag, count)| format!("{flag}: given {count} times; {LISTED_MAX} are enough for a first file"))
        .collect()
}

fn is_given(options: &Init, about: About) -> bool {
    match about {
        About::Names => !options.domain.is_empty(),
        About::Certificate => options.certificate.is_some(),
        About::Email => options.email.is_some(),
        About::Ollama => options.ollama.is_some(),
        About::Models => !options.model.is_empty(),
        About::Allow => !options.allow.is_empty(),
        About::Keys => !options.key.is_empty(),
    }
}

fn flag(about: About) -> &'static str {
    match about {
        About::Names => "--domain",
        About::Certificate => "--certificate",
        About::Email => "--email",
        About::Ollama => "--ollama",
        About::Models => "--model",
        About::Allow => "--allow",
        About::Keys => "--key",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(change: impl FnOnce(&mut Init)) -> Init {
        let mut options = Init::default();
        change(&mut options);
        options
    }

    fn faults(change: impl FnOnce(&mut Init)) -> Vec<String> {
        let options = options(change);
        wrong(&options, &answers(&options), true)
    }

    #[test]
    fn without_flags_this_machine_is_served() {
        let options = Init::default();
        let found = answers(&options);
        assert!(!found.serves_others() && found.keys == ["first"] && found.ollama == OLLAMA);
        assert_eq!(wrong(&options, &found, true), [""; 0]);
    }

    #[test]
    fn a_page_without_accounts_is_not_opened_to_everybody_by_itself() {
        let page = |tls: InitTls, allow: &[&str]| {
            answers(&options(|o| {
                o.domain = vec!["ai.example.com".into()];
                o.tls = Some(tls);
                o.allow = allow.iter().map(|text| (*text).to_owned()).collect();
            }))
            .page
        };
        for tls in [InitTls::Certbot, InitTls::Off, InitTls::Up] {
            assert_eq!((page(tls, &[]), page(tls, &["10.0.0.0/16"])), (Page::Password, Page::Open));
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let all = faults(|o| {
            o.domain = vec!["https://ai.example.com".into()];
            o.email = Some("nobody".into());
            o.ollama = Some("ftp://x".into());
            o.model = vec!["a b".into()];
            o.allow = vec!["10.0.0.0/99".into()];
            o.key = vec!["chat".into()];
            o.tls = Some(InitTls::Files);
        });
        let flags: Vec<_> = all.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(flags, ["--domain", "--email", "--ollama", "--model", "--allow", "--key", "--tls files"]);
    }

    #[test]
    fn flags_that_say_nothing_are_refused() {
        let all = faults(|o| {
            o.tls = Some(InitTls::Up);
            o.email = Some("ops@example.com".into());
        });
        assert_eq!(all, ["--tls: needs --domain", "--email: needs --domain"]);
        let all = faults(|o| {
            o.domain = vec!["ai.example.com".into()];
            o.tls = Some(InitTls::Certbot);
            (o.certificate, o.certificate_key) = (Some("/a".into()), Some("/b".into()));
        });
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(faults(|o| o.key = vec!["x".into(); LISTED_MAX + 1]).len(), 2, "too many, and twice");
    }

    #[test]
    fn a_name_that_no_authority_knows_needs_another_way() {
        for (name, tls, refused) in [
            ("gpu.lan", None, true),
            ("192.168.1.5", None, true),
            ("192.168.1.5", Some(InitTls::Off), false),
            ("192.168.1.5", Some(InitTls::Certbot), true),
            ("192.168.1.5", Some(InitTls::Up), true),
            ("localhost", None, true),
            ("gpu.lan", Some(InitTls::Off), false),
            ("gpu.lan", Some(InitTls::Certbot), false),
            ("ai.example.com", None, false),
        ] {
            let all = faults(|o| (o.domain, o.tls) = (vec![name.into()], tls));
            assert_eq!(!all.is_empty(), refused, "{name} {tls:?}: {all:?}");
            let remedy = if name.starts_with('1') { "give it a name" } else { "--tls files" };
            assert!(all.len() < 2 && all.iter().all(|fault| fault.contains(remedy)), "{all:?}");
        }
    }

    #[test]
    fn the_wrong_value_is_named() {
        let all = faults(|o| (o.key, o.model) = (vec!["alice".into(), "al ice".into()], vec!["a b".into()]));
        assert!(all[0].contains("`a b` is not") && all[1].contains("`al ice` is not"), "{all:?}");
    }

    #[test]
    fn addresses_of_ollama_as_people_write_them() {
        for (text, url) in [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
            ("localhost", "http://localhost:11434"),
            ("gpu-1:8080", "http://gpu-1:8080"),
            ("[::1]", "http://[::1]:11434"),
            ("[::1]:80", "http://[::1]:80"),
            ("https://x", "https://x"),
        ] {
            assert_eq!(ollama_url(text), url);
        }
    }
}
