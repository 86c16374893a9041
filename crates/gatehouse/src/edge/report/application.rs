//! Layer 3, the application: keys, addresses and limits at the gateway, as it runs now.
//!
//! Why here: see [`super`].
//!
//! Never here: a real key; what can be seen without one is what a stranger sees.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::config::Config;

use super::ask::{Question, Trouble};
use super::facts::{Exposure, Facts, Reach};
use super::line::Line;
use super::model::Runtime;
use super::table::{Around, Layer};
use super::{Judged, beside, page};
use crate::config::addresses::is_everybody;
use crate::edge::findings::{Finding, Mark};
use crate::edge::ports::Part;
use crate::edge::site::Site;

/// A list that asks for a key, and costs nothing.
const ASKED: &str = "/v1/models";
const GATEWAYS_MAX: usize = 8;
const LOADED_AT: &str = "gatehouse_config_last_reload_success_timestamp_seconds";
/// Clocks of files and of the gateway's gauge are rounded differently.
const ROUNDING: Duration = Duration::from_secs(1);

pub(super) async fn judge(
    facts: &Facts,
    site: &Site,
    gateway: Option<&Config>,
    files: &[PathBuf],
    runtimes: &[Runtime],
) -> Judged {
    let (keys, mut open) = keys(site).await;
    let page = page::door(facts, site);
    open.extend(page.ways);
    open.extend(beside::to_the_model(facts));
    let known = Known { open, doubts: page.doubts };
    let findings = vec![
        keys,
        page.line,
        addresses(facts, gateway),
        limits(gateway),
        current(site, files).await,
        admin(facts),
    ];
    let layer = layer(facts, site, &findings, known, runtimes);
    Judged { findings, layer }
}

/// What the lines above the table have found.
#[derive(Default)]
struct Known {
    /// Ways for who has no key.
    open: Vec<String>,
    doubts: Vec<String>,
}

/// The line, and the gateways that answered without a key.
async fn keys(site: &Site) -> (Finding, Vec<String>) {
    let mut open = Vec::new();
    let mut line = Line::new("l3.keys", "the gateway answers nobody without a key");
    for at in site.gateways.iter().take(GATEWAYS_MAX) {
        let question = Question { at: *at, host: &at.to_string(), path: ASKED, tls: false, proxied: false };
        match question.ask().await {
            Ok(answer) if answer.status.as_u16() == 401 => line.ok(format!("{at}{ASKED} without a key: 401")),
            Ok(answer) if answer.status.is_success() => {
                open.push(format!("{at} asks nobody for a key"));
                let fix = "set `gateway.auth.enabled: true` and name keys (`gatehouse keys new`)";
                line.fail(format!("{at}{ASKED} without a key: {}", answer.status.as_u16()), fix);
            }
            Ok(answer) => line.warn(
                format!(
                    "{at}{ASKED} without a key: {}, which is neither a list nor a refusal",
                    answer.status.as_u16()
                ),
                "look whether it is the gateway that listens there",
            ),
            // Before a byte is read, so there is no status either.
            Err(trouble @ Trouble::NoAnswer(_)) => {
                line.skip(format!("{trouble}: its address list refuses this machine"));
            }
            Err(trouble) => line.fail(trouble.to_string(), "start the gateway, or mend `edge.gateways`"),
        }
    }
    (line.finding(), open)
}

fn addresses(facts: &Facts, gateway: Option<&Config>) -> Finding {
    let mut line =
        Line::new("l3.addresses", "the gateway's port is for listed addresses, or for this machine alone");
    let Some(gateway) = gateway else {
        line.skip("no `gateway` section was read here");
        return line.finding();
    };
    if let Some(allow) = &gateway.addresses.allow {
        let nets: Vec<_> = allow.iter().map(ToString::to_string).collect();
        let seen = format!("`whitelist`: {}", nets.join(", "));
        match is_everybody(allow) {
            true => line.warn(
                format!("{seen}, which is everybody"),
                "name the networks of those who are meant in `gateway.whitelist`, or remove it and listen on 127.0.0.1",
            ),
            false => line.ok(seen),
        }
        return line.finding();
    }
    for guarded in facts.ports.guarded.iter().filter(|guarded| guarded.part == Part::Gateway) {
        let Exposure { reach, seen } = facts.exposure(guarded.port);
        match reach {
            Reach::Everybody | Reach::Unknown => {
                let fix = "add `gateway.whitelist`, or listen on 127.0.0.1";
                line.warn(format!("no list, and {seen}"), fix);
            }
            _ => line.ok(format!("no list; {seen}")),
        }
    }
    line.finding()
}

