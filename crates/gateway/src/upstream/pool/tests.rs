//! Connections kept, reused and closed; answers cut at every byte.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};
use wire::Format;

use super::*;

const SOON: Duration = Duration::from_millis(10);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Hands out the near ends of pipes; the test holds the far ones.
#[derive(Default)]
struct Pipes(Mutex<VecDeque<DuplexStream>>);

impl Dial for Pipes {
    fn dial(&self, _: &Authority) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        let next = self.0.lock().unwrap().pop_front();
        Box::pin(async move {
            let near = next.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

struct Bench {
    pool: Pool,
    pipes: Arc<Pipes>,
}

impl Bench {
    fn new() -> Self {
        let pipes = Arc::new(Pipes::default());
        let upstream = config::Upstream {
            name: "gpu".into(),
            authority: Authority::from_static("gpu.test:11434"),
            base_path: "/base".into(),
            format: Format::Ollama,
            slots: None,
            queue_max: 0,
            drain: false,
            bearer: None,
        };
        Self { pool: Pool::new(&upstream, pipes.clone()), pipes }
    }

    /// The far end of the connection that is dialled next.
    fn pipe(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(16 << 10);
        self.pipes.0.lock().unwrap().push_back(near);
        far
    }

    fn get(&self) -> JoinHandle<Result<(u16, Bytes), SendError>> {
        let pool = self.pool.clone();
        tokio::spawn(async move { whole(pool.get("/x").await?).await })
    }
}

async fn whole(answer: Answer) -> Result<(u16, Bytes), SendError> {
    let body = read_body(answer.body, 1 << 20).await?;
    Ok((answer.status.as_u16(), body))
}

/// Reads what is sent until nothing more comes for a moment.
async fn heard(far: &mut DuplexStream) -> String {
    let mut bytes = vec![0; 64 << 10];
    let mut len = 0;
    while let Ok(Ok(some @ 1..)) = timeout(SOON, far.read(&mut bytes[len..])).await {
        len += some;
    }
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

async fn is_closed(far: &mut DuplexStream) -> bool {
    matches!(timeout(SOON, far.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test(start_paused = true)]
async fn a_request_is_our_own_words() {
    let bench = Bench::new();
    let mut far = bench.pipe();
    let pool = bench.pool.clone();
    let asking =
        tokio::spawn(async move { whole(pool.post("/api/chat", Bytes::from_static(b"{}")).await?).await });
    assert_eq!(
        heard(&mut far).await,
        "POST /base/api/chat HTTP/1.1\r\nhost: gpu.test:11434\r\naccept: */*\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    );
    far.write_all(OK).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), (200, Bytes::from_static(b"ok")));
    assert!(bench.pool.get("/\r\nx: y").await.is_err(), "a path cannot bring lines of its own");
}

#[tokio::test(start_paused = true)]
async fn a_bearer_goes_with_every_request() {
    let mut bench = Bench::new();
    let mut upstream = config::Upstream {
        name: "gpu".into(),
        authority: Authority::from_static("a"),
        base_path: String::new(),
        format: Format::OpenAi,
        slots: None,
        queue_max: 0,
        drain: false,
        bearer: Some(config::Secret("token".into())),
    };
    for (secret, sent) in [("token", true), ("to\r\nken", false)] {
        upstream.bearer = Some(config::Secret(secret.into()));
        bench.pool = Pool::new(&upstream, bench.pipes.clone());
        let mut far = bench.pipe();
        let asking = bench.get();
        let head = heard(&mut far).await;
        assert_eq!(head.contains("\r\nauthorization: Bearer token\r\n"), sent, "{head}");
        assert!(!head.contains("\r\nken"));
        asking.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn every_cut_of_an_answer_reads_the_same() {
    for (answer, body) in [
        (&b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\n"[..], "abcde"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nabcde", "abcde"),
        (b"HTTP/1.1 200 OK\r\n\r\nabcde", "abcde"),
    ] {
        for at in 0..=answer.len() {
            let bench = Bench::new();
            let mut far = bench.pipe();
            let asking = bench.get();
            far.write_all(&answer[..at]).await.unwrap();
            tokio::time::sleep(SOON).await;
            far.write_all(&answer[at..]).await.unwrap();
            drop(far);
            let read = asking.await.unwrap().unwrap();
            assert_eq!(read, (200, Bytes::from_static(body.as_bytes())), "cut at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_no_answer() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for at in 0..answer.len() {
        let bench = Bench::new();
        let mut far = bench.pipe();
        let asking = bench.get();
        far.write_all(&answer[..at]).await.unwrap();
        drop(far);
        assert!(matches!(asking.await.unwrap(), Err(SendError::Broken(_))), "cut at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_read_to_its_end_is_used_again() {
    let bench = Bench::new();
    let mut far = bench.pipe();
    for _ in 0..3 {
        let asking = bench.get();
        assert!(heard(&mut far).await.starts_with("GET /base/x "));
        far.write_all(OK).await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap().0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_clean_is_not_used_again() {
    for answer in [
        // Bytes behind the message.
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 204 No Content\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        let bench = Bench::new();
        let mut far = bench.pipe();
        let asking = bench.get();
        heard(&mut far).await;
        far.write_all(answer).await.unwrap();
        drop(asking.await.unwrap());
        assert!(is_closed(&mut far).await, "{:?}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_nobody_asked_for_end_a_kept_connection() {
    let bench = Bench::new();
    let mut first = bench.pipe();
    let asking = bench.get();
    heard(&mut first).await;
    first.write_all(OK).await.unwrap();
    asking.await.unwrap().unwrap();
    first.write_all(OK).await.unwrap();
    let mut second = bench.pipe();
    let asking = bench.get();
    heard(&mut second).await;
    assert!(is_closed(&mut first).await);
    second.write_all(OK).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap().0, 200);
}

/// A bench whose one kept connection is this.
async fn kept() -> (Bench, DuplexStream) {
    let bench = Bench::new();
    let mut far = bench.pipe();
    let asking = bench.get();
    heard(&mut far).await;
    far.write_all(OK).await.unwrap();
    asking.await.unwrap().unwrap();
    (bench, far)
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_was_just_closed_is_replaced_once() {
    let (bench, mut stale) = kept().await;
    let asking = bench.get();
    let mut fresh = bench.pipe();
    assert!(heard(&mut stale).await.starts_with("GET "));
    drop(stale);
    assert!(heard(&mut fresh).await.starts_with("GET /base/x "), "the request is sent whole again");
    fresh.write_all(OK).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_that_breaks_is_not_replaced() {
    let bench = Bench::new();
    let (first, _second) = (bench.pipe(), bench.pipe());
    let asking = bench.get();
    tokio::time::sleep(SOON).await;
    drop(first);
    assert!(matches!(asking.await.unwrap(), Err(SendError::Broken(_))));
    assert_eq!(bench.pipes.0.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_second_try_for_a_request_that_was_worked_on() {
    for bytes in [&b""[..], b"HTTP/1.1 2"] {
        let (bench, mut far) = kept().await;
        let _second = bench.pipe();
        let asking = bench.get();
        heard(&mut far).await;
        far.write_all(bytes).await.unwrap();
        if bytes.is_empty() {
            advance(STALE_TIME).await;
        }
        drop(far);
        assert!(matches!(asking.await.unwrap(), Err(SendError::Broken(_))), "{bytes:?}");
        assert_eq!(bench.pipes.0.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_grows_old() {
    let (bench, mut far) = kept().await;
    advance(Duration::from_secs(31)).await;
    assert!(bench.pool.get("/x").await.is_err(), "nothing to dial: the old one was not used");
    assert!(is_closed(&mut far).await);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_the_connection_is_closed_at_once() {
    let stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for at in [0, 10, stream.len() - 5, stream.len()] {
        let bench = Bench::new();
        let mut far = bench.pipe();
        let asking = bench.get();
        heard(&mut far).await;
        far.write_all(&stream[..at]).await.unwrap();
        tokio::time::sleep(SOON).await;
        asking.abort();
        assert!(is_closed(&mut far).await, "after {at} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_heard_while_the_body_is_still_being_sent() {
    let bench = Bench::new();
    let mut far = bench.pipe();
    let pool = bench.pool.clone();
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let asking = tokio::spawn(async move { whole(pool.post("/x", body).await?).await });
    tokio::time::sleep(SOON).await;
    far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), (413, Bytes::from_static(b"no")));
    // Half a request lies on it: nobody may use it again.
    let mut sink = Vec::new();
    timeout(SOON, far.read_to_end(&mut sink)).await.expect("it is closed").unwrap();
    assert!(sink.len() < 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_bounded() {
    for head in ["content-length: 11\r\n", "x: y\r\n"] {
        let bench = Bench::new();
        let mut far = bench.pipe();
        let pool = bench.pool.clone();
        let asking = tokio::spawn(async move { read_body(pool.get("/x").await?.body, 10).await });
        heard(&mut far).await;
        far.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).await.unwrap();
        drop(far.write_all(b"0123456789A").await);
        assert!(matches!(asking.await.unwrap(), Err(SendError::Broken(_))));
        assert!(is_closed(&mut far).await);
    }
}
