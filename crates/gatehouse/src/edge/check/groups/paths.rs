//! Paths: what reaches the gateway as it was sent, what does not exist, what leads nowhere.
//!
//! Why here: a slash too much in one line of nginx turns every path below /v1/ into the gateway's root. The gateway answers
//! each dialect in its own shape, also without a key, so its refusals tell which path it was asked for.
//!
//! Never here: keys.

use gateway::routes::ROUTES;
use serde_json::Value;

use super::places;
use super::reach::is_gateways;
use crate::chat;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Request};
use crate::edge::check::samples::MESSAGES_PATH;
use crate::edge::refusals::API;

/// In front of, beside and behind such a service, and in nobody's table here.
const CLOSED: [&str; 17] = [
    "/metrics",
    "/admin",
    "/healthz",
    "/readyz",
    "/queue",
    "/upstreams",
    "/debug/pprof/",
    "/nginx_status",
    "/server-status",
    "/.git/config",
    "/.env",
    "/.well-known/acme-challenge/x",
    "/v1",
    "/api",
    "/api/",
    "/index.html",
    "/config.yaml",
];

pub(super) async fn look(context: &Context<'_>) -> Said {
    let (untouched, first, closed, traversal) =
        tokio::join!(untouched(context), api_first(context), closed(context), traversal(context));
    vec![
        ("path.untouched", untouched),
        ("path.api-first", first),
        ("path.closed", closed),
        ("path.traversal", traversal),
    ]
}

/// In which dialect a refusal speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    OpenAi,
    Anthropic,
    Ollama,
    /// Not a refusal of the gateway at all.
    Other,
}

fn shape(answer: &Answer) -> Shape {
    let Some(json) = answer.json() else { return Shape::Other };
    match (json.get("type").and_then(Value::as_str), json.get("error")) {
        (Some("error"), Some(Value::Object(_))) => Shape::Anthropic,
        (None, Some(Value::Object(_))) => Shape::OpenAi,
        (None, Some(Value::String(_))) => Shape::Ollama,
        _ => Shape::Other,
    }
}

async fn untouched(context: &Context<'_>) -> Verdict {
    let door = &context.door;
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    // A gateway may be set to one shape for all: then its shapes tell nothing.
    let told = matches!(&context.samples.models, Ok(answer) if is_gateways(answer) && shape(answer) == Shape::OpenAi);
    if told {
        match door.ask(&Request::post(MESSAGES_PATH, "{}")).await {
            Ok(answer) if is_gateways(&answer) && shape(&answer) == Shape::Anthropic => {
                seen.push(format!("{MESSAGES_PATH} is refused in its own dialect"));
            }
            Ok(answer) if is_gateways(&answer) => {
                wrong.push(format!(
                    "{MESSAGES_PATH} arrives as another path: refused in the shape {:?}",
                    shape(&answer)
                ));
            }
            _ => {}
        }
        for path in ["/v1/api/tags", "/v1//api/tags", "/v1/metrics", "/v1/../api/tags", "/v1/%2e%2e/api/tags"]
        {
            let asked = door.ask(&Request::get(path)).await;
            let Ok(answer) = asked else { continue };
            if answer.status < 400 || shape(&answer) == Shape::Ollama {
                wrong.push(format!("{path} reaches the gateway's other paths ({})", answer.status));
            }
        }
        seen.push("/v1/api/tags and the like are unknown paths of the API".to_owned());
    }
    wrong.extend(recorded(context, &mut seen).await);
    if let Ok(places) = places::of(context) {
        for place in &places.api {
            if let Some(pass) = place.own("proxy_pass").filter(|pass| has_path(pass.arg(0))) {
                wrong.push(format!("{} puts another path in place of the location's", pass.shown()));
            }
            if let Some(rewrite) = place.one("rewrite") {
                wrong.push(format!("{} changes the path", rewrite.shown()));
            }
        }
        seen.push(format!("{} locations pass it without a path of their own", places.api.len()));
    }
    match seen.is_empty() && wrong.is_empty() {
        true => Verdict::skip("the gateway answers every path alike, and its records are not known here"),
        false => Verdict::of(&wrong, seen.join("; ")),
    }
}

/// The gateway's own record of the path.
async fn recorded(context: &Context<'_>, seen: &mut Vec<String>) -> Option<String> {
    let audit = context.audit.as_ref().ok()?;
    let agent = format!("gatehouse-edge-check/path-{}", super::log::token());
    let path = "/v1/chat/completions";
    context.door.ask(&Request::post(path, "{}").with("user-agent", &agent)).await.ok()?;
    let line = audit.line_with(&agent).await?;
    let record: Value = serde_json::from_str(&line).ok()?;
    let route = record.get("route").and_then(Value::as_str).unwrap_or("none");
    match route == path {
        true => {
            seen.push(format!("{path} is on record as that"));
            None
        }
        false => Some(format!("{path} is on record as `{route}`")),
    }
}

