//! An upstream that does exactly what the test says.
//!
//! Why a real HTTP server over memory pipes: that the gateway closes a connection, keeps one or opens another is part of
//! what is promised, and only a peer that speaks HTTP sees it.
//!
//! Never here: a clock of its own, or an answer that no test asked for (but for pulse, lists and facts about models).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway::dial::{Dial, Stream};
use http::uri::Authority;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::PIPE_BYTES;

/// Name of the model that it lists, as it calls it itself.
pub const INTERNAL: &str = "registry.internal/qwen3:32b";

/// More requests than any test leaves unanswered.
const CALLS_MAX: usize = 4_096;

/// How it treats connections, and through them the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// A stopped process: connections open, nothing is answered.
    Stopped,
    /// No process: connections are refused, and what was open has broken.
    Refusing,
    /// A black hole: nothing is answered, and new connections run into the time for connecting.
    BlackHole,
}

/// Requests that a test answers arrive here; the rest is answered from what the test has set.
pub struct Upstream {
    calls: mpsc::Receiver<Call>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Loads are calls that the test answers.
    scripted_loads: AtomicBool,
    life: watch::Sender<Life>,
    calls: mpsc::Sender<Call>,
    dialled: AtomicUsize,
    open: AtomicUsize,
    probes: AtomicUsize,
    tags: Mutex<(u16, String)>,
    show: Mutex<VecDeque<(u16, String)>>,
    shown: Mutex<Vec<serde_json::Value>>,
    resident: Mutex<(u16, String)>,
    resident_asked: AtomicUsize,
}

impl Upstream {
    pub fn new() -> Self {
        let (sender, calls) = mpsc::channel(CALLS_MAX);
        let tags = format!(
            r#"{{"models":[{{"name":"{INTERNAL}","model":"{INTERNAL}","modified_at":"2026-01-02T03:04:05Z"}}]}}"#
        );
        let shared = Arc::new(Shared {
            scripted_loads: AtomicBool::new(false),
            life: watch::Sender::new(Life::Alive),
            calls: sender,
            dialled: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            tags: Mutex::new((200, tags)),
            show: Mutex::default(),
            shown: Mutex::default(),
            resident: Mutex::new((
                200,
                format!(
                    r#"{{"models":[{{"name":"{INTERNAL}","model":"{INTERNAL}","context_length":32768}}]}}"#
                ),
            )),
            resident_asked: AtomicUsize::new(0),
        });
        Self { calls, shared }
    }

