//! Records: one audit line a request, with what happened and without what was said.

use std::time::Duration;

use gateway::config::{Audit, AuditPolicy};
use http::HeaderValue;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::rig::{
    KEY, Life, Rig, SOON, bare_request, chat, chat_with, done_line, get, hello, keys, only, request,
};

/// The fields of a record that a test can know beforehand.
fn known(mut record: Value) -> Value {
    let fields = record.as_object_mut().unwrap();
    let ts = fields.remove("ts").unwrap();
    assert!(ts.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{ts}");
    assert!(fields.remove("request_id").unwrap().as_str().unwrap().starts_with("req_"));
    record
}

#[tokio::test(start_paused = true)]
async fn a_complete_answer() {
    let mut rig = Rig::with(|config| {
        config.upstreams[0].slots = Some(1);
        keys(config)[0].speaks_for_users = true;
    })
    .await;
    let (running, running_answer) = rig.streaming().await;
    let mut body = json!({
        "model": "qwen3:32b",
        "messages": [{"role": "system", "content": "canary"}, {"role": "user", "content": "你好"}],
        "stream": true,
        "metadata": {"canary": "canary"},
        "made_up_canary": 1,
    });
    body["user"] = "canary".into();
    let head = request("POST", "/v1/chat/completions")
        .header("user-agent", HeaderValue::from_bytes("curl/8 \u{202e}x".as_bytes()).unwrap())
        .header("x-user-id", "ann");
    let asking = rig.ask(chat_with(head, &body));
    sleep(Duration::from_secs(2)).await;
    running_answer.done().await;
    drop(running.text().await);
    let answer = rig.upstream.call().await.stream();
    sleep(Duration::from_secs(3)).await;
    answer.text("canary").await;
    sleep(Duration::from_secs(4)).await;
    answer.done().await;
    let reply = asking.await.unwrap();
    let id = reply.header("x-request-id").unwrap().to_owned();
    assert!(reply.text().await.ends_with("data: [DONE]\n\n"));
    let record = rig.records().await.remove(1);
    assert_eq!(record["request_id"], id);
    assert!(!record.to_string().contains("canary"), "{record}");
    assert_eq!(
        known(record),
        json!({
            "seq": 2,
            "client": "127.0.0.1",
            "key_id": "alice",
            "user_id": "ann",
            "method": "POST",
            "route": "/v1/chat/completions",
            "model": "qwen3:32b",
            "status": 200,
            "stream": true,
            "prompt_chars": 8,
            "prompt_tokens": 11,
            "output_tokens": 7,
            "ms_queued": 2_000,
            "ms_first_byte": 5_000,
            "ms_total": 9_000,
            "end": "complete",
            "dropped": ["metadata", "user", "(unknown)"],
            "upstream": "gpu",
            "user_agent": "curl/8 <U+202E>x",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_refused_at_the_door() {
    let rig = Rig::new().await;
    let asked =
        bare_request("GET", "/v1/models").header("x-api-key", "canary").body(Full::default()).unwrap();
    assert_eq!(rig.send(asked).await.status, 401);
    let record = known(only(rig.records().await));
    assert_eq!(
        record,
        json!({
            "seq": 1,
            "client": "127.0.0.1",
            "method": "GET",
            "route": "/v1/models",
            "status": 401,
            "stream": false,
            "ms_total": 0,
            "end": "refused",
            "error": "invalid_api_key",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn every_ending_is_told_apart() {
    let mut rig = Rig::with(|config| config.clocks.idle = Duration::from_secs(20)).await;
    let mut expected = Vec::new();
    let mut expect = |end: &str, status: u16, error: Option<&str>| {
        expected.push(json!([end, status, error]));
    };
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    expect("complete", 200, None);
    assert_eq!(rig.send(get("/v1/nothing")).await.status, 404);
    expect("refused", 404, Some("unknown_path"));
    let mut long = hello(true);
    long["messages"][0]["content"] = "x".repeat(40_000).into();
    assert_eq!(rig.send(chat(&long)).await.status, 400);
    expect("refused", 400, Some("context_length_exceeded"));

    let (reply, answer) = rig.streaming().await;
    answer.done().await;
    drop(reply.text().await);
    expect("complete", 200, None);
    let (reply, answer) = rig.streaming().await;
    answer.cut().await;
    drop(reply.text().await);
    expect("upstream_cut", 200, Some("upstream_error"));
    let (reply, answer) = rig.streaming().await;
    drop(reply.text().await);
    drop(answer);
    expect("deadline", 200, Some("upstream_timeout"));
    let (reply, mut answer) = rig.streaming().await;
    reply.leave();
    answer.gone().await;
    expect("client_gone", 200, None);
    let asking = rig.ask(chat(&hello(false)));
    let mut call = rig.upstream.call().await;
    asking.abort();
    call.gone().await;
    expect("client_gone", 0, None);
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(500, "{\"error\":\"canary\"}").await;
    assert_eq!(asking.await.unwrap().status, 502);
    expect("failed", 502, Some("upstream_error"));
    let asking = rig.ask(chat(&hello(true)));
    let call = rig.upstream.call().await;
    rig.upstream.set(Life::Stopped);
    assert_eq!(asking.await.unwrap().status, 503);
    drop(call);
    expect("failed", 503, Some("upstream_unavailable"));
    assert_eq!(rig.send(chat(&hello(true))).await.status, 503);
    expect("refused", 503, Some("upstream_unavailable"));

    let records = rig.records().await;
    let told: Vec<_> =
        records.iter().map(|record| json!([record["end"], record["status"], record["error"]])).collect();
    assert_eq!(told, expected);
    let numbers: Vec<_> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=records.len() as u64).collect::<Vec<_>>());
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains("hello") && !all.contains("canary") && !all.contains(KEY), "{all}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_counts_is_charged_for_what_passed() {
    let mut rig = Rig::new().await;
    let (reply, answer) = rig.streaming().await;
    for _ in 0..4 {
        answer.text("more").await;
    }
    answer.cut().await;
    drop(reply.text().await);
    let record = only(rig.records().await);
    assert_eq!((&record["output_tokens"], record.get("prompt_tokens")), (&5.into(), None));
}

#[tokio::test(start_paused = true)]
async fn without_a_place_for_its_record_nothing_is_served() {
    let audit = Audit { buffer_records: 2, ..Audit::default() };
    let mut rig = Rig::with(|config| config.audit = Audit { file: config.audit.file.clone(), ..audit }).await;
    let (first, first_answer) = rig.streaming().await;
    let (second, second_answer) = rig.streaming().await;
    for asked in [get("/v1/models"), chat(&hello(true))] {
        let reply = rig.send(asked).await;
        let retry_after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((10..=20).contains(&retry_after), "{retry_after}");
        assert!(reply.header("x-request-id").is_some());
        assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
        let (status, code, _) = reply.error().await;
        assert_eq!((status, code.as_str()), (503, "audit_unavailable"));
    }
    for (path, status, words) in [
        ("/api/tags", 503, "{\"error\":\"the service cannot record"),
        ("/v1/messages", 529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\""),
    ] {
        let reply = rig.send(get(path)).await;
        assert_eq!(reply.status, status, "{path}");
        let text = reply.text().await;
        assert!(text.starts_with(words), "{path}: {text}");
    }
    assert!(rig.upstream.untouched());
    first_answer.done().await;
    drop(first.text().await);
    // The writer is a thread of its own: it frees the place when the line is written.
    let served = async {
        while rig.send(get("/v1/models")).await.status != 200 {
            std::thread::yield_now();
        }
    };
    timeout(Duration::from_secs(3_600), served).await.expect("it does not recover");
    second_answer.done().await;
    drop(second.text().await);
    assert_eq!(rig.records().await.len(), 3, "the refused are told by metrics and log");
}

#[tokio::test(start_paused = true)]
async fn where_the_policy_says_so_service_goes_on_without_records() {
    let mut rig = Rig::with(|config| {
        config.audit.buffer_records = 1;
        config.audit.on_error = AuditPolicy::Drop;
    })
    .await;
    let (reply, answer) = rig.streaming().await;
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    answer.done().await;
    drop(reply.text().await);
    sleep(SOON).await;
    assert!(rig.core.metrics_text().contains("gatehouse_audit_lost_total 1\n"));
    assert_eq!(rig.records().await.len(), 1);
}