/// `http://name/` has one, `http://name` has none.
fn has_path(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
}

async fn api_first(context: &Context<'_>) -> Verdict {
    if !context.samples.models.as_ref().is_ok_and(is_gateways) {
        return Verdict::skip("the gateway does not answer: see api.answers");
    }
    let mut wrong = Vec::new();
    for file in ["x.js", "x.png", "x.css", "x.php"] {
        let path = format!("/v1/models/{file}");
        match context.door.ask(&Request::get(&path)).await {
            Ok(answer) if is_gateways(&answer) => {}
            Ok(answer) => wrong.push(format!("{path}: {} by nginx", answer.status)),
            Err(trouble) => wrong.push(format!("{path}: {trouble}")),
        }
    }
    if let Ok(places) = places::of(context) {
        let before = places.server.expressions_before("/v1/models");
        let before = before.into_iter().filter(|location| may_be_of_api(location.args.last()));
        wrong.extend(
            before.map(|location| format!("{} is tried before the API's location", location.shown())),
        );
    }
    Verdict::of(&wrong, "the gateway answers all of them")
}

/// Whether an expression may fit a path below /v1/, as far as its beginning tells.
fn may_be_of_api(expression: Option<&String>) -> bool {
    let text = expression.map_or("", String::as_str).trim_start_matches(['~', '*']);
    let Some(path) = text.strip_prefix("^/") else { return true };
    !path.starts_with(|c: char| c.is_ascii_alphanumeric() && c != 'v')
}

async fn closed(context: &Context<'_>) -> Verdict {
    let pages: Vec<&str> = chat::paths().map(|(_, path)| path).collect();
    let other = ROUTES
        .iter()
        .map(|route| route.path)
        .filter(|path| !path.starts_with(API) && *path != "/openapi.json" && !pages.contains(path));
    let mut wrong = Vec::new();
    let mut asked: Vec<String> = CLOSED.iter().map(ToString::to_string).collect();
    for path in other {
        let path = path.replace("{digest}", &format!("sha256:{}", "0".repeat(64))).replace("{name}", "x");
        if !asked.contains(&path) {
            asked.push(path);
        }
    }
    let answers = futures_util::future::join_all(
        asked.iter().map(|path| async move { (path, context.door.ask(&Request::get(path)).await) }),
    );
    for (path, answer) in answers.await {
        match answer {
            Ok(answer) if is_gateways(&answer) => {
                wrong.push(format!("{path}: {} by the gateway", answer.status));
            }
            Ok(answer) if answer.status == 404 => {}
            Ok(answer) => wrong.push(format!("{path}: {}", answer.status)),
            Err(trouble) => wrong.push(format!("{path}: {trouble}")),
        }
    }
    Verdict::of(&wrong, format!("404 for {} paths", asked.len()))
}

async fn traversal(context: &Context<'_>) -> Verdict {
    let file = context.samples.file_path.trim_start_matches("/assets/").to_owned();
    let asked = [
        "/assets/../../../../etc/passwd".to_owned(),
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/assets/..;/..;/etc/passwd".to_owned(),
        // A folder without its slash in the location, with one behind the alias.
        format!("/assets../assets/{file}"),
        format!("/assets../{file}"),
        "/assets/".to_owned(),
        "/assets/%00".to_owned(),
        "//etc/passwd".to_owned(),
    ];
    let mut wrong = Vec::new();
    for path in &asked {
        match context.door.ask(&Request::get(path)).await {
            Ok(answer) if answer.status >= 400 => {}
            Ok(answer) => wrong.push(format!("{path}: {}", answer.status)),
            Err(_) => {}
        }
    }
    Verdict::of(&wrong, format!("400, 403 or 404 for {} ways", asked.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_behind_the_name_counts() {
        assert!(has_path("http://g/") && has_path("http://g/api/"));
        assert!(!has_path("http://g") && !has_path("$variable"));
    }

    #[test]
    fn expressions_that_fit_no_path_of_the_api() {
        let may = |text: &str| may_be_of_api(Some(&text.to_owned()));
        assert!(may(r"\.(svg|gguf)$") && may("^/(.*)") && may("^/v1/x"));
        assert!(!may("^/assets/.*$") && !may("~^/img"));
    }

    #[test]
    fn dialects_are_told_apart_by_their_refusals() {
        for (body, wanted) in [
            (r#"{"type":"error","error":{"type":"a"}}"#, Shape::Anthropic),
            (r#"{"error":{"message":"a"}}"#, Shape::OpenAi),
            (r#"{"error":"a"}"#, Shape::Ollama),
            (r#"{"models":[]}"#, Shape::Other),
            ("<html>", Shape::Other),
        ] {
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            let answer = Answer { status: 401, headers, body: body.into(), ..Answer::default() };
            assert_eq!(shape(&answer), wanted, "{body}");
        }
    }
}
