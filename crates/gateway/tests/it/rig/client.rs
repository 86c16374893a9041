//! A client of the gateway: one that speaks HTTP as SDKs do, and one that sends whatever bytes a test likes.
//!
//! Never here: reading a stream's bytes leniently: what a test compares is what was sent.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::KEY;

/// A client on one connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: AbortHandle,
}

impl Client {
    pub async fn over(pipe: DuplexStream) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Self { sender, connection }
    }

    /// `None`: the connection was closed without an answer.
    pub async fn try_send(&mut self, request: Request<Full<Bytes>>) -> Option<Reply> {
        self.sender.ready().await.ok()?;
        let (parts, body) = self.sender.send_request(request).await.ok()?.into_parts();
        let connection = self.connection.clone();
        Some(Reply { status: parts.status, headers: parts.headers, body, connection })
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Reply {
        self.try_send(request).await.expect("the gateway closed the connection without an answer")
    }
}

/// A request with a valid key.
pub fn request(method: &str, path: &str) -> http::request::Builder {
    bare_request(method, path).header("authorization", format!("Bearer {KEY}"))
}

/// A request without one.
pub fn bare_request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "gateway.test")
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path).body(Full::default()).unwrap()
}

/// A chat request with a valid key.
pub fn chat(body: &Value) -> Request<Full<Bytes>> {
    chat_with(request("POST", "/v1/chat/completions"), body)
}

/// A chat request with whatever head a test gives it.
pub fn chat_with(head: http::request::Builder, body: &Value) -> Request<Full<Bytes>> {
    head.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap()
}

pub fn hello(stream: bool) -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "hello"}], "stream": stream})
}

/// A response whose body is read as it comes.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    connection: AbortHandle,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Option<String> {
        let frame = self.body.frame().await?.ok()?;
        Some(String::from_utf8(frame.into_data().ok()?.to_vec()).unwrap())
    }

    /// The rest of the body.
    pub async fn text(self) -> String {
        let bytes = self.body.collect().await.expect("the body broke off").to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The error of a refusal: status, code and message.
    pub async fn error(self) -> (u16, String, String) {
        let status = self.status.as_u16();
        let error = self.json().await["error"].take();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (status, text("code"), text("message"))
    }

    /// Leaves without a word.
    pub fn leave(self) {
        self.connection.abort();
    }
}

/// The payloads of an event stream's `data` fields, in order; comments are passed over.
pub fn events(stream: &str) -> Vec<&str> {
    stream.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}

/// The text that an event stream's chunks add up to.
pub fn answer_text(stream: &str) -> String {
    let chunk = |data: &&str| serde_json::from_str::<Value>(data).ok();
    let content = |chunk: Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    events(stream).iter().filter_map(chunk).filter_map(content).collect()
}

/// The error event that a failed stream ends with; nothing that looks like a proper end may stand beside it.
pub fn failure(stream: &str) -> (String, String) {
    assert!(!stream.contains("[DONE]"), "a failed stream has a proper end: {stream}");
    assert!(stream.ends_with("\n\n"), "the last event is not closed: {stream}");
    let events = events(stream);
    for event in &events {
        let event: Value = serde_json::from_str(event).unwrap();
        assert!(
            event["choices"][0]["finish_reason"].is_null(),
            "a failed stream has a finish reason: {stream}"
        );
    }
    let last: Value = serde_json::from_str(events.last().expect("an error event")).unwrap();
    let text = |name: &str| last["error"][name].as_str().unwrap_or_default().to_owned();
    assert!(last["error"].is_object(), "the last event is no error: {stream}");
    (text("code"), text("message"))
}

/// Sends bytes and reads until the gateway closes, or has been silent for a second.
pub async fn raw(mut pipe: DuplexStream, bytes: &[u8]) -> Heard {
    drop(pipe.write_all(bytes).await);
    listen(&mut pipe, Duration::from_secs(1)).await
}

/// What came back on a raw connection.
#[derive(Debug)]
pub struct Heard {
    pub text: String,
    pub closed: bool,
}

impl Heard {
    /// The status of every response; bodies hold no status line.
    pub fn statuses(&self) -> Vec<u16> {
        self.text
            .split("HTTP/1.")
            .skip(1)
            .map(|response| response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
            .collect()
    }
}

/// Reads until the gateway closes, or has been silent for so long.
pub async fn listen(pipe: &mut DuplexStream, patience: Duration) -> Heard {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 4 << 10];
    let closed = loop {
        match timeout(patience, pipe.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
            Err(_) => break false,
        }
    };
    Heard { text: String::from_utf8(bytes).unwrap(), closed }
}
