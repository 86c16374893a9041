//! One budget for what everybody buffers: who would grow without end waits, then fails, and small requests are served.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::rig::{Rig, chat, done_line, events, failure, hello, text_line};

const BUDGET_BYTES: u64 = 1 << 20;

async fn rig() -> Rig {
    Rig::with(|config| config.memory.buffer_bytes_max = BUDGET_BYTES).await
}

#[tokio::test(start_paused = true)]
async fn a_line_without_end_waits_for_memory_and_then_fails() {
    let mut rig = rig().await;
    let (reply, mut answer) = rig.streaming().await;
    let began = Instant::now();
    let endless = async {
        answer.send("{\"message\":{\"role\":\"assistant\",\"content\":\"").await;
        let piece = "x".repeat(16 << 10);
        let mut taken_bytes = 0;
        while !answer.is_gone() {
            if timeout(Duration::from_secs(1), answer.send(&piece)).await.is_ok() {
                taken_bytes += piece.len() as u64;
            }
        }
        taken_bytes
    };
    let (text, taken_bytes) = tokio::join!(reply.text(), endless);
    assert_eq!(failure(&text).0, "upstream_overloaded");
    assert!(!text.contains("[DONE]"));
    assert!(taken_bytes <= 2 * BUDGET_BYTES, "{taken_bytes}");
    let waited = began.elapsed();
    assert!((5..=7).contains(&waited.as_secs()), "{waited:?}");
    timeout(Duration::from_millis(10), answer.gone()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn beside_a_stream_that_waits_others_flow() {
    let mut rig = rig().await;
    let (_hog, answer) = rig.streaming().await;
    answer.send("{\"message\":{\"role\":\"assistant\",\"content\":\"").await;
    let piece = "x".repeat(16 << 10);
    while timeout(Duration::from_millis(1), answer.send(&piece)).await.is_ok() {}
    let (reply, other) = rig.streaming().await;
    for _ in 0..20 {
        other.send(&text_line(&"y".repeat(8 << 10))).await;
    }
    other.done().await;
    let text = reply.text().await;
    assert!(text.ends_with("data: [DONE]\n\n"));
    assert_eq!(events(&text).len(), 22);
}

#[tokio::test(start_paused = true)]
async fn a_long_line_that_ends_gives_its_memory_back() {
    let mut rig = rig().await;
    for _ in 0..8 {
        let (reply, answer) = rig.streaming().await;
        let line = text_line(&"x".repeat(300 << 10));
        let writing = async {
            for piece in line.as_bytes().chunks(16 << 10) {
                answer.send(std::str::from_utf8(piece).unwrap()).await;
            }
            answer.done().await;
        };
        let (text, ()) = tokio::join!(reply.text(), writing);
        assert!(text.len() > 300 << 10 && text.ends_with("data: [DONE]\n\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_that_does_not_fit_is_refused_with_a_retry() {
    let mut rig = rig().await;
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    let answering = tokio::spawn(async move { call.answer(200, &done_line(&"x".repeat(2 << 20))).await });
    let reply = asking.await.unwrap();
    assert!(reply.header("retry-after").is_some());
    let (status, code, _) = reply.error().await;
    assert_eq!((status, code.as_str()), (503, "overloaded"));
    answering.await.unwrap();
    let asking =
        rig.ask(chat(&json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "x"}]})));
    rig.upstream.call().await.answer(200, &done_line("served")).await;
    assert_eq!(asking.await.unwrap().status, 200);
}
