//! Stop means stop: a client that leaves, in whatever phase, closes the upstream's connection at once.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Rig, chat, hello};

/// Virtual time within which the upstream must have learned of it.
const AT_ONCE: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn before_the_first_byte_of_a_stream() {
    let mut rig = Rig::new().await;
    let mut client = rig.client().await;
    let waiting = tokio::spawn(async move { drop(client.chat(hello(true)).await) });
    let mut call = rig.upstream.call().await;
    sleep(Duration::from_secs(5)).await;
    waiting.abort();
    timeout(AT_ONCE, call.gone()).await.expect("the upstream still works for nobody");
    let records = rig.records().await;
    assert_eq!(records[0]["end"], "client_gone");
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_a_stream() {
    let mut rig = Rig::new().await;
    let mut client = rig.client().await;
    let asking = tokio::spawn(async move {
        let reply = client.chat(hello(true)).await;
        (client, reply)
    });
    let mut answer = rig.upstream.call().await.stream();
    answer.text("one").await;
    let (client, mut reply) = asking.await.unwrap();
    assert!(reply.piece().await.unwrap().contains("one"));
    client.leave();
    drop(reply);
    timeout(AT_ONCE, answer.gone()).await.expect("the upstream still works for nobody");
    let records = rig.records().await;
    assert_eq!((&records[0]["end"], &records[0]["output_tokens"]), (&"client_gone".into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn in_a_call_that_does_not_stream() {
    let mut rig = Rig::new().await;
    let mut client = rig.client().await;
    let waiting = tokio::spawn(async move { drop(client.chat(hello(false)).await) });
    let mut call = rig.upstream.call().await;
    sleep(Duration::from_secs(60)).await;
    waiting.abort();
    timeout(AT_ONCE, call.gone()).await.expect("the upstream still works for nobody");
    assert_eq!(rig.records().await[0]["end"], "client_gone");
}

#[tokio::test(start_paused = true)]
async fn while_waiting_in_the_queue_it_never_reaches_the_upstream() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(1)).await;
    let mut first = rig.client().await;
    let running = tokio::spawn(async move { first.chat(hello(true)).await.text().await });
    let answer = rig.upstream.call().await.stream();
    let mut second = rig.client().await;
    let queued = tokio::spawn(async move { drop(second.chat(hello(true)).await) });
    sleep(Duration::from_secs(1)).await;
    queued.abort();
    sleep(Duration::from_secs(1)).await;
    answer.done().await;
    assert!(running.await.unwrap().ends_with("data: [DONE]\n\n"));
    sleep(Duration::from_secs(1)).await;
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_leave_at_any_moment_and_nothing_leaks() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(8)).await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let began = Instant::now();
    for round in 0..1_000 {
        let mut client = rig.client().await;
        let stream = random(2) == 0;
        let asking = tokio::spawn(async move {
            let reply = client.chat(hello(stream)).await;
            drop(reply.text().await);
        });
        sleep(Duration::from_micros(random(2_000))).await;
        if random(2) == 0 && let Ok(mut call) = timeout(Duration::from_micros(1), rig.upstream.call()).await {
            let answer = call.stream();
            answer.text("x").await;
            sleep(Duration::from_micros(random(500))).await;
            if random(4) == 0 {
                answer.done().await;
            }
        }
        asking.abort();
        while !rig.upstream.untouched() {}
        assert!(began.elapsed() < Duration::from_secs(600), "round {round}");
    }
    sleep(Duration::from_secs(60)).await;
    // All slots are free again: eight can run at once.
    for _ in 0..8 {
        let mut client = rig.client().await;
        tokio::spawn(async move { drop(client.send(chat(&hello(true))).await.text().await) });
        drop(timeout(Duration::from_secs(1), rig.upstream.call()).await.expect("a slot is lost"));
    }
}
