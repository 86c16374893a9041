//! Framing: raw bytes in, and what has two meanings is refused before anything asks what it wants.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::rig::{Heard, KEY, Rig, SOON, chat, done_line, hello, listen, raw};

/// A head with a key; `lines` come after the request line, each with its own end.
fn head(request_line: &str, lines: &str) -> String {
    format!("{request_line}\r\n{lines}Authorization: Bearer {KEY}\r\n\r\n")
}

fn get(path: &str, lines: &str) -> String {
    head(&format!("GET {path} HTTP/1.1"), &format!("Host: gateway.test\r\n{lines}"))
}

fn post(lines: &str, body: &str) -> String {
    head("POST /v1/chat/completions HTTP/1.1", &format!("Host: gateway.test\r\n{lines}")) + body
}

/// Sends bytes on a connection of their own and expects these statuses, in order.
async fn check(rig: &mut Rig, bytes: &str, statuses: &[u16], closes: bool) -> Heard {
    let heard = raw(rig.pipe(), bytes.as_bytes()).await;
    let sent: String = bytes.chars().take(300).collect();
    assert_eq!(heard.statuses(), statuses, "{sent:?} -> {heard:?}");
    assert_eq!(heard.closed, closes, "{sent:?} -> {heard:?}");
    assert!(rig.upstream.untouched(), "it reached the upstream: {sent:?}");
    heard
}

