//! The end of the process: who runs may finish, who cannot is told, and nobody is kept.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{KEY, Rig, SOON, chat, failure, get, hello, listen, only};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_in_time_ends_properly() {
    let mut rig = Rig::new().await;
    let (reply, answer) = rig.streaming().await;
    let reading = tokio::spawn(reply.text());
    let core = rig.core.clone();
    let stopping = tokio::spawn(async move { core.drain(PATIENCE, std::future::pending()).await });
    sleep(Duration::from_secs(20)).await;
    answer.text("more").await;
    answer.done().await;
    assert!(reading.await.unwrap().ends_with("data: [DONE]\n\n"));
    stopping.abort();
    assert_eq!(only(rig.records().await)["end"], "complete");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_told() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(3)).await;
    let (streaming, mut answer) = rig.streaming().await;
    let waiting = rig.ask(chat(&hello(true)));
    let mut waiting_call = rig.upstream.call().await;
    let whole = rig.ask(chat(&hello(false)));
    let mut whole_call = rig.upstream.call().await;
    let queued = rig.ask(chat(&hello(true)));
    sleep(SOON).await;
    let began = Instant::now();
    let core = rig.core.clone();
    let stopping =
        tokio::spawn(async move { core.drain(Duration::from_secs(10), std::future::pending()).await });
    let (code, message) = failure(&streaming.text().await);
    assert_eq!((code.as_str(), began.elapsed().as_secs()), ("shutting_down", 10));
    assert_eq!(message, "the service is restarting, please try again in a moment");
    for asking in [waiting, whole, queued] {
        let reply = asking.await.unwrap();
        let retry_after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((5..=10).contains(&retry_after), "{retry_after}");
        let (status, code, _) = reply.error().await;
        assert_eq!((status, code.as_str()), (503, "shutting_down"));
    }
    let all_gone = async {
        answer.gone().await;
        waiting_call.gone().await;
        whole_call.gone().await;
    };
    timeout(SOON, all_gone).await.expect("the upstream still works for nobody");
    assert!(rig.upstream.untouched(), "who was queued was sent on at the last moment");
    stopping.abort();
    let mut ends: Vec<_> =
        rig.records().await.iter().map(|record| record["end"].as_str().unwrap().to_owned()).collect();
    ends.sort();
    assert_eq!(ends, ["drained", "failed", "failed", "refused"]);
}

#[tokio::test(start_paused = true)]
async fn kept_connections_are_closed_and_the_last_answer_says_so() {
    let mut rig = Rig::new().await;
    let mut idle = rig.pipe();
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\n\r\n");
    idle.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(listen(&mut idle, SOON).await.statuses(), [200]);
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    let core = rig.core.clone();
    let stopping = tokio::spawn(async move { core.drain(PATIENCE, std::future::pending()).await });
    let heard = listen(&mut idle, Duration::from_secs(1)).await;
    assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    call.answer(200, &crate::rig::done_line("hi")).await;
    let reply = asking.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("connection")), (200, Some("close")));
    stopping.abort();
}

/// A connection that this process accepted just before it drains is no other process's to answer.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_on_its_way_is_answered() {
    let rig = Rig::new().await;
    let mut late = rig.pipe();
    let mut silent = rig.pipe();
    sleep(SOON).await;
    let core = rig.core.clone();
    let stopping = tokio::spawn(async move { core.drain(PATIENCE, std::future::pending()).await });
    sleep(Duration::from_millis(300)).await;
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\n\r\n");
    late.write_all(head.as_bytes()).await.unwrap();
    let heard = listen(&mut late, Duration::from_secs(1)).await;
    assert!(heard.closed, "{heard:?}");
    assert_eq!(heard.statuses(), [200]);
    let heard = listen(&mut silent, Duration::from_secs(1)).await;
    assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    stopping.abort();
}

/// Real sockets, all kinds of connections at once: when the accept loop has ended, none is left.
#[tokio::test(start_paused = true)]
async fn nobody_keeps_the_process_alive() {
    let mut rig = Rig::new().await;
    let listener = gateway::http::bind(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(gateway::http::accept(rig.core.clone(), listener));
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\n\r\n");
    let body = hello(true).to_string();
    let post = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let silent = TcpStream::connect(address).await.unwrap();
    let mut half_head = TcpStream::connect(address).await.unwrap();
    half_head.write_all(&head.as_bytes()[..30]).await.unwrap();
    let mut half_body = TcpStream::connect(address).await.unwrap();
    half_body.write_all(&[post.as_bytes(), &body.as_bytes()[..5]].concat()).await.unwrap();
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(head.as_bytes()).await.unwrap();
    let mut streaming = TcpStream::connect(address).await.unwrap();
    streaming.write_all((post + &body).as_bytes()).await.unwrap();
    let answer = rig.upstream.call().await.stream();
    answer.text("one").await;
    // Everybody has been accepted and answered as far as he can be.
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.unwrap();
    streaming.read_exact(&mut first).await.unwrap();

    let core = rig.core.clone();
    core.drain(Duration::from_secs(5), async { accepting.await.unwrap() }).await;
    for (name, mut stream) in
        [("silent", silent), ("half a head", half_head), ("half a body", half_body), ("kept", kept)]
    {
        let mut rest = Vec::new();
        // A reset is an end too.
        drop(stream.read_to_end(&mut rest).await);
        assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"), "{name}");
    }
    let mut rest = Vec::new();
    streaming.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.contains("shutting_down") && !rest.contains("[DONE]"), "{rest}");
    assert!(TcpStream::connect(address).await.is_err(), "the door is closed");
    assert!(rig.core.metrics_text().contains("gatehouse_connections_open 0\n"));
}

#[tokio::test(start_paused = true)]
async fn after_the_audit_is_closed_nothing_is_served() {
    let rig = Rig::new().await;
    rig.core.close_audit().await;
    assert_eq!(rig.send(get("/v1/models")).await.error().await.1, "audit_unavailable");
}
