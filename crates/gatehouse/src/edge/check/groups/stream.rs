//! Whether a streamed answer arrives piece by piece.
//!
//! Why here: a buffering proxy answers rightly and late. It shows on HTTP/1.1 and may not show on HTTP/2, so both are asked;
//! the gateway asks nginx by a header not to buffer, so the configuration is looked at as well.
//!
//! Never here: what the model says. The answer is short, and thrown away.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::places;
use super::reach::is_gateways;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, Request, Trouble, ask_h2};
use crate::edge::check::reading::{Directive, Scope, bytes};
use crate::edge::check::samples::CHAT_PATH;

/// A model may have to be loaded, and others may be before us.
const STREAM_TIME: Duration = Duration::from_secs(20);
/// Pieces that come together came from a buffer; a model that needs less for all of its answer proves nothing.
const TOGETHER: Duration = Duration::from_millis(30);
const HOW: &str = "give a key with `--key-file FILE`: a short answer is asked for";

pub(super) async fn look(context: &Context<'_>) -> Said {
    // An answer costs somebody's tokens: only for who wants to know.
    if !context.asking.wants("stream.h1") && !context.asking.wants("stream.h2") {
        return Said::new();
    }
    let read = reading(context);
    let asked = match request(context) {
        Ok(request) => {
            let (h1, h2) = tokio::join!(over_http1(context, &request), over_http2(context, &request));
            (judged(context, h1, &request).await, Some(judged(context, h2, &request).await))
        }
        Err(why) => (why, None),
    };
    let h2 = match asked.1 {
        _ if !context.door.tls => Verdict::skip("HTTP/2 needs TLS: see tls.on"),
        Some(verdict) => verdict,
        None => asked.0.clone(),
    };
    vec![("stream.h1", together(asked.0, read)), ("stream.h2", h2)]
}

/// Either way of looking is enough to fail; reading alone is enough where nothing can be asked.
fn together(asked: Verdict, read: Result<Vec<String>, String>) -> Verdict {
    match (asked, read) {
        (Verdict::Fail(seen), Ok(lines)) if !lines.is_empty() => {
            Verdict::fail(format!("{seen}\n{}", lines.join("\n")))
        }
        (Verdict::Ok(_) | Verdict::Skip(_), Ok(lines)) if !lines.is_empty() => Verdict::fail(format!(
            "{}\nonly the gateway's `X-Accel-Buffering: no` keeps it from that",
            lines.join("\n")
        )),
        (Verdict::Skip(why), Ok(_)) => Verdict::ok(format!("no place buffers; not asked: {why}")),
        (asked, _) => asked,
    }
}

fn reading(context: &Context<'_>) -> Result<Vec<String>, String> {
    let places = places::of(context)?;
    let mut wrong = Vec::new();
    for place in &places.api {
        let off = place.one("proxy_buffering").is_some_and(|line| line.has("off"));
        if !off {
            let shown = place.one("proxy_buffering").map_or_else(
                || format!("{}: `proxy_buffering` is on by default", place.named()),
                Directive::shown,
            );
            let file = place.value("proxy_max_temp_file_size").and_then(bytes) != Some(0);
            let disk =
                if file { ", and what a client does not read goes to a file of up to 1 GiB" } else { "" };
            wrong.push(format!("{shown}{disk}"));
        }
        let ignores =
            |line: &&Directive| line.args.iter().any(|a| a.eq_ignore_ascii_case("X-Accel-Buffering"));
        wrong.extend(place.many("proxy_ignore_headers").into_iter().find(ignores).map(Directive::shown));
        wrong.extend(cached(place));
    }
    wrong.dedup();
    Ok(wrong)
}

fn cached(place: &Scope<'_>) -> Option<String> {
    place.one("proxy_cache").filter(|line| !line.has("off")).map(Directive::shown)
}

/// The question, when there is a key and a model.
fn request(context: &Context<'_>) -> Result<Request, Verdict> {
    let key = context.asking.key.as_ref().ok_or_else(|| Verdict::skip(HOW))?;
    // Whoever gives a key wants to know: one that opens nothing is no reason to be silent.
    if let Some(Ok(answer)) = &context.samples.models_with_key
        && matches!(answer.status, 401 | 403)
        && is_gateways(answer)
    {
        return Err(Verdict::fail(format!(
            "the gateway refuses the key of `--key-file` ({}: {}): give one that it knows",
            answer.status,
            told(answer)
        )));
    }
    let named = context.asking.model.clone();
    let model = match named {
        Some(model) => model,
        None => first_model(context).map_err(Verdict::Skip)?,
    };
    let body = json!({
        "model": model,
        "stream": true,
        "max_tokens": 48,
        "messages": [{"role": "user", "content": "Count from one to twenty, in words."}],
    });
    let request = Request::post(CHAT_PATH, body.to_string());
    Ok(request.with("authorization", format!("Bearer {}", key.0)).with("accept", "text/event-stream"))
}

