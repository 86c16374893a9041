//! The chat server's side of the gateway: one connection per question, closed the moment it is not wanted.
//!
//! Why here: "stop" must free the model, so the socket itself is owned by the answer that reads it. A pool would save a
//! loopback handshake per question and lose that certainty.
//!
//! Never here: what the bytes of a stream mean (`reply`), or when to stop (`drive`).

use std::io;

use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use bytes::Bytes;
use gateway::config::Secret;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use store::{Role, Turn};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::api::{Failure, Model};
use super::refusal::Refusal;
use super::{bounds, failure, image};

/// Where the gateway is and how to be let in.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    authority: Authority,
    base: String,
    key: Option<HeaderValue>,
}

/// The connection of one exchange, held by whoever may want to end it. Ends when it is dropped.
#[derive(Default)]
pub(super) struct Line(Option<JoinHandle<()>>);

impl Line {
    /// Returns once the socket is closed, at whatever point the exchange was.
    pub async fn close(mut self) {
        if let Some(mut task) = self.0.take() {
            task.abort();
            // An aborted task reports itself cancelled; either way it is over and has dropped its socket.
            let _over = (&mut task).await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// An answer that has begun to arrive.
pub(super) struct Answer {
    body: Incoming,
    pub request_id: Option<String>,
}

impl Answer {
    /// The next bytes; `Ok(None)`: the gateway closed.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => {
                    tracing::warn!(%error, request_id = self.request_id, "the gateway's stream broke");
                    return Err(failure::stream_cut());
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// A gateway address that cannot be used, by what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ApiBaseError {
    #[error("the gateway's api_base is not an address such as http://127.0.0.1:18789/v1")]
    Address,
    #[error(
        "the gateway's api_base must begin with http://; the chat server speaks to it on the same machine or a private network"
    )]
    Scheme,
    #[error("the key for the gateway holds a character that no header may carry")]
    Key,
}

impl Upstream {
    pub fn new(api_base: &str, key: Option<&Secret>) -> Result<Self, ApiBaseError> {
        let uri: Uri = api_base.trim().parse().map_err(|_| ApiBaseError::Address)?;
        if uri.scheme_str().is_some_and(|s| s != "http") {
            return Err(ApiBaseError::Scheme);
        }
        let authority =
            uri.authority().filter(|_| uri.scheme().is_some()).ok_or(ApiBaseError::Address)?.clone();
        let key = key
            .map(|Secret(text)| HeaderValue::try_from(format!("Bearer {text}")))
            .transpose()
            .map_err(|_| ApiBaseError::Key)?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        Ok(Self { authority, base: uri.path().trim_end_matches('/').to_owned(), key })
    }

    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Asks the question. `Err` is what the person is told.
    pub async fn ask(&self, question: &Question<'_>, line: &mut Line) -> Result<Answer, Failure> {
        let body = question.body();
        let mut request =
            self.request(Method::POST, "/chat/completions", question.request_id, Full::from(body))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert("x-gatehouse-progress", HeaderValue::from_static("1"));
        if let Ok(owner) = HeaderValue::from_str(question.owner) {
            headers.insert("x-user-id", owner);
        }
        let response = self.send(request, line).await?;
        let request_id = request_id(response.headers()).or_else(|| Some(question.request_id.to_owned()));
        if response.status().is_success() {
            return Ok(Answer { body: response.into_body(), request_id });
        }
        let (parts, body) = response.into_parts();
        let text = Limited::new(body, bounds::REFUSAL_BYTES).collect();
        let text = timeout(bounds::MODELS_TIME, text).await.ok().and_then(Result::ok);
        let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut refusal = Refusal::read(Some(parts.status), &text);
        refusal.retry_after_s = retry_after_s(&parts.headers);
        refusal.request_id = request_id;
        Err(refusal.failure())
    }

    /// The models that the key may use.
    pub async fn models(&self, request_id: &str) -> Result<Vec<Model>, Failure> {
        timeout(bounds::MODELS_TIME, self.read_models(request_id))
            .await
            .unwrap_or_else(|_| Err(failure::silent()))
    }

    async fn read_models(&self, request_id_sent: &str) -> Result<Vec<Model>, Failure> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            id: String,
        }
        let request = self.request(Method::GET, "/models", request_id_sent, Full::default())?;
        let mut line = Line::default();
        let response = self.send(request, &mut line).await?;
        let (parts, body) = response.into_parts();
        let body =
            Limited::new(body, bounds::MODELS_BYTES).collect().await.map_err(|_| failure::stream_cut())?;
        let body = body.to_bytes();
        if !parts.status.is_success() {
            let mut refusal = Refusal::read(Some(parts.status), &body);
            refusal.retry_after_s = retry_after_s(&parts.headers);
            refusal.request_id = request_id(&parts.headers);
            return Err(refusal.failure());
        }
        let list: List = serde_json::from_slice(&body).map_err(|_| Refusal::read(None, b"").failure())?;
        Ok(list.data.into_iter().map(|m| Model { id: m.id }).collect())
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        request_id: &str,
        body: Full<Bytes>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::HOST, self.authority.as_str())
            .header("x-request-id", request_id);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        request.body(body).map_err(|_| failure::unreachable())
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        line: &mut Line,
    ) -> Result<axum::http::Response<Incoming>, Failure> {
        let stream = self.connect().await.map_err(|error| {
            tracing::warn!(%error, gateway = %self.authority, "cannot connect to the gateway");
            failure::unreachable()
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| failure::unreachable())?;
        line.0 = Some(tokio::spawn(async move {
            // Its end is seen by whoever reads the body.
            let _end = connection.await;
        }));
        let response = timeout(bounds::GATEWAY_IDLE, sender.send_request(request)).await;
        response.map_err(|_| failure::silent())?.map_err(|error| {
            tracing::warn!(%error, "the gateway closed without an answer");
            failure::stream_cut()
        })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let address = (host, self.authority.port_u16().unwrap_or(80));
        let stream = timeout(bounds::CONNECT_TIME, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The gateway's name for the request, if it is one that may be shown.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (plain && !id.is_empty() && id.len() <= 128).then(|| id.to_owned())
}

fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// A question with the conversation that leads to it.
pub(super) struct Question<'a> {
    pub owner: &'a str,
    pub request_id: &'a str,
    pub model: &'a str,
    pub turns: &'a [Turn],
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<OutMessage<'a>>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct OutMessage<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

impl Question<'_> {
    fn body(&self) -> Bytes {
        let messages = self.turns.iter().filter(|t| spoken(t)).map(message).collect();
        let body = Body {
            model: self.model,
            messages,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        };
        serde_json::to_vec(&body).map(Bytes::from).unwrap_or_default()
    }
}

/// An answer that failed before its first word says nothing to a model.
fn spoken(turn: &Turn) -> bool {
    turn.role == Role::User || !turn.text.is_empty()
}

fn message(turn: &Turn) -> OutMessage<'_> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    if turn.images.is_empty() {
        return OutMessage { role, content: Content::Text(&turn.text) };
    }
    let images =
        turn.images.iter().map(|i| Part::ImageUrl { image_url: ImageUrl { url: image::data_url(i) } });
    let parts = std::iter::once(Part::Text { text: &turn.text }).chain(images).collect();
    OutMessage { role, content: Content::Parts(parts) }
}
