//! What is in memory, and how it gets there: read without waiting, loaded once for everybody, whoever leaves.

use std::sync::Arc;
use std::time::Duration;

use gateway::config::Liveness;
use gateway::error::{Clock, Error};
use gateway::upstream::{self, Loading};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use wire::{Format, UpstreamFaultKind};

use crate::rig::{Call, INTERNAL, Life, SOON, Upstream, upstream_config};

const PATIENCE: Duration = Duration::from_secs(600);
const LOADED: &str = r#"{"model":"m","response":"","done":true,"done_reason":"load"}"#;
const NOTHING: &str = r#"{"models":[]}"#;

/// An upstream as the gateway holds it, watched, with nothing in memory, and the one behind it that does as the test says.
async fn cold() -> (Arc<upstream::Upstream>, Upstream) {
    let scripted = Upstream::new();
    scripted.script_loads();
    scripted.set_resident(NOTHING);
    let ours = watched(&scripted, Format::Ollama).await;
    (ours, scripted)
}

async fn watched(scripted: &Upstream, format: Format) -> Arc<upstream::Upstream> {
    let ours = upstream::Upstream::new(upstream_config(format), scripted.dial());
    tokio::spawn(upstream::run(ours.clone(), Liveness::default()));
    sleep(SOON).await;
    ours
}

fn load(ours: &Arc<upstream::Upstream>) -> Loading {
    ours.load(INTERNAL, None, None, PATIENCE)
}

fn wait_for(mut loading: Loading) -> JoinHandle<Result<(), Error>> {
    tokio::spawn(async move { loading.done().await })
}

async fn load_call(scripted: &mut Upstream) -> Call {
    let call = scripted.call().await;
    assert_eq!(call.path, "/api/generate");
    call
}

