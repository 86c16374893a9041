//! The rig: a gateway between a client and an upstream that does exactly what the test says, over memory pipes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway::Core;
use gateway::config::*;
use gateway::dial::{Dial, Stream};
use http::uri::Authority;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};

pub const KEY: &str = "test-key-of-alice";
pub const PIPE_BYTES: usize = 64 << 10;

/// A request as the upstream saw it, and the handle to answer it.
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub body: serde_json::Value,
    head: Option<tokio::sync::oneshot::Sender<Response<Scripted>>>,
    gone: watch::Receiver<bool>,
}

/// Writes an answer piece by piece.
pub struct Answering {
    pieces: mpsc::Sender<Piece>,
    gone: watch::Receiver<bool>,
}

enum Piece {
    Bytes(Bytes),
    Cut,
}

impl Call {
    pub fn begin(&mut self, status: u16, content_type: &str) -> Answering {
        let (pieces, receiver) = mpsc::channel(64);
        let response = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Scripted { pieces: receiver, _gone: None })
            .unwrap();
        drop(self.head.take().unwrap().send(response));
        Answering { pieces, gone: self.gone.clone() }
    }

    pub fn stream(&mut self) -> Answering {
        self.begin(200, "application/x-ndjson")
    }

    pub async fn answer(mut self, status: u16, body: &str) {
        self.begin(status, "application/json; charset=utf-8").send(body).await;
    }

    /// Resolves when the gateway has closed this request's connection.
    pub async fn gone(&mut self) {
        self.gone.wait_for(|gone| *gone).await.unwrap();
    }
}

impl Answering {
    pub async fn send(&self, text: &str) {
        drop(self.pieces.send(Piece::Bytes(Bytes::copy_from_slice(text.as_bytes()))).await);
    }
    pub async fn text(&self, content: &str) {
        let content = serde_json::to_string(content).unwrap();
        self.send(&format!("{{\"model\":\"internal\",\"created_at\":\"2026-01-02T03:04:05Z\",\"message\":{{\"role\":\"assistant\",\"content\":{content}}},\"done\":false}}\n")).await;
    }
    pub async fn done(self) {
        self.send(&done_line("")).await;
    }
    pub async fn cut(self) {
        drop(self.pieces.send(Piece::Cut).await);
    }
    pub async fn gone(&mut self) {
        self.gone.wait_for(|gone| *gone).await.unwrap();
    }
}

pub fn done_line(content: &str) -> String {
    format!(
        "{{\"model\":\"internal\",\"created_at\":\"2026-01-02T03:04:05Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\"}},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":7}}\n"
    )
}

pub struct Scripted {
    pieces: mpsc::Receiver<Piece>,
    _gone: Option<GoneOnDrop>,
}

/// Dropped by the upstream's HTTP server when its client, the gateway, has closed the connection or the answer is over.
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

/// How the upstream treats new connections and probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// Connections open, nothing is ever answered (a stopped process, a black hole behind a full backlog).
    Silent,
    /// Connections are refused.
    Refusing,
}

/// The scripted upstream.
pub struct Upstream {
    calls: mpsc::Receiver<Call>,
    shared: Arc<Shared>,
}

struct Shared {
    life: watch::Sender<Life>,
    calls: mpsc::Sender<Call>,
    dialled: AtomicUsize,
    open: AtomicUsize,
    probes: AtomicUsize,
    tags: Mutex<String>,
    show: Mutex<VecDeque<String>>,
    resident: Mutex<String>,
}

impl Upstream {
    pub async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }
    /// No request has reached it that was not taken by `call`.
    pub fn untouched(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
    pub fn set(&self, life: Life) {
        self.shared.life.send_replace(life);
    }
    pub fn set_tags(&self, json: &str) {
        *self.shared.tags.lock().unwrap() = json.to_owned();
    }
    pub fn push_show(&self, json: &str) {
        self.shared.show.lock().unwrap().push_back(json.to_owned());
    }
    pub fn set_resident(&self, json: &str) {
        *self.shared.resident.lock().unwrap() = json.to_owned();
    }
    pub fn dialled(&self) -> usize {
        self.shared.dialled.load(Ordering::SeqCst)
    }
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
    pub fn probes(&self) -> usize {
        self.shared.probes.load(Ordering::SeqCst)
    }
}

struct ScriptedDial(Arc<Shared>);

