//! What a waiting client sees: comments for who asked, silence for who did not, and never a proxy's idle limit.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use crate::rig::{Reply, Rig, SOON, chat, chat_with, failure, get, hello, request};

fn telling() -> Request<Full<Bytes>> {
    chat_with(request("POST", "/v1/chat/completions").header("x-gatehouse-progress", "1"), &hello(true))
}

/// Reads comments until one differs from those before.
async fn next_stage(reply: &mut Reply, before: &str) -> String {
    loop {
        let piece = reply.piece().await.expect("the stream ended");
        assert!(piece.starts_with(": ") && piece.ends_with("\n\n"), "{piece:?}");
        if piece != before {
            return piece;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_told_queued_loading_reading() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(1)).await;
    rig.upstream.script_loads();
    let (running, answer) = rig.streaming().await;
    rig.upstream.set_resident("{\"models\":[]}");
    // The view of what is in memory is looked at on the side.
    sleep(Duration::from_secs(20)).await;
    let ahead = rig.ask(chat(&hello(true)));
    sleep(SOON).await;
    let began = Instant::now();
    let mut reply = rig.send(telling()).await;
    assert!(began.elapsed() < SOON, "the head does not wait for the answer");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let second = next_stage(&mut reply, "").await;
    assert_eq!(second, ": progress {\"state\":\"queued\",\"position\":2}\n\n");
    ahead.abort();
    let first = next_stage(&mut reply, &second).await;
    assert_eq!(first, ": progress {\"state\":\"queued\",\"position\":1}\n\n");
    answer.done().await;
    drop(running.text().await);
    let load = rig.upstream.call().await;
    assert_eq!(load.path, "/api/generate");
    let mut stage = next_stage(&mut reply, &first).await;
    assert_eq!(stage, ": progress {\"state\":\"loading\",\"elapsed_s\":0}\n\n");
    stage = next_stage(&mut reply, &stage).await;
    assert_eq!(stage, ": progress {\"state\":\"loading\",\"elapsed_s\":1}\n\n");
    rig.upstream.set_resident("{\"models\":[{\"name\":\"registry.internal/qwen3:32b\"}]}");
    load.answer(200, "{\"done\":true}").await;
    let mut call = rig.upstream.call().await;
    assert_eq!(next_stage(&mut reply, &stage).await, ": progress {\"state\":\"reading\"}\n\n");
    let answer = call.stream();
    answer.text("hi").await;
    answer.done().await;
    let text = reply.text().await;
    assert!(text.contains("\"content\":\"hi\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn comments_come_twice_a_second() {
    let mut rig = Rig::new().await;
    let mut reply = rig.send(telling()).await;
    let _call = rig.upstream.call().await;
    let began = Instant::now();
    for _ in 0..20 {
        reply.piece().await.unwrap();
    }
    let elapsed = began.elapsed();
    assert!((Duration::from_secs(9)..=Duration::from_secs(10)).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ask_gets_no_head_before_the_answer() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    sleep(Duration::from_secs(24)).await;
    assert!(!asking.is_finished(), "a head that is sent early cannot carry a late refusal");
    call.begin(404, "application/json").send("{\"error\":\"model 'x' not found\"}").await;
    let (status, code, _) = asking.await.unwrap().error().await;
    assert_eq!((status, code.as_str()), (404, "model_not_found"));
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_comments_keep_the_connection_and_failures_are_events() {
    let mut rig = Rig::new().await;
    let began = Instant::now();
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    let mut reply = asking.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 25);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    for seconds in [25, 40, 55, 70] {
        assert_eq!(reply.piece().await.unwrap(), ": keepalive\n\n");
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
    call.begin(404, "application/json").send("{\"error\":\"model 'secret-name' not found\"}").await;
    let text = reply.text().await;
    assert_eq!(failure(&text).0, "model_not_found");
    assert!(!text.contains("secret-name"));
    let record = crate::rig::only(rig.records().await);
    assert_eq!(record["status"], 200, "the status that the client saw");
    assert_eq!((&record["end"], &record["error"]), (&"failed".into(), &"model_not_found".into()));
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_the_answer_follows_the_comments() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    let reply = asking.await.unwrap();
    let answer = call.stream();
    answer.text("at last").await;
    answer.done().await;
    let text = reply.text().await;
    assert!(text.starts_with(": keepalive\n\ndata: {"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_open_by_comments() {
    let mut rig = Rig::new().await;
    let (mut reply, answer) = rig.streaming().await;
    let began = Instant::now();
    for seconds in [15, 30, 45] {
        assert_eq!(reply.piece().await.unwrap(), ": keepalive\n\n");
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
    // A stream that flows needs none.
    for _ in 0..10 {
        sleep(Duration::from_secs(10)).await;
        answer.text("more").await;
        assert!(reply.piece().await.unwrap().starts_with("data: "));
    }
    answer.done().await;
    assert!(reply.text().await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn comments_do_not_count_as_life_of_the_upstream() {
    let mut rig = Rig::new().await;
    let (reply, _answer) = rig.streaming().await;
    let began = Instant::now();
    let text = reply.text().await;
    assert_eq!(began.elapsed().as_secs(), 120);
    assert_eq!(text.matches(": keepalive\n\n").count(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_header_changes_nothing_for_who_does_not_stream() {
    let mut rig = Rig::new().await;
    let asked =
        chat_with(request("POST", "/v1/chat/completions").header("x-gatehouse-progress", "1"), &hello(false));
    let asking = rig.ask(asked);
    let call = rig.upstream.call().await;
    sleep(Duration::from_secs(60)).await;
    assert!(!asking.is_finished());
    call.answer(200, &crate::rig::done_line("whole")).await;
    assert_eq!(asking.await.unwrap().json().await["choices"][0]["message"]["content"], "whole");
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
}
