//! Layer 4, the model: a runtime that only this machine reaches, new enough, without cloud and foreign origins, and which
//! nobody outside can make pull models.
//!
//! Why here: see [`super`].
//!
//! Never here: changing the runtime; `gatehouse edge host` writes what hardens it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use gateway::config::{Auth, Config};
use wire::{Format, Manage};

use super::ask::Question;
use super::facts::{Exposure, Facts, Reach};
use super::line::Line;
use super::table::{Around, Layer};
use super::{Judged, beside};
use crate::edge::findings::{Finding, Mark};
use crate::edge::machine::listeners::Listener;
use crate::edge::machine::programs::{Program, environment, unit};
use crate::edge::machine::units;
use crate::edge::ports::{OLLAMA, upstream_here};

/// Older ones leak memory to whoever reaches `/api/create` (CVE-2026-7482).
const FLOOR: [u64; 3] = [0, 17, 1];
const HOST: &str = "`gatehouse edge host ollama --apply`, then restart it; or set it in its unit";
const PREFIX: &str = "OLLAMA_";
/// Programs that hold a runtime's port without being one that reads these variables.
const OTHERS: [&str; 2] = ["docker-proxy", "gatehouse"];

/// One place where models run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    pub authority: String,
    /// `None`: on another machine.
    pub port: Option<u16>,
    /// It speaks Ollama's own API.
    pub ollama: bool,
    /// The gateway shows it a token.
    pub bearer: bool,
}

/// The configured ones, and an Ollama that nobody configured but that runs here.
pub(super) fn runtimes(gateway: Option<&Config>, listeners: &[Listener]) -> Vec<Runtime> {
    let upstreams = gateway.map(|config| config.upstreams.as_slice()).unwrap_or_default();
    let mut all: Vec<Runtime> = upstreams
        .iter()
        .map(|upstream| Runtime {
            authority: upstream.authority.to_string(),
            port: upstream_here(upstream.authority.as_str()),
            ollama: upstream.format == Format::Ollama,
            bearer: upstream.bearer.is_some(),
        })
        .collect();
    let runs = listeners.iter().any(|listener| listener.at.port() == OLLAMA);
    if runs && !all.iter().any(|runtime| runtime.port == Some(OLLAMA)) {
        all.push(Runtime {
            authority: format!("127.0.0.1:{OLLAMA}"),
            port: Some(OLLAMA),
            ollama: true,
            bearer: false,
        });
    }
    all
}

/// A runtime of this machine with what its process shows.
struct Found {
    runtime: Runtime,
    port: u16,
    program: Option<Program>,
    /// Its variables, and where they were read; `None`: not for this user, or not a program that has them.
    variables: Option<(BTreeMap<String, String>, String)>,
    unit: Option<String>,
}

pub(super) async fn judge(facts: &Facts, gateway: Option<&Config>, runtimes: &[Runtime]) -> Judged {
    let found: Vec<Found> = runtimes.iter().filter_map(|runtime| find(facts, runtime)).collect();
    let (version, named) = version(&found).await;
    let findings = vec![
        bind(facts, runtimes, &found),
        version,
        origins(&found),
        cloud(&found),
        pull(gateway),
        egress(&found),
        user(&found),
    ];
    let mut layer = layer(&findings, &found, runtimes, named.as_deref());
    let beside = beside::to_the_model(facts);
    if !beside.is_empty() {
        (layer.around, layer.because) = (Around::Yes, beside.join("; "));
    }
    Judged { findings, layer }
}

fn find(facts: &Facts, runtime: &Runtime) -> Option<Found> {
    let port = runtime.port?;
    let listeners = facts.at(port);
    let listener = listeners.first()?;
    let program = listener.program.clone();
    let unit = program.as_ref().and_then(|program| unit(program.pid));
    let variables = program.as_ref().and_then(|program| variables(program, unit.as_deref()));
    Some(Found { runtime: runtime.clone(), port, program, variables, unit })
}

fn variables(program: &Program, unit: Option<&str>) -> Option<(BTreeMap<String, String>, String)> {
    if OTHERS.contains(&program.name.as_str()) {
        return None;
    }
    let own =
        environment(program.pid, PREFIX).map(|all| (all, format!("environment of pid {}", program.pid)));
    own.or_else(|| Some((units::unit(unit?)?.environment, format!("files of {}", unit?))))
}