impl Dial for ScriptedDial {
    fn dial(
        &self,
        _: &Authority,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        let shared = self.0.clone();
        Box::pin(async move {
            if *shared.life.borrow() == Life::Refusing {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            shared.dialled.fetch_add(1, Ordering::SeqCst);
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(run(shared, theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

async fn run(shared: Arc<Shared>, stream: DuplexStream) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let serving_shared = shared.clone();
    let service = service_fn(move |request| serve(serving_shared.clone(), request));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut life = shared.life.subscribe();
    tokio::select! {
        _ = served => {}
        // A refusing server has lost its process: what was open breaks.
        _ = life.wait_for(|life| *life == Life::Refusing) => {}
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Scripted>, Infallible> {
    let gone = GoneOnDrop(watch::Sender::new(false));
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    // Silence answers nothing, and answers when it is over.
    let mut life = shared.life.subscribe();
    life.wait_for(|life| *life != Life::Silent).await.unwrap();
    let path = parts.uri.path().to_owned();
    let fixed = match path.as_str() {
        "/api/version" | "/health" => {
            shared.probes.fetch_add(1, Ordering::SeqCst);
            Some("{\"version\":\"0.30.0\"}".to_owned())
        }
        "/api/tags" => Some(shared.tags.lock().unwrap().clone()),
        "/api/ps" => Some(shared.resident.lock().unwrap().clone()),
        "/api/show" => shared.show.lock().unwrap().pop_front(),
        _ => None,
    };
    if let Some(text) = fixed {
        let (pieces, receiver) = mpsc::channel(1);
        drop(pieces.send(Piece::Bytes(text.into())).await);
        return Ok(Response::new(Scripted { pieces: receiver, _gone: Some(gone) }));
    }
    let (head, answered) = tokio::sync::oneshot::channel();
    let call = Call {
        path,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        head: Some(head),
        gone: gone.0.subscribe(),
    };
    shared.calls.send(call).await.unwrap();
    let mut response = match answered.await {
        Ok(response) => response,
        // The test dropped the call: hang for ever.
        Err(_) => std::future::pending().await,
    };
    // A server that falls silent takes its streams with it.
    response.body_mut()._gone = Some(gone);
    Ok(response)
}

/// A gateway on a scripted upstream.
pub struct Rig {
    pub core: Arc<Core>,
    pub upstream: Upstream,
    audit: PathBuf,
    _dir: tempfile::TempDir,
}

pub fn upstream_config(format: wire::Format) -> gateway::config::Upstream {
    gateway::config::Upstream {
        name: "gpu".into(),
        authority: Authority::from_static("upstream.test:11434"),
        base_path: String::new(),
        format,
        slots: None,
        queue_max: 64,
        bearer: None,
    }
}

pub fn key(id: &str, text: &str) -> Key {
    Key {
        id: id.into(),
        digest: gateway::auth::digest(text),
        speaks_for_users: false,
        models: None,
        rate: RateRule::General,
        strict: false,
    }
}

pub fn config() -> Config {
    Config {
        listen: vec![],
        admin_listen: None,
        upstreams: vec![upstream_config(wire::Format::Ollama)],
        models: Models::Discovered,
        auth: Auth::Keys {
            header: Some(http::HeaderName::from_static("x-api-key")),
            keys: vec![key("alice", KEY)],
        },
        addresses: Addresses { allow: None, trusted_proxies: vec![] },
        rate: None,
        input: InputLimits::default(),
        answer: Answer::default(),
        clocks: Clocks::default(),
        liveness: Liveness::default(),
        audit: Audit::default(),
        error_format: None,
    }
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(tweak: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit.jsonl");
        let mut config = config();
        config.audit.file = Some(audit.clone());
        tweak(&mut config);
        let (sender, calls) = mpsc::channel(1_024);
        let shared = Arc::new(Shared {
            life: watch::Sender::new(Life::Alive),
            calls: sender,
            dialled: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            tags: Mutex::new("{\"models\":[{\"name\":\"registry.internal/qwen3:32b\",\"model\":\"registry.internal/qwen3:32b\",\"modified_at\":\"2026-01-02T03:04:05Z\"}]}".into()),
            show: Mutex::default(),
            resident: Mutex::new("{\"models\":[]}".into()),
        });
        let core = Core::new(config, Arc::new(ScriptedDial(shared.clone()))).unwrap();
        let rig = Self { core, upstream: Upstream { calls, shared }, audit, _dir: dir };
        // The first list and the first probe are behind us when a test begins.
        tokio::time::sleep(Duration::from_millis(10)).await;
        rig
    }

    /// A raw connection from an address.
    pub fn pipe_from(&self, peer: IpAddr) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(gateway::http::serve(self.core.clone(), theirs, SocketAddr::new(peer, 50_000)));
        ours
    }

    pub fn pipe(&self) -> DuplexStream {
        self.pipe_from(IpAddr::from([127, 0, 0, 1]))
    }

    pub async fn client(&self) -> Client {
        Client::over(self.pipe()).await
    }

    /// Every audit record so far: stops the gateway and reads the file.
    pub async fn records(self) -> Vec<serde_json::Value> {
        self.core.close_audit().await;
        let text = std::fs::read_to_string(&self.audit).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A client on one connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Client {
    pub async fn over(pipe: DuplexStream) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, connection }
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Reply {
        let response = self.sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub async fn chat(&mut self, body: serde_json::Value) -> Reply {
        self.send(chat(&body)).await
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(request("GET", path).body(Full::default()).unwrap()).await
    }

    /// Leaves without a word.
    pub fn leave(self) {
        self.connection.abort();
    }
}

pub fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "gateway.test")
        .header("authorization", format!("Bearer {KEY}"))
}

pub fn chat(body: &serde_json::Value) -> Request<Full<Bytes>> {
    request("POST", "/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

pub fn hello(stream: bool) -> serde_json::Value {
    serde_json::json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "hello"}], "stream": stream})
}

/// A response whose body is read as it comes.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Incoming,
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

    pub async fn text(self) -> String {
        let bytes = self.body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub async fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.text().await).unwrap()
    }
}
