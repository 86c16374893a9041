//! What is found out about Ollama before it is written down: whether it answers, which version and models it has, and
//! whether it can be reached past the gateway.
//!
//! Why here: these are the moments at which a wrong address, an old version or an open port are cheapest to mend.
//!
//! Never here: changing Ollama. `gatehouse edge host` prints what does.

use std::net::IpAddr;

use super::answers::Answers;
use super::draft;
use crate::commands::ask::{self, Tag};
use crate::config::clipped;
use crate::config::gateway::models::{Unfit, unfit};

/// From here on a model file that somebody uploads cannot read the server's memory.
const VERSION_MIN: [u64; 3] = [0, 17, 1];
/// With every name at its longest they still make a file that the program reads.
const MODELS_MAX: usize = 1_000;
/// More would fill a screen with one warning.
const NAMED_MAX: usize = 10;
const LISTENING: &str = "0A";

/// What answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    pub(super) version: String,
    pub(super) models: Vec<Tag>,
    /// Listed, but computed elsewhere.
    pub(super) elsewhere: Vec<String>,
    /// Under a name that no file can hold.
    pub(super) unfit: Vec<String>,
    /// How many more there are than were looked at.
    pub(super) beyond: usize,
}

/// Asks; `None` where nothing answers as Ollama does.
pub(super) async fn find(answers: &Answers) -> Option<Runtime> {
    let (authority, base) = draft::runtime(answers)?;
    // A URL may leave the port out; a connection may not.
    let address = if authority.port().is_some() { authority.to_string() } else { format!("{authority}:80") };
    let get = async |path: &str| ask::get(&address, &format!("{base}{path}"), ask::PATIENCE).await;
    let version = ask::read_version(&get("/api/version").await?)?;
    let listed = get("/api/tags").await.and_then(|body| ask::read_models(&body)).unwrap_or_default();
    Some(sorted(version, listed))
}

fn sorted(version: String, listed: Vec<Tag>) -> Runtime {
    let beyond = listed.len().saturating_sub(MODELS_MAX);
    let mut runtime = Runtime { version, models: vec![], elsewhere: vec![], unfit: vec![], beyond };
    for tag in listed.into_iter().take(MODELS_MAX) {
        match unfit(&tag.name).next() {
            None => runtime.models.push(tag),
            Some(Unfit::Elsewhere) => runtime.elsewhere.push(tag.name),
            Some(Unfit::NoName) => runtime.unfit.push(tag.name),
        }
    }
    runtime
}

/// What is said where all models are taken, and all are more than a first file lists.
pub(super) fn beyond(runtime: &Runtime) -> Option<String> {
    let count = MODELS_MAX.saturating_add(runtime.beyond);
    (runtime.beyond > 0).then(|| {
        format!(
            "Ollama has {count} models. The first {MODELS_MAX} are listed in the file and served, the others are not: add those \
             that you want under `gateway.models`, or choose with --model"
        )
    })
}

/// A list of names that a screen can hold.
fn named(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED_MAX).map(|name| clipped(name)).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// What an operator should mend, most urgent first.
pub(super) fn warnings(answers: &Answers, runtime: Option<&Runtime>) -> Vec<String> {
    let listening =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| std::fs::read_to_string(file).unwrap_or_default());
    let mut all = Vec::new();
    let Some((authority, _)) = draft::runtime(answers) else { return all };
    let port = authority.port_u16().unwrap_or(80);
    if is_local(authority.host()) && listening.iter().any(|table| is_open(table, port)) {
        all.push(format!(
            "port {port} listens on every interface: whoever reaches it uses Ollama without key or limit. Set \
             OLLAMA_HOST=127.0.0.1:{port} for it, or close the port in the firewall."
        ));
    }
    match runtime {
        None => all.push(format!(
            "nothing answers as Ollama at {}. Start it, then try again or go on.",
            answers.ollama
        )),
        Some(runtime) => all.extend(about_runtime(runtime)),
    }
    all
}

/// Models to serve that the runtime does not have yet.
pub(super) fn missing(answers: &Answers, runtime: Option<&Runtime>) -> Vec<String> {
    let Some(runtime) = runtime else { return Vec::new() };
    let has = |name: &str| {
        runtime.models.iter().any(|tag| tag.name == name || tag.name == format!("{name}:latest"))
    };
    let named = answers.models.iter().map(|model| model.at_runtime());
    named
        .filter(|name| !has(name))
        .map(|name| format!("Ollama has no {name}: `ollama pull {name}` brings it."))
        .collect()
}

