//! The API's own facts: refusals that SDKs read, no compression, no foreign key, bounds of bodies and heads.
//!
//! Why here: what nginx says in the gateway's place must look as if the gateway had said it.
//!
//! Never here: streams.

use serde_json::Value;

use super::places::{self, Places};
use super::reach::is_gateways;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Request};
use crate::edge::check::reading::{Scope, bytes};
use crate::edge::check::samples::{CHAT_PATH, MESSAGES_PATH, announced, too_large};

/// Refusals of nginx that cannot all be provoked.
const OWN_REFUSALS: [&str; 4] = ["413", "429", "502", "504"];
const CARRIERS: [&str; 2] = ["Authorization", "X-Api-Key"];
/// Below this a usual prompt goes through a file.
const BODY_BUFFER_MIN: u64 = 1 << 20;

pub(super) async fn look(context: &Context<'_>) -> Said {
    let (body, head) = tokio::join!(size_of_body(context), size_of_head(context));
    vec![
        ("api.errors", errors(context)),
        ("api.uncompressed", uncompressed(context)),
        ("api.no-key-added", no_key_added(context)),
        ("size.body", body),
        ("size.head", head),
        ("upload.whole", read(context, upload_whole)),
        ("upload.memory", read(context, upload_memory)),
    ]
}

/// A fact that only stands in the configuration.
fn read(context: &Context<'_>, judge: impl Fn(&Places<'_>) -> Verdict) -> Verdict {
    match places::of(context) {
        Ok(places) => judge(&places),
        Err(why) => Verdict::skip(why),
    }
}

fn errors(context: &Context<'_>) -> Verdict {
    let samples = &context.samples;
    let mut wrong = Vec::new();
    for (path, sample, anthropic) in
        [(CHAT_PATH, &samples.too_large, false), (MESSAGES_PATH, &samples.too_large_messages, true)]
    {
        match sample {
            Ok(answer) if answer.status == 413 => wrong.extend(unreadable(path, answer, anthropic)),
            // Not refused at all: see size.body.
            Ok(_) => {}
            Err(trouble) => wrong.push(format!("{path}: {trouble}")),
        }
    }
    if let Ok(places) = places::of(context) {
        for place in &places.api {
            let pages = place.many("error_page");
            let without = OWN_REFUSALS.iter().filter(|status| !pages.iter().any(|page| page.has(status)));
            let without: Vec<_> = without.copied().collect();
            if !without.is_empty() {
                wrong.push(format!("{} has no `error_page` for {}", place.named(), without.join(", ")));
            }
        }
    }
    Verdict::of(&wrong, "413 in each dialect")
}

fn unreadable(path: &str, answer: &Answer, anthropic: bool) -> Option<String> {
    let Some(json) = answer.json() else {
        return Some(format!("{path}: 413 as {}", answer.header("content-type").unwrap_or("nothing")));
    };
    let message = json.get("error").and_then(|error| error.get("message")).and_then(Value::as_str);
    let typed = json.get("type").and_then(Value::as_str) == Some("error");
    (message.is_none() || typed != anthropic).then(|| format!("{path}: 413 in another dialect's shape"))
}

fn uncompressed(context: &Context<'_>) -> Verdict {
    let mut wrong = Vec::new();
    let asked = [
        ("without a key", Some(&context.samples.models)),
        ("with one", context.samples.models_with_key.as_ref()),
    ];
    for (how, sample) in asked {
        let packed =
            sample.and_then(|s| s.as_ref().ok()).and_then(|answer| answer.header("content-encoding"));
        wrong.extend(packed.map(|packed| format!("GET /v1/models {how}: {packed}")));
    }
    if let Ok(places) = places::of(context) {
        let on = |place: &Scope<'_>| Some(format!("{} ", place.one("gzip").filter(|d| d.has("on"))?.shown()));
        wrong.extend(places.api.iter().find_map(on));
    }
    Verdict::of(&wrong, "as they are")
}

fn no_key_added(context: &Context<'_>) -> Verdict {
    let mut wrong = Vec::new();
    let open = context.site.gateway_asks_for_keys == Some(false);
    match &context.samples.models {
        // A gateway that asks nobody for a key answers so by itself.
        Ok(answer) if is_gateways(answer) && answer.status < 400 && open => {}
        Ok(answer) if is_gateways(answer) && answer.status < 400 => {
            wrong.push(format!("GET /v1/models without a key: {}", answer.status));
        }
        Ok(_) => {}
        Err(trouble) => return Verdict::skip(trouble),
    }
    if let Ok(places) = places::of(context) {
        for place in &places.api {
            for carrier in CARRIERS {
                // Its own value is a secret: the place is enough.
                let Some(line) = place.sent_header(carrier) else { continue };
                let own = line.arg(1).is_empty() || line.arg(1).eq_ignore_ascii_case(&variable(carrier));
                if !own {
                    wrong.push(format!("`proxy_set_header {carrier} ...` ({})", line.place()));
                }
            }
        }
    }
    wrong.dedup();
    let status = context.samples.models.as_ref().map_or(0, |answer| answer.status);
    let seen = match open {
        true => format!("{status} without a key, and `gateway.auth.enabled` is false"),
        false => format!("{status} without a key"),
    };
    Verdict::of(&wrong, seen)
}