fn bind(facts: &Facts, runtimes: &[Runtime], found: &[Found]) -> Finding {
    let mut line = Line::new("l4.bind", "the model runtime listens for this machine alone");
    for one in found {
        let Exposure { reach, seen } = facts.exposure(one.port);
        let host = one.variables.as_ref().and_then(|(all, _)| all.get("OLLAMA_HOST"));
        let seen = host.map_or(seen.clone(), |host| format!("{seen} (OLLAMA_HOST={host})"));
        match reach {
            Reach::Nobody | Reach::Local => line.ok(seen),
            _ => line.fail(seen, format!("bind it to 127.0.0.1: {HOST}")),
        }
    }
    for runtime in runtimes {
        match runtime.port {
            None => line.skip(format!("{} is another machine's; look there", runtime.authority)),
            Some(port) if facts.at(port).is_empty() => line.warn(
                format!("nothing listens at {}", runtime.authority),
                "start the runtime (`systemctl start ollama`), or mend `gateway.upstreams`",
            ),
            Some(_) => {}
        }
    }
    line.finding()
}

/// The line, and the first version that was named.
async fn version(found: &[Found]) -> (Finding, Option<String>) {
    let mut line = Line::new("l4.version", "the runtime has the known repairs (0.17.1 or newer)");
    let mut named = None;
    for one in found {
        if !one.runtime.ollama {
            line.skip(format!("{} does not speak Ollama's API", one.runtime.authority));
            continue;
        }
        let at = one.address();
        let question =
            Question { at, host: &at.to_string(), path: "/api/version", tls: false, proxied: false };
        let text = match question.ask().await {
            Ok(answer) => version_of(&answer.body),
            Err(trouble) => {
                line.skip(trouble.to_string());
                continue;
            }
        };
        match text {
            Some(text) => {
                judge_version(&mut line, &one.runtime.authority, &text);
                named.get_or_insert(text);
            }
            None => line.skip(format!("{at} does not tell its version")),
        }
    }
    (line.finding(), named)
}

fn version_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: String,
    }
    let text = serde_json::from_slice::<Version>(body).ok()?.version;
    Some(text.chars().filter(char::is_ascii_graphic).take(40).collect())
}

fn judge_version(line: &mut Line, authority: &str, text: &str) {
    let number = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Option<Vec<u64>> = number.split('.').map(|part| part.parse().ok()).collect();
    let seen = format!("{authority} is {text}");
    match parts {
        Some(parts) if parts.as_slice() >= &FLOOR[..] => line.ok(seen),
        Some(_) => line.fail(seen, "install a newer Ollama"),
        None => line.warn(seen, "compare it with 0.17.1 yourself"),
    }
}

impl Found {
    fn address(&self) -> SocketAddr {
        let listed = self.runtime.authority.parse::<SocketAddr>();
        listed.unwrap_or(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port))
    }

    fn who(&self) -> String {
        self.program.as_ref().map_or_else(|| self.runtime.authority.clone(), |program| program.name.clone())
    }

    /// Its variables, or the line's reason why they are not known.
    fn variables<'a>(&'a self, line: &mut Line) -> Option<&'a (BTreeMap<String, String>, String)> {
        if self.variables.is_none() {
            let why = match self.program.as_ref().map(|program| program.name.as_str()) {
                Some("docker-proxy") => "runs in a container; `docker inspect` shows its variables",
                Some("gatehouse") => "is the embedded engine, which has no such settings",
                Some(_) => "shows its environment to root alone",
                None => "is another user's; root sees it",
            };
            line.skip(format!("{} {why}", self.runtime.authority));
        }
        self.variables.as_ref()
    }
}

fn ollamas(found: &[Found]) -> impl Iterator<Item = &Found> {
    found.iter().filter(|one| one.runtime.ollama)
}

