//! The rig: a gateway between clients and an upstream that does exactly what the test says, over memory pipes.
//!
//! Why here: every behaviour is tested through the same two doors that production has, `Core` and `http::serve`, with the
//! configuration in its checked form. The clock stands still until everybody waits, so minutes cost nothing.
//!
//! Never here: a way past the pipeline.

mod client;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::Core;
use gateway::config::{
    Addresses, Admission, Answer, Audit, Auth, Clocks, Config, InputLimits, Key, Liveness, Memory, Models,
};
use gateway::dial::Dial;
use http::uri::Authority;
use http::{HeaderName, Request};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use client::{
    Client, Heard, Reply, answer_text, bare_request, chat, chat_with, events, failure, get, hello, listen,
    raw, request,
};
pub use upstream::{Answering, Call, INTERNAL, Life, Upstream, done_line, text_line};

/// The one key of the rig's configuration.
pub const KEY: &str = "test-key-of-alice";
/// What a pipe holds before its writer has to wait.
pub const PIPE_BYTES: usize = 64 << 10;
/// Virtual time in which everything that can happen without a clock has happened.
pub const SOON: Duration = Duration::from_millis(10);

/// A gateway on a scripted upstream.
pub struct Rig {
    pub core: Arc<Core>,
    pub upstream: Upstream,
    /// What it was started with, for a reload with a change.
    pub config: Config,
    audit: PathBuf,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(tweak: impl FnOnce(&mut Config)) -> Self {
        let upstream = Upstream::new();
        let dial = upstream.dial();
        Self::on(upstream, dial, tweak).await
    }

    /// A second upstream of the same models beside the first, called and dialled by the name `second`.
    pub async fn with_second() -> (Self, Upstream) {
        Self::with_second_of(wire::Format::Ollama).await
    }

    pub async fn with_second_of(format: wire::Format) -> (Self, Upstream) {
        let (first, second) = (Upstream::new(), Upstream::new());
        let dial = upstream::fork(&first, ("second", &second));
        let rig = Self::on(first, dial, |config| {
            let mut other = upstream_config(format);
            other.name = "second".into();
            other.authority = Authority::from_static("second.test:11434");
            config.upstreams.push(other);
        });
        (rig.await, second)
    }

    async fn on(upstream: Upstream, dial: Arc<dyn Dial>, tweak: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit.jsonl");
        let mut config = config();
        config.audit.file = Some(audit.clone());
        tweak(&mut config);
        let core = Core::new(config.clone(), dial).unwrap();
        let rig = Self { core, upstream, config, audit, _dir: dir };
        // The first list and the first probe are behind us when a test begins.
        sleep(SOON).await;
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

    /// Sends a request on a connection of its own and goes on without its answer. Aborted, the client has left.
    pub fn ask(&self, request: Request<Full<Bytes>>) -> JoinHandle<Reply> {
        let pipe = self.pipe();
        tokio::spawn(async move { Client::over(pipe).await.send(request).await })
    }

    /// Sends a request and waits for its head.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        self.client().await.send(request).await
    }

    /// A stream that has begun: its head and first piece have arrived.
    pub async fn streaming(&mut self) -> (Reply, Answering) {
        let asking = self.ask(chat(&hello(true)));
        let answer = self.upstream.call().await.stream();
        answer.text("one").await;
        let mut reply = asking.await.unwrap();
        assert_eq!(reply.status, 200);
        assert!(reply.piece().await.unwrap().contains("one"));
        (reply, answer)
    }

    /// Every audit record so far: closes the log and reads the file. Requests must be over.
    pub async fn records(self) -> Vec<Value> {
        sleep(SOON).await;
        self.core.close_audit().await;
        let text = std::fs::read_to_string(&self.audit).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Takes the only element.
pub fn only<T: std::fmt::Debug>(mut of: Vec<T>) -> T {
    assert_eq!(of.len(), 1, "{of:?}");
    of.remove(0)
}

pub fn upstream_config(format: wire::Format) -> gateway::config::Upstream {
    gateway::config::Upstream {
        name: "gpu".into(),
        authority: Authority::from_static("upstream.test:11434"),
        base_path: String::new(),
        format,
        slots: None,
        queue_max: 64,
        drain: false,
        bearer: None,
    }
}

pub fn key(id: &str, text: &str) -> Key {
    Key::plain(id, gateway::auth::key::digest(text))
}

/// The keys of a configuration.
pub fn keys(config: &mut Config) -> &mut Vec<Key> {
    match &mut config.auth {
        Auth::Keys { keys, .. } => keys,
        Auth::Open => panic!("no keys"),
    }
}

/// The configuration that tests start from.
pub fn config() -> Config {
    Config {
        listen: vec![],
        admin_listen: None,
        upstreams: vec![upstream_config(wire::Format::Ollama)],
        models: Models::Discovered,
        auth: Auth::Keys {
            header: Some(HeaderName::from_static("x-api-key")),
            keys: vec![key("alice", KEY)],
        },
        addresses: Addresses { allow: None, trusted_proxies: vec![] },
        rate: None,
        limits: vec![],
        admission: Admission::default(),
        input: InputLimits::default(),
        answer: Answer::default(),
        clocks: Clocks::default(),
        liveness: Liveness::default(),
        audit: Audit::default(),
        filter: None,
        memory: Memory::default(),
        error_format: None,
    }
}