fn limits(gateway: Option<&Config>) -> Finding {
    let mut line = Line::new("l3.limits", "what one caller may ask is bounded");
    match gateway {
        None => line.skip("no `gateway` section was read here"),
        Some(config) => {
            let rate = config
                .rate
                .map(|rate| format!("{} requests in {} s", rate.requests_max, rate.window.as_secs()));
            let all: Vec<_> =
                rate.into_iter().chain(config.limits.iter().map(|rule| rule.name.clone())).collect();
            match all.is_empty() {
                true => line.warn("neither `rate_limit` nor `limits`", "set `gateway.rate_limit`"),
                false => line.ok(all.join(", ")),
            }
        }
    }
    line.finding()
}

/// Limits and lists are read from files here; this says whether the running gateway has read the same.
async fn current(site: &Site, files: &[PathBuf]) -> Finding {
    let mut line = Line::new("l3.current", "the running gateway works by the file as it stands");
    let (Some(at), [file]) = (site.gateway_admin, files) else {
        line.skip("the gateway's file, or its `admin_listen`, is not known here");
        return line.finding();
    };
    let question = Question { at, host: &at.to_string(), path: "/metrics", tls: false, proxied: false };
    let loaded = match question.ask().await {
        Ok(answer) => loaded_at(&String::from_utf8_lossy(&answer.body)),
        Err(trouble) => {
            line.skip(trouble.to_string());
            return line.finding();
        }
    };
    let changed = std::fs::metadata(file).and_then(|file| file.modified()).ok();
    match (loaded, changed) {
        (Some(loaded), Some(changed)) if changed <= loaded + ROUNDING => {
            line.ok(format!("{} was read after its last change", file.display()));
        }
        (Some(_), Some(_)) => line.warn(
            format!("{} was changed after the gateway had read it", file.display()),
            format!(
                "`gatehouse check {}`, then reload the gateway (SIGHUP, `systemctl reload`)",
                file.display()
            ),
        ),
        _ => line.skip(format!("{at}/metrics does not say when the file was read")),
    }
    line.finding()
}

fn loaded_at(metrics: &str) -> Option<SystemTime> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(LOADED_AT))?;
    let seconds: f64 = value.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|since| UNIX_EPOCH + since)
}

fn admin(facts: &Facts) -> Finding {
    let mut line =
        Line::new("l3.admin", "health and metrics, which ask for no key, are for this machine alone");
    let fix = "set `gateway.admin_listen: 127.0.0.1:18790`";
    for guarded in facts.ports.guarded.iter().filter(|guarded| guarded.part == Part::Admin) {
        let Exposure { reach, seen } = facts.exposure(guarded.port);
        match reach {
            Reach::Nobody | Reach::Local => line.ok(seen),
            Reach::Everybody => line.fail(seen, fix),
            _ => line.warn(seen, fix),
        }
    }
    line.finding()
}

fn layer(facts: &Facts, site: &Site, findings: &[Finding], known: Known, runtimes: &[Runtime]) -> Layer {
    let at: Vec<_> = site.gateways.iter().map(ToString::to_string).collect();
    let program =
        site.gateways.first().and_then(|at| facts.at(at.port()).first().and_then(|l| l.program.clone()));
    let program = program.map_or_else(|| "gateway".to_owned(), |program| program.to_string());
    let good = |id: &str| findings.iter().any(|finding| finding.id == id && finding.mark == Mark::Ok);
    let words = [("l3.keys", "keys"), ("l3.addresses", "addresses"), ("l3.limits", "limits")];
    let words: Vec<_> = words.into_iter().filter(|(id, _)| good(id)).map(|(_, word)| word).collect();
    let protection = if words.is_empty() { "nothing that was seen".to_owned() } else { words.join(", ") };
    let (around, because) = around(facts, known, runtimes);
    Layer {
        layer: "L3 application",
        component: format!("{program} at {}", at.join(", ")),
        protection,
        around,
        because,
    }
}