    /// Opens connections to it.
    pub fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(ScriptedDial(self.shared.clone()))
    }

    /// The next request that waits for an answer of the test's.
    pub async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// Whether every request that reached it was taken by [`Self::call`]. Takes one that was not.
    pub fn untouched(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    /// From now on loads are calls like any other; until then they succeed at once.
    pub fn script_loads(&self) {
        self.shared.scripted_loads.store(true, Ordering::SeqCst);
    }

    pub fn set(&self, life: Life) {
        self.shared.life.send_replace(life);
    }

    pub fn set_tags(&self, status: u16, json: &str) {
        *self.shared.tags.lock().unwrap() = (status, json.to_owned());
    }

    /// The answer to the next question about a model; without one it hangs.
    pub fn push_show(&self, status: u16, json: &str) {
        self.shared.show.lock().unwrap().push_back((status, json.to_owned()));
    }

    /// The questions about models so far.
    pub fn shown(&self) -> Vec<serde_json::Value> {
        self.shared.shown.lock().unwrap().clone()
    }

    pub fn set_resident(&self, json: &str) {
        self.answer_resident(200, json);
    }

    /// How it answers when it is asked what is in memory.
    pub fn answer_resident(&self, status: u16, text: &str) {
        *self.shared.resident.lock().unwrap() = (status, text.to_owned());
    }

    /// How often it was asked what is in memory.
    pub fn resident_asked(&self) -> usize {
        self.shared.resident_asked.load(Ordering::SeqCst)
    }

    /// Connections opened so far.
    pub fn dialled(&self) -> usize {
        self.shared.dialled.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Probes answered so far.
    pub fn probes(&self) -> usize {
        self.shared.probes.load(Ordering::SeqCst)
    }
}

/// Two upstreams, told apart by the first letters of their authority.
pub fn fork(first: &Upstream, second: (&'static str, &Upstream)) -> Arc<dyn Dial> {
    Arc::new(Fork { first: first.dial(), second: second.1.dial(), name: second.0 })
}

struct Fork {
    first: Arc<dyn Dial>,
    second: Arc<dyn Dial>,
    name: &'static str,
}

impl Dial for Fork {
    fn dial(
        &self,
        authority: &Authority,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        if authority.as_str().starts_with(self.name) { &self.second } else { &self.first }.dial(authority)
    }
}

/// A request as the upstream saw it, and the handle to answer it. Dropped unanswered, it hangs for ever.
pub struct Call {
    pub authority: Authority,
    pub method: http::Method,
    pub path: String,
    pub headers: HeaderMap,
    /// The body where it is JSON.
    pub body: serde_json::Value,
    pub bytes: Bytes,
    head: Option<oneshot::Sender<Response<Scripted>>>,
    gone: watch::Receiver<bool>,
}

impl Call {
    /// Sends a head; the body follows piece by piece.
    pub fn begin(&mut self, status: u16, content_type: &str) -> Answering {
        self.begin_with(Response::builder().status(status).header("content-type", content_type))
    }

    pub fn begin_with(&mut self, head: http::response::Builder) -> Answering {
        let (pieces, receiver) = mpsc::channel(1);
        let response = head.body(Scripted { pieces: receiver, gone: None }).unwrap();
        drop(self.head.take().unwrap().send(response));
        Answering { pieces, gone: self.gone.clone() }
    }

    /// Begins a stream as Ollama does.
    pub fn stream(&mut self) -> Answering {
        self.begin(200, "application/x-ndjson")
    }

    /// Answers whole.
    pub async fn answer(mut self, status: u16, body: &str) {
        self.begin(status, "application/json; charset=utf-8").send(body).await;
    }

    /// Resolves when the gateway has closed this request's connection.
    pub async fn gone(&mut self) {
        self.gone.wait_for(|gone| *gone).await.unwrap();
    }

    /// Whether the gateway has closed this request's connection.
    pub fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }
}

/// Writes an answer piece by piece. Dropped, it ends the body as HTTP asks for.
pub struct Answering {
    pieces: mpsc::Sender<Piece>,
    gone: watch::Receiver<bool>,
}

enum Piece {
    Bytes(Bytes),
    Cut,
}

impl Answering {
    /// Waits for room: a reader that does not read stops the writer.
    pub async fn send(&self, text: &str) {
        drop(self.pieces.send(Piece::Bytes(Bytes::copy_from_slice(text.as_bytes()))).await);
    }

    /// A line with a piece of the answer.
    pub async fn text(&self, content: &str) {
        self.send(&text_line(content)).await;
    }

    /// The last line, and the end of the body.
    pub async fn done(self) {
        self.send(&done_line("")).await;
    }

    /// Breaks the connection.
    pub async fn cut(self) {
        drop(self.pieces.send(Piece::Cut).await);
    }

    /// Resolves when the gateway has closed this request's connection, or the answer is over.
    pub async fn gone(&mut self) {
        self.gone.wait_for(|gone| *gone).await.unwrap();
    }

    pub fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }
}

pub fn text_line(content: &str) -> String {
    let content = serde_json::to_string(content).unwrap();
    format!(
        "{{\"model\":\"{INTERNAL}\",\"created_at\":\"2026-01-02T03:04:05Z\",\"message\":{{\"role\":\"assistant\",\"content\":{content}}},\"done\":false}}\n"
    )
}

