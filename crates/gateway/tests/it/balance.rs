//! Several upstreams of one model: the least busy living one runs it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::rig::{Life, Rig, SOON, chat, done_line, get, hello};

/// A conversation of its own: equal ones prefer the same upstream.
fn talk(number: usize) -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": format!("conversation {number}")}]})
}

#[tokio::test(start_paused = true)]
async fn work_is_shared_by_how_much_each_has() {
    let (mut rig, mut second) = Rig::with_second().await;
    let (mut asking, mut shares) = (Vec::new(), [Vec::new(), Vec::new()]);
    for number in 0..8 {
        asking.push(rig.ask(chat(&talk(number))));
        tokio::select! {
            call = rig.upstream.call() => shares[0].push(call),
            call = second.call() => shares[1].push(call),
        }
    }
    // Conversations may pull to one side only as far as the loads stay near each other.
    assert!(shares.iter().all(|share| share.len() >= 2), "{} and {}", shares[0].len(), shares[1].len());
    for call in shares.into_iter().flatten() {
        call.answer(200, &done_line("hi")).await;
    }
    for one in asking {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert!(rig.upstream.untouched() && second.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_conversation_stays_where_it_was_read() {
    let (mut rig, mut second) = Rig::with_second().await;
    for number in 0..6 {
        let mut body = talk(number);
        let mut places = Vec::new();
        for turn in 0..4 {
            let asking = rig.ask(chat(&body));
            let (call, place) = tokio::select! {
                call = rig.upstream.call() => (call, "first"),
                call = second.call() => (call, "second"),
            };
            places.push(place);
            call.answer(200, &done_line("hi")).await;
            assert_eq!(asking.await.unwrap().status, 200);
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(json!({"role": "assistant", "content": "hi"}));
            messages.push(json!({"role": "user", "content": format!("and then, {turn}?")}));
        }
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_one_is_passed_over_and_taken_again_when_it_answers() {
    let (mut rig, mut second) = Rig::with_second().await;
    rig.upstream.set(Life::Refusing);
    sleep(Duration::from_secs(4)).await;
    for number in 0..4 {
        let asking = rig.ask(chat(&talk(number)));
        second.call().await.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
    }
    assert_eq!(rig.send(get("/v1/models")).await.status, 200, "one that answers is enough");
    rig.upstream.set(Life::Alive);
    sleep(Duration::from_secs(4)).await;
    let asking: Vec<_> = (0..8).map(|number| rig.ask(chat(&talk(number)))).collect();
    for call in [rig.upstream.call().await, second.call().await] {
        call.answer(200, &done_line("hi")).await;
    }
    drop(asking);
}

#[tokio::test(start_paused = true)]
async fn each_has_a_breaker_of_its_own() {
    let (mut rig, mut second) = Rig::with_second().await;
    let asking: Vec<_> = (0..8).map(|number| rig.ask(chat(&talk(number)))).collect();
    let mut there = Vec::new();
    let _here = rig.upstream.call().await;
    sleep(SOON).await;
    while let Ok(call) = timeout(SOON, second.call()).await {
        there.push(call);
    }
    assert!(!there.is_empty());
    rig.upstream.set(Life::Stopped);
    sleep(Duration::from_secs(60)).await;
    let healthy = there.len();
    for call in there {
        call.answer(200, &done_line("hi")).await;
    }
    // One of those that waited for the dead one may have been sent on.
    while let Ok(call) = timeout(SOON, second.call()).await {
        call.answer(200, &done_line("hi")).await;
    }
    let mut served = 0;
    for one in asking {
        let status = one.await.unwrap().status;
        assert!(status == 200 || status == 503, "{status}");
        served += usize::from(status == 200);
    }
    assert!(served >= healthy, "who runs on the living one is not touched");
}

#[tokio::test(start_paused = true)]
async fn a_model_runs_where_it_is_installed() {
    let (mut rig, mut second) = Rig::with_second().await;
    second.set_tags(200, r#"{"models":[{"name":"only-there:1b"}]}"#);
    // The lists are fetched on the side.
    sleep(Duration::from_secs(6)).await;
    for _ in 0..3 {
        let mut body = hello(false);
        body["model"] = "only-there:1b".into();
        let asking = rig.ask(chat(&body));
        second.call().await.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
    }
    let list = rig.send(get("/v1/models")).await.text().await;
    assert!(list.contains("qwen3:32b") && list.contains("only-there:1b"), "{list}");
    assert!(rig.upstream.untouched());
}
