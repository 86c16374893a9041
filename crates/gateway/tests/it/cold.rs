//! A cold model is loaded by a request of the gateway's own.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::rig::{INTERNAL, Rig, SOON, chat, done_line, hello};

const NOTHING: &str = r#"{"models":[]}"#;

fn resident() -> String {
    json!({"models": [{"name": INTERNAL, "model": INTERNAL, "context_length": 4096}]}).to_string()
}

async fn cold() -> Rig {
    let rig = Rig::with(|config| config.upstreams[0].slots = Some(2)).await;
    rig.upstream.script_loads();
    rig.upstream.set_resident(NOTHING);
    // The view of what is in memory is looked at on the side.
    sleep(Duration::from_secs(60)).await;
    rig
}

#[tokio::test(start_paused = true)]
async fn the_first_who_leaves_does_not_take_the_load_with_him() {
    let mut rig = cold().await;
    let first = rig.ask(chat(&hello(true)));
    let mut load = rig.upstream.call().await;
    assert_eq!(load.path, "/api/generate");
    assert_eq!(load.body, json!({"model": INTERNAL, "stream": false}));
    first.abort();
    sleep(Duration::from_secs(5)).await;
    assert!(timeout(SOON, load.gone()).await.is_err(), "the load was aborted");
    let second = rig.ask(chat(&hello(false)));
    sleep(Duration::from_secs(5)).await;
    assert!(rig.upstream.untouched(), "nobody asks while it loads, and one load is enough");
    rig.upstream.set_resident(&resident());
    load.answer(200, r#"{"model":"x","done":true,"done_reason":"load"}"#).await;
    let call = timeout(SOON, rig.upstream.call()).await.expect("the waiting request was not sent");
    assert_eq!(call.path, "/api/chat");
    call.answer(200, &done_line("warm")).await;
    assert_eq!(second.await.unwrap().json().await["choices"][0]["message"]["content"], "warm");
}

#[tokio::test(start_paused = true)]
async fn a_warm_model_is_not_loaded() {
    let mut rig = Rig::new().await;
    sleep(Duration::from_secs(60)).await;
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    assert_eq!(call.path, "/api/chat");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
}

/// A runtime whose list never shows the model cannot make the gateway load it for every request.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_say_is_believed_once() {
    let mut rig = cold().await;
    for round in 0..3 {
        let asking = rig.ask(chat(&hello(false)));
        let mut call = rig.upstream.call().await;
        if round == 0 {
            assert_eq!(call.path, "/api/generate");
            call.answer(200, r#"{"model":"x","done":true,"done_reason":"load"}"#).await;
            call = rig.upstream.call().await;
        }
        assert_eq!(call.path, "/api/chat", "{round}");
        call.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_is_told_and_may_be_tried_again() {
    let mut rig = cold().await;
    let asking: Vec<_> = (0..2).map(|_| rig.ask(chat(&hello(true)))).collect();
    rig.upstream.call().await.answer(500, r#"{"error":"model requires more system memory"}"#).await;
    for one in asking {
        assert_eq!(one.await.unwrap().status, 502);
    }
    let again = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, r#"{"done":true,"done_reason":"load"}"#).await;
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(again.await.unwrap().status, 200);
}
