//! Ollama's interface over HTTP, on a scripted model and a real socket.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::facts::{Card, FileFacts};
use super::*;
use crate::options::EngineError;
use crate::schedule::{self, queue};
use crate::scripted::{Actor, Gate, Script};
use crate::serve::listen;

struct Server {
    address: std::net::SocketAddr,
    queue: Queue,
    gate: Gate,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), EngineError>>,
}

async fn server(slots: usize, waiting_max: usize) -> Server {
    let (actor, gate) = Actor::gated();
    let (queue, jobs) = queue(slots, waiting_max);
    std::thread::spawn(move || schedule::run(actor, slots, jobs));
    let file = FileFacts { bytes: 42, sha256: "ab".repeat(32), modified: SystemTime::UNIX_EPOCH };
    let card = Card::new("tiny:1m", 100, file, Duration::from_millis(7));
    let api = Api { reader: Arc::new(Script::new()), queue: queue.clone(), card };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let (ready, bound) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let ready = move |address| ready.send(address).unwrap();
        let shutdown = async move { drop(stopped.await) };
        listen(listener, api, ready, shutdown).await
    });
    Server { address: bound.await.unwrap(), queue, gate, stop: Some(stop), ended }
}

impl Server {
    async fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }

    /// Status, head and body of an answer that is not chunked.
    async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = self.open(method, path, headers, body).await;
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        let (head, body) = all.split_once("\r\n\r\n").expect("a whole head");
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.call("GET", path, "", "").await;
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, head, body) = self.call("POST", path, "", &body.to_string()).await;
        assert!(head.contains("content-type: application/json"), "{head}");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Whether the one place becomes free within this time. The model has a thread of its own, which a busy machine lets wait.
    async fn empty_within(&self, time: Duration) -> bool {
        let freed = async {
            while self.queue.enter().is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(time, freed).await.is_ok()
    }

    /// Waits until as many places are free as there are in the house.
    async fn empty(&self, places: usize) {
        loop {
            if let Ok(taken) = (0..places).map(|_| self.queue.enter()).collect::<Result<Vec<_>, _>>() {
                return drop(taken);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Reads one NDJSON line of a chunked answer: size, line, empty line.
async fn next_line(stream: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the stream ended");
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

fn say(words: &str) -> Value {
    json!({ "model": "tiny:1m", "messages": [{ "role": "user", "content": format!("say:{words}") }] })
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[tokio::test]
async fn a_chat_is_streamed_as_it_is_made() {
    let server = server(1, 0).await;
    let mut stream = server.open("POST", "/api/chat", "", &say("hi").to_string()).await;
    // One step for the prompt and its first letter: it must arrive although the second is not yet allowed.
    server.gate.open(1);
    let first = next_line(&mut stream).await;
    assert_eq!(first["message"], json!({ "role": "assistant", "content": "h" }));
    assert_eq!((&first["done"], &first["model"]), (&json!(false), &json!("tiny:1m")));
    assert!(first.get("done_reason").is_none() && first.get("eval_count").is_none());
    server.gate.open(10);
    assert_eq!(next_line(&mut stream).await["message"]["content"], "i");
    let last = next_line(&mut stream).await;
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!(last["eval_count"], 3);
    let prompt = "system:You are a helpful assistant.\nuser:say:hi\n";
    assert_eq!(last["prompt_eval_count"], prompt.len() + 1, "a system line of our own comes first");
    for duration in ["total_duration", "prompt_eval_duration", "load_duration"] {
        assert!(last[duration].as_u64().unwrap() > 0, "{duration}");
    }
}

#[tokio::test]
async fn whole_answers_in_both_shapes() {
    let server = server(1, 0).await;
    server.gate.open(1000);
    let (status, answer) = server.post("/api/chat", &with(say("hello"), "stream", json!(false))).await;
    assert_eq!(
        (status, &answer["message"]["content"], &answer["done"]),
        (200, &json!("hello"), &json!(true))
    );
    let body = json!({ "model": "tiny:1m", "prompt": "say:hello", "stream": false, "options": { "num_predict": 2 } });
    let (status, answer) = server.post("/api/generate", &body).await;
    assert_eq!((status, &answer["response"], &answer["done_reason"]), (200, &json!("he"), &json!("length")));
    let raw = with(with(body, "raw", json!(true)), "options", json!({ "stop": ["lo"] }));
    let (_, answer) = server.post("/api/generate", &raw).await;
    assert_eq!(
        (&answer["response"], &answer["prompt_eval_count"]),
        (&json!("hel"), &json!("say:hello".len() + 1))
    );
}

#[tokio::test]
async fn a_request_without_words_is_a_load() {
    let server = server(1, 0).await;
    for (path, body) in [
        ("/api/generate", json!({ "model": "tiny:1m" })),
        ("/api/chat", json!({ "model": "tiny:1m", "messages": [], "stream": false })),
    ] {
        let (status, answer) = server.post(path, &body).await;
        assert_eq!((status, &answer["done_reason"], &answer["done"]), (200, &json!("load"), &json!(true)));
        assert_eq!(answer["load_duration"], 7_000_000);
    }
}

#[tokio::test]
async fn what_is_refused_and_how() {
    let server = server(1, 0).await;
    let ask = say("x");
    let cases = [
        (json!({}), 400, "model is required"),
        (with(ask.clone(), "model", json!("other")), 404, "model 'other' not found"),
        (with(ask.clone(), "tools", json!([{ "type": "function" }])), 400, "does not support tools"),
        (with(ask.clone(), "think", json!(true)), 400, "\"tiny:1m\" does not support thinking"),
        (with(ask.clone(), "think", json!("high")), 400, "does not support thinking"),
        (with(ask.clone(), "think", json!("enormous")), 400, "invalid think value"),
        (with(ask.clone(), "format", json!("yaml")), 400, "invalid format"),
        (with(ask.clone(), "format", json!(7)), 400, "invalid format"),
        (with(ask.clone(), "logprobs", json!(true)), 400, "logprobs"),
        (with(ask.clone(), "messages", json!("hello")), 400, "json:"),
        (with(ask.clone(), "options", json!({ "temperature": -1 })), 400, "temperature"),
        (with(ask.clone(), "options", json!({ "stop": "x" })), 400, "json:"),
        (with(ask.clone(), "options", json!({ "stop": vec!["x"; 65] })), 400, "stop"),
        (say(&"long ".repeat(30)), 400, "longer than the context length currently available"),
        (
            json!({ "model": "tiny:1m", "messages": [{ "role": "user", "content": "x", "images": ["aaaa"] }] }),
            400,
            "does not support vision",
        ),
    ];
    for (body, status, text) in cases {
        let (got, answer) = server.post("/api/chat", &body).await;
        assert_eq!(got, status, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(text), "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 1);
    }
    server.empty(1).await;
    for (key, value) in
        [("suffix", json!("x")), ("template", json!("x")), ("context", json!([1])), ("images", json!(["a"]))]
    {
        let body = with(json!({ "model": "tiny:1m", "prompt": "x" }), key, value);
        assert_eq!(server.post("/api/generate", &body).await.0, 400, "{key}");
    }
    for body in ["", "{", "[]"] {
        assert_eq!(server.call("POST", "/api/chat", "", body).await.0, 400, "{body:?}");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_piece_is_a_status_and_after_it_a_line() {
    let server = server(1, 0).await;
    server.gate.open(100);
    let (status, answer) = server.post("/api/chat", &say("break")).await;
    assert_eq!(status, 500);
    assert!(answer["error"].as_str().unwrap().contains("running the model"));
    let mut stream = server.open("POST", "/api/chat", "", &say("a!b").to_string()).await;
    assert_eq!(next_line(&mut stream).await["message"]["content"], "a");
    assert_eq!(next_line(&mut stream).await["message"]["content"], "!");
    let last = next_line(&mut stream).await;
    assert_eq!(
        last.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["error"],
        "no proper end for what broke"
    );
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(!rest.contains('{'), "{rest}");
    server.empty(1).await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_model() {
    for stream in [true, false] {
        let server = server(1, 0).await;
        let endless = with(say("x"), "messages", json!([{ "role": "user", "content": "repeat" }]));
        let mut open =
            server.open("POST", "/api/chat", "", &with(endless, "stream", json!(stream)).to_string()).await;
        if stream {
            server.gate.open(1);
            next_line(&mut open).await;
        } else {
            // In the house: nobody else can enter.
            while server.queue.enter().is_ok() {
                tokio::task::yield_now().await;
            }
        }
        drop(open);
        // Far fewer steps than the context has room for, so it can only be the leaving that ends the answer. One at a
        // time, with room for the news to arrive: a model that is held at its gate hears nothing.
        let mut freed = false;
        for _ in 0..40 {
            server.gate.open(1);
            freed = freed || server.empty_within(Duration::from_millis(250)).await;
        }
        assert!(freed, "the model still works for nobody");
    }
}

#[tokio::test]
async fn a_full_house_refuses_at_once() {
    let server = server(1, 1).await;
    let _running = server.open("POST", "/api/chat", "", &say("x").to_string()).await;
    let _waiting = server.open("POST", "/api/chat", "", &say("y").to_string()).await;
    while server.queue.enter().is_ok() {
        tokio::task::yield_now().await;
    }
    let (status, answer) = server.post("/api/chat", &say("z")).await;
    assert_eq!(status, 503);
    assert_eq!(answer["error"], "server busy, please try again.  maximum pending requests exceeded");
}

#[tokio::test]
async fn what_the_model_is() {
    let server = server(1, 0).await;
    let tags = server.get("/api/tags").await;
    assert_eq!(tags["models"][0]["name"], "tiny:1m");
    assert_eq!(tags["models"][0]["details"]["parameter_size"], "134.52M");
    assert_eq!(tags["models"][0]["digest"].as_str().unwrap().len(), 64);
    let resident = server.get("/api/ps").await;
    assert_eq!(resident["models"][0]["context_length"], 100);
    assert!(resident["models"][0]["expires_at"].is_string());
    let (_, show) = server.post("/api/show", &json!({ "model": "tiny:1m" })).await;
    assert_eq!(show["capabilities"], json!(["completion"]));
    assert_eq!(show["model_info"]["llama.context_length"], 8192);
    assert_eq!(server.post("/api/show", &json!({ "name": "other" })).await.0, 404);
    for path in ["/api/embed", "/api/embeddings"] {
        let (status, told) = server.post(path, &json!({ "model": "tiny:1m", "input": "x" })).await;
        assert_eq!((status, &told["error"]), (400, &json!("\"tiny:1m\" does not support embeddings")));
        assert_eq!(server.post(path, &json!({ "model": "other", "input": "x" })).await.0, 404);
    }
    assert_eq!(server.get("/api/version").await["version"], VERSION);
    assert_eq!(server.call("GET", "/", "", "").await.0, 200);
    assert_eq!(server.call("GET", "/api/pull", "", "").await.0, 404);
    assert_eq!(server.call("GET", "/api/chat", "", "").await.0, 405);
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let server = server(1, 0).await;
    assert_eq!(server.call("GET", "/api/tags", "Origin: http://example.com\r\n", "").await.0, 403);
    for (host, status) in [("evil.example", 403), ("127.0.0.1:1", 200), ("[::1]:1", 200), ("LOCALHOST", 200)]
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let text = format!("GET /api/version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all[9..12].parse::<u16>().unwrap(), status, "{host}");
    }
}

#[tokio::test]
async fn the_process_ends_when_told_and_finishes_what_it_began() {
    let mut server = server(1, 0).await;
    let mut stream = server.open("POST", "/api/chat", "", &say("ab").to_string()).await;
    server.gate.open(1);
    next_line(&mut stream).await;
    server.stop.take().unwrap().send(()).unwrap();
    server.gate.open(10);
    next_line(&mut stream).await;
    assert_eq!(next_line(&mut stream).await["done"], true);
    assert!(server.ended.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_model_that_is_gone_ends_the_process() {
    let (queue, jobs) = queue(1, 0);
    let file = FileFacts { bytes: 1, sha256: String::new(), modified: SystemTime::UNIX_EPOCH };
    let card = Card::new("tiny", 100, file, Duration::ZERO);
    let api = Api { reader: Arc::new(Script::new()), queue, card };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    drop(jobs);
    let ended = listen(listener, api, |_| {}, std::future::pending()).await;
    assert!(matches!(ended, Err(EngineError::RunnerStopped)));
}
