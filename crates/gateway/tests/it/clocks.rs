//! The clocks: every wait has an end, and whoever caused it learns of it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Heard, KEY, Rig, SOON, bare_request, chat, failure, get, hello, listen, only, raw};

#[tokio::test(start_paused = true)]
async fn first_byte_before_the_head_is_a_504() {
    let mut rig = Rig::with(|config| config.clocks.first_byte = Duration::from_secs(20)).await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    let began = Instant::now();
    let (status, code, _) = asking.await.unwrap().error().await;
    assert_eq!((status, code.as_str()), (504, "upstream_timeout"));
    assert_eq!(began.elapsed().as_secs(), 20);
    timeout(SOON, call.gone()).await.expect("the upstream still works for nobody");
    let record = only(rig.records().await);
    assert_eq!((&record["end"], &record["status"]), (&"failed".into(), &504.into()));
}

#[tokio::test(start_paused = true)]
async fn a_head_and_half_a_line_are_no_first_byte() {
    let mut rig = Rig::with(|config| config.clocks.first_byte = Duration::from_secs(20)).await;
    let asking = rig.ask(chat(&hello(true)));
    let mut answer = rig.upstream.call().await.stream();
    let dribbling = async {
        while !answer.is_gone() {
            answer.send(" ").await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (reply, ()) = tokio::join!(asking, dribbling);
    assert_eq!(reply.unwrap().error().await.1, "upstream_timeout");
    answer.gone().await;
}

#[tokio::test(start_paused = true)]
async fn first_byte_after_the_head_is_an_error_event() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    let began = Instant::now();
    let text = asking.await.unwrap().text().await;
    assert_eq!(failure(&text).0, "upstream_timeout");
    assert_eq!(began.elapsed().as_secs(), 600);
    timeout(SOON, call.gone()).await.expect("the upstream still works for nobody");
}

#[tokio::test(start_paused = true)]
async fn idle_ends_a_stream_without_a_proper_end() {
    let mut rig = Rig::new().await;
    let (reply, mut answer) = rig.streaming().await;
    let began = Instant::now();
    let text = reply.text().await;
    assert_eq!(began.elapsed().as_secs(), 120);
    let (code, message) = failure(&text);
    assert_eq!(code, "upstream_timeout");
    assert!(message.contains("between two tokens"), "{message}");
    timeout(SOON, answer.gone()).await.expect("the upstream still works for nobody");
    let record = only(rig.records().await);
    assert_eq!((&record["end"], &record["error"]), (&"deadline".into(), &"upstream_timeout".into()));
}

#[tokio::test(start_paused = true)]
async fn total_ends_a_stream_that_never_ends() {
    let mut rig = Rig::with(|config| config.clocks.total = Duration::from_secs(30)).await;
    let (reply, mut answer) = rig.streaming().await;
    let began = Instant::now();
    let endless = async {
        while !answer.is_gone() {
            answer.text("more ").await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (text, ()) = tokio::join!(reply.text(), endless);
    assert!(failure(&text).1.contains("whole answer"));
    assert_eq!(began.elapsed().as_secs(), 30);
    timeout(SOON, answer.gone()).await.expect("the upstream still works for nobody");
}

#[tokio::test(start_paused = true)]
async fn total_ends_a_call_that_does_not_stream() {
    let mut rig = Rig::with(|config| config.clocks.total = Duration::from_secs(30)).await;
    let asking = rig.ask(chat(&hello(false)));
    let mut call = rig.upstream.call().await;
    let began = Instant::now();
    let (status, code, _) = asking.await.unwrap().error().await;
    assert_eq!((status, code.as_str()), (504, "upstream_timeout"));
    assert_eq!(began.elapsed().as_secs(), 30);
    timeout(SOON, call.gone()).await.expect("the upstream still works for nobody");
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_a_clock_of_its_own() {
    let mut rig = Rig::with(|config| {
        config.upstreams[0].slots = Some(1);
        config.clocks.queue = Duration::from_secs(20);
    })
    .await;
    let (_running, _answer) = rig.streaming().await;
    for stream in [true, false] {
        let began = Instant::now();
        let reply = rig.send(chat(&hello(stream))).await;
        assert_eq!(began.elapsed().as_secs(), 20);
        let retry_after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((10..=20).contains(&retry_after), "{retry_after}");
        let (status, code, message) = reply.error().await;
        assert_eq!((status, code.as_str()), (503, "queue_timeout"), "{message}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_cut_and_frees_the_upstream() {
    let mut rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let body = hello(true).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    pipe.write_all(head.as_bytes()).await.unwrap();
    pipe.write_all(body.as_bytes()).await.unwrap();
    let mut answer = rig.upstream.call().await.stream();
    let piece = "x".repeat(4 << 10);
    let mut taken_bytes = 0;
    while timeout(Duration::from_secs(1), answer.text(&piece)).await.is_ok() {
        taken_bytes += piece.len();
        assert!(taken_bytes < 2 << 20, "what a client does not take must not pile up here");
    }
    let blocked = Instant::now();
    assert!(!answer.is_gone());
    timeout(Duration::from_secs(61), answer.gone()).await.expect("the upstream still works for nobody");
    assert!(blocked.elapsed() > Duration::from_secs(50), "{:?}", blocked.elapsed());
    drop(pipe);
    assert_eq!(only(rig.records().await)["end"], "client_gone");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_is_cut_at_one_deadline() {
    let rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let began = Instant::now();
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nx-long: {}\r\n\r\n", "x".repeat(100));
    for byte in head.as_bytes() {
        if pipe.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let waited = began.elapsed().as_secs();
    assert!((10..=12).contains(&waited), "{waited} s");
    assert!(listen(&mut pipe, SOON).await.closed);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let began = Instant::now();
    let heard = listen(&mut pipe, Duration::from_secs(60)).await;
    assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dribbles_is_a_408() {
    let mut rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\ncontent-length: 1000\r\n\r\n"
    );
    pipe.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let dribbling = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let heard = {
        let mut bytes = Vec::new();
        drop(tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await);
        Heard { text: String::from_utf8(bytes).unwrap(), closed: true }
    };
    assert_eq!(heard.statuses(), [408], "{heard:?}");
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(
        heard.text.contains("x-should-retry: false") && heard.text.contains("connection: close"),
        "{heard:?}"
    );
    assert!(heard.text.contains("request_timeout"));
    dribbling.abort();
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_outlives_the_idle_time_of_a_proxy() {
    let rig = Rig::new().await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        assert_eq!(client.send(get("/v1/models")).await.status, 200);
        sleep(Duration::from_secs(75)).await;
    }
    sleep(Duration::from_secs(20)).await;
    assert!(client.try_send(get("/v1/models")).await.is_none(), "90 s of nothing are enough");
}

#[tokio::test(start_paused = true)]
async fn every_answer_winds_the_clock_of_a_kept_connection_up_again() {
    let rig = Rig::new().await;
    let mut client = rig.client().await;
    for _ in 0..4 {
        // Refused without a wait: the connection is never seen busy by who reads it.
        let refused = bare_request("GET", "/v1/models").body(Default::default()).unwrap();
        assert_eq!(client.send(refused).await.status, 401);
        sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_minutes_is_not_a_silent_connection() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    sleep(Duration::from_secs(600)).await;
    call.answer(200, &crate::rig::done_line("slow")).await;
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn half_a_second_request_on_a_kept_connection_has_the_clock_of_a_head() {
    let rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let first = format!("GET /v1/models HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\n\r\n");
    pipe.write_all(first.as_bytes()).await.unwrap();
    assert_eq!(listen(&mut pipe, SOON).await.statuses(), [200]);
    sleep(Duration::from_secs(30)).await;
    let began = Instant::now();
    let heard = raw_half(pipe).await;
    assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    assert_eq!(began.elapsed().as_secs(), 10);
}

async fn raw_half(mut pipe: tokio::io::DuplexStream) -> Heard {
    pipe.write_all(b"GET /v1/mod").await.unwrap();
    listen(&mut pipe, Duration::from_secs(60)).await
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_does_not_hold_its_connection() {
    let rig = Rig::with(|config| config.input.body_bytes_max = 1 << 10).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\ncontent-length: 5000\r\n\r\n"
    );
    let heard = raw(rig.pipe(), head.as_bytes()).await;
    assert_eq!((heard.statuses(), heard.closed), (vec![413], true), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_heard_again_whatever_it_brings() {
    let mut rig = Rig::new().await;
    let mut client = rig.client().await;
    for quiet_ms in [0, 900, 1_000, 1_100, 5_000] {
        sleep(Duration::from_millis(quiet_ms)).await;
        assert_eq!(client.send(get("/v1/models")).await.status, 200, "after {quiet_ms} ms");
    }
    sleep(Duration::from_secs(5)).await;
    let answering = async { rig.upstream.call().await.answer(200, &crate::rig::done_line("hi")).await };
    let mut long = hello(false);
    long["messages"][0]["content"] = "x".repeat(20_000).into();
    let (reply, ()) = tokio::join!(client.send(chat(&long)), answering);
    assert_eq!(reply.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_late_is_whole_although_the_connection_is_quiet() {
    let mut rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let body = hello(false).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    pipe.write_all((head + &body).as_bytes()).await.unwrap();
    let text = "y".repeat(300 << 10);
    rig.upstream.call().await.answer(200, &crate::rig::done_line(&text)).await;
    sleep(Duration::from_secs(20)).await;
    let heard = listen(&mut pipe, SOON).await;
    assert!(heard.text.contains(&text), "{} bytes", heard.text.len());
}