fn about_runtime(runtime: &Runtime) -> Vec<String> {
    let mut all = Vec::new();
    if is_old(&runtime.version) {
        let [major, minor, patch] = VERSION_MIN;
        all.push(format!(
            "Ollama {} has known holes: install {major}.{minor}.{patch} or later.",
            runtime.version
        ));
    }
    if !runtime.elsewhere.is_empty() {
        let names = named(&runtime.elsewhere);
        all.push(format!("not served, because prompts would leave this machine: {names}"));
    }
    if !runtime.unfit.is_empty() {
        let (names, rule) = (named(&runtime.unfit), Unfit::NoName.fix());
        all.push(format!("left out, because a name has to be shorter or plainer ({rule}): {names}"));
    }
    if runtime.models.is_empty() {
        all.push("Ollama has no model yet: `ollama pull qwen3:4b` brings one.".to_owned());
    }
    all
}

fn is_old(version: &str) -> bool {
    let digits =
        |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let mut parts = version.split('.').map(digits);
    let found: [u64; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    // A build without a number says 0.0.0; nothing is known about it.
    found != [0; 3] && found < VERSION_MIN
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

/// Whether the kernel's table of sockets has one that listens on this port of every interface.
fn is_open(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(local), state) = (fields.next(), fields.nth(1)) else { return false };
        let Some((address, listening)) = local.split_once(':') else { return false };
        let every = address.len() >= 8 && address.bytes().all(|b| b == b'0');
        state == Some(LISTENING) && every && u16::from_str_radix(listening, 16) == Ok(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, old) in [
            ("0.17.1", false),
            ("0.17.0", true),
            ("0.9.6", true),
            ("0.17.1-rc2", false),
            ("1.0", false),
            ("0.33.0", false),
            ("0.0.0", false),
            ("dev", false),
        ] {
            assert_eq!(is_old(version), old, "{version}");
        }
    }

    #[test]
    fn ports_that_are_open_to_everybody() {
        let head = "  sl  local_address rem_address   st tx_queue\n";
        for (line, open) in [
            ("   0: 00000000:2CAA 00000000:0000 0A 00000000:00000000", true),
            ("   0: 00000000000000000000000000000000:2CAA 00000000000000000000000000000000:0000 0A 0", true),
            ("   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000", false),
            ("   0: 00000000:2CAB 00000000:0000 0A 00000000:00000000", false),
            ("   0: 00000000:2CAA 0100007F:1234 01 00000000:00000000", false),
            ("garbage", false),
            ("", false),
        ] {
            assert_eq!(is_open(&format!("{head}{line}\n"), 11_434), open, "{line}");
        }
    }

    #[test]
    fn what_is_said_of_a_runtime() {
        let tag = |name: &str| Tag { name: name.to_owned(), size: 0 };
        let good = sorted("0.17.1".into(), vec![tag("a")]);
        assert_eq!((about_runtime(&good), beyond(&good)), (Vec::new(), None));
        let said = about_runtime(&sorted("0.9.0".into(), vec![tag("b:cloud"), tag(&"x".repeat(300))]));
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].contains("0.17.1") && said[1].ends_with("leave this machine: b:cloud"));
        assert!(said[2].contains("at most 256") && said[2].len() < 250 && said[3].contains("ollama pull"));
    }

    #[test]
    fn more_models_than_a_file_lists() {
        let tags = (0..1_234).map(|at| Tag { name: format!("m:{at}"), size: 0 }).collect();
        let many = sorted("1.0".into(), tags);
        assert_eq!((many.models.len(), many.beyond), (1_000, 234));
        assert!(beyond(&many).unwrap().contains("1234"));
        let clouds: Vec<_> = (0..30).map(|at| format!("m{at}:cloud")).collect();
        assert!(named(&clouds).ends_with("m9:cloud and 20 more"));
    }

    #[test]
    fn this_machine_by_its_names() {
        for (host, local) in
            [("127.0.0.1", true), ("localhost", true), ("[::1]", true), ("10.0.0.1", false), ("gpu", false)]
        {
            assert_eq!(is_local(host), local, "{host}");
        }
    }
}
