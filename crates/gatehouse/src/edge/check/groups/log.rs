//! nginx's own log: what a line holds, and what it must not hold.
//!
//! Why here: without an id and times nobody finds a request again; with a query or a header of keys the log is a store of
//! secrets.
//!
//! Never here: other people's lines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::places::{self, Places};
use super::reach::is_gateways;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::Request;
use crate::edge::check::reading::{Directive, Read, Reading, Scope};
use crate::edge::site::Site;

/// A line is of no use without these.
const WANTED: [(&str, &str); 5] = [
    ("$request_id", "an id"),
    ("$status", "the status"),
    ("$request_time", "the time it took"),
    ("$upstream_response_time", "the time behind it"),
    ("$remote_addr", "the address"),
];
/// They hold the query, or a credential.
const SECRET: [&str; 10] = [
    "$request",
    "$request_uri",
    "$args",
    "$query_string",
    "$is_args$args",
    "$http_authorization",
    "$http_x_api_key",
    "$http_cookie",
    "$request_body",
    "$http_referer",
];
const CANARY: &str = "gatehousecheckcanary";

/// Something that nobody else sends.
pub(super) fn token() -> String {
    let mut bytes = [0; 8];
    // Without randomness two checks at once may mistake each other's lines: no worse than no answer.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the requests of the API are logged: as nginx reads it, else as it is configured.
pub(in crate::edge::check) fn file(site: &Site, reading: &Reading) -> Option<PathBuf> {
    let read = match reading {
        Reading::Read(read) => read.served(site).and_then(|server| {
            let log = main_log(read, &server.at("/v1/models"))?.arg(0).to_owned();
            Path::new(&log).is_absolute().then_some(log)
        }),
        _ => None,
    };
    read.map(PathBuf::from).or_else(|| site.access_log.clone())
}

pub(super) async fn look(context: &Context<'_>) -> Said {
    let written = written(context).await;
    let places = places::of(context);
    let format = places.as_ref().map_err(Clone::clone).and_then(format);
    let every = places.as_ref().map(|places| every_format(context.site, places)).map_err(Clone::clone);
    vec![
        ("log.lines", lines(&written, &format)),
        ("log.secrets", secrets(&written, &every)),
        ("log.request-id", request_id(context, &written).await),
    ]
}

/// A request of ours and its line.
struct Written {
    line: String,
    /// The id that the answer carried, and whether the client's own was taken.
    id: Option<String>,
    ids: usize,
    sent: String,
    agent: String,
    by_gateway: bool,
}

async fn written(context: &Context<'_>) -> Result<Written, String> {
    let sent = format!("gatehouse-client-{}", token());
    let agent = format!("gatehouse-edge-check/log-{}", token());
    let request = Request::get(format!("/v1/models?q={CANARY}"))
        .with("user-agent", &agent)
        .with("authorization", format!("Bearer {CANARY}"))
        .with("x-api-key", CANARY)
        .with("x-request-id", &sent);
    let answer = context.door.ask(&request).await.map_err(|trouble| trouble.to_string())?;
    let line = match &context.log {
        Ok(log) => log.line_with(&agent).await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    let id = answer.header("x-request-id").map(str::to_owned);
    let by_gateway = is_gateways(&answer);
    Ok(Written { line, id, ids: answer.count("x-request-id"), sent, agent, by_gateway })
}

/// The format of the API's log: its escaping, and its text.
struct Format {
    json: bool,
    text: String,
    shown: String,
}

fn format(places: &Places<'_>) -> Result<Format, String> {
    let place = places.api.first().unwrap_or(&places.server);
    let log = main_log(places.read, place).ok_or("the log is off")?;
    format_of(places.read, log)
}

/// The log that people search: of several the one in JSON, wherever it stands.
fn main_log<'t>(read: &'t Read, place: &Scope<'t>) -> Option<&'t Directive> {
    let logs: Vec<&Directive> =
        place.many("access_log").into_iter().filter(|line| line.arg(0) != "off").collect();
    let json = |log: &&&Directive| format_of(read, log).is_ok_and(|format| format.json);
    logs.iter().find(json).or(logs.first()).copied()
}

/// Those of every log of every place of our servers: a place with one of its own has lost the ones around it.
fn every_format(site: &Site, places: &Places<'_>) -> Vec<Format> {
    let ports: Vec<u16> = site.http_listen.iter().chain(&site.https_listen).map(|at| at.port()).collect();
    let file = places.server.own("server_name").map(|line| Arc::clone(&line.file));
    let ours = |server: &Scope<'_>| {
        let named = server.own("server_name");
        named.is_some_and(|line| site.names.iter().any(|name| line.has(name.as_str())))
            || server.below().first().map(|line| Arc::clone(&line.file)) == file
    };
    let mut logs: Vec<&Directive> = Vec::new();
    for place in places.read.on_ports(&ports).iter().filter(|server| ours(server)).flat_map(Scope::places) {
        for log in place.many("access_log") {
            if log.arg(0) != "off" && !logs.iter().any(|known| std::ptr::eq(*known, log)) {
                logs.push(log);
            }
        }
    }
    let mut all: Vec<Format> = Vec::new();
    for format in logs.into_iter().filter_map(|log| format_of(places.read, log).ok()) {
        if !all.iter().any(|known| known.shown == format.shown) {
            all.push(format);
        }
    }
    all
}

fn format_of(read: &Read, log: &Directive) -> Result<Format, String> {
    let name = if log.arg(1).is_empty() || log.arg(1).contains('=') { "combined" } else { log.arg(1) };
    if name == "combined" {
        let text = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";
        return Ok(Format { json: false, text: text.to_owned(), shown: log.shown() });
    }
    let defined = read.http_blocks("log_format").find(|line| line.arg(0) == name);
    let defined = defined.ok_or_else(|| format!("no `log_format {name}`"))?;
    let text: String =
        defined.args.iter().skip(1).filter(|arg| !arg.starts_with("escape=")).cloned().collect();
    Ok(Format {
        json: defined.has("escape=json"),
        text,
        shown: format!("`log_format {name}` ({})", defined.place()),
    })
}

/// Whether a variable stands in a text, and not the beginning of a longer name.
fn uses(text: &str, variable: &str) -> bool {
    let braced = format!("${{{}}}", variable.trim_start_matches('$'));
    let plain = text.match_indices(variable).any(|(at, _)| {
        let next = text.get(at + variable.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    plain || text.contains(&braced)
}

fn lines(written: &Result<Written, String>, format: &Result<Format, String>) -> Verdict {
    let mut wrong = Vec::new();
    let mut seen = String::new();
    if let Ok(written) = written
        && !written.line.is_empty()
    {
        match serde_json::from_str::<Value>(&written.line) {
            Ok(Value::Object(fields)) => {
                let has = |wanted: &str| fields.values().any(|value| value.as_str() == Some(wanted));
                if !has(&written.agent) {
                    wrong.push("the line does not say by what the request was made".to_owned());
                }
                seen = format!("{} fields", fields.len());
            }
            _ => wrong.push("the line of a request is not JSON".to_owned()),
        }
    }
    match format {
        Ok(format) => {
            if !format.json {
                wrong.push(format!(
                    "{} is not `escape=json`: a client can end the line and write another",
                    format.shown
                ));
            }
            let missing: Vec<_> = WANTED
                .iter()
                .filter(|(variable, _)| !uses(&format.text, variable))
                .map(|(_, what)| *what)
                .collect();
            if !missing.is_empty() {
                wrong.push(format!("{} leaves out {}", format.shown, missing.join(", ")));
            }
            seen = if seen.is_empty() { format.shown.clone() } else { format!("{seen} of {}", format.shown) };
        }
        Err(why) if seen.is_empty() && wrong.is_empty() => return Verdict::skip(why),
        Err(_) => {}
    }
    Verdict::of(&wrong, seen)
}

fn secrets(written: &Result<Written, String>, formats: &Result<Vec<Format>, String>) -> Verdict {
    let line = written.as_ref().ok().map(|written| written.line.as_str()).filter(|line| !line.is_empty());
    let mut wrong = Vec::new();
    if line.is_some_and(|line| line.contains(CANARY)) {
        wrong.push("the query or the key of a request stands in its line".to_owned());
    }
    match formats {
        Ok(formats) => {
            for format in formats {
                let used = SECRET.iter().filter(|variable| uses(&format.text, variable));
                wrong.extend(used.map(|variable| format!("{} holds {variable}", format.shown)));
            }
            if line.is_none() && formats.is_empty() {
                return Verdict::skip("the log is off");
            }
        }
        Err(why) if line.is_none() => return Verdict::skip(why),
        Err(_) => {}
    }
    Verdict::of(
        &wrong,
        if line.is_some() {
            "neither in the line of a request that had both"
        } else {
            "neither in any format"
        },
    )
}

async fn request_id(context: &Context<'_>, written: &Result<Written, String>) -> Verdict {
    let written = match written {
        Ok(written) => written,
        Err(why) => return Verdict::skip(why),
    };
    let Some(id) = &written.id else { return Verdict::fail("the answer carries no x-request-id") };
    let mut wrong = Vec::new();
    if written.ids > 1 {
        wrong.push(format!("the answer carries {}", written.ids));
    }
    if *id == written.sent {
        wrong.push("the client's own id was taken".to_owned());
    }
    let mut same = vec!["answer"];
    if let Ok(audit) = &context.audit
        && written.by_gateway
        && let Some(line) = audit.line_with(&written.agent).await
    {
        match line.contains(id.as_str()) {
            true => same.push("audit file"),
            false => wrong.push("the audit file has another id".to_owned()),
        }
    }
    if !written.line.is_empty() {
        match written.line.contains(id.as_str()) {
            true => same.push("log"),
            // A gateway that does not believe nginx makes ids of its own.
            false if context.site.gateway_trusts_nginx == Some(false) => {
                return Verdict::skip("the gateway does not take nginx's id: see address.believed");
            }
            // A log without ids at all is another fact.
            false if !has_id(context) => {}
            false => wrong.push("the log has another id".to_owned()),
        }
    }
    wrong.extend(passed_on(context));
    Verdict::of(&wrong, format!("the same in {}", same.join(", ")))
}

fn has_id(context: &Context<'_>) -> bool {
    places::of(context)
        .and_then(|places| format(&places))
        .is_ok_and(|format| uses(&format.text, "$request_id"))
}

/// What the gateway is told.
fn passed_on(context: &Context<'_>) -> Option<String> {
    let places = places::of(context).ok()?;
    let other = |place: &Scope<'_>| match place.sent_header("X-Request-Id") {
        Some(line) if line.arg(1) == "$request_id" => None,
        Some(line) => Some(Directive::shown(line)),
        None => Some(format!("{} passes the client's own id", place.named())),
    };
    places.api.iter().find_map(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_whole_names() {
        assert!(
            uses("a $request b", "$request") && uses("\"$request\"", "$request") && uses("${args}x", "$args")
        );
        assert!(!uses("$request_id $request_time", "$request") && !uses("$argsx", "$args"));
    }
}
