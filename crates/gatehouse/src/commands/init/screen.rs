//! The last words: what was written, each key once, and the three commands that come next; or all of it as JSON.
//!
//! Why here: whoever has answered the questions has a running service three commands later, and every line can be copied.
//!
//! Never here: the chat page's key. Nobody but the page needs it.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::answers::{Answers, Certificate, Front, Page};
use super::written::Made;

/// What units and `edge` commands read by themselves.
pub(super) const DEFAULT_FILE: &str = "/etc/gatehouse/gatehouse.yaml";
/// It wants to be the default server, which only one site can be.
const DEBIANS_SITE: &str = "/etc/nginx/sites-enabled/default";
const SERVICES: &str = "systemctl enable --now gatehouse-gateway gatehouse-chat";

pub(super) fn told(answers: &Answers, made: &Made) -> String {
    let mut text = String::from("Written:\n");
    // Writing into a String cannot fail.
    for (path, what) in files(made) {
        let _ = writeln!(text, "  {path}  {what}");
    }
    let _ = writeln!(text, "\nKeys, shown this once; the configuration holds their digests:");
    let wide = made.keys.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, key) in &made.keys {
        let _ = writeln!(text, "  {name:wide$}  {}", key.text);
    }
    if made.password_file.is_some() {
        text.push_str("The chat page asks for a name and a password: the name of a key, and the key.\n");
    }
    text.push_str("\nNext:\n");
    for (at, command) in next(answers, &made.config).iter().enumerate() {
        let _ = writeln!(text, "  {}  {command}", at + 1);
    }
    if answers.serves_others() && answers.front != Front::Program && Path::new(DEBIANS_SITE).exists() {
        let _ = writeln!(text, "\nDebian's own site stands in the way of ours: rm {DEBIANS_SITE}");
    }
    let _ = match (answers.url(), answers.page) {
        (None, _) => writeln!(
            text,
            "\nThen the page is at http://127.0.0.1:8080/, the API at http://127.0.0.1:18789/v1."
        ),
        (Some(url), Page::Off) => writeln!(text, "\nThen the API is at {url}v1."),
        (Some(url), _) => writeln!(text, "\nThen the page is at {url}, the API at {url}v1."),
    };
    text.push_str("`gatehouse edge host` prints what hardens Ollama, nginx and certbot under systemd.");
    text
}

fn files(made: &Made) -> Vec<(String, &'static str)> {
    let shown = |path: &Path| path.display().to_string();
    let mut all =
        vec![(shown(&made.config), "the configuration"), (shown(&made.chat_key_file), "the chat page's key")];
    all.extend(made.password_file.as_deref().map(|path| (shown(path), "who may open the page")));
    all.extend(made.kept.iter().map(|path| (shown(path), "what was there before")));
    all
}

/// The three commands that come next.
pub(super) fn next(answers: &Answers, config: &Path) -> [String; 3] {
    let file = for_shell(&config.to_string_lossy());
    let default = config == Path::new(DEFAULT_FILE);
    // What reads the default file by itself needs no flag.
    let with =
        |command: &str| if default { command.to_owned() } else { format!("{command} --config {file}") };
    let check = format!("gatehouse check {file}");
    if answers.front == Front::Program {
        return [check, format!("gatehouse up --config {file} --https"), with("gatehouse edge report")];
    }
    let last = match (answers.serves_others(), &answers.certificate) {
        (false, _) => "curl http://127.0.0.1:18789/v1/models -H 'Authorization: Bearer KEY'".to_owned(),
        (true, Certificate::Asked) => {
            format!("{} && {}", with("gatehouse edge cert"), with("gatehouse edge apply"))
        }
        (true, _) => with("gatehouse edge apply"),
    };
    match (default, answers.serves_others(), &answers.certificate) {
        (true, true, Certificate::Asked) => {
            [SERVICES.to_owned(), with("gatehouse edge cert"), with("gatehouse edge apply")]
        }
        (true, true, _) => [SERVICES.to_owned(), last, with("gatehouse edge check")],
        (true, false, _) => [check, SERVICES.to_owned(), last],
        // Units read the default file; another one is served by hand.
        (false, ..) => {
            [format!("gatehouse gateway --config {file}"), format!("gatehouse chat --config {file}"), last]
        }
    }
}

/// A path that a shell reads as it is.
fn for_shell(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./@+,:~".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    config: String,
    chat_key_file: String,
    password_file: Option<String>,
    kept: Vec<String>,
    url: Option<String>,
    keys: Vec<ShownKey<'a>>,
    warnings: &'a [String],
    next: [String; 3],
}

#[derive(Serialize)]
struct ShownKey<'a> {
    id: &'a str,
    key: &'a str,
}

pub(super) fn json(answers: &Answers, made: &Made, warnings: &[String]) -> anyhow::Result<String> {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let document = Document {
        config: shown(&made.config),
        chat_key_file: shown(&made.chat_key_file),
        password_file: made.password_file.as_deref().map(shown),
        kept: made.kept.iter().map(|path| shown(path)).collect(),
        url: answers.url(),
        keys: made.keys.iter().map(|(id, key)| ShownKey { id, key: &key.text }).collect(),
        warnings,
        next: next(answers, &made.config),
    };
    Ok(serde_json::to_string_pretty(&document)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::init::answers::OwnCertificate;

    #[test]
    fn three_commands_for_every_way() {
        let others = Answers { names: vec!["ai.example.com".into()], ..Answers::default() };
        let own = Certificate::Own(OwnCertificate { chain: "/a".into(), key: "/b".into() });
        let default = Path::new(DEFAULT_FILE);
        let here = Path::new("/srv/a b/g.yaml");
        for (answers, file, parts) in [
            (
                Answers::default(),
                default,
                ["gatehouse check /etc", "systemctl enable --now", "curl http://127"],
            ),
            (others.clone(), default, ["systemctl enable --now", "edge cert", "edge apply"]),
            (
                Answers { certificate: own.clone(), ..others.clone() },
                default,
                ["systemctl", "edge apply", "edge check"],
            ),
            (
                Answers { certificate: Certificate::Off, ..others.clone() },
                default,
                ["systemctl", "edge apply", "edge check"],
            ),
            (
                Answers { front: Front::Program, ..others.clone() },
                default,
                ["check /etc", "up --config /etc", "edge report"],
            ),
            (
                Answers::default(),
                here,
                ["gateway --config '/srv/a b/g.yaml'", "chat --config '", "curl http://127"],
            ),
            (
                others.clone(),
                here,
                ["gateway --config '", "chat --config '", "edge cert --config '/srv/a b/g.yaml' && "],
            ),
            (
                Answers { certificate: own, ..others },
                here,
                ["gateway --config '", "chat --config '", "edge apply --config '"],
            ),
        ] {
            let said = next(&answers, file);
            for (said, part) in said.iter().zip(parts) {
                assert!(said.contains(part), "{said} / {part}");
            }
        }
    }

    #[test]
    fn paths_in_a_shell() {
        for (path, quoted) in
            [("/a/b.yaml", "/a/b.yaml"), ("/a b", "'/a b'"), ("/a'b", r"'/a'\''b'"), ("", "''")]
        {
            assert_eq!(for_shell(path), quoted);
        }
    }
}