/// The line that ends a stream; with content, a whole answer.
pub fn done_line(content: &str) -> String {
    let content = serde_json::to_string(content).unwrap();
    format!(
        "{{\"model\":\"{INTERNAL}\",\"created_at\":\"2026-01-02T03:04:05Z\",\"message\":{{\"role\":\"assistant\",\"content\":{content}}},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":5043500667,\"load_duration\":5025959,\"prompt_eval_count\":11,\"prompt_eval_duration\":325953000,\"eval_count\":7,\"eval_duration\":4709213000}}\n"
    )
}

/// A body whose bytes the test sends.
pub struct Scripted {
    pieces: mpsc::Receiver<Piece>,
    gone: Option<GoneOnDrop>,
}

/// Dropped by the HTTP server when the gateway has closed the connection, or the answer is over.
struct GoneOnDrop(watch::Sender<bool>);

impl Drop for GoneOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::Cut) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            None => None,
        })
    }
}

struct ScriptedDial(Arc<Shared>);

impl Dial for ScriptedDial {
    fn dial(
        &self,
        authority: &Authority,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        let (shared, authority) = (self.0.clone(), authority.clone());
        Box::pin(async move {
            let life = *shared.life.borrow();
            match life {
                Life::Refusing => return Err(io::ErrorKind::ConnectionRefused.into()),
                Life::BlackHole => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Life::Alive | Life::Stopped => {}
            }
            shared.dialled.fetch_add(1, Ordering::SeqCst);
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(run(shared, authority, theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

async fn run(shared: Arc<Shared>, authority: Authority, stream: DuplexStream) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let mut life = shared.life.subscribe();
    let serving = shared.clone();
    let service = service_fn(move |request| serve(serving.clone(), authority.clone(), request));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served => {}
        _ = life.wait_for(|life| *life == Life::Refusing) => {}
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

async fn serve(
    shared: Arc<Shared>,
    authority: Authority,
    request: Request<Incoming>,
) -> Result<Response<Scripted>, Infallible> {
    let gone = GoneOnDrop(watch::Sender::new(false));
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // A stopped process answers when it goes on.
    shared.life.subscribe().wait_for(|life| *life == Life::Alive).await.unwrap();
    let path = parts.uri.path().to_owned();
    if let Some((status, text)) = fixed(&shared, &path, &body).await {
        let (pieces, receiver) = mpsc::channel(1);
        drop(pieces.send(Piece::Bytes(text.into())).await);
        let mut response = Response::new(Scripted { pieces: receiver, gone: Some(gone) });
        *response.status_mut() = status.try_into().unwrap();
        return Ok(response);
    }
    let (head, answered) = oneshot::channel();
    let gone_receiver = gone.0.subscribe();
    let (method, headers) = (parts.method, parts.headers);
    let call = Call { authority, method, path, headers, body, bytes, head: Some(head), gone: gone_receiver };
    drop(shared.calls.send(call).await);
    let Ok(mut response) = answered.await else { std::future::pending().await };
    response.body_mut().gone = Some(gone);
    Ok(response)
}

/// What needs no script: the pulse, the lists, the facts about a model.
async fn fixed(shared: &Shared, path: &str, body: &serde_json::Value) -> Option<(u16, String)> {
    match path {
        "/api/version" | "/health" => {
            shared.probes.fetch_add(1, Ordering::SeqCst);
            Some((200, r#"{"version":"0.30.0"}"#.to_owned()))
        }
        "/api/tags" | "/v1/models" => Some(shared.tags.lock().unwrap().clone()),
        "/api/ps" => {
            shared.resident_asked.fetch_add(1, Ordering::SeqCst);
            Some(shared.resident.lock().unwrap().clone())
        }
        // A question without a prompt is a load.
        "/api/generate" if body.get("prompt").is_none() && !shared.scripted_loads.load(Ordering::SeqCst) => {
            Some((200, r#"{"done":true,"done_reason":"load"}"#.to_owned()))
        }
        "/api/show" => {
            shared.shown.lock().unwrap().push(body.clone());
            let answer = shared.show.lock().unwrap().pop_front();
            match answer {
                Some(answer) => Some(answer),
                None => std::future::pending().await,
            }
        }
        _ => None,
    }
}
