//! The servers that run models.
//!
//! Why here: an address is taken apart once, so that nothing later has to guess what a URL meant.
//!
//! Never here: connecting. A server that is down is no error of the file.

use gateway::config::{Secret, Upstream};
use http::Uri;
use http::uri::Authority;
use wire::Format;

use crate::config::Context;
use crate::config::addresses::unreachable;
use crate::config::report::{Place, Report};
use crate::config::section::{At, Section, clipped, without_userinfo};

const QUEUE_MAX: usize = 64;
const URL_FIX: &str = "write it as `http://host:port`";

pub(super) fn read(section: &Section<'_>, context: &Context<'_>) -> Vec<Upstream> {
    let report = section.report();
    let short = section.text("ollama_api");
    let tables = section.sections("upstreams");
    match (&short, section.has("upstreams")) {
        (Some(short), true) => report.error(
            &short.place,
            "stands beside `upstreams`",
            "move this server into the list, with a name",
        ),
        (None, false) => report.error(
            section.place(),
            "no upstream is given",
            "add `ollama_api: \"http://127.0.0.1:11434\"`, or a list `upstreams`",
        ),
        (None, true) if tables.is_empty() => {
            report.error(&section.place_of("upstreams"), "the list is empty", "name at least one server");
        }
        _ => {}
    }
    let mut all: Vec<Upstream> = short.iter().filter_map(|url| single(url, report)).collect();
    for table in &tables {
        let Some(upstream) = one(table, context) else { continue };
        if all.iter().any(|u| u.name == upstream.name) {
            let what = format!("another upstream is called `{}`", upstream.name);
            report.error(&table.place_of("name"), what, "give each a name of its own");
        }
        all.push(upstream);
    }
    if !all.is_empty() && all.iter().all(|u| u.drain) {
        let what = "all of them drain, so every request is answered 503";
        report.warning(&section.place_of("upstreams"), what, "set `drain: false` for one at least");
    }
    all
}

fn single(url: &At<String>, report: &Report) -> Option<Upstream> {
    let (authority, base_path) = address(url, Format::Ollama, report)?;
    let name = "ollama".to_owned();
    let (format, slots, queue_max, bearer) = (Format::Ollama, None, QUEUE_MAX, None);
    Some(Upstream { name, authority, base_path, format, slots, queue_max, drain: false, bearer })
}

fn one(table: &Section<'_>, context: &Context<'_>) -> Option<Upstream> {
    let report = table.report();
    let name = table.text("name");
    let url = table.text("url");
    let format = match table.choice("format").value {
        "openai" => Format::OpenAi,
        _ => Format::Ollama,
    };
    let slots = table.number("slots").map(|n| usize::try_from(n.value).unwrap_or(usize::MAX));
    let queue_max = table.number("queue_max");
    let drain = table.flag("drain").value;
    let bearer = table.text("token_file").and_then(|file| context.secret_file(&file, report)).map(Secret);
    for (key, missing) in [("name", name.is_none()), ("url", url.is_none())] {
        if missing && !table.has(key) {
            report.error(
                table.place(),
                format!("`{key}` is missing"),
                format!("every upstream needs a `{key}`"),
            );
        }
    }
    let name = name.filter(|name| {
        let good = is_name(&name.value);
        if !good {
            report.error(&name.place, "is not a name", "use letters, digits, `-`, `_` and `.`, at most 64");
        }
        good
    })?;
    let (authority, base_path) = address(&url?, format, report)?;
    let queue_max = queue_max.map_or(QUEUE_MAX, |n| usize::try_from(n.value).unwrap_or(usize::MAX));
    Some(Upstream { name: name.value, authority, base_path, format, slots, queue_max, drain, bearer })
}

/// Names that are safe in a log line, a metric label and a file name.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

fn address(url: &At<String>, format: Format, report: &Report) -> Option<(Authority, String)> {
    match take_apart(&url.value, format) {
        Ok(parts) => Some(parts),
        Err((what, fix)) => {
            report.error(&url.place, what, fix);
            None
        }
    }
}

fn take_apart(url: &str, format: Format) -> Result<(Authority, String), (String, &'static str)> {
    let wrong = |what: &str| (format!("`{}` {what}", without_userinfo(url)), URL_FIX);
    let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            let what = "is an https address; TLS to upstreams is not built yet";
            return Err((
                format!("`{}` {what}", without_userinfo(url)),
                "use http on this machine or a trusted network, or a local TLS tunnel",
            ));
        }
        _ => return Err(wrong("does not begin with http://")),
    }
    let authority = uri.authority().cloned().ok_or_else(|| wrong("names no host"))?;
    if let Some(what) = unreachable(&authority) {
        return Err(wrong(what));
    }
    if authority.as_str().contains('@') {
        return Err(wrong("holds a user name; credentials belong into `token_file`"));
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(wrong("has a query or a fragment, which an upstream cannot have"));
    }
    let path = uri.path().trim_end_matches('/');
    let base = match (format, path.strip_suffix("/v1")) {
        (Format::OpenAi, Some(base)) => base,
        (Format::Ollama | Format::Responses | Format::Anthropic, Some(_)) => {
            return Err(wrong("ends in /v1; Ollama's own API is meant, so leave it off"));
        }
        (_, None) => path,
    };
    Ok((authority, base.to_owned()))
}

/// The names, for messages of other readers.
fn names(upstreams: &[Upstream]) -> String {
    upstreams.iter().map(|u| u.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Reports a model that names an upstream that is not there.
pub(super) fn check_named(upstreams: &[Upstream], name: &str, place: &Place, report: &Report) {
    if !upstreams.iter().any(|u| u.name == name) {
        let what = format!("no upstream is called `{}`", clipped(name));
        report.error(place, what, format!("upstreams here: {}", names(upstreams)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let ok = |url: &str, format| {
            let (authority, base) = take_apart(url, format).unwrap();
            format!("{authority} {base}")
        };
        assert_eq!(ok("http://localhost:11434", Format::Ollama), "localhost:11434 ");
        assert_eq!(ok("http://localhost:11434/", Format::Ollama), "localhost:11434 ");
        assert_eq!(ok("http://[::1]:80/proxy/", Format::Ollama), "[::1]:80 /proxy");
        assert_eq!(ok("http://vllm:8000/v1", Format::OpenAi), "vllm:8000 ");
        assert_eq!(ok("http://vllm:8000/a/v1/", Format::OpenAi), "vllm:8000 /a");
    }

    #[test]
    fn urls_that_cannot_be_meant() {
        for (url, part) in [
            ("https://a:1", "not built yet"),
            ("a:1", "http://"),
            ("http://a:1/v1", "leave it off"),
            ("http://a:1/?x=1", "query"),
            ("http://joe:secret@a:1", "token_file"),
            ("http:// a", "not a URL"),
            ("http://:11434", "names no host"),
            ("http://127.0.0.1:99999", "from 1 to 65535"),
            ("http://127.0.0.1:0", "from 1 to 65535"),
            ("http://[::1]:0/proxy", "from 1 to 65535"),
            ("http://a:", "from 1 to 65535"),
        ] {
            let (what, _) = take_apart(url, Format::Ollama).unwrap_err();
            assert!(what.contains(part), "{url}: {what}");
            assert!(!what.contains("secret"), "{what}");
        }
    }
}
