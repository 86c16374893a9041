//! The last words: what was written, each key once, and the commands that come next; or all of it as JSON.
//!
//! Why here: whoever has answered the questions has a running service a few commands later, and every line can be copied.
//!
//! Never here: the chat page's key. Nobody but the page needs it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;

use super::answers::{Answers, Certificate, Front, Page};
use super::written::Made;

/// What units and `edge` commands read by themselves.
pub(super) const DEFAULT_FILE: &str = "/etc/gatehouse/gatehouse.yaml";
/// It wants to be the default server, which only one site can be.
const DEBIANS_SITE: &str = "/etc/nginx/sites-enabled/default";
/// Distributions leave it at connections and files of a small web server.
const NGINX: &str = "/etc/nginx/nginx.conf";
const NGINX_BYTES_MAX: u64 = 1 << 20;
const GATEWAY: &str = "gatehouse-gateway";
const BOTH: &str = "gatehouse-gateway gatehouse-chat";

pub(super) fn told(answers: &Answers, made: &Made, next: &[String]) -> String {
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
    for (at, command) in next.iter().enumerate() {
        let _ = writeln!(text, "  {}  {command}", at + 1);
    }
    if answers.serves_others() && answers.front != Front::Program {
        text.push_str(&about_nginx());
    }
    let _ = match (answers.url(), answers.page) {
        (None, _) => writeln!(
            text,
            "\nThen the page is at http://127.0.0.1:8080/, the API at http://127.0.0.1:18789/v1."
        ),
        (Some(url), Page::Off) => writeln!(text, "\nThen the API is at {url}v1."),
        (Some(url), _) => writeln!(text, "\nThen the page is at {url}, the API at {url}v1."),
    };
    text.push_str("`gatehouse edge host` prints what hardens Ollama, nginx and certbot under systemd");
    text.push_str(match answers.serves_others() {
        true => {
            ", `gatehouse edge firewall` a packet\nfilter; `gatehouse edge report` says what is still open."
        }
        false => ".",
    });
    text
}

/// What `gatehouse edge check` would find in nginx as a distribution brings it.
fn about_nginx() -> String {
    let mut text = String::new();
    if Path::new(DEBIANS_SITE).exists() {
        let _ = writeln!(text, "\nDebian's own site stands in the way of ours: rm {DEBIANS_SITE}");
    }
    let mut main = String::new();
    let read = File::open(NGINX).and_then(|file| file.take(NGINX_BYTES_MAX).read_to_string(&mut main));
    if read.is_ok() && !main.contains("worker_rlimit_nofile") {
        let _ = writeln!(
            text,
            "\nnginx's own bounds are too small for answers that take minutes:\n  \
             sed -i -e 's/worker_connections [0-9]*;/worker_connections 4096;/' -e '1i worker_rlimit_nofile 65536;' {NGINX}"
        );
    }
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

/// The commands that come next. `beyond`: machines that the gateway's unit has to be let out to.
pub(super) fn next(answers: &Answers, config: &Path, beyond: &[String]) -> Vec<String> {
    let file = for_shell(&config.to_string_lossy());
    let default = config == Path::new(DEFAULT_FILE);
    // What reads the default file by itself needs no flag.
    let with =
        |command: &str| if default { command.to_owned() } else { format!("{command} --config {file}") };
    let check = format!("gatehouse check {file}");
    if answers.front == Front::Program {
        return vec![check, format!("gatehouse up --config {file} --https"), with("gatehouse edge report")];
    }
    let last = match (answers.serves_others(), &answers.certificate) {
        (false, _) => "curl http://127.0.0.1:18789/v1/models -H 'Authorization: Bearer KEY'".to_owned(),
        (true, Certificate::Asked) => {
            format!("{} && {}", with("gatehouse edge cert"), with("gatehouse edge apply"))
        }
        (true, _) => with("gatehouse edge apply"),
    };
    let paged = !answers.serves_others() || answers.page != Page::Off;
    if !default {
        // Units read the default file; another one is served by hand.
        let page = paged.then(|| format!("gatehouse chat --config {file}"));
        let gateway = format!("gatehouse gateway --config {file}");
        return [Some(gateway), page, Some(last)].into_iter().flatten().collect();
    }
    let services = services(if paged { BOTH } else { GATEWAY });
    let mut all = match (answers.serves_others(), &answers.certificate) {
        (true, Certificate::Asked) => {
            vec![services, with("gatehouse edge cert"), with("gatehouse edge apply")]
        }
        (true, _) => vec![services, last, with("gatehouse edge check")],
        (false, _) => vec![check, services, last],
    };
    if !beyond.is_empty() {
        all.insert(0, let_out(beyond));
    }
    all
}

/// From the next boot on, and now: whatever runs already goes on with the file before this one.
fn services(units: &str) -> String {
    format!("systemctl enable {units} && systemctl restart {units}")
}

/// The unit reaches this machine alone; this lets it out to those that it needs.
fn let_out(to: &[String]) -> String {
    let folder = format!("/etc/systemd/system/{GATEWAY}.service.d");
    format!(
        "mkdir -p {folder} && printf '[Service]\\nIPAddressAllow={}\\n' >{folder}/runtime.conf && systemctl daemon-reload",
        to.join(" ")
    )
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
    next: &'a [String],
}

#[derive(Serialize)]
struct ShownKey<'a> {
    id: &'a str,
    key: &'a str,
}

