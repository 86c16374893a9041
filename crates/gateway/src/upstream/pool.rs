//! Connections to one upstream: kept, reused, closed at once when a request is dropped.
//!
//! Why here: what goes to an upstream is decided in one place: our own Host, our own few headers, never one of the client's.
//! And why not an HTTP library: the answer has to be read by the task that serves the client, straight from the socket, so
//! that tokens which arrive in one read leave in one write (`docs/decisions/0011-own-upstream-client.md`).
//!
//! Never here: reading answers as a dialect; a second try after a byte of an answer was seen.

mod body;
mod deframe;
mod exchange;
mod head;
mod idle;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

pub use self::body::{AnswerBody, Arrived, read_body, read_body_within};
use self::deframe::Framing;
use self::exchange::{Failure, Outgoing};
use self::idle::Idle;
use crate::budget::Full;
use crate::config;
use crate::dial::{Dial, Stream};

/// A kept connection that breaks within this time, without a byte, was closed while our request was on its way: nobody has
/// read it. One that breaks later belonged to a server that had begun to work.
const STALE_TIME: Duration = Duration::from_millis(50);

/// The connections of one upstream.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    dial: Arc<dyn Dial>,
    authority: Authority,
    base_path: String,
    /// The lines of a request's head that are always the same.
    lines: Vec<u8>,
    idle: Arc<Idle>,
}

/// An upstream's answer, its body not yet read.
pub struct Answer {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub body: AnswerBody,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection: nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke before an answer came.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer came, and there was no memory for it.
    #[error("no memory for the answer: {0}")]
    NoMemory(#[from] Full),
}

impl Pool {
    pub fn new(upstream: &config::Upstream, dial: Arc<dyn Dial>) -> Self {
        let mut lines = format!(" HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n", upstream.authority).into_bytes();
        let bearer = upstream.bearer.as_ref().map(|secret| format!("Bearer {}", secret.0));
        // A secret that is no header value cannot be sent; the upstream then says that it is missing.
        if let Some(bearer) = bearer.and_then(|text| HeaderValue::try_from(text).ok()) {
            lines.extend_from_slice(b"authorization: ");
            lines.extend_from_slice(bearer.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        Self(Arc::new(Shared {
            dial,
            authority: upstream.authority.clone(),
            base_path: upstream.base_path.clone(),
            lines,
            idle: Arc::default(),
        }))
    }

    /// Whether the upstream is known by this machine's own address.
    pub(super) fn is_here(&self) -> bool {
        let host = self.0.authority.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    pub async fn get(&self, path: &str) -> Result<Answer, SendError> {
        self.send(self.0.request("GET", path, None)?).await
    }

    pub async fn post(&self, path: &str, body: Bytes) -> Result<Answer, SendError> {
        self.send(self.0.request("POST", path, Some(body))?).await
    }

    /// For what is asked by other methods than these two.
    pub async fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, SendError> {
        self.send(self.0.request(method, path, body)?).await
    }

    /// Sends a body of `length` bytes as it comes, on a connection of its own: it cannot be sent again, and it is not held.
    pub async fn upload(
        &self,
        path: &str,
        length: u64,
        mut body: Option<Incoming>,
    ) -> Result<Answer, SendError> {
        let head = self.0.head("POST", path, Some(length))?;
        let mut io = self.0.connect().await?;
        let mut refused = io.write_all(&head).await.err();
        while refused.is_none() {
            let Some(frame) = (match &mut body {
                Some(body) => body.frame().await,
                None => None,
            }) else {
                break;
            };
            let frame = frame.map_err(|_| SendError::Broken("the client broke off".to_owned()))?;
            if let Ok(bytes) = frame.into_data() {
                refused = io.write_all(&bytes).await.err();
            }
        }
        // A server that does not want it may have said why before it stopped listening.
        let mut nothing = Outgoing::new(Vec::new(), Bytes::new());
        match exchange::run(&mut *io, &mut nothing).await {
            Ok((head, rest)) => {
                let body = AnswerBody::new(io, head.framing, rest, None);
                Ok(Answer { status: head.status, content_type: head.content_type, body })
            }
            Err(failure) => Err(refused.map_or_else(|| failure.into(), |e| SendError::Broken(e.to_string()))),
        }
    }

    async fn send(&self, mut request: Outgoing) -> Result<Answer, SendError> {
        if let Some(kept) = self.0.idle.take() {
            let began = Instant::now();
            match self.ask(kept, &mut request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.silent && began.elapsed() < STALE_TIME => request.rewind(),
                Err(failure) => return Err(failure.into()),
            }
        }
        let fresh = self.0.connect().await?;
        self.ask(fresh, &mut request).await.map_err(SendError::from)
    }

    async fn ask(&self, mut io: Box<dyn Stream>, request: &mut Outgoing) -> Result<Answer, Failure> {
        let (head, rest) = exchange::run(&mut *io, request).await?;
        let keep = head.keep && request.is_sent();
        let framing = if request.wants_no_body() { Framing::Length(0) } else { head.framing };
        let body = AnswerBody::new(io, framing, rest, keep.then(|| self.0.idle.clone()));
        Ok(Answer { status: head.status, content_type: head.content_type, body })
    }
}

impl Shared {
    async fn connect(&self) -> Result<Box<dyn Stream>, SendError> {
        self.dial.dial(&self.authority).await.map_err(|error| SendError::Connect(error.to_string()))
    }

    fn request(&self, method: &str, path: &str, body: Option<Bytes>) -> Result<Outgoing, SendError> {
        let head = self.head(method, path, body.as_ref().map(|body| body.len() as u64))?;
        Ok(Outgoing::new(head, body.unwrap_or_default()))
    }

    fn head(&self, method: &str, path: &str, length: Option<u64>) -> Result<Vec<u8>, SendError> {
        // Paths come from a table; one with a blank or a line end in it would be another request.
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SendError::Connect(format!("not a path: {path:?}")));
        }
        let mut head = Vec::with_capacity(128 + self.lines.len() + path.len());
        for part in [method, " ", &self.base_path, path] {
            head.extend_from_slice(part.as_bytes());
        }
        head.extend_from_slice(&self.lines);
        if let Some(length) = length {
            head.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
            head.extend_from_slice(length.to_string().as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure.why)
    }
}

#[cfg(test)]
mod tests;