fn variable(header: &str) -> String {
    format!("$http_{}", header.to_ascii_lowercase().replace('-', "_"))
}

async fn size_of_body(context: &Context<'_>) -> Verdict {
    let (site, door) = (context.site, &context.door);
    let most = site.body_bytes_max;
    let mut wrong = Vec::new();
    match door.ask(&announced(CHAT_PATH, most)).await {
        Ok(answer) if answer.status == 413 => {
            wrong.push(format!("a body of {most} bytes is refused, which the gateway would take"));
        }
        Ok(_) => {}
        Err(trouble) => wrong.push(format!("a body of {most} bytes: {trouble}")),
    }
    match &context.samples.too_large {
        Ok(answer) if answer.status == 413 => {}
        Ok(_) => {
            wrong.push(format!("a body of {} bytes is taken, which the gateway refuses", too_large(site)));
        }
        Err(trouble) => wrong.push(trouble.clone()),
    }
    if !wrong.is_empty()
        && let Ok(places) = places::of(context)
        && let Some(line) = places.api.first().and_then(|place| place.one("client_max_body_size"))
    {
        wrong.push(line.shown());
    }
    Verdict::of(&wrong, format!("{most} bytes pass, {} are a 413", too_large(site)))
}

async fn size_of_head(context: &Context<'_>) -> Verdict {
    if !context.samples.models.as_ref().is_ok_and(is_gateways) {
        return Verdict::skip("the gateway does not answer: see api.answers");
    }
    let door = &context.door;
    let field = |request: Request, length: usize| request.with("x-gatehouse-check", "a".repeat(length));
    let large = (0..6).fold(Request::get("/v1/models"), |request, _| field(request, 7 << 10));
    let address = Request::get(format!("/v1/models?{}", "a".repeat(9 << 10)));
    let usual = field(Request::get("/v1/models"), 6 << 10);
    let (large, address, usual) = tokio::join!(door.ask(&large), door.ask(&address), door.ask(&usual));
    let mut wrong: Vec<String> = [("headers of 42 KB", large, 400), ("an address of 9 KB", address, 414)]
        .into_iter()
        // Who closes before all of it was written has refused it.
        .filter_map(|(what, answer, by_nginx)| {
            passed_on(what, &answer.ok()?, by_nginx, !context.samples.are_of_up())
        })
        .collect();
    match usual {
        Ok(answer) if is_gateways(&answer) || answer.status >= 500 => {}
        Ok(answer) => {
            wrong.push(format!("a header of 6 KB, as long keys and traces make it: {}", answer.status));
        }
        Err(trouble) => wrong.push(format!("a header of 6 KB: {trouble}")),
    }
    if !wrong.is_empty()
        && let Ok(places) = places::of(context)
        && let Some(line) = places.server.one("large_client_header_buffers")
    {
        wrong.push(line.shown());
    }
    Verdict::of(&wrong, "refused at the edge, the usual passes")
}

/// nginx refuses with a status of its own; the gateway's, which looks alike, came through it.
fn passed_on(what: &str, answer: &Answer, by_nginx: u16, nginx: bool) -> Option<String> {
    let refused = if nginx { answer.status == by_nginx } else { matches!(answer.status, 400 | 414 | 431) };
    (!refused || is_gateways(answer)).then(|| format!("{what}: {}, by the gateway", answer.status))
}

fn upload_whole(places: &Places<'_>) -> Verdict {
    let off = |place: &Scope<'_>| {
        place.one("proxy_request_buffering").filter(|line| line.has("off")).map(|d| d.shown())
    };
    match places.api.iter().find_map(off) {
        Some(line) => Verdict::fail(format!("{line}: slow uploads hold the gateway")),
        None => Verdict::ok("on"),
    }
}

fn upload_memory(places: &Places<'_>) -> Verdict {
    let mut wrong = Vec::new();
    for place in &places.api {
        let line = place.one("client_body_buffer_size");
        let size = line.and_then(|line| bytes(line.arg(0)));
        if size.is_none_or(|size| size < BODY_BUFFER_MIN) {
            wrong.push(match line {
                Some(line) => line.shown(),
                None => format!("{}: no `client_body_buffer_size`, and the default is 16k", place.named()),
            });
        }
    }
    wrong.dedup();
    Verdict::of(&wrong, "1m or more")
}
