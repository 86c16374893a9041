//! Several upstreams of one model: the least busy living one runs it.

use std::time::Duration;

use tokio::time::sleep;

use crate::rig::{Life, Rig, SOON, chat, done_line, get, hello};

#[tokio::test(start_paused = true)]
async fn work_is_shared_by_how_much_each_has() {
    let (mut rig, mut second) = Rig::with_second().await;
    let mut asking = Vec::new();
    for _ in 0..6 {
        asking.push(rig.ask(chat(&hello(false))));
        sleep(SOON).await;
    }
    for _ in 0..3 {
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
        second.call().await.answer(200, &done_line("hi")).await;
    }
    for one in asking {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert!(rig.upstream.untouched() && second.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_dead_one_is_passed_over_and_taken_again_when_it_answers() {
    let (mut rig, mut second) = Rig::with_second().await;
    rig.upstream.set(Life::Refusing);
    sleep(Duration::from_secs(4)).await;
    for _ in 0..4 {
        let asking = rig.ask(chat(&hello(false)));
        second.call().await.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
    }
    assert_eq!(rig.send(get("/v1/models")).await.status, 200, "one that answers is enough");
    rig.upstream.set(Life::Alive);
    sleep(Duration::from_secs(4)).await;
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn each_has_a_breaker_of_its_own() {
    let (mut rig, mut second) = Rig::with_second().await;
    let waiting = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    let other = rig.ask(chat(&hello(false)));
    let other_call = second.call().await;
    rig.upstream.set(Life::Stopped);
    assert_eq!(waiting.await.unwrap().status, 503);
    drop(call);
    sleep(Duration::from_secs(60)).await;
    other_call.answer(200, &done_line("hi")).await;
    assert_eq!(other.await.unwrap().status, 200);
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
