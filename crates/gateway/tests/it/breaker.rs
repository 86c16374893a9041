//! The breaker: an upstream that is silent for 3 s fails who waits for it, at once and kindly; a slow one never does.

use std::time::Duration;

use gateway::admit::Runner as _;
use gateway::config::Liveness;
use gateway::upstream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{
    Call, Life, Reply, Rig, SOON, Upstream, chat, chat_with, done_line, failure, get, hello, request,
    upstream_config,
};

const WITHIN: Duration = Duration::from_millis(3_500);

/// A refusal that a person can read and that tells nothing of the machine.
async fn is_friendly(reply: Reply) {
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let retry_after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after));
    let (status, code, message) = reply.error().await;
    assert_eq!((status, code.as_str()), (503, "upstream_unavailable"));
    assert_eq!(message, "the model server is not answering, please try again in a moment");
}

/// Requests of every kind wait when the upstream dies; all are told, and later ones at once.
async fn dies_as(life: Life) {
    let mut rig = Rig::with(|config| config.upstreams[0].slots = Some(2)).await;
    // Two run, four wait in the queue.
    let waiting: Vec<_> = (0..6).map(|index| rig.ask(chat(&hello(index % 2 == 0)))).collect();
    let running = (rig.upstream.call().await, rig.upstream.call().await);
    sleep(Duration::from_millis(4_321)).await;
    rig.upstream.set(life);
    let silent_since = Instant::now();
    for one in waiting {
        let reply = timeout(WITHIN, one).await.expect("nobody was told").unwrap();
        is_friendly(reply).await;
    }
    assert!(silent_since.elapsed() <= WITHIN, "{:?}", silent_since.elapsed());
    drop(running);

    sleep(WITHIN).await;
    let later = Instant::now();
    is_friendly(rig.send(chat(&hello(true))).await).await;
    is_friendly(rig.send(chat(&hello(false))).await).await;
    is_friendly(rig.send(get("/v1/models")).await).await;
    assert!(later.elapsed() < SOON, "an open breaker does not wait: {:?}", later.elapsed());
    assert!(rig.upstream.untouched(), "an open breaker lets nothing pass");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_upstream_is_told_within_3500_ms() {
    dies_as(Life::Stopped).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_is_told_within_3500_ms() {
    dies_as(Life::Refusing).await;
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_is_told_within_3500_ms() {
    dies_as(Life::BlackHole).await;
}

#[tokio::test(start_paused = true)]
async fn at_any_moment_between_two_probes_it_is_the_same() {
    for offset_ms in (0..500).step_by(37) {
        let mut rig = Rig::new().await;
        sleep(Duration::from_millis(offset_ms)).await;
        let asking = rig.ask(chat(&hello(true)));
        let _call = rig.upstream.call().await;
        rig.upstream.set(Life::Stopped);
        let began = Instant::now();
        is_friendly(timeout(WITHIN, asking).await.expect("nobody was told").unwrap()).await;
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(2), "{offset_ms}: a short silence is no death: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_on_a_living_upstream_is_its_failure_not_its_death() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(false)));
    let mut call = rig.upstream.call().await;
    // A kept connection that breaks at once was stale, and the request is sent again on a fresh one.
    sleep(Duration::from_secs(1)).await;
    call.begin(200, "application/json").cut().await;
    let (status, code, message) = asking.await.unwrap().error().await;
    assert_eq!((status, code.as_str()), (502, "upstream_error"), "{message}");
    assert_eq!(breaker(&rig), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_alone_is_no_byte() {
    for stream in [true, false] {
        let mut rig = Rig::new().await;
        let asking = rig.ask(chat(&hello(stream)));
        let _answer = rig.upstream.call().await.stream();
        sleep(Duration::from_secs(5)).await;
        rig.upstream.set(Life::BlackHole);
        is_friendly(timeout(WITHIN, asking).await.expect("nobody was told").unwrap()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_probe_closes_it_again() {
    let mut rig = Rig::new().await;
    rig.upstream.set(Life::Stopped);
    sleep(Duration::from_secs(60)).await;
    assert_ne!(breaker(&rig), 0);
    let probes = rig.upstream.probes();
    rig.upstream.set(Life::Alive);
    // Pauses between probes grow to 3 s at most, a quarter of jitter on top.
    let began = Instant::now();
    while breaker(&rig) != 0 {
        sleep(SOON).await;
        assert!(began.elapsed() < Duration::from_millis(3_800), "still open");
    }
    assert!(rig.upstream.probes() - probes <= 2, "one answer is enough");
    let (reply, answer) = rig.streaming().await;
    answer.done().await;
    assert!(reply.text().await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_is_slow_for_minutes_trips_nothing() {
    let mut rig = Rig::new().await;
    let streaming = rig.ask(chat(&hello(true)));
    let mut stream_call = rig.upstream.call().await;
    let asking = rig.ask(chat(&hello(false)));
    let whole_call = rig.upstream.call().await;
    for _ in 0..(9 * 60) {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(breaker(&rig), 0);
    }
    let answer = stream_call.stream();
    answer.text("at last").await;
    answer.done().await;
    let text = streaming.await.unwrap().text().await;
    assert!(text.contains("at last") && text.ends_with("data: [DONE]\n\n"), "{text}");
    whole_call.answer(200, &done_line("at last")).await;
    let answer = asking.await.unwrap().json().await;
    assert_eq!(answer["choices"][0]["message"]["content"], "at last");
}

#[tokio::test(start_paused = true)]
async fn flowing_bytes_are_a_sign_of_life() {
    let mut rig = Rig::new().await;
    let (reply, answer) = rig.streaming().await;
    // Too busy to answer probes, as a runtime that loads a model can be.
    rig.upstream.set(Life::Stopped);
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        answer.text("more").await;
        sleep(SOON).await;
        assert_eq!(breaker(&rig), 0);
    }
    sleep(WITHIN).await;
    assert_ne!(breaker(&rig), 0, "silence at last");
    // Who has bytes already is not cut by the breaker: the idle clock is his.
    answer.text("late").await;
    answer.done().await;
    let text = reply.text().await;
    assert!(text.contains("late") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_began_with_comments_is_told_in_an_event() {
    let mut rig = Rig::new().await;
    let asked =
        chat_with(request("POST", "/v1/chat/completions").header("x-gatehouse-progress", "1"), &hello(true));
    let asking = rig.ask(asked);
    let _call = rig.upstream.call().await;
    rig.upstream.set(Life::Stopped);
    let reply = asking.await.unwrap();
    assert_eq!(reply.status, 200);
    let text = timeout(WITHIN, reply.text()).await.expect("nobody was told");
    let (code, message) = failure(&text);
    assert_eq!(code, "upstream_unavailable");
    assert_eq!(message, "the model server is not answering, please try again in a moment");
}

#[tokio::test(start_paused = true)]
async fn in_the_other_error_shape_it_is_one_sentence() {
    let mut rig = Rig::with(|config| config.error_format = Some(wire::Format::Ollama)).await;
    let asking = rig.ask(chat(&hello(true)));
    let _call = rig.upstream.call().await;
    rig.upstream.set(Life::BlackHole);
    let reply = asking.await.unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.text().await,
        r#"{"error":"the model server is not answering, please try again in a moment"}"#
    );
}

const HERD: usize = 5_000;
const SLOTS: usize = 4;

/// A gateway with few slots, and what a herd of clients that asks it at once waits for.
async fn herd(queue_max: usize, before: impl AsyncFnOnce(&Rig)) -> (Rig, Vec<JoinHandle<Reply>>) {
    let rig = Rig::with(|config| {
        config.upstreams[0].slots = Some(SLOTS);
        config.upstreams[0].queue_max = queue_max;
    })
    .await;
    before(&rig).await;
    let asking = (0..HERD).map(|_| rig.ask(chat(&hello(false)))).collect();
    sleep(SOON).await;
    (rig, asking)
}

/// Its calls, as many as it has slots; no more come while these run.
async fn full(rig: &mut Rig) -> Vec<Call> {
    let mut running = Vec::new();
    for _ in 0..SLOTS {
        running.push(rig.upstream.call().await);
    }
    sleep(SOON).await;
    assert!(rig.upstream.untouched(), "more at once than it has slots");
    running
}

/// Dies or stays dead for a minute, and is back.
async fn recovers(rig: &Rig) {
    rig.upstream.set(Life::Stopped);
    sleep(Duration::from_secs(60)).await;
    let probes = rig.upstream.probes();
    rig.upstream.set(Life::Alive);
    while breaker(rig) != 0 {
        sleep(SOON).await;
    }
    assert!(rig.upstream.probes() - probes <= 2, "half-open, nobody but the probe passes");
}

#[tokio::test(start_paused = true)]
async fn a_herd_that_waits_is_told_and_reaches_nobody() {
    let (mut rig, waiting) = herd(HERD, async |_| {}).await;
    let running = full(&mut rig).await;
    rig.upstream.set(Life::Stopped);
    for one in waiting {
        is_friendly(timeout(WITHIN, one).await.expect("nobody was told").unwrap()).await;
    }
    drop(running);
    recovers(&rig).await;
    assert!(rig.upstream.untouched(), "who was told is not sent after all");
}

#[tokio::test(start_paused = true)]
async fn a_herd_that_comes_with_the_recovery_is_let_in_a_few_at_a_time() {
    const QUEUE: usize = 64;
    let (mut rig, asking) = herd(QUEUE, recovers).await;
    for _ in 0..(SLOTS + QUEUE) / SLOTS {
        for call in full(&mut rig).await {
            call.answer(200, &done_line("hi")).await;
        }
    }
    let mut served = 0;
    for one in asking {
        let reply = one.await.unwrap();
        if reply.status == 200 {
            served += 1;
            continue;
        }
        let retry_after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&retry_after), "{retry_after}");
        assert_eq!(reply.error().await.1, "queue_full");
    }
    assert_eq!(served, SLOTS + QUEUE);
    assert!(rig.upstream.untouched(), "an attempt for a request that was refused");
}

#[tokio::test(start_paused = true)]
async fn who_was_ejected_before_it_died_comes_back_with_its_first_answer() {
    let scripted = Upstream::new();
    let ours = upstream::Upstream::new(upstream_config(wire::Format::Ollama), scripted.dial());
    let watching = tokio::spawn(upstream::run(ours.clone(), Liveness::default()));
    sleep(SOON).await;
    for _ in 0..5 {
        ours.failed();
    }
    assert!(ours.is_ejected(Instant::now()) && ours.takes());
    scripted.set(Life::Refusing);
    ours.watch().dead().await;
    assert!(!ours.takes());
    scripted.set(Life::Alive);
    ours.watch().alive().await;
    assert!(ours.takes() && !ours.is_ejected(Instant::now()));
    watching.abort();
}

fn breaker(rig: &Rig) -> i64 {
    let metrics = rig.core.metrics_text();
    let line = metrics.lines().find(|line| line.starts_with("gatehouse_breaker_state{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
