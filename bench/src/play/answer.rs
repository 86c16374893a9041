//! Writes one answer to one connection, as ordered or as the route's own.
//!
//! Why here: the only code that turns orders and frames into bytes on a socket.
//!
//! Never here: reading. The server watches the peer while this writes, and drops it when the peer leaves.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::frames::{self, Dialect};
use super::script::{Answer, Framing, Pace, Step};
use super::state::State;
use super::vectors;
use crate::http1::RequestHead;

const TOKENS_MAX: usize = 100_000;
const NO_PAGE: &str = "404 page not found";

/// What is left to do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    KeepAlive,
    Close,
    Reset,
}

/// The fields of an inference body that the player looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    model: String,
    stream: Option<bool>,
    options: Options,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    num_predict: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

pub async fn play<W: AsyncWrite + Unpin>(
    state: &State,
    head: &RequestHead,
    body: &[u8],
    out: &mut W,
) -> Result<Then> {
    match state.ordered(&head.path, || about(head, body)) {
        Some(Answer { before, generate: Some(pace), .. }) => {
            if let Some(then) = steps(state, &before, Framing::Raw, out).await? {
                return Ok(then);
            }
            own(state, head, body, pace, out).await
        }
        Some(answer) => literal(state, &answer, out).await,
        None => own(state, head, body, state.pace.get(), out).await,
    }
}

/// Which model a request names, and whether it asks for a stream.
fn about(head: &RequestHead, body: &[u8]) -> (String, bool) {
    let asked = serde_json::from_slice::<Asked>(body).unwrap_or_default();
    (asked.model, asked.stream.unwrap_or(streams_unasked(&head.path)))
}

/// Ollama streams unless told not to; the OpenAI dialect the other way round.
fn streams_unasked(path: &str) -> bool {
    path.starts_with("/api/")
}

async fn literal<W: AsyncWrite + Unpin>(state: &State, answer: &Answer, out: &mut W) -> Result<Then> {
    if let Some(then) = steps(state, &answer.before, Framing::Raw, out).await? {
        return Ok(then);
    }
    if answer.framing != Framing::Raw {
        out.write_all(literal_head(answer).as_bytes()).await?;
    }
    if let Some(then) = steps(state, &answer.steps, answer.framing, out).await? {
        return Ok(then);
    }
    match answer.framing {
        Framing::Chunked => {
            out.write_all(b"0\r\n\r\n").await?;
            Ok(Then::KeepAlive)
        }
        Framing::Length => Ok(Then::KeepAlive),
        Framing::Close | Framing::Raw => Ok(Then::Close),
    }
}

fn literal_head(answer: &Answer) -> String {
    let mut text = format!("HTTP/1.1 {} X\r\n", answer.status.unwrap_or(200));
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.framing {
        Framing::Chunked => text.push_str("transfer-encoding: chunked\r\n"),
        Framing::Length => {
            let bytes: usize = answer.steps.iter().map(Step::bytes).sum();
            text.push_str(&format!("content-length: {bytes}\r\n"));
        }
        Framing::Close | Framing::Raw => text.push_str("connection: close\r\n"),
    }
    text + "\r\n"
}

impl Step {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Repeat { text, times } => text.len() * times,
            _ => 0,
        }
    }
}

/// Plays steps; `Some` when one of them ended the connection.
async fn steps<W: AsyncWrite + Unpin>(
    state: &State,
    steps: &[Step],
    framing: Framing,
    out: &mut W,
) -> Result<Option<Then>> {
    for step in steps {
        match step {
            Step::Text(text) => piece(text.as_bytes(), framing, out).await?,
            Step::Bytes(bytes) => piece(bytes, framing, out).await?,
            Step::Repeat { text, times } => repeat(text.as_bytes(), *times, framing, out).await?,
            Step::SleepMs(ms) => sleep(Duration::from_millis(*ms)).await,
            Step::Gate(name) => state.pass_gate(name).await,
            Step::Hang => std::future::pending::<()>().await,
            Step::Cut => return Ok(Some(Then::Close)),
            Step::Reset => return Ok(Some(Then::Reset)),
        }
    }
    Ok(None)
}

async fn piece<W: AsyncWrite + Unpin>(bytes: &[u8], framing: Framing, out: &mut W) -> Result<()> {
    if framing == Framing::Chunked {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        out.write_all(&chunk).await?;
    } else {
        out.write_all(bytes).await?;
    }
    Ok(())
}

/// A text many times over without holding it whole: a 100 MB line costs 64 KiB.
async fn repeat<W: AsyncWrite + Unpin>(
    text: &[u8],
    times: usize,
    framing: Framing,
    out: &mut W,
) -> Result<()> {
    let per_write = (65_536 / text.len().max(1)).clamp(1, times.max(1));
    let block = text.repeat(per_write);
    let mut left = times;
    while left > 0 {
        let now = left.min(per_write);
        piece(block.get(..now * text.len()).unwrap_or_default(), framing, out).await?;
        left -= now;
    }
    Ok(())
}