fn first_model(context: &Context<'_>) -> Result<String, String> {
    let list = match &context.samples.models_with_key {
        Some(Ok(answer)) if answer.status == 200 => answer.json(),
        Some(Ok(answer)) => return Err(format!("GET /v1/models with the key: {}", answer.status)),
        Some(Err(trouble)) => return Err(trouble.clone()),
        None => return Err(HOW.to_owned()),
    };
    let first = list.as_ref().and_then(|list| list.get("data")?.get(0)?.get("id")?.as_str());
    first.map(str::to_owned).ok_or_else(|| "the gateway lists no model: name one with `--model`".to_owned())
}

async fn over_http1(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    Conn::new(&context.door, None).await?.ask_within(request, STREAM_TIME).await
}

async fn over_http2(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    match context.door.tls {
        true => ask_h2(&context.door, request, STREAM_TIME).await,
        false => Err(Trouble::Closed),
    }
}

async fn judged(context: &Context<'_>, answer: Result<Answer, Trouble>, request: &Request) -> Verdict {
    let answer = match answer {
        Ok(answer) if answer.status == 200 => answer,
        // Who named the model has to hear that there is none; a busy gateway is nobody's mistake.
        Ok(answer)
            if context.asking.model.is_some()
                && is_gateways(&answer)
                && matches!(answer.status, 400 | 403 | 404 | 422) =>
        {
            return Verdict::fail(format!(
                "the gateway refuses the model of `--model` ({}): {}",
                answer.status,
                told(&answer)
            ));
        }
        Ok(answer) => {
            return Verdict::skip(format!("{} instead of an answer: {}", answer.status, told(&answer)));
        }
        Err(trouble) => return Verdict::skip(format!("no answer to look at: {trouble}")),
    };
    let spread = spread(&answer);
    let events = answer.text().matches("data:").count();
    let seen = format!("{events} events within {} ms, {} reads", spread.as_millis(), pieces(&answer));
    if spread > TOGETHER {
        return Verdict::ok(seen);
    }
    // All at once: is that the site's doing, or is the model that quick?
    match direct(context, request).await {
        Ok(direct) if self::spread(&direct) > TOGETHER * 2 => Verdict::fail(format!(
            "{seen}; the gateway itself sends them over {} ms",
            self::spread(&direct).as_millis()
        )),
        Ok(_) => Verdict::skip(format!("{seen}: the answer is too quick to tell")),
        Err(why) => Verdict::warn(format!("{seen}; whether the gateway sends them so is not known: {why}")),
    }
}

/// What a refusal says, without more of it than a line.
fn told(answer: &Answer) -> String {
    let json = answer.json();
    let message = json.as_ref().and_then(|json| json.get("error")?.get("message").and_then(Value::as_str));
    message.unwrap_or("no message").chars().take(120).collect()
}

/// From the first piece of the body to the last.
fn spread(answer: &Answer) -> Duration {
    let mut bodies = answer.pieces.iter().filter(|(_, length)| *length > 0).map(|(at, _)| *at);
    let Some(first) = bodies.next() else { return Duration::ZERO };
    bodies.next_back().unwrap_or(first).saturating_sub(first)
}

fn pieces(answer: &Answer) -> usize {
    answer.pieces.iter().filter(|(_, length)| *length > 0).count()
}

/// The same question past the site.
async fn direct(context: &Context<'_>, request: &Request) -> Result<Answer, String> {
    let at: SocketAddr = *context.site.gateways.first().ok_or("no gateway is known")?;
    let asked = timeout(STREAM_TIME, async {
        let wire = TcpStream::connect(at).await?;
        Conn::over(Box::new(wire), &at.to_string()).ask_within(request, STREAM_TIME).await
    });
    let answer =
        asked.await.map_err(|_| "it took too long".to_owned())?.map_err(|trouble| trouble.to_string())?;
    if answer.status == 200 { Ok(answer) } else { Err(format!("it answers {}", answer.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(at_ms: &[u64]) -> Answer {
        let pieces = at_ms.iter().map(|at| (Duration::from_millis(*at), 1)).collect();
        Answer { pieces, ..Answer::default() }
    }

    #[test]
    fn the_spread_is_that_of_the_body() {
        let mut late = answer(&[100, 110, 300]);
        late.pieces.insert(0, (Duration::ZERO, 0));
        assert_eq!(spread(&late), Duration::from_millis(200));
        assert_eq!((spread(&answer(&[5])), spread(&answer(&[]))), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn both_ways_of_looking_count() {
        let lines = || Ok(vec!["`proxy_buffering on`".to_owned()]);
        assert!(matches!(together(Verdict::ok("x"), lines()), Verdict::Fail(_)));
        assert!(matches!(together(Verdict::skip("x"), lines()), Verdict::Fail(_)));
        assert!(matches!(together(Verdict::fail("x"), Ok(Vec::new())), Verdict::Fail(_)));
        assert!(matches!(together(Verdict::skip("x"), Ok(Vec::new())), Verdict::Ok(_)));
        assert!(matches!(together(Verdict::skip("x"), Err("y".to_owned())), Verdict::Skip(_)));
    }
}