fn origins(found: &[Found]) -> Finding {
    let mut line = Line::new(
        "l4.origins",
        "no page of just any origin may ask the runtime from a browser on this machine",
    );
    for one in ollamas(found) {
        let Some((all, place)) = one.variables(&mut line) else { continue };
        let origins = all.get("OLLAMA_ORIGINS").map_or("", String::as_str);
        let seen = match origins {
            "" => format!("OLLAMA_ORIGINS is not set ({place})"),
            origins => format!("OLLAMA_ORIGINS={origins} ({place})"),
        };
        match origins.split(',').any(any_host) {
            true => line.fail(seen, format!("name origins, or none: {HOST}")),
            false => line.ok(seen),
        }
    }
    line.finding()
}

/// `*`, `http://*`, `*://*:*`
fn any_host(origin: &str) -> bool {
    let host = origin.trim().rsplit_once("://").map_or(origin.trim(), |(_, host)| host);
    host.split(':').next() == Some("*")
}

fn cloud(found: &[Found]) -> Finding {
    let mut line = Line::new("l4.cloud", "prompts cannot leave this machine through the runtime's cloud");
    for one in ollamas(found) {
        let Some((all, place)) = one.variables(&mut line) else { continue };
        let value = all.get("OLLAMA_NO_CLOUD").map_or("", String::as_str);
        match value.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" => line.ok(format!("OLLAMA_NO_CLOUD={value} ({place})")),
            "" => line.warn(format!("OLLAMA_NO_CLOUD is not set ({place})"), HOST),
            _ => line.warn(format!("OLLAMA_NO_CLOUD={value} ({place})"), HOST),
        }
    }
    line.finding()
}

fn pull(gateway: Option<&Config>) -> Finding {
    let mut line =
        Line::new("l4.pull", "nobody can have models pulled, made or sent away through the gateway");
    let changing = |grant: &Manage| *grant != Manage::Show;
    match gateway.map(|config| &config.auth) {
        None => line.skip("no `gateway` section was read here"),
        Some(Auth::Open) => line.ok("without keys nobody has the right to"),
        Some(Auth::Keys { keys, .. }) => {
            let able = keys.iter().filter(|key| key.grants.iter().any(changing));
            let able: Vec<_> = able.map(|key| key.id.as_str()).collect();
            match able.is_empty() {
                true => line.ok(format!("none of {} keys has the right to", keys.len())),
                false => line.warn(
                    format!("these keys may: {}", able.join(", ")),
                    "take `manage` away from keys that do not need it now (`gateway.auth.keys`)",
                ),
            }
        }
    }
    line.finding()
}

fn egress(found: &[Found]) -> Finding {
    let mut line = Line::new("l4.egress", "the runtime itself reaches nothing beyond this machine");
    for one in found {
        let unit = one.unit.as_deref().and_then(|name| Some((name, units::unit(name)?)));
        match unit {
            None => line.skip(format!("{} runs in no unit of systemd whose files could be read", one.who())),
            Some((name, unit)) if unit.denies_any => {
                line.ok(format!("{name}: IPAddressDeny=any, IPAddressAllow={}", unit.allows.join(" ")));
            }
            Some((name, _)) => line.warn(
                format!("{name} has no IPAddressDeny=any: who reaches it can have it fetch and send"),
                HOST,
            ),
        }
    }
    line.finding()
}

fn user(found: &[Found]) -> Finding {
    let mut line = Line::new("l4.user", "the runtime, which reads model files of others, is not root");
    for one in found {
        match &one.program {
            Some(program) if OTHERS.contains(&program.name.as_str()) => {
                line.skip(format!("{program} only holds the port"));
            }
            Some(program) if program.user == "root" => line
                .warn(program.to_string(), "run it as a user of its own; Ollama's installer makes `ollama`"),
            Some(program) => line.ok(program.to_string()),
            None => line.skip(format!("{} is another user's; root sees whose", one.runtime.authority)),
        }
    }
    line.finding()
}