#[tokio::test(start_paused = true)]
async fn twenty_wait_for_one_load_and_the_first_who_leaves_ends_nothing() {
    let (ours, mut scripted) = cold().await;
    assert_eq!(ours.resident(INTERNAL), Some(false));
    assert_eq!(ours.loading(INTERNAL), None);
    let mut waiting: Vec<_> = (0..20).map(|_| wait_for(load(&ours))).collect();
    let call = load_call(&mut scripted).await;
    waiting.remove(0).abort();
    sleep(Duration::from_secs(40)).await;
    assert!(!call.is_gone(), "the load was aborted");
    assert!(ours.loading(INTERNAL).is_some());
    call.answer(200, LOADED).await;
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    assert!(scripted.untouched(), "one load is enough");
    assert_eq!(ours.loading(INTERNAL), None);
    assert_eq!(ours.resident(INTERNAL), Some(true), "without waiting for the next answer");
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_when_everybody_has_left() {
    let (ours, mut scripted) = cold().await;
    let waiting = wait_for(load(&ours));
    let call = load_call(&mut scripted).await;
    waiting.abort();
    sleep(Duration::from_secs(30)).await;
    let mut late = load(&ours);
    assert_eq!(late.since.elapsed().as_secs(), 30);
    call.answer(200, LOADED).await;
    late.done().await.unwrap();
    assert!(scripted.untouched());
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_what_the_operator_wants_and_for_no_answer() {
    for (keep_alive, num_ctx, expected) in [
        (None, None, serde_json::json!({"model": INTERNAL, "stream": false})),
        (
            Some("30m"),
            Some(8_192),
            serde_json::json!({"model": INTERNAL, "stream": false, "keep_alive": "30m", "options": {"num_ctx": 8_192}}),
        ),
        (Some("-1"), None, serde_json::json!({"model": INTERNAL, "stream": false, "keep_alive": -1})),
    ] {
        let (ours, mut scripted) = cold().await;
        let mut loading = ours.load(INTERNAL, keep_alive, num_ctx, PATIENCE);
        let call = load_call(&mut scripted).await;
        assert_eq!(call.body, expected);
        call.answer(200, LOADED).await;
        loading.done().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_is_told_to_all_and_tried_again_by_the_next() {
    let (ours, mut scripted) = cold().await;
    let waiting: Vec<_> = (0..5).map(|_| wait_for(load(&ours))).collect();
    let call = load_call(&mut scripted).await;
    call.answer(500, r#"{"error":"llama-server reported out-of-memory during startup"}"#).await;
    for one in waiting {
        let error = one.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::Upstream(fault) if fault.kind == UpstreamFaultKind::Broken),
            "{error}"
        );
    }
    assert_eq!((ours.loading(INTERNAL), ours.resident(INTERNAL)), (None, Some(false)));
    let mut next = load(&ours);
    assert_eq!(next.estimate, None, "a failure tells nothing of how long a load takes");
    load_call(&mut scripted).await.answer(200, LOADED).await;
    next.done().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_what_a_refusal_says_of_the_model_counts() {
    let json = "application/json";
    for (status, content_type, body, expected) in [
        (404, json, r#"{"error":"model 'x' not found"}"#, Some(UpstreamFaultKind::ModelNotFound)),
        (500, json, r#"{"error":"llama-server process has terminated"}"#, Some(UpstreamFaultKind::Broken)),
        (503, json, r#"{"error":"server busy, please try again."}"#, Some(UpstreamFaultKind::Overloaded)),
        (404, "text/plain", "404 page not found", None),
        (405, "text/plain", "405 method not allowed", None),
        (501, "text/plain", "not implemented", None),
        (403, "text/plain", "", None),
        (400, json, r#"{"error":"\"m\" does not support generate"}"#, None),
    ] {
        let (ours, mut scripted) = cold().await;
        let mut loading = load(&ours);
        load_call(&mut scripted).await.begin(status, content_type).send(body).await;
        let told = match loading.done().await {
            Ok(()) => None,
            Err(Error::Upstream(fault)) => Some(fault.kind),
            Err(other) => panic!("{status}: {other}"),
        };
        assert_eq!(told, expected, "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn later_loads_know_how_long_earlier_ones_took() {
    let (ours, mut scripted) = cold().await;
    let mut seen = Vec::new();
    for seconds in [40, 20, 0, 20] {
        let mut loading = load(&ours);
        assert_eq!(ours.loading(INTERNAL).unwrap().estimate, loading.estimate);
        seen.push(loading.estimate.map(|estimate| estimate.as_secs()));
        let call = load_call(&mut scripted).await;
        sleep(Duration::from_secs(seconds)).await;
        call.answer(200, LOADED).await;
        loading.done().await.unwrap();
    }
    // The third was in memory already and taught nothing.
    assert_eq!(seen, [None, Some(40), Some(34), Some(34)]);
}

#[tokio::test(start_paused = true)]
async fn a_load_ends_with_its_upstream() {
    let (ours, mut scripted) = cold().await;
    let mut loading = load(&ours);
    let _call = load_call(&mut scripted).await;
    sleep(Duration::from_secs(100)).await;
    scripted.set(Life::Stopped);
    let told = timeout(Duration::from_millis(3_500), loading.done()).await.expect("nobody was told");
    assert!(matches!(told, Err(Error::UpstreamDown)));
    assert_eq!(ours.resident(INTERNAL), None, "it may come back as another process");
    scripted.set(Life::Alive);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(ours.resident(INTERNAL), Some(false));
    let mut again = load(&ours);
    load_call(&mut scripted).await.answer(200, LOADED).await;
    again.done().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_load_that_breaks_off_is_the_upstreams_failure() {
    let (ours, mut scripted) = cold().await;
    let mut loading = load(&ours);
    let mut call = load_call(&mut scripted).await;
    // A kept connection that breaks at once was stale, and the request is sent again on a fresh one.
    sleep(Duration::from_secs(1)).await;
    call.begin(200, "application/json").cut().await;
    let error = loading.done().await.unwrap_err();
    assert!(matches!(&error, Error::Upstream(fault) if fault.kind == UpstreamFaultKind::Broken), "{error}");
}

#[tokio::test(start_paused = true)]
async fn patience_with_a_load_ends() {
    let (ours, mut scripted) = cold().await;
    let mut loading = ours.load(INTERNAL, None, None, Duration::from_secs(60));
    let mut call = load_call(&mut scripted).await;
    let began = Instant::now();
    assert!(matches!(loading.done().await, Err(Error::Deadline(Clock::Load))));
    assert_eq!(began.elapsed().as_secs(), 60);
    call.gone().await;
    assert_eq!(ours.loading(INTERNAL), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_loads_by_itself_is_not_asked() {
    let mut scripted = Upstream::new();
    scripted.script_loads();
    let ours = watched(&scripted, Format::OpenAi).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((ours.resident(INTERNAL), ours.context_tokens(INTERNAL)), (None, None));
    load(&ours).done().await.unwrap();
    assert!(scripted.untouched());
    assert_eq!(scripted.resident_asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_model_is_known_with_and_without_its_tag() {
    let (ours, scripted) = cold().await;
    scripted.set_resident(r#"{"models":[{"name":"qwen3:latest"},{"name":"glm:9b"}]}"#);
    ours.resident("qwen3");
    sleep(Duration::from_secs(3)).await;
    for (name, expected) in [
        ("qwen3", true),
        ("qwen3:latest", true),
        ("qwen3:32b", false),
        ("glm:9b", true),
        ("glm", false),
        ("latest", false),
    ] {
        assert_eq!(ours.resident(name), Some(expected), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_refuses_to_say_is_no_obstacle() {
    for (status, answer) in
        [(404, "404 page not found"), (500, "{}"), (200, "<html>"), (200, "{\"models\":7}")]
    {
        let (ours, mut scripted) = cold().await;
        assert_eq!(ours.resident(INTERNAL), Some(false));
        scripted.answer_resident(status, answer);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(ours.resident(INTERNAL), None, "{status} {answer}");
        let mut loading = load(&ours);
        load_call(&mut scripted).await.answer(200, LOADED).await;
        loading.done().await.unwrap();
        assert_eq!(ours.resident(INTERNAL), None);
        // Once it says, it is believed.
        scripted.set_resident(NOTHING);
        sleep(Duration::from_secs(11)).await;
        assert_eq!(ours.resident(INTERNAL), Some(false));
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_as_often_as_somebody_looks() {
    let (ours, scripted) = cold().await;
    let asked = |scripted: &Upstream, before: usize| scripted.resident_asked() - before;
    let before = scripted.resident_asked();
    sleep(Duration::from_secs(60)).await;
    let idle = asked(&scripted, before);
    assert!((5..=7).contains(&idle), "{idle}");

    let before = scripted.resident_asked();
    for _ in 0..600 {
        ours.resident(INTERNAL);
        sleep(Duration::from_millis(100)).await;
    }
    let busy = asked(&scripted, before);
    assert!((28..=31).contains(&busy), "{busy}");

    sleep(Duration::from_secs(9)).await;
    let before = scripted.resident_asked();
    ours.resident(INTERNAL);
    sleep(SOON).await;
    assert_eq!(asked(&scripted, before), 1, "the first look after a pause is answered soon");
}

#[tokio::test(start_paused = true)]
async fn what_a_load_has_pushed_out_is_seen_at_once() {
    let (ours, mut scripted) = cold().await;
    scripted.set_resident(r#"{"models":[{"name":"old:1b"}]}"#);
    ours.resident("old:1b");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(ours.resident("old:1b"), Some(true));
    let mut loading = load(&ours);
    let call = load_call(&mut scripted).await;
    scripted.set_resident(&format!(r#"{{"models":[{{"name":"{INTERNAL}"}}]}}"#));
    call.answer(200, LOADED).await;
    loading.done().await.unwrap();
    sleep(SOON).await;
    assert_eq!((ours.resident("old:1b"), ours.resident(INTERNAL)), (Some(false), Some(true)));
}