/// The gateway is walked around by whoever reaches a runtime without it.
fn around(facts: &Facts, known: Known, runtimes: &[Runtime]) -> (Around, String) {
    let Known { open: mut ways, mut doubts } = known;
    for runtime in runtimes {
        let Some(port) = runtime.port else {
            doubts.push(format!("who reaches {}, on another machine", runtime.authority));
            continue;
        };
        match facts.exposure(port).reach {
            Reach::Nobody => {}
            _ if runtime.bearer => doubts
                .push(format!("whether {} asks others than the gateway for its token", runtime.authority)),
            Reach::Local | Reach::Filtered => ways.push(format!(
                "by programs and users of this machine: {} asks for no key",
                runtime.authority
            )),
            Reach::Unknown => doubts.push(format!("who reaches {} from outside", runtime.authority)),
            Reach::Listed | Reach::Everybody => {
                ways.push(format!("FROM OUTSIDE: {} asks for no key", runtime.authority));
            }
        }
    }
    match () {
        () if !ways.is_empty() => (Around::Yes, ways.join("; ")),
        () if !doubts.is_empty() => (Around::Unknown, doubts.join("; ")),
        () => (Around::Unknown, "no model runtime answers on this machine".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, listener, ours};
    use super::super::ruleset::{Filter, Ruleset};
    use super::*;

    #[test]
    fn the_way_around_is_who_reaches_the_runtime() {
        let runtime =
            |port| Runtime { authority: "127.0.0.1:11434".to_owned(), port, ollama: true, bearer: false };
        let none = || Filter::Read(Ruleset::default());
        for (at, filter, port, expected, word) in [
            ("127.0.0.1:11434", ours(), Some(11_434), Around::Yes, "users of this machine"),
            ("0.0.0.0:11434", ours(), Some(11_434), Around::Yes, "users of this machine"),
            ("0.0.0.0:11434", none(), Some(11_434), Around::Yes, "FROM OUTSIDE"),
            ("127.0.0.1:1", ours(), Some(11_434), Around::Unknown, "no model runtime"),
            ("127.0.0.1:1", ours(), None, Around::Unknown, "another machine"),
        ] {
            let facts = facts(filter, vec![listener(at, "ollama")]);
            let (answer, because) = around(&facts, Known::default(), &[runtime(port)]);
            assert_eq!(answer, expected, "{at}: {because}");
            assert!(because.contains(word), "{at}: {because}");
        }
        let facts = facts(ours(), vec![listener("127.0.0.1:11434", "x")]);
        let guarded = Runtime { bearer: true, ..runtime(Some(11_434)) };
        assert_eq!(around(&facts, Known::default(), &[guarded]).0, Around::Unknown);
    }

    #[test]
    fn when_the_gateway_read_its_file() {
        let text = "# HELP x\ngatehouse_config_last_reload_success_timestamp_seconds 1764165600.5\nother 1\n";
        let at = loaded_at(text).unwrap().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(at.as_secs(), 1_764_165_600);
        for text in [
            "",
            "gatehouse_config_last_reload_success_timestamp_seconds x",
            "gatehouse_config_last_reload_success_timestamp_seconds -1",
        ] {
            assert_eq!(loaded_at(text), None, "{text}");
        }
    }

    #[test]
    fn health_and_metrics_are_for_this_machine() {
        for (at, mark) in
            [("127.0.0.1:18790", Mark::Ok), ("0.0.0.0:18790", Mark::Warn), ("127.0.0.1:1", Mark::Ok)]
        {
            assert_eq!(admin(&facts(ours(), vec![listener(at, "gatehouse")])).mark, mark, "{at}");
        }
    }
}