pub(super) fn json(
    answers: &Answers,
    made: &Made,
    warnings: &[String],
    next: &[String],
) -> anyhow::Result<String> {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let document = Document {
        config: shown(&made.config),
        chat_key_file: shown(&made.chat_key_file),
        password_file: made.password_file.as_deref().map(shown),
        kept: made.kept.iter().map(|path| shown(path)).collect(),
        url: answers.url(),
        keys: made.keys.iter().map(|(id, key)| ShownKey { id, key: &key.text }).collect(),
        warnings,
        next,
    };
    Ok(serde_json::to_string_pretty(&document)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::init::answers::OwnCertificate;

    #[test]
    fn the_commands_for_every_way() {
        let others = Answers { names: vec!["ai.example.com".into()], ..Answers::default() };
        let own = Certificate::Own(OwnCertificate { chain: "/a".into(), key: "/b".into() });
        let default = Path::new(DEFAULT_FILE);
        let here = Path::new("/srv/a b/g.yaml");
        for (answers, file, parts) in [
            (
                Answers::default(),
                default,
                ["gatehouse check /etc", "systemctl enable gatehouse", "curl http://127"],
            ),
            (
                others.clone(),
                default,
                ["systemctl restart gatehouse-gateway gatehouse-chat", "edge cert", "edge apply"],
            ),
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
            let said = next(&answers, file, &[]);
            assert_eq!(said.len(), 3);
            for (said, part) in said.iter().zip(parts) {
                assert!(said.contains(part), "{said} / {part}");
            }
        }
    }

    #[test]
    fn without_a_page_none_is_started() {
        let names = vec!["ai.company.com".to_owned()];
        let answers = Answers { names, page: Page::Off, ..Answers::default() };
        for file in [DEFAULT_FILE, "/srv/g.yaml"] {
            let said = next(&answers, Path::new(file), &[]).join("\n");
            assert!(said.contains("gateway") && !said.contains("chat"), "{said}");
        }
    }

    #[test]
    fn the_unit_is_let_out_to_a_runtime_elsewhere_before_it_starts() {
        let beyond = ["10.0.0.9".to_owned(), "10.0.0.1".to_owned()];
        let said = next(&Answers::default(), Path::new(DEFAULT_FILE), &beyond);
        assert!(said[0].contains(r"printf '[Service]\nIPAddressAllow=10.0.0.9 10.0.0.1\n' >/etc/systemd/system/gatehouse-gateway.service.d/"));
        assert_eq!(said.len(), 4);
        assert_eq!(next(&Answers::default(), Path::new("/srv/g.yaml"), &beyond).len(), 3, "no unit, no wall");
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