fn layer(findings: &[Finding], found: &[Found], runtimes: &[Runtime], version: Option<&str>) -> Layer {
    let good = |id: &str| findings.iter().any(|finding| finding.id == id && finding.mark == Mark::Ok);
    let words = [
        ("l4.bind", "this machine alone"),
        ("l4.version", "known repairs"),
        ("l4.origins", "no foreign origins"),
        ("l4.cloud", "no cloud"),
        ("l4.pull", "no pull by callers"),
        ("l4.egress", "no way out"),
    ];
    let words: Vec<_> = words.into_iter().filter(|(id, _)| good(id)).map(|(_, word)| word).collect();
    let protection = if words.is_empty() { "nothing that was seen".to_owned() } else { words.join(", ") };
    let names: Vec<_> = runtimes.iter().map(|runtime| runtime.authority.as_str()).collect();
    let program = found.first().map_or_else(|| "model runtime".to_owned(), Found::who);
    let component = match version {
        Some(version) => format!("{program} {version} at {}", names.join(", ")),
        None => format!("{program} at {}", names.join(", ")),
    };
    let failed: Vec<_> = findings
        .iter()
        .filter(|finding| finding.mark == Mark::Fail)
        .map(|finding| finding.seen.as_str())
        .collect();
    let user =
        found.iter().filter_map(|one| one.program.as_ref()).map(|program| program.user.as_str()).next();
    let (around, because) = match user {
        _ if found.is_empty() => (Around::Unknown, "no model runtime answers on this machine".to_owned()),
        _ if !failed.is_empty() => (Around::Yes, failed.join("; ")),
        Some("root") | None => (Around::Yes, "by who has root on this machine".to_owned()),
        Some(user) => (Around::Yes, format!("by who has root, or the user {user}, on this machine")),
    };
    Layer { layer: "L4 model", component, protection, around, because }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Mark {
        let mut line = Line::new("l4.version", "x");
        judge_version(&mut line, "127.0.0.1:11434", text);
        line.finding().mark
    }

    #[test]
    fn versions() {
        for (text, mark) in [
            ("0.17.1", Mark::Ok),
            ("0.17.10", Mark::Ok),
            ("0.30.0-gatehouse", Mark::Ok),
            ("1.0", Mark::Ok),
            ("0.17.0", Mark::Fail),
            ("0.9.99", Mark::Fail),
            ("0.0.0", Mark::Fail),
            ("dev", Mark::Warn),
            ("", Mark::Warn),
        ] {
            assert_eq!(judged(text), mark, "{text}");
        }
        assert_eq!(version_of(br#"{"version":"0.17.1\u001b[31m"}"#).as_deref(), Some("0.17.1[31m"));
        assert_eq!(version_of(b"{}"), None);
    }

    #[test]
    fn origins_that_are_everybody() {
        for (origin, any) in [
            ("*", true),
            (" *", true),
            ("http://*", true),
            ("*://*:*", true),
            ("http://*:8080", true),
            ("http://127.0.0.1:11434", false),
            ("https://ai.example.com", false),
            ("https://*.example.com", false),
            ("", false),
        ] {
            assert_eq!(any_host(origin), any, "{origin}");
        }
    }

    fn found(name: &str, user: &str, variables: &[(&str, &str)]) -> Found {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Found {
            runtime: Runtime {
                authority: "127.0.0.1:11434".to_owned(),
                port: Some(OLLAMA),
                ollama: true,
                bearer: false,
            },
            port: OLLAMA,
            program: Some(Program { pid: 7, name: name.to_owned(), user: user.to_owned() }),
            variables: Some((variables.collect(), "here".to_owned())),
            unit: None,
        }
    }

    #[test]
    fn what_its_variables_and_its_user_mean() {
        for (variables, origins_mark, cloud_mark) in [
            (vec![("OLLAMA_NO_CLOUD", "1")], Mark::Ok, Mark::Ok),
            (vec![("OLLAMA_NO_CLOUD", "0")], Mark::Ok, Mark::Warn),
            (vec![("OLLAMA_NO_CLOUD", "true"), ("OLLAMA_ORIGINS", "http://a,*")], Mark::Fail, Mark::Ok),
            (vec![], Mark::Ok, Mark::Warn),
        ] {
            let one = [found("ollama", "ollama", &variables)];
            assert_eq!((origins(&one).mark, cloud(&one).mark), (origins_mark, cloud_mark), "{variables:?}");
        }
        assert_eq!(user(&[found("ollama", "ollama", &[])]).mark, Mark::Ok);
        assert_eq!(user(&[found("ollama", "root", &[])]).mark, Mark::Warn);
        assert_eq!(user(&[found("docker-proxy", "root", &[])]).mark, Mark::Skip);
    }
}