/// The route's own answer.
async fn own<W: AsyncWrite + Unpin>(
    state: &State,
    head: &RequestHead,
    body: &[u8],
    pace: Pace,
    out: &mut W,
) -> Result<Then> {
    let dialect = match (head.method.as_str(), head.path.as_str()) {
        ("POST", "/api/chat") => Dialect::OllamaChat,
        ("POST", "/api/generate") => Dialect::OllamaGenerate,
        ("POST", "/v1/chat/completions") => Dialect::OpenAi,
        ("POST", "/v1/completions") => Dialect::OpenAiText,
        _ => {
            let (status, text) = small(state, head, body);
            return json_answer(status, &text, out).await;
        }
    };
    let Ok(asked) = serde_json::from_slice::<Asked>(body) else {
        return json_answer(400, "{\"error\":\"invalid character in request\"}", out).await;
    };
    if !knows(state, &asked.model) {
        let text = json!({"error": format!("model '{}' not found", asked.model)}).to_string();
        return json_answer(404, &text, out).await;
    }
    let cap = asked.options.num_predict.and_then(|n| usize::try_from(n).ok());
    let cap = cap.or(asked.max_completion_tokens).or(asked.max_tokens);
    let tokens = cap.unwrap_or(pace.tokens).min(TOKENS_MAX);
    if asked.stream.unwrap_or(streams_unasked(&head.path)) {
        let usage = asked.stream_options.is_some_and(|o| o.include_usage);
        let frames = state.stream(dialect, &asked.model, tokens, usage);
        return stream(&frames, dialect, pace, out).await;
    }
    let mut wait = pace.first_delay_ms as f64 / 1e3;
    if pace.tokens_per_s > 0.0 {
        wait += tokens as f64 / pace.tokens_per_s;
    }
    if wait > 0.0 {
        sleep(Duration::from_secs_f64(wait)).await;
    }
    json_answer(200, &frames::whole(dialect, &asked.model, tokens), out).await
}

async fn stream<W: AsyncWrite + Unpin>(
    frames: &frames::Stream,
    dialect: Dialect,
    pace: Pace,
    out: &mut W,
) -> Result<Then> {
    let start = Instant::now() + Duration::from_millis(pace.first_delay_ms);
    if pace.first_delay_ms > 0 {
        sleep_until(start).await;
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        dialect.content_type()
    );
    // Ollama's server sends its head with the first record, in one write.
    let mut first = head.into_bytes();
    if pace.tokens_per_s > 0.0 {
        first.extend_from_slice(frames.slice(0, 1));
        out.write_all(&first).await?;
        for at in 1..frames.frames() {
            sleep_until(start + Duration::from_secs_f64(at as f64 / pace.tokens_per_s)).await;
            out.write_all(frames.slice(at, at + 1)).await?;
        }
        return Ok(Then::KeepAlive);
    }
    let per_write = pace.frames_per_write.max(1);
    first.extend_from_slice(frames.slice(0, per_write));
    out.write_all(&first).await?;
    let mut at = per_write;
    while at < frames.frames() {
        out.write_all(frames.slice(at, at + per_write)).await?;
        at += per_write;
        // A socket that takes everything at once must not starve the other connections of this one thread.
        tokio::task::consume_budget().await;
    }
    Ok(Then::KeepAlive)
}

fn knows(state: &State, model: &str) -> bool {
    state.models.is_empty() || state.models.iter().any(|known| known == model)
}

/// The routes that generate nothing.
fn small(state: &State, head: &RequestHead, body: &[u8]) -> (u16, String) {
    let entry = |name: &String| {
        json!({"name": name, "model": name, "modified_at": "2026-01-02T03:04:05.678901Z", "size": 1,
               "digest": "d", "details": {"family": "played"}})
    };
    let value = match (head.method.as_str(), head.path.as_str()) {
        ("GET" | "HEAD", "/") => return (200, "Ollama is running".to_owned()),
        ("GET", "/health") => json!({"status": "ok"}),
        ("GET", "/api/version") => json!({"version": "0.33.0"}),
        ("GET", "/api/tags") => json!({"models": state.models.iter().map(entry).collect::<Vec<_>>()}),
        ("GET", "/api/ps") => json!({"models": state.models.iter().map(entry).collect::<Vec<_>>()}),
        ("GET", "/v1/models") => json!({"object": "list", "data": state.models.iter().map(|m|
            json!({"id": m, "object": "model", "created": 1_767_323_045, "owned_by": "played"})).collect::<Vec<_>>()}),
        ("POST", "/api/show") => {
            let model = serde_json::from_slice::<Asked>(body).unwrap_or_default().model;
            if !knows(state, &model) {
                return (404, json!({"error": format!("model '{model}' not found")}).to_string());
            }
            json!({"capabilities": *state.capabilities.borrow(), "details": {"family": "played"},
                   "model_info": {}, "modified_at": "2026-01-02T03:04:05.678901Z"})
        }
        ("POST", path) => return embedded(state, path, body),
        _ => return (404, NO_PAGE.to_owned()),
    };
    (200, value.to_string())
}

/// Vectors where the path asks for them, of a model that exists.
fn embedded(state: &State, path: &str, body: &[u8]) -> (u16, String) {
    let Some(answer) = vectors::answer(path, body) else { return (404, NO_PAGE.to_owned()) };
    let model = serde_json::from_slice::<Asked>(body).unwrap_or_default().model;
    if knows(state, &model) {
        return answer;
    }
    (404, json!({"error": format!("model \"{model}\" not found, try pulling it first")}).to_string())
}

async fn json_answer<W: AsyncWrite + Unpin>(status: u16, text: &str, out: &mut W) -> Result<Then> {
    let kind = if text.starts_with('{') { "application/json; charset=utf-8" } else { "text/plain" };
    let whole = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    out.write_all(whole.as_bytes()).await?;
    Ok(Then::KeepAlive)
}
