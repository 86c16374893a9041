//! A site on loopback, a gateway played by the test, and a plain HTTP client.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gateway::config::Secret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::chat::{Access, ChatConfig, ChatError, GatewayAccess, serve};

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub struct Site {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ChatError>>,
}

impl Site {
    pub async fn start(config: ChatConfig) -> Self {
        let (bound_tx, bound) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(config, move |address| bound_tx.send(address).unwrap(), async move {
            let _ = stopped.await;
        }));
        let address = soon("binding", bound).await.unwrap();
        Self { address, stop: Some(stop), task }
    }

    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        soon("the stop", self.task).await.unwrap().unwrap();
    }

    pub fn client(&self) -> Client {
        Client { address: self.address, cookie: None }
    }
}

pub fn config(database: &Path, gateway: &Gateway) -> ChatConfig {
    ChatConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        title: "Title".into(),
        description: "Description".into(),
        model: Some("m".into()),
        locale: None,
        access: Access::Loopback,
        gateway: GatewayAccess {
            api_base: format!("http://{}/v1", gateway.address),
            key: Some(Secret("k".into())),
            keyless: false,
        },
        database: database.to_owned(),
    }
}

/// A fresh folder, a gateway, and a site on both.
pub async fn stage() -> (TempDir, Gateway, Site) {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start().await;
    let site = Site::start(config(&folder.path().join("chat.db"), &gateway)).await;
    (folder, gateway, site)
}

/// Accepts connections of the site; the test answers each.
pub struct Gateway {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Gateway {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { address: listener.local_addr().unwrap(), listener }
    }

    /// The next request, read whole.
    pub async fn request(&self) -> Call {
        let (stream, _) = soon("a request to the gateway", self.listener.accept()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream).await;
        let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Call { stream, head, body }
    }
}

/// One request at the gateway, to be answered.
pub struct Call {
    stream: BufReader<TcpStream>,
    pub head: String,
    pub body: Value,
}

impl Call {
    pub async fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// A stream without a length: closing the socket is its end.
    pub async fn begin(&mut self) {
        self.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: gw-1\r\nconnection: close\r\n\r\n")
            .await;
    }

    pub async fn text(&mut self, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.write(&format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{text}}}}}]}}\n\n"))
            .await;
    }

    pub async fn finish(mut self, reason: &str) {
        self.write(&format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n"))
            .await;
        self.write("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n")
            .await;
        self.write("data: [DONE]\n\n").await;
    }

    pub async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.write(&format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")).await;
        self.closed().await;
    }

    /// Returns when the site has closed its side.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        // A reset is a close too.
        let _ = soon("closing of the upstream connection", self.stream.read_to_end(&mut rest)).await;
    }
}

#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub cookie: Option<String>,
}

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name).map(str::to_owned)
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    /// As the page asks: same origin, JSON.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|b| b.to_string());
        let mut headers = format!("host: {}\r\nsec-fetch-site: same-origin\r\n", self.address);
        if method != "GET" {
            headers.push_str("content-type: application/json\r\n");
        }
        self.raw(method, path, &headers, body.as_deref().unwrap_or_default()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub async fn raw(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = BufReader::new(self.send(method, path, headers, body).await);
        let head = read_head(&mut stream).await;
        let mut body = Vec::new();
        soon("the end of an answer", stream.read_to_end(&mut body)).await.unwrap();
        if header(&head, "transfer-encoding").is_some() {
            body = unchunk(&body);
        }
        Reply { status: status(&head), head, body }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let cookie = self.cookie.as_ref().map(|c| format!("cookie: {c}\r\n")).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{headers}{cookie}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    }

    pub async fn new_chat(&self) -> String {
        let made = self.call("POST", "/api/chats", Some(serde_json::json!({}))).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    /// Sends a question and returns (question, answer, run).
    pub async fn ask(&self, chat: &str, text: &str, parent: Option<&str>) -> (String, String, String) {
        let body = serde_json::json!({"client_id": text, "text": text, "model": "m", "parent_id": parent});
        let sent = self.call("POST", &format!("/api/chats/{chat}/messages"), Some(body)).await.expect(202);
        let id = |name: &str| sent[name].as_str().unwrap().to_owned();
        (id("user_message_id"), id("message_id"), id("run_id"))
    }

    pub async fn events(&self, chat: &str, query: &str) -> Events {
        let headers = format!("host: {}\r\nsec-fetch-site: same-origin\r\n", self.address);
        let stream = self.send("GET", &format!("/api/chats/{chat}/events?{query}"), &headers, "").await;
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream).await;
        assert_eq!(status(&head), 200, "{head}");
        assert_eq!(header(&head, "x-accel-buffering"), Some("no"));
        Events { stream, buffer: Vec::new() }
    }
}

/// An event stream, read event by event.
pub struct Events {
    stream: BufReader<TcpStream>,
    buffer: Vec<u8>,
}

impl Events {
    /// The next event; `None`: the stream ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let Some(data) = block.lines().find_map(|l| l.strip_prefix("data: ")) else { continue };
                let event: Value = serde_json::from_str(data).unwrap();
                let id = block.lines().find_map(|l| l.strip_prefix("id: ")).unwrap();
                assert_eq!(id, event["seq"].to_string(), "id and seq differ");
                return Some(event);
            }
            let mut size = String::new();
            soon("an event", self.stream.read_line(&mut size)).await.unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            if size == 0 {
                return None;
            }
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).await.unwrap();
            self.buffer.extend_from_slice(&chunk[..size]);
        }
    }

    pub async fn kind(&mut self, kind: &str) -> Value {
        let event = self.next().await.expect("an event");
        assert_eq!(event["kind"], kind, "{event}");
        event
    }

    /// Reads on until the final event; returns the text put together, and that event.
    pub async fn rest(&mut self) -> (String, Value) {
        let (mut text, mut last) = (String::new(), None);
        let mut seq = None;
        while let Some(event) = self.next().await {
            let now = event["seq"].as_u64().unwrap();
            match event["kind"].as_str().unwrap() {
                "text" => {
                    assert!(seq.is_none_or(|s| now == s + 1), "gap or repetition before {event}");
                    seq = Some(now);
                    text.push_str(event["text"].as_str().unwrap());
                }
                "snapshot" => text = event["text"].as_str().unwrap().to_owned(),
                "done" | "error" => last = Some(event),
                _ => {}
            }
        }
        (text, last.expect("a final event"))
    }
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    loop {
        let n = soon("a head", stream.read_line(&mut head)).await.unwrap();
        if n == 0 || head.ends_with("\r\n\r\n") {
            return head;
        }
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status: {head:?}"))
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim())
    })
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        out.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    out
}
