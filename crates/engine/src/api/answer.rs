//! Writes answers: one JSON object, or one line for each piece as it comes.
//!
//! Why here: the two shapes (chat and generate) and the two ways (whole and in lines) differ only here.
//! Never here: an answer that did not end properly given a proper ending: it gets an error line or a 500.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::model::Fault;
use crate::schedule::{Event, Outcome, Reason};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// The body of every response. Dropping it drops the receiver, and with it the answer in the making.
pub(crate) enum Answer {
    Whole(Bytes),
    Lines { voice: Voice, first: Option<Event>, events: mpsc::Receiver<Event>, over: bool },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Lines { over: true, .. } => Poll::Ready(None),
            Self::Lines { voice, first, events, over } => {
                let event = match first.take() {
                    Some(event) => Some(event),
                    None => std::task::ready!(events.poll_recv(cx)),
                };
                *over = !matches!(event, Some(Event::Text(_)));
                Poll::Ready(Some(Ok(Frame::data(voice.line(event)))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Lines { .. } => SizeHint::default(),
        }
    }
}

pub(super) fn empty(status: StatusCode) -> Response<Answer> {
    response(status, None, Answer::Whole(Bytes::new()))
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    response(status, Some(PLAIN), Answer::Whole(Bytes::from_static(text.as_bytes())))
}

pub(super) fn json<T: Serialize>(value: &T) -> Response<Answer> {
    bytes(encode(value, false))
}

pub(super) fn bytes(bytes: Bytes) -> Response<Answer> {
    response(StatusCode::OK, Some(JSON), Answer::Whole(bytes))
}

pub(super) fn fault(fault: &Fault) -> Response<Answer> {
    response(fault.status, Some(JSON), Answer::Whole(encode(&ErrorLine { error: &fault.text }, false)))
}

pub(super) fn lines(voice: Voice, first: Event, events: mpsc::Receiver<Event>) -> Response<Answer> {
    response(StatusCode::OK, Some(LINES), Answer::Lines { voice, first: Some(first), events, over: false })
}

fn response(status: StatusCode, content_type: Option<HeaderValue>, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(value) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// Who answers, in which shape, since when.
pub(crate) struct Voice {
    model: String,
    arrived: Instant,
    chat: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    total_duration: u64,
    #[serde(skip_serializing_if = "is_zero")]
    load_duration: u64,
    #[serde(skip_serializing_if = "is_zero")]
    prompt_eval_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    prompt_eval_duration: u64,
    #[serde(skip_serializing_if = "is_zero")]
    eval_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    eval_duration: u64,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a str,
}

impl Voice {
    pub(super) fn chat(model: String, arrived: Instant) -> Self {
        Self { model, arrived, chat: true }
    }

    pub(super) fn generate(model: String, arrived: Instant) -> Self {
        Self { model, arrived, chat: false }
    }

    /// The answer to a request without words: the model is in memory already, and stays.
    pub(super) fn loaded(&self, load: Duration) -> Bytes {
        let mut line = self.blank("", true);
        line.done_reason = Some("load");
        line.load_duration = nanos(load);
        line.total_duration = nanos(self.arrived.elapsed());
        encode(&line, false)
    }

    /// Waits for the end. When the caller leaves, this future is dropped, and with it the answer.
    pub(super) async fn whole(&self, events: &mut mpsc::Receiver<Event>) -> Result<Bytes, Fault> {
        let mut text = String::new();
        loop {
            match events.recv().await {
                Some(Event::Text(piece)) => text.push_str(&piece),
                Some(Event::Done(outcome)) => return Ok(encode(&self.last(&text, outcome), false)),
                Some(Event::Failed(fault)) => return Err(fault),
                None => return Err(Fault::ours("model runner has unexpectedly stopped")),
            }
        }
    }

    fn line(&self, event: Option<Event>) -> Bytes {
        match event {
            Some(Event::Text(piece)) => encode(&self.blank(&piece, false), true),
            Some(Event::Done(outcome)) => encode(&self.last("", outcome), true),
            Some(Event::Failed(fault)) => encode(&ErrorLine { error: &fault.text }, true),
            None => encode(&ErrorLine { error: "model runner has unexpectedly stopped" }, true),
        }
    }

    fn last<'a>(&'a self, text: &'a str, outcome: Outcome) -> Line<'a> {
        Line {
            done_reason: Some(match outcome.reason {
                Reason::Stop => "stop",
                Reason::Length => "length",
            }),
            total_duration: nanos(self.arrived.elapsed()),
            load_duration: nanos(outcome.waited),
            prompt_eval_count: outcome.prompt_tokens as u64,
            prompt_eval_duration: nanos(outcome.reading),
            eval_count: outcome.tokens as u64,
            eval_duration: nanos(outcome.writing),
            ..self.blank(text, true)
        }
    }

    fn blank<'a>(&'a self, text: &'a str, done: bool) -> Line<'a> {
        Line {
            model: &self.model,
            created_at: jiff::Timestamp::now().to_string(),
            message: self.chat.then_some(Message { role: "assistant", content: text }),
            response: (!self.chat).then_some(text),
            done,
            done_reason: None,
            total_duration: 0,
            load_duration: 0,
            prompt_eval_count: 0,
            prompt_eval_duration: 0,
            eval_count: 0,
            eval_duration: 0,
        }
    }
}

fn encode<T: Serialize>(value: &T, line: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(256).writer();
    // Strings and numbers into memory: neither can fail.
    let _ = serde_json::to_writer(&mut out, value);
    let mut out = out.into_inner();
    if line {
        out.put_u8(b'\n');
    }
    out.freeze()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
