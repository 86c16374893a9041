//! Reload: one generation of the configuration or the other, never a mixture, and nothing that runs is disturbed.

use std::time::Duration;

use gateway::config::{Config, Models, Rate, RetryAfter};
use http::uri::Authority;
use http_body_util::Full;
use tokio::time::sleep;

use crate::rig::{Rig, SOON, bare_request, chat, done_line, get, hello, key, keys};

fn changed(rig: &Rig, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = rig.config.clone();
    change(&mut config);
    config
}

fn with_key(text: &str) -> http::Request<Full<bytes::Bytes>> {
    bare_request("GET", "/v1/models").header("x-api-key", text).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_runs_keeps_the_generation_it_began_with() {
    let mut rig = Rig::new().await;
    let (reply, answer) = rig.streaming().await;
    let waiting = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    rig.core
        .reload(changed(&rig, |config| {
            keys(config).clear();
            config.models = Models::Listed(vec![]);
            config.clocks.idle = Duration::from_secs(1);
            config.answer.strip.model = true;
            config.error_format = Some(wire::Format::Ollama);
        }))
        .unwrap();
    sleep(Duration::from_secs(60)).await;
    answer.done().await;
    let text = reply.text().await;
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    call.answer(200, &done_line("hi")).await;
    let answer = waiting.await.unwrap().json().await;
    assert_eq!(
        (&answer["model"], &answer["choices"][0]["message"]["content"]),
        (&"qwen3:32b".into(), &"hi".into())
    );
    // Who comes now meets the new one.
    assert_eq!(rig.send(get("/v1/models")).await.text().await, r#"{"error":"invalid api key"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_valid_or_not_from_the_next_request_on() {
    let rig = Rig::new().await;
    let mut client = rig.client().await;
    assert_eq!(client.send(with_key("new-key")).await.status, 401);
    rig.core.reload(changed(&rig, |config| *keys(config) = vec![key("bob", "new-key")])).unwrap();
    // On a connection that was open before, too.
    assert_eq!(client.send(with_key("new-key")).await.status, 200);
    assert_eq!(client.send(get("/v1/models")).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn limits_are_not_forgotten() {
    let rate = |requests_max| {
        Some(Rate { requests_max, window: Duration::from_secs(60), retry_after: RetryAfter::Exact })
    };
    let rig = Rig::with(|config| config.rate = rate(3)).await;
    for _ in 0..3 {
        assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    }
    rig.core.reload(rig.config.clone()).unwrap();
    assert_eq!(rig.send(get("/v1/models")).await.status, 429);
    rig.core.reload(changed(&rig, |config| config.rate = rate(4))).unwrap();
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    assert_eq!(rig.send(get("/v1/models")).await.status, 429);
    rig.core.reload(changed(&rig, |config| config.rate = rate(1))).unwrap();
    assert_eq!(rig.send(get("/v1/models")).await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stays_the_same_keeps_its_slots_and_connections() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(1)).await;
    let (reply, answer) = rig.streaming().await;
    sleep(Duration::from_secs(1)).await;
    let dialled = rig.upstream.dialled();
    rig.core.reload(changed(&rig, |config| config.clocks.heartbeat = Duration::from_secs(7))).unwrap();
    // The slot is still taken: a new generation is not a second GPU.
    let queued = rig.ask(chat(&hello(true)));
    sleep(Duration::from_secs(1)).await;
    assert!(rig.upstream.untouched());
    answer.done().await;
    drop(reply.text().await);
    rig.upstream.call().await.stream().done().await;
    assert!(queued.await.unwrap().text().await.ends_with("data: [DONE]\n\n"));
    assert_eq!(rig.upstream.dialled(), dialled, "connections are kept");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_changes_is_a_new_one_and_the_old_one_ends_with_its_requests() {
    let mut rig = Rig::new().await;
    let (reply, answer) = rig.streaming().await;
    rig.core
        .reload(changed(&rig, |config| {
            config.upstreams[0].name = "other".into();
            config.upstreams[0].authority = Authority::from_static("other.test:11434");
        }))
        .unwrap();
    sleep(SOON).await;
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    assert_eq!(call.authority, "other.test:11434");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    answer.done().await;
    assert!(reply.text().await.ends_with("data: [DONE]\n\n"));
    // Nobody probes what nobody uses, and its kept connections go with it.
    sleep(Duration::from_secs(40)).await;
    // The new one's pulse, list and memory may be asked for at the same moment.
    assert!(rig.upstream.open() <= 3, "{} connections", rig.upstream.open());
    let metrics = rig.core.metrics_text();
    assert!(metrics.contains("gatehouse_breaker_state{upstream=\"other\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("upstream=\"gpu\""), "an upstream that is gone has no state: {metrics}");
    assert_eq!(rig.records().await.len(), 2);
}
