//! The queue: as many run as there are slots, in order of arrival, and a slot is free when its answer has ended.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Call, Life, Rig, SOON, chat, done_line, hello};

fn numbered(number: usize, stream: bool) -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": number.to_string()}], "stream": stream})
}

fn number(call: &Call) -> usize {
    call.body["messages"][0]["content"].as_str().unwrap().parse().unwrap()
}

async fn with_slots(slots: usize, queue_max: usize) -> Rig {
    Rig::with(|config| {
        config.upstreams[0].slots = Some(slots);
        config.upstreams[0].queue_max = queue_max;
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn slots_are_given_in_order_of_arrival() {
    let mut rig = with_slots(2, 64).await;
    let mut asking = Vec::new();
    for index in 0..8 {
        asking.push(rig.ask(chat(&numbered(index, index % 2 == 0))));
        sleep(SOON).await;
    }
    let mut running = vec![rig.upstream.call().await, rig.upstream.call().await];
    for next in 2..8 {
        sleep(Duration::from_secs(1)).await;
        assert!(rig.upstream.untouched(), "more run than there are slots");
        // Alternately the older and the younger of the two ends first.
        let call = running.remove(next % 2);
        call.answer(200, &done_line("done")).await;
        let call = timeout(SOON, rig.upstream.call()).await.expect("a free slot is not given on");
        assert_eq!(number(&call), next);
        running.push(call);
    }
    for call in running {
        call.answer(200, &done_line("done")).await;
    }
    for one in asking {
        assert_eq!(one.await.unwrap().status, 200);
    }
    let mut records = rig.records().await;
    records.sort_by_key(|record| record["ms_queued"].as_u64());
    assert!(records[0]["ms_queued"].as_u64().unwrap() < 10);
    assert!(records[7]["ms_queued"].as_u64().unwrap() >= 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let mut rig = with_slots(1, 2).await;
    let waiting: Vec<_> = (0..3).map(|index| rig.ask(chat(&numbered(index, true)))).collect();
    let _call = rig.upstream.call().await;
    sleep(SOON).await;
    let began = Instant::now();
    let reply = rig.send(chat(&hello(true))).await;
    assert!(began.elapsed() < SOON);
    let retry_after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((5..=10).contains(&retry_after), "{retry_after}");
    let (status, code, _) = reply.error().await;
    assert_eq!((status, code.as_str()), (503, "queue_full"));
    // A place that somebody leaves is free again.
    waiting[1].abort();
    sleep(SOON).await;
    let patient = rig.ask(chat(&hello(true)));
    sleep(Duration::from_secs(1)).await;
    assert!(!patient.is_finished());
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_at_the_end_of_the_body_and_not_at_its_head() {
    let mut rig = with_slots(1, 64).await;
    let (first, answer) = rig.streaming().await;
    let second = rig.ask(chat(&hello(true)));
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        answer.text("more").await;
        assert!(rig.upstream.untouched(), "the slot was given away while its stream runs");
    }
    answer.done().await;
    let next = timeout(SOON, rig.upstream.call()).await.expect("the slot is lost");
    assert!(first.text().await.ends_with("data: [DONE]\n\n"));
    drop((second, next));
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_holds_its_slot_until_it_is_read() {
    let mut rig = with_slots(1, 64).await;
    let first = rig.ask(chat(&hello(false)));
    let answer = rig.upstream.call().await.begin(200, "application/json");
    let second = rig.ask(chat(&hello(false)));
    let (one, other) = (done_line("in two pieces"), done_line("x"));
    let (left, right) = one.split_at(40);
    answer.send(left).await;
    sleep(Duration::from_secs(5)).await;
    assert!(rig.upstream.untouched());
    answer.send(right).await;
    drop(answer);
    assert_eq!(first.await.unwrap().json().await["choices"][0]["message"]["content"], "in two pieces");
    rig.upstream.call().await.answer(200, &other).await;
    assert_eq!(second.await.unwrap().status, 200);
}

/// However an answer ends, its slot is given on.
#[tokio::test(start_paused = true)]
async fn a_slot_is_free_whatever_ended_its_answer() {
    let mut rig = with_slots(1, 64).await;
    // The client leaves.
    let (reply, _answer) = rig.streaming().await;
    reply.leave();
    // The upstream breaks off.
    let (reply, answer) = rig.streaming().await;
    answer.cut().await;
    drop(reply.text().await);
    // It ends without its last line.
    let (reply, answer) = rig.streaming().await;
    drop(answer);
    drop(reply.text().await);
    // It refuses.
    let asking = rig.ask(chat(&hello(true)));
    rig.upstream.call().await.answer(500, "{\"error\":\"out of memory\"}").await;
    assert_eq!(asking.await.unwrap().status, 502);
    // It dies.
    let asking = rig.ask(chat(&hello(true)));
    let call = rig.upstream.call().await;
    rig.upstream.set(Life::Refusing);
    assert_eq!(asking.await.unwrap().status, 503);
    drop(call);
    rig.upstream.set(Life::Alive);
    sleep(Duration::from_secs(10)).await;
    // The idle clock.
    let (reply, _answer) = rig.streaming().await;
    drop(reply.text().await);
    let (_reply, _answer) = timeout(Duration::from_secs(1), rig.streaming()).await.expect("the slot is lost");
}

/// Nobody waits out his clock for an upstream that a reload has taken out of service.
#[tokio::test(start_paused = true)]
async fn who_waits_for_one_that_is_drained_is_told_soon() {
    let mut rig = with_slots(1, 64).await;
    let (running, answer) = rig.streaming().await;
    let waiting = rig.ask(chat(&hello(false)));
    sleep(SOON).await;
    let mut config = rig.config.clone();
    config.upstreams[0].drain = true;
    rig.core.reload(config).unwrap();
    let reply = timeout(Duration::from_secs(3), waiting).await.expect("it waits on").unwrap();
    assert_eq!(reply.status, 503);
    answer.done().await;
    assert!(running.text().await.ends_with("data: [DONE]\n\n"), "what runs may end");
}
