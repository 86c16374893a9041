//! Connections to one upstream: kept, reused, closed at once when a request is dropped.
//!
//! Why here: what goes to an upstream is decided in one place: our own Host, our own few headers, never one of the client's.
//!
//! Never here: reading answers as a dialect; retries after a byte was sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config;
use crate::dial::{Connector, Dial};

/// Idle connections kept to one upstream.
const IDLE_MAX: usize = 256;
/// How long an idle connection is trusted. Shorter than what servers and proxies keep (Ollama keeps for ever, nginx 60 s).
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Read buffer of one upstream connection: bounds what one connection can hold back in memory.
const READ_BUFFER_BYTES: usize = 64 << 10;

#[derive(Clone)]
pub struct Pool {
    client: Client<Connector, Full<Bytes>>,
    origin: Arc<str>,
    bearer: Option<HeaderValue>,
}

/// An upstream's answer, its body not yet read.
pub struct Answer {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub body: Incoming,
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
}

impl Pool {
    pub fn new(upstream: &config::Upstream, dial: Arc<dyn Dial>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(READ_BUFFER_BYTES)
            .build(Connector(dial));
        let bearer = upstream.bearer.as_ref().and_then(|secret| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", secret.0)).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let origin = format!("http://{}{}", upstream.authority, upstream.base_path).into();
        Self { client, origin, bearer }
    }

    pub async fn get(&self, path: &str) -> Result<Answer, SendError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: Bytes) -> Result<Answer, SendError> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, SendError> {
        let uri = Uri::try_from(format!("{}{path}", self.origin))
            .map_err(|error| SendError::Connect(error.to_string()))?;
        let mut request = Request::new(Full::new(body));
        if method == Method::POST {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let response = self.client.request(request).await.map_err(|error| {
            let text = chain(&error);
            if error.is_connect() { SendError::Connect(text) } else { SendError::Broken(text) }
        })?;
        let (head, body) = response.into_parts();
        let content_type =
            head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: head.status, content_type, body })
    }
}

/// Reads a whole body up to a bound.
pub async fn read_body(body: Incoming, bytes_max: usize) -> Result<Bytes, SendError> {
    Limited::new(body, bytes_max)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| SendError::Broken(chain(&*error)))
}

/// An error with its causes, for the log.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