#[tokio::test(start_paused = true)]
async fn one_host_that_is_a_host() {
    let mut rig = Rig::new().await;
    for (status, line, lines) in [
        (200, "GET /v1/models HTTP/1.1", "Host: gateway.test\r\n"),
        (200, "GET /v1/models HTTP/1.1", "Host: gateway.test:18789\r\n"),
        (200, "GET /v1/models HTTP/1.1", "Host: [::1]:18789\r\n"),
        (200, "GET /v1/models HTTP/1.1", "hOST: gateway.test\r\n"),
        (400, "GET /v1/models HTTP/1.1", ""),
        (400, "GET /v1/models HTTP/1.1", "Host:\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a\r\nHost: a\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a\r\nHost: b\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a/b\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a b\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a,b\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: user@a\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a?b\r\n"),
        (400, "GET /v1/models HTTP/1.1", "Host: a\\b\r\n"),
        (400, "GET http://gateway.test/v1/models HTTP/1.1", "Host: gateway.test\r\n"),
        (400, "GET http://elsewhere.test/v1/models HTTP/1.1", "Host: gateway.test\r\n"),
        (400, "CONNECT gateway.test:443 HTTP/1.1", "Host: gateway.test\r\n"),
    ] {
        let heard = raw(rig.pipe(), head(line, lines).as_bytes()).await;
        assert_eq!(heard.statuses(), [status], "{line} {lines:?} -> {heard:?}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn one_way_to_find_the_end_of_a_body() {
    let mut rig = Rig::new().await;
    let body = hello(false).to_string();
    let (length, chunk) = (body.len(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    for lines in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".into(),
        "Transfer-Encoding: identity\r\n".into(),
        "Transfer-Encoding: gzip, chunked\r\n".into(),
        "Transfer-Encoding: chunked, identity\r\n".into(),
        "Transfer-Encoding: xchunked\r\n".into(),
        "Transfer-Encoding : chunked\r\n".into(),
        "Transfer-Encoding: \u{b}chunked\r\n".into(),
        "Transfer-Encoding:\r\n chunked\r\n".into(),
    ] {
        check(&mut rig, &post(&lines, &chunk), &[400], true).await;
    }
    for lines in [
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 1\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        "Content-Length: -1\r\n".into(),
        "Content-Length: 0x10\r\n".into(),
        "Content-Length:\r\n".into(),
        "Content-Length: 99999999999999999999999\r\n".into(),
    ] {
        let heard = raw(rig.pipe(), post(&lines, &body).as_bytes()).await;
        assert!(matches!(heard.statuses()[..], [400 | 413]) && heard.closed, "{lines:?} -> {heard:?}");
    }
    let old =
        head("POST /v1/chat/completions HTTP/1.0", "Host: a\r\nTransfer-Encoding: chunked\r\n") + &chunk;
    check(&mut rig, &old, &[400], true).await;
}

#[tokio::test(start_paused = true)]
async fn lines_that_servers_read_differently() {
    let mut rig = Rig::new().await;
    let body = hello(false).to_string();
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for bytes in [
        format!("GET /v1/models HTTP/1.1\nHost: a\nAuthorization: Bearer {KEY}\n\n"),
        get("/v1/models", "X-A: b\nX-B: c\r\n"),
        get("/v1/models", "X-A: b\r\n folded\r\n"),
        get("/v1/models", " X-A: b\r\n"),
        get("/v1/models", "X-A: b\rX-B: c\r\n"),
        get("/v1/models", "X-A: b\0c\r\n"),
        get("/v1/models", "X-Ä: b\r\n"),
        get("/v1/models", "X-A : b\r\n"),
        get("/v1/models", "X A: b\r\n"),
        get("/v1/models", ": b\r\n"),
        get("/v1/models", "no colon\r\n"),
        get("/v1/mod els", ""),
        get("/v1/mod\tels", ""),
        format!("\r\n\r\n{}", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &chunk)),
        format!("\r\n{}", get("/v1/models", "")),
        head("GET /v1/models HTTP/1.1 ", "Host: a\r\n"),
        head("GET  /v1/models HTTP/1.1", "Host: a\r\n"),
        head("GET /v1/models HTTP/1.2", "Host: a\r\n"),
        head("GET /v1/models HTTP/3.0", "Host: a\r\n"),
        head("GET /v1/models http/1.1", "Host: a\r\n"),
        head("GET /v1/models", "Host: a\r\n"),
        head("G{}T /v1/models HTTP/1.1", "Host: a\r\n"),
    ] {
        let heard = raw(rig.pipe(), bytes.as_bytes()).await;
        assert_eq!((heard.statuses(), heard.closed), (vec![400], true), "{bytes:?} -> {heard:?}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn what_was_never_read_is_not_taken_for_the_next_request() {
    let mut rig = Rig::new().await;
    let decoy = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", decoy.len());
    for (status, lines) in [
        (401, "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Api-Key: wrong\r\n".to_owned()),
        (404, format!("POST /v1/nothing HTTP/1.1\r\nHost: a\r\nX-Api-Key: {KEY}\r\n")),
        (405, format!("PUT /v1/models HTTP/1.1\r\nHost: a\r\nX-Api-Key: {KEY}\r\n")),
        (
            415,
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Api-Key: {KEY}\r\nContent-Encoding: gzip\r\n"
            ),
        ),
    ] {
        let heard = check(&mut rig, &format!("{lines}{length}\r\n{decoy}"), &[status], true).await;
        assert!(heard.text.contains("connection: close"), "{heard:?}");
    }
    // A body that was read to its end is no reason to close.
    let wrong = "{\"model\":7}";
    check(&mut rig, &post(&format!("Content-Length: {}\r\n", wrong.len()), wrong), &[400], false).await;
    let chunked = format!("{:x}\r\n{wrong}\r\n0\r\n\r\n", wrong.len());
    check(&mut rig, &post("Transfer-Encoding: chunked\r\n", &chunked), &[400], false).await;
}

#[tokio::test(start_paused = true)]
async fn chunks_are_read_and_broken_ones_refused() {
    let mut rig = Rig::new().await;
    let body = hello(false).to_string();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let bytewise: String = body.chars().map(|c| format!("1;ext=\"x\"\r\n{c}\r\n")).collect();
    for good in
        [format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()), format!("{bytewise}0\r\nX-Trailer: x\r\n\r\n")]
    {
        let mut pipe = rig.pipe();
        pipe.write_all(post(chunked, &good).as_bytes()).await.unwrap();
        let call = rig.upstream.call().await;
        assert!(!call.headers.contains_key("x-trailer"));
        assert_eq!(call.body["messages"][0], json!({"role": "user", "content": "hello"}));
        call.answer(200, &done_line("hi")).await;
        assert_eq!(listen(&mut pipe, SOON).await.statuses(), [200]);
    }
    for bad in
        ["x\r\n", "-1\r\n", "5\r\nhelloworld\r\n", "ffffffffffffffffff\r\n", "5 5\r\nhello\r\n", "\r\n"]
    {
        check(&mut rig, &post(chunked, bad), &[400], true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_nobody_s_request() {
    let mut rig = Rig::new().await;
    let mut pipe = rig.pipe();
    pipe.write_all(post("Content-Length: 500\r\n", "{\"model\":").as_bytes()).await.unwrap();
    drop(pipe);
    tokio::time::sleep(SOON).await;
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn bounds_of_a_head() {
    let mut rig = Rig::with(|config| {
        config.input.headers_max = 10;
        config.input.uri_bytes_max = 100;
    })
    .await;
    // Host and Authorization are two of them.
    for (count, status) in [(7, 200), (8, 200), (9, 431), (400, 431)] {
        let lines: String = (0..count).map(|index| format!("X-{index}: x\r\n")).collect();
        check(&mut rig, &get("/v1/models", &lines), &[status], status == 431).await;
    }
    for (length, status) in [(99, 404), (100, 404), (101, 414), (60_000, 414)] {
        let path = format!("/{}", "x".repeat(length - 1));
        let heard = raw(rig.pipe(), get(&path, "").as_bytes()).await;
        let too_long_for_any_head = length > 16 << 10;
        assert!(
            heard.statuses() == [status] || too_long_for_any_head && heard.statuses() == [431],
            "{length} -> {heard:?}"
        );
    }
    for (length, status) in [(8 << 10, 200), (15 << 10, 200), (17 << 10, 431), (300 << 10, 431)] {
        let heard =
            raw(rig.pipe(), get("/v1/models", &format!("X-Long: {}\r\n", "x".repeat(length))).as_bytes())
                .await;
        assert_eq!(heard.statuses(), [status], "{length}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn bounds_of_a_body() {
    let mut rig = Rig::with(|config| config.input.body_bytes_max = 200).await;
    let padded = |length: usize| {
        let body = hello(false).to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    for length in [199, 200] {
        let mut pipe = rig.pipe();
        pipe.write_all(post(&format!("Content-Length: {length}\r\n"), &padded(length)).as_bytes())
            .await
            .unwrap();
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
        assert_eq!(listen(&mut pipe, SOON).await.statuses(), [200]);
    }
    check(&mut rig, &post("Content-Length: 201\r\n", &padded(201)), &[413], true).await;
    let chunk = format!("c9\r\n{}\r\n0\r\n\r\n", padded(201));
    check(&mut rig, &post("Transfer-Encoding: chunked\r\n", &chunk), &[413], true).await;
    for encoding in ["gzip", "zstd", "br", "deflate", "gzip, identity"] {
        let lines = format!("Content-Length: 2\r\nContent-Encoding: {encoding}\r\n");
        let heard = raw(rig.pipe(), post(&lines, "{}").as_bytes()).await;
        assert_eq!(heard.statuses(), [415], "{encoding}");
    }
}

#[tokio::test(start_paused = true)]
async fn paths_are_compared_byte_for_byte() {
    let mut rig = Rig::new().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/models/",
        "//v1/models",
        "/v1//models",
        "/v1/./models",
        "/v1/x/../models",
        "/v1/models/../../api/tags",
        "/v1/models/..%2f..%2fapi%2ftags",
        "/v1/models/%2e%2e/%2e%2e/api/tags",
        "/v1/%6dodels",
        "/V1/models",
        "/v1/models;x=1",
        "/v1/models%00",
        "/v1/models%20",
        "/v1/models\\x",
        "/v1/models/%c0%ae%c0%ae",
        "/v1/chat/completions/",
        "/api",
        "/api/",
        "/api/tags/",
        "//api/tags",
        "/api/./tags",
        "/api/%74ags",
        "/API/tags",
        "/api/blobs/..%2ftags",
        "/metrics",
        "/healthz",
        "/debug/pprof",
        "*",
    ] {
        let heard = raw(rig.pipe(), get(path, "").as_bytes()).await;
        assert!(matches!(heard.statuses()[..], [404 | 400]), "{path} -> {heard:?}");
    }
    assert!(rig.upstream.untouched() && rig.upstream.shown().is_empty());
}

#[tokio::test(start_paused = true)]
async fn methods_are_the_table_s() {
    let mut rig = Rig::new().await;
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH", "get", "BREW"] {
        let bytes = head(&format!("{method} /v1/models HTTP/1.1"), "Host: a\r\n");
        let heard = check(&mut rig, &bytes, &[405], false).await;
        assert!(heard.text.contains("\r\nallow: GET\r\n"), "{heard:?}");
    }
    let heard = check(&mut rig, &get("/v1/chat/completions", ""), &[405], false).await;
    assert!(heard.text.contains("\r\nallow: POST\r\n"), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_but_http_1_is_spoken() {
    let mut rig = Rig::new().await;
    let heard = raw(rig.pipe(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(heard.closed && !heard.text.contains(" 200 "), "{heard:?}");
    let heard = raw(rig.pipe(), b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
    assert!(heard.closed && !heard.text.contains(" 200 "), "{heard:?}");
    for upgrade in ["h2c", "websocket", "HTTP/2.0, TLS/1.0"] {
        let lines = format!(
            "Upgrade: {upgrade}\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"
        );
        let heard = check(&mut rig, &get("/v1/models", &lines), &[200], false).await;
        assert!(!heard.text.to_ascii_lowercase().contains("upgrade"), "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_wait_for_its_turn_is_not_served() {
    let mut rig = Rig::new().await;
    // The second of two that come together cannot be judged by its own bytes.
    let two = get("/v1/models", "") + &get("/v1/models", "");
    let heard = check(&mut rig, &two, &[200, 400], true).await;
    assert!(!heard.text.is_empty());
    // One after the other they are served, however they are cut.
    let mut pipe = rig.pipe();
    for _ in 0..3 {
        for byte in get("/v1/models", "").as_bytes() {
            pipe.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(listen(&mut pipe, SOON).await.statuses(), [200]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_an_address_is_refused_and_not_repeated() {
    let mut rig = Rig::new().await;
    for query in [format!("key={KEY}"), format!("api_key={KEY}&x=1"), format!("a=1&apikey={KEY}")] {
        let heard = check(&mut rig, &get(&format!("/v1/models?{query}"), ""), &[400], false).await;
        assert!(heard.text.contains("key_in_url") && !heard.text.contains(KEY), "{heard:?}");
    }
    check(&mut rig, &get("/v1/models?limit=20", ""), &[200], false).await;
    assert!(rig.records().await.iter().all(|record| !record.to_string().contains(KEY)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_it_is_in_the_caller_s_format() {
    let mut rig = Rig::new().await;
    let heard = check(&mut rig, &get("/v1/nothing", ""), &[404], false).await;
    for line in [
        "content-type: application/json",
        "cache-control: no-cache, no-store",
        "x-content-type-options: nosniff",
        "x-request-id: req_",
        "\"type\":\"invalid_request_error\",\"param\":null,\"code\":",
    ] {
        assert!(heard.text.contains(line), "{line} in {heard:?}");
    }
    assert!(!heard.text.to_ascii_lowercase().contains("server:"), "{heard:?}");
}

/// Streams that end well, streams that fail and whole answers: the next request follows at once.
#[tokio::test(start_paused = true)]
async fn one_connection_carries_one_answer_after_the_other() {
    let mut rig = Rig::new().await;
    let mut client = rig.client().await;
    for round in 0..9 {
        let asked = chat(&hello(round % 3 != 0));
        let answering = async {
            let answer = rig.upstream.call().await.stream();
            if round % 3 == 2 {
                answer.text("half").await;
                answer.cut().await;
            } else {
                answer.done().await;
            }
        };
        let (reply, ()) = tokio::join!(client.send(asked), answering);
        assert_eq!(reply.status, 200, "round {round}");
        assert_eq!(reply.text().await.contains("\"error\""), round % 3 == 2, "round {round}");
    }
    assert_eq!(rig.records().await.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn who_asks_first_is_told_to_go_on_only_with_a_key() {
    let mut rig = Rig::new().await;
    let body = hello(false).to_string();
    let lines = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
    let mut pipe = rig.pipe();
    pipe.write_all(post(&lines, "").as_bytes()).await.unwrap();
    assert_eq!(listen(&mut pipe, SOON).await.statuses(), [100]);
    pipe.write_all(body.as_bytes()).await.unwrap();
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(listen(&mut pipe, SOON).await.statuses(), [200]);
    let stranger = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    check(&mut rig, &stranger, &[401], true).await;
}

/// A head whose first half came while the last answer was on its way was never seen whole, so it is not served.
#[tokio::test(start_paused = true)]
async fn a_head_in_two_halves_around_an_answer_is_refused() {
    let mut rig = Rig::new().await;
    let mut pipe = rig.pipe();
    let body = hello(false).to_string();
    let head =
        |rest: &str| format!("POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\n{rest}");
    let first = head(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    pipe.write_all(first.as_bytes()).await.unwrap();
    let call = rig.upstream.call().await;
    pipe.write_all(head("content-length: 5\r\n").as_bytes()).await.unwrap();
    sleep(SOON).await;
    call.answer(200, &done_line("hi")).await;
    sleep(SOON).await;
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    pipe.write_all(chunked.as_bytes()).await.unwrap();
    let heard = listen(&mut pipe, Duration::from_secs(1)).await;
    assert_eq!(heard.statuses(), [200, 400], "{heard:?}");
    assert!(heard.closed && rig.upstream.untouched());
}
