//! A scarce slot is shared between people, not between requests.

use std::time::Duration;

use gateway::config::Priority;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::rig::{Rig, SOON, bare_request, chat_with, done_line, keys};

async fn one_slot() -> Rig {
    Rig::with(|config| {
        config.upstreams[0].slots = Some(1);
        let mut urgent = crate::rig::key("urgent", "test-key-urgent");
        urgent.priority = Priority::High;
        let mut bulk = crate::rig::key("bulk", "test-key-bulk");
        bulk.priority = Priority::Low;
        keys(config).extend([crate::rig::key("bob", "test-key-of-bob"), urgent, bulk]);
    })
    .await
}

fn by(key: &str, content: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body: Value = json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": content}]});
    chat_with(bare_request("POST", "/v1/chat/completions").header("x-api-key", key), &body)
}

async fn served(rig: &mut Rig, count: usize) -> Vec<String> {
    let mut order = Vec::new();
    for _ in 0..count {
        let call = timeout(SOON, rig.upstream.call()).await.expect("a free slot is not given on");
        order.push(call.body["messages"][0]["content"].as_str().unwrap().to_owned());
        call.answer(200, &done_line("hi")).await;
        sleep(SOON).await;
    }
    order
}

#[tokio::test(start_paused = true)]
async fn who_asks_once_does_not_wait_behind_who_asks_twenty_times() {
    let mut rig = one_slot().await;
    let mut asking = vec![];
    for index in 0..20 {
        asking.push(rig.ask(by(crate::rig::KEY, &format!("alice {index}"))));
        sleep(Duration::from_millis(1)).await;
    }
    asking.push(rig.ask(by("test-key-of-bob", "bob")));
    sleep(SOON).await;
    let order = served(&mut rig, 21).await;
    let place = order.iter().position(|who| who == "bob").unwrap();
    assert!(place <= 2, "{order:?}");
    for one in asking {
        assert_eq!(one.await.unwrap().status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn priority_goes_first_and_waiting_lifts_everybody() {
    let mut rig = one_slot().await;
    let running = rig.ask(by(crate::rig::KEY, "running"));
    let call = rig.upstream.call().await;
    let mut asking = vec![rig.ask(by("test-key-bulk", "bulk"))];
    sleep(SOON).await;
    asking.push(rig.ask(by(crate::rig::KEY, "normal")));
    sleep(SOON).await;
    asking.push(rig.ask(by("test-key-urgent", "urgent")));
    sleep(SOON).await;
    call.answer(200, &done_line("hi")).await;
    assert_eq!(served(&mut rig, 3).await, ["urgent", "normal", "bulk"]);
    drop(running);
    // After two steps of ageing the low one stands in the highest band, where it came first.
    let running = rig.ask(by(crate::rig::KEY, "running"));
    let call = rig.upstream.call().await;
    asking.push(rig.ask(by("test-key-bulk", "bulk")));
    sleep(Duration::from_secs(65)).await;
    asking.push(rig.ask(by("test-key-urgent", "urgent")));
    sleep(SOON).await;
    call.answer(200, &done_line("hi")).await;
    let order = served(&mut rig, 2).await;
    assert!(order.contains(&"bulk".to_owned()) && order.contains(&"urgent".to_owned()));
    drop((running, asking));
}

#[tokio::test(start_paused = true)]
async fn one_user_s_share_of_the_slots_is_bounded() {
    let mut rig = Rig::with(|config| {
        config.upstreams[0].slots = Some(4);
        config.admission.in_flight_per_user = Some(2);
        keys(config).push(crate::rig::key("bob", "test-key-of-bob"));
    })
    .await;
    let asking: Vec<_> =
        (0..4).map(|index| rig.ask(by(crate::rig::KEY, &format!("alice {index}")))).collect();
    let (one, _two) = (rig.upstream.call().await, rig.upstream.call().await);
    sleep(SOON).await;
    assert!(rig.upstream.untouched(), "a third of hers runs");
    let bobs = rig.ask(by("test-key-of-bob", "bob"));
    let call = timeout(SOON, rig.upstream.call()).await.expect("he waits although there are slots");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(bobs.await.unwrap().status, 200);
    one.answer(200, &done_line("hi")).await;
    timeout(SOON, rig.upstream.call()).await.expect("her next one does not follow");
    drop(asking);
}
