//! Another upstream is asked while nobody has seen a byte, within the retry budget, and never for who has left.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rig::{Life, Rig, SOON, Upstream, chat, done_line, failure, hello};

/// A conversation of its own: equal ones prefer the same upstream.
fn talk(number: usize, stream: bool) -> Value {
    let content = format!("conversation {number}");
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": content}], "stream": stream})
}

/// A number that no other conversation of this run has.
fn fresh() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Requests that go well: every five of them pay for one retry.
async fn pay_for_retries(rig: &mut Rig, second: &mut Upstream, retries: usize) {
    for _ in 0..5 * retries {
        let asking = rig.ask(chat(&talk(fresh(), false)));
        tokio::select! {
            call = rig.upstream.call() => call.answer(200, &done_line("hi")).await,
            call = second.call() => call.answer(200, &done_line("hi")).await,
        }
        assert_eq!(asking.await.unwrap().status, 200);
    }
}

/// The one of the two that was asked.
async fn asked<'u>(
    first: &'u mut Upstream,
    second: &'u mut Upstream,
) -> (crate::rig::Call, &'u mut Upstream) {
    tokio::select! {
        call = first.call() => (call, second),
        call = second.call() => (call, first),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_byte_is_made_good_by_another_upstream() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 3).await;
    for (stream, status) in [(false, 500), (true, 500), (true, 503)] {
        let asking = rig.ask(chat(&talk(7, stream)));
        let (call, other) = asked(&mut rig.upstream, &mut second).await;
        call.answer(status, r#"{"error":"something broke"}"#).await;
        let call = other.call().await;
        call.answer(200, &done_line("made good")).await;
        let reply = asking.await.unwrap();
        assert_eq!(reply.status, 200, "{status}");
        assert!(reply.text().await.contains("made good"));
    }
    let records = rig.records().await;
    assert_eq!(records.iter().filter(|record| record["retries"] == 1).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_refused_is_made_good() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 2).await;
    rig.upstream.set(Life::Refusing);
    // Within the time in which the breaker has not noticed, each of two requests finds its way.
    for number in 0..2 {
        let asking = rig.ask(chat(&talk(number, false)));
        second.call().await.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_first_byte_nothing_is_repeated() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 2).await;
    let asking = rig.ask(chat(&talk(1, true)));
    let (mut call, _) = asked(&mut rig.upstream, &mut second).await;
    let answer = call.stream();
    answer.text("half an ans").await;
    let reply = asking.await.unwrap();
    answer.cut().await;
    failure(&reply.text().await);
    sleep(Duration::from_secs(5)).await;
    assert!(rig.upstream.untouched() && second.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_caller_is_not_repeated() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 2).await;
    let asking = rig.ask(chat(&talk(1, true)));
    let (call, _) = asked(&mut rig.upstream, &mut second).await;
    call.answer(400, r#"{"error":"\"qwen3:32b\" does not support thinking"}"#).await;
    assert_eq!(asking.await.unwrap().status, 400);
    assert!(rig.upstream.untouched() && second.untouched());
}

#[tokio::test(start_paused = true)]
async fn who_has_left_is_not_asked_for_again() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 2).await;
    let asking = rig.ask(chat(&talk(1, true)));
    let (call, _) = asked(&mut rig.upstream, &mut second).await;
    asking.abort();
    sleep(SOON).await;
    call.answer(500, r#"{"error":"something broke"}"#).await;
    sleep(Duration::from_secs(5)).await;
    assert!(rig.upstream.untouched() && second.untouched());
}

/// Both fail everything: what reaches them stays within 1.2 attempts a request.
#[tokio::test(start_paused = true)]
async fn an_outage_is_not_answered_with_a_storm() {
    let (mut rig, mut second) = Rig::with_second().await;
    let (mut requests, mut attempts) = (0, 0);
    for _ in 0..200 {
        requests += 1;
        let mut asking = rig.ask(chat(&talk(fresh(), false)));
        let reply = loop {
            let call = tokio::select! {
                reply = &mut asking => break reply.unwrap(),
                call = rig.upstream.call() => call,
                call = second.call() => call,
            };
            attempts += 1;
            call.answer(500, r#"{"error":"something broke"}"#).await;
        };
        assert_eq!(reply.status, 502);
        assert!(attempts * 10 <= requests * 12, "{attempts} attempts for {requests} requests");
    }
    assert!(attempts > requests, "nothing is repeated at all");
}

/// One that fails what it is asked is passed over for a while, as long as there is another.
#[tokio::test(start_paused = true)]
async fn an_outlier_is_ejected_and_comes_back() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 10).await;
    let mut failures = 0;
    for _ in 0..40 {
        let asking = rig.ask(chat(&talk(fresh(), false)));
        tokio::select! {
            call = rig.upstream.call() => {
                failures += 1;
                call.answer(500, r#"{"error":"something broke"}"#).await;
                if let Ok(call) = tokio::time::timeout(SOON, second.call()).await {
                    call.answer(200, &done_line("hi")).await;
                }
            }
            call = second.call() => call.answer(200, &done_line("hi")).await,
        }
        drop(asking.await);
    }
    assert_eq!(failures, 5, "it is asked no more");
    sleep(Duration::from_secs(60)).await;
    let mut back = false;
    for _ in 0..4 {
        let asking = rig.ask(chat(&talk(fresh(), false)));
        tokio::select! {
            call = rig.upstream.call() => { back = true; call.answer(200, &done_line("hi")).await; }
            call = second.call() => call.answer(200, &done_line("hi")).await,
        }
        assert_eq!(asking.await.unwrap().status, 200);
    }
    assert!(back, "it is asked again");
}

/// A request that one dialect cannot say is not sent where it cannot be said.
#[tokio::test(start_paused = true)]
async fn of_a_mixed_pool_only_those_are_asked_that_can_do_it() {
    let (mut rig, mut second) = Rig::with_second_of(wire::Format::OpenAi).await;
    second.set_tags(200, r#"{"data":[{"id":"qwen3:32b","object":"model"}]}"#);
    sleep(Duration::from_secs(6)).await;
    let mut body = hello(false);
    body["logit_bias"] = json!({"50256": -100});
    for _ in 0..3 {
        let asking = rig.ask(chat(&body));
        let call = second.call().await;
        assert_eq!(call.path, "/v1/chat/completions");
        let answer = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "qwen3:32b",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}});
        call.answer(200, &answer.to_string()).await;
        assert_eq!(asking.await.unwrap().json().await["choices"][0]["message"]["content"], "hi");
    }
    assert!(rig.upstream.untouched());
    let records = rig.records().await;
    assert!(records.iter().all(|record| record["upstream"] == "second"));
}

/// One that is full says so at once: that must not make it the least busy one, to which everybody is sent.
#[tokio::test(start_paused = true)]
async fn one_without_room_is_left_alone_for_a_moment() {
    let (mut rig, mut second) = Rig::with_second().await;
    pay_for_retries(&mut rig, &mut second, 10).await;
    let mut refused = 0;
    for _ in 0..40 {
        let mut asking = rig.ask(chat(&talk(fresh(), false)));
        let reply = loop {
            tokio::select! {
                reply = &mut asking => break reply.unwrap(),
                call = rig.upstream.call() => {
                    refused += 1;
                    call.answer(503, r#"{"error":"server busy"}"#).await;
                }
                call = second.call() => call.answer(200, &done_line("hi")).await,
            }
        };
        assert_eq!(reply.status, 200);
        sleep(Duration::from_millis(100)).await;
    }
    assert!((1..=6).contains(&refused), "asked {refused} times in four seconds");
}
