//! Stop means stop: a client that leaves, in whatever phase, closes the upstream's connection at once.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::rig::{Rig, SOON, chat, hello, only};

/// Virtual time within which the upstream must have learned of it.
const AT_ONCE: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn before_the_first_byte_of_a_stream() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    sleep(Duration::from_secs(5)).await;
    asking.abort();
    timeout(AT_ONCE, call.gone()).await.expect("the upstream still works for nobody");
    let record = only(rig.records().await);
    assert_eq!((&record["end"], &record["status"]), (&"client_gone".into(), &0.into()));
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_a_stream() {
    let mut rig = Rig::new().await;
    let (reply, mut answer) = rig.streaming().await;
    reply.leave();
    timeout(AT_ONCE, answer.gone()).await.expect("the upstream still works for nobody");
    let record = only(rig.records().await);
    assert_eq!((&record["end"], &record["output_tokens"]), (&"client_gone".into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn in_a_stream_that_had_to_begin_with_comments() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    sleep(Duration::from_secs(60)).await;
    asking.await.unwrap().leave();
    timeout(AT_ONCE, call.gone()).await.expect("the upstream still works for nobody");
    assert_eq!(only(rig.records().await)["end"], "client_gone");
}

#[tokio::test(start_paused = true)]
async fn in_a_call_that_does_not_stream() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(false)));
    let mut call = rig.upstream.call().await;
    sleep(Duration::from_secs(60)).await;
    asking.abort();
    timeout(AT_ONCE, call.gone()).await.expect("the upstream still works for nobody");
    assert_eq!(only(rig.records().await)["end"], "client_gone");
}

#[tokio::test(start_paused = true)]
async fn while_a_whole_answer_is_arriving() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(false)));
    let mut answer = rig.upstream.call().await.begin(200, "application/json");
    answer.send("{\"model\":").await;
    sleep(SOON).await;
    asking.abort();
    timeout(AT_ONCE, answer.gone()).await.expect("the upstream still works for nobody");
}

#[tokio::test(start_paused = true)]
async fn while_waiting_in_the_queue_it_never_reaches_the_upstream() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(1)).await;
    let (running, answer) = rig.streaming().await;
    let queued = rig.ask(chat(&hello(true)));
    sleep(Duration::from_secs(1)).await;
    queued.abort();
    sleep(Duration::from_secs(1)).await;
    answer.done().await;
    assert!(running.text().await.ends_with("data: [DONE]\n\n"));
    sleep(Duration::from_secs(1)).await;
    assert!(rig.upstream.untouched());
    let records = rig.records().await;
    let ends: Vec<_> = records.iter().map(|record| record["end"].as_str().unwrap()).collect();
    assert_eq!(ends, ["client_gone", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_interrupted_is_used_again() {
    let mut rig = Rig::new().await;
    for _ in 0..20 {
        let (reply, answer) = rig.streaming().await;
        answer.done().await;
        assert!(reply.text().await.ends_with("data: [DONE]\n\n"));
        sleep(SOON).await;
    }
    // One for the requests, one more for a probe or a list beside them.
    assert!(rig.upstream.dialled() <= 3, "{} connections", rig.upstream.dialled());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_leave_at_any_moment_and_nothing_leaks() {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(8)).await;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..1_000 {
        let stream = random.below(2) == 0;
        let asking = rig.ask(chat(&hello(stream)));
        let leave = asking.abort_handle();
        let reading = tokio::spawn(async move { drop(asking.await.unwrap().text().await) });
        steps(random.below(60)).await;
        if random.below(2) == 0
            && let Ok(mut call) = timeout(Duration::from_millis(1), rig.upstream.call()).await
        {
            let answer = call.stream();
            answer.text("x").await;
            steps(random.below(20)).await;
            if random.below(4) == 0 {
                answer.done().await;
            }
        }
        leave.abort();
        reading.abort();
        while !rig.upstream.untouched() {}
    }
    sleep(Duration::from_secs(1)).await;
    // All slots are free again: eight run at once, and the ninth waits.
    let asking: Vec<_> = (0..9).map(|_| rig.ask(chat(&hello(true)))).collect();
    let mut calls = Vec::new();
    while let Ok(call) = timeout(Duration::from_secs(1), rig.upstream.call()).await {
        calls.push(call);
    }
    assert_eq!(calls.len(), 8);
    asking.iter().for_each(|one| one.abort());
    sleep(SOON).await;
    let metrics = rig.core.metrics_text();
    assert!(metrics.contains("gatehouse_requests_in_flight 0\n"), "{metrics}");
}

/// Lets everybody else go on by so many steps: finer than any time.
async fn steps(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Xorshift: the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
