//! A defect that panics ends one request, and nobody else's.
//!
//! Why here: unwinding stays on for exactly this. A connection to the upstream that panics on order, at each moment at which
//! the gateway's own code runs on behalf of one request, stands for the defect that nobody has found yet.
//!
//! Never here: panics of the tests' own upstream; it only relays what the real one of the rig says.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use gateway::Core;
use gateway::dial::{Dial, Stream};
use http::uri::Authority;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::rig::{
    Client, PIPE_BYTES, Reply, SOON, Upstream, chat, chat_with, config, done_line, failure, hello, request,
};

/// In a prompt: the write that carries it panics.
const ON_WRITE: &str = "panic when this is sent";
/// In a prompt: the first read after it panics.
const ON_READ: &str = "panic when this is answered";
/// In an answer: the read after it panics.
const NEXT_READ: &str = "panic after this";

/// Connections that panic when they carry an order to do so.
struct Fragile(Arc<dyn Dial>);

impl Dial for Fragile {
    fn dial(
        &self,
        authority: &Authority,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        let dialing = self.0.dial(authority);
        Box::pin(async move {
            let inner = dialing.await?;
            Ok(Box::new(Glass { inner, cracked: false }) as Box<dyn Stream>)
        })
    }
}

struct Glass {
    inner: Box<dyn Stream>,
    /// The next read panics.
    cracked: bool,
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

impl AsyncRead for Glass {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.cracked, "ordered by the test");
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.inner).poll_read(cx, buf);
        self.cracked = holds(&buf.filled()[before..], NEXT_READ);
        read
    }
}

impl AsyncWrite for Glass {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!holds(buf, ON_WRITE), "ordered by the test");
        self.cracked |= holds(buf, ON_READ);
        Pin::new(&mut *self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

/// A gateway with two slots whose connections to the upstream are made of glass.
struct House {
    core: Arc<Core>,
    upstream: Upstream,
    audit: PathBuf,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let upstream = Upstream::new();
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit.jsonl");
        let mut config = config();
        config.audit.file = Some(audit.clone());
        config.upstreams[0].slots = Some(2);
        let core = Core::new(config, Arc::new(Fragile(upstream.dial()))).unwrap();
        sleep(SOON).await;
        Self { core, upstream, audit, _dir: dir }
    }

    fn ask(&self, body: &Value) -> JoinHandle<Option<Reply>> {
        self.send(chat(body))
    }

    fn send(&self, request: http::Request<http_body_util::Full<bytes::Bytes>>) -> JoinHandle<Option<Reply>> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
        tokio::spawn(gateway::http::serve(self.core.clone(), theirs, peer));
        tokio::spawn(async move { Client::over(ours).await.try_send(request).await })
    }

    fn panics(&self) -> usize {
        let text = self.core.metrics_text();
        let line = text.lines().find_map(|line| line.strip_prefix("gatehouse_panics_total "));
        line.unwrap().parse().unwrap()
    }

    /// Two more run at once: whatever ended has given its slot back.
    async fn has_both_slots(&mut self) {
        let asked = [self.ask(&hello(false)), self.ask(&hello(false))];
        for _ in 0..2 {
            let call = timeout(SOON, self.upstream.call()).await.expect("a slot is lost");
            call.answer(200, &done_line("hi")).await;
        }
        for reply in asked {
            assert_eq!(reply.await.unwrap().unwrap().status, 200);
        }
    }

    async fn ends(self) -> Vec<(u64, String)> {
        sleep(SOON).await;
        self.core.close_audit().await;
        let text = std::fs::read_to_string(&self.audit).unwrap();
        let record = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let end = |record: Value| {
            (record["status"].as_u64().unwrap_or(0), record["end"].as_str().unwrap_or_default().to_owned())
        };
        text.lines().map(record).map(end).collect()
    }
}

fn saying(text: &str, stream: bool) -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": text}], "stream": stream})
}

/// Before the head: a 500 in the caller's format, a count, and a record; the stream beside it runs on.
#[tokio::test(start_paused = true)]
async fn before_the_head_it_is_one_500_and_others_live() {
    let mut house = House::new().await;
    let beside = house.ask(&hello(true));
    let answer = house.upstream.call().await.stream();
    answer.text("one").await;
    let mut beside = beside.await.unwrap().unwrap();
    assert!(beside.piece().await.unwrap().contains("one"));
    let mut panics = 0;
    for (order, stream) in [(ON_WRITE, false), (ON_WRITE, true), (ON_READ, false), (ON_READ, true)] {
        let reply = house.ask(&saying(order, stream)).await.unwrap();
        let (status, code, message) = reply.expect("an answer").error().await;
        assert_eq!((status, code.as_str()), (500, "internal_error"), "{order} {stream}");
        assert!(!message.contains("ordered") && !message.contains(".rs"), "{message}");
        panics += 1;
        assert_eq!(house.panics(), panics);
        while !house.upstream.untouched() {}
    }
    let mut body = saying(ON_READ, false);
    body["max_tokens"] = 9.into();
    let reply = house.send(chat_with(request("POST", "/v1/messages"), &body)).await.unwrap().unwrap();
    assert_eq!(
        (reply.status.as_u16(), reply.json().await["error"]["type"].as_str()),
        (500, Some("api_error"))
    );
    while !house.upstream.untouched() {}
    answer.text(" two").await;
    answer.done().await;
    assert!(beside.text().await.ends_with("data: [DONE]\n\n"));
    house.has_both_slots().await;
    assert_eq!(house.ends().await.len(), 1 + 5 + 2, "every request has a record, however it ended");
}

/// In the middle of a stream there is no status left: it ends, and never properly.
#[tokio::test(start_paused = true)]
async fn in_a_stream_it_ends_that_stream_without_a_proper_end() {
    let mut house = House::new().await;
    let beside = house.ask(&hello(true));
    let kept = house.upstream.call().await.stream();
    kept.text("one").await;
    let beside = beside.await.unwrap().unwrap();
    let broken = house.ask(&hello(true));
    let answer = house.upstream.call().await.stream();
    answer.text("half an answer").await;
    let mut broken = broken.await.unwrap().unwrap();
    let mut heard = broken.piece().await.unwrap();
    answer.text(NEXT_READ).await;
    while let Some(piece) = broken.piece().await {
        heard.push_str(&piece);
    }
    assert!(heard.contains("half an answer") && !heard.contains("[DONE]"), "{heard}");
    if heard.contains("\"error\"") {
        failure(&heard);
    }
    kept.done().await;
    assert!(beside.text().await.ends_with("data: [DONE]\n\n"));
    drop(answer);
    house.has_both_slots().await;
    assert_eq!(house.panics(), 1);
    let ends = house.ends().await;
    assert_eq!(ends.len(), 4, "{ends:?}");
    assert_eq!(ends.iter().filter(|(_, end)| end == "complete").count(), 3, "{ends:?}");
}

/// The connection on which it happened is never used again; the upstream is not blamed for our defect.
#[tokio::test(start_paused = true)]
async fn a_hundred_of_them_take_neither_slots_nor_the_upstream_away() {
    let mut house = House::new().await;
    for round in 0..100 {
        let order = if round % 2 == 0 { ON_WRITE } else { ON_READ };
        let reply = house.ask(&saying(order, round % 3 == 0)).await.unwrap();
        assert_eq!(reply.expect("an answer").status, 500, "round {round}");
        while !house.upstream.untouched() {}
    }
    house.has_both_slots().await;
    assert_eq!(house.panics(), 100);
}
