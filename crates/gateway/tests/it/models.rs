//! Model names: clients see public ones, upstreams their own, and no name makes a prompt leave the machine.

use std::time::Duration;

use gateway::config::{Model, Models, ServedBy};
use serde_json::{Value, json};

use crate::rig::{INTERNAL, Rig, chat, done_line, get, hello};

const SHOWN: &str = r#"{"license":"canary","template":"canary","system":"canary","details":{"parent_model":"canary"},"model_info":{"general.name":"canary"},"capabilities":["completion"],"modified_at":"2026-01-02T03:04:05.123456789+01:00"}"#;

fn asking_for(model: &str) -> Value {
    let mut body = hello(false);
    body["model"] = model.into();
    body
}

async fn ids(rig: &Rig) -> Vec<String> {
    let list = rig.send(get("/v1/models")).await.json().await;
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_list_shows_public_names() {
    let rig = Rig::new().await;
    let reply = rig.send(get("/v1/models")).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(
        reply.text().await,
        r#"{"object":"list","data":[{"id":"qwen3:32b","object":"model","created":1767323045,"owned_by":"library"}]}"#
    );
}

#[tokio::test(start_paused = true)]
async fn the_list_is_of_this_moment() {
    let rig = Rig::new().await;
    assert_eq!(ids(&rig).await, ["qwen3:32b"]);
    rig.upstream.set_tags(200, r#"{"models":[{"name":"team/new:1b"}]}"#);
    assert_eq!(ids(&rig).await, ["team/new:1b"]);
    rig.upstream.set_tags(200, r#"{"models":null}"#);
    assert!(ids(&rig).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_is_an_error_and_not_an_empty_one() {
    let rig = Rig::new().await;
    rig.upstream.set_tags(200, "<html>canary</html>");
    let (status, code, message) = rig.send(get("/v1/models")).await.error().await;
    assert_eq!((status, code.as_str()), (502, "upstream_protocol_error"));
    assert!(!message.contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn one_model_is_shown_under_the_name_that_was_asked() {
    let rig = Rig::new().await;
    for path in ["/v1/models/qwen3:32b", "/v1/models/qwen3%3A32b"] {
        rig.upstream.push_show(200, SHOWN);
        let text = rig.send(get(path)).await.text().await;
        assert_eq!(text, r#"{"id":"qwen3:32b","object":"model","created":1767319445,"owned_by":"library"}"#);
    }
    assert!(rig.upstream.shown().iter().all(|asked| *asked == json!({"model": INTERNAL})));
    rig.upstream.push_show(404, r#"{"error":"model 'canary' not found"}"#);
    let (status, code, message) = rig.send(get("/v1/models/absent:1b")).await.error().await;
    assert_eq!((status, code.as_str()), (404, "model_not_found"));
    assert!(!message.contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn a_chat_goes_out_under_the_upstream_s_own_name() {
    let mut rig = Rig::new().await;
    rig.upstream.set_tags(
        200,
        r#"{"models":[{"name":"registry.internal/qwen3:32b"},{"name":"gemma:latest"},{"name":"mirror.test:5000/team/phi:4b"},{"name":"phi:4b"},{"name":"other.test/phi:4b"}]}"#,
    );
    assert_eq!(ids(&rig).await.len(), 4, "each name once");
    for (asked, sent) in [
        ("qwen3:32b", "registry.internal/qwen3:32b"),
        ("gemma", "gemma:latest"),
        ("gemma:latest", "gemma:latest"),
        ("team/phi:4b", "mirror.test:5000/team/phi:4b"),
        // What carries the name itself wins over what only maps to it.
        ("phi:4b", "phi:4b"),
    ] {
        let asking = rig.ask(chat(&asking_for(asked)));
        let call = rig.upstream.call().await;
        assert_eq!((call.path.as_str(), &call.body["model"]), ("/api/chat", &sent.into()));
        call.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().json().await["model"], asked);
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_the_cloud_stay_here() {
    let mut rig = Rig::new().await;
    rig.upstream.set_tags(
        200,
        r#"{"models":[{"name":"here:1b"},{"name":"kimi:cloud","remote_host":"https://cloud.test"},{"name":"plain-stub:1b","remote_host":"https://cloud.test","remote_model":"big:1t"}]}"#,
    );
    assert_eq!(ids(&rig).await, ["here:1b"]);
    for name in ["kimi:cloud", "plain-stub:1b", "gpt-oss:120b-cloud", "absent:cloud", "KIMI:CLOUD"] {
        let (status, code, _) = rig.send(chat(&asking_for(name))).await.error().await;
        assert_eq!((status, code.as_str()), (404, "model_not_found"), "{name}");
        let (status, code, _) = rig.send(get(&format!("/v1/models/{name}"))).await.error().await;
        assert_eq!((status, code.as_str()), (404, "model_not_found"), "{name}");
    }
    assert!(rig.upstream.untouched() && rig.upstream.shown().is_empty(), "the upstream was asked");
}

#[tokio::test(start_paused = true)]
async fn a_stub_is_known_in_every_spelling_that_the_runtime_takes() {
    let mut rig = Rig::new().await;
    rig.upstream.set_tags(
        200,
        r#"{"models":[{"name":"plain-stub:1b","remote_host":"https://cloud.test"},{"name":"other-stub:latest","remote_host":"https://cloud.test"},{"name":"Here:1b"}]}"#,
    );
    assert_eq!(ids(&rig).await, ["Here:1b"]);
    for name in [
        "Plain-Stub:1b",
        "plain-stub:1B",
        "library/plain-stub:1b",
        "registry.ollama.ai/library/plain-stub:1b",
        "plain-stub:1b@sha256:00",
        "OTHER-STUB",
        "library/other-stub:LATEST",
    ] {
        let (status, code, _) = rig.send(chat(&asking_for(name))).await.error().await;
        assert_eq!((status, code.as_str()), (404, "model_not_found"), "{name}");
    }
    assert!(rig.upstream.untouched());
    // What is here is found, and sent under its own name.
    for name in ["here:1b", "library/HERE:1B"] {
        let asking = rig.ask(chat(&asking_for(name)));
        let call = rig.upstream.call().await;
        assert_eq!(call.body["model"], "Here:1b");
        call.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().json().await["model"], name);
    }
}

#[tokio::test(start_paused = true)]
async fn tricks_in_names_reach_nobody() {
    let mut rig = Rig::new().await;
    let long = "x".repeat(257);
    for name in [
        "",
        "../qwen3:32b",
        "a//b",
        "/etc/passwd",
        ".hidden",
        "a b",
        "a\nb",
        "a\u{0}b",
        "ａ",
        "a?b",
        "a#b",
        &long,
    ] {
        let (status, _, message) = rig.send(chat(&asking_for(name))).await.error().await;
        assert!(status == 404 || status == 400, "{name:?}: {status} {message}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_listed_is_for_the_upstream_to_refuse() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&asking_for("just-pulled:1b")));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["model"], "just-pulled:1b");
    call.answer(404, r#"{"error":"model 'just-pulled:1b' not found"}"#).await;
    let (status, code, _) = asking.await.unwrap().error().await;
    assert_eq!((status, code.as_str()), (404, "model_not_found"));
}

#[tokio::test(start_paused = true)]
async fn a_list_of_the_operator_s_is_closed() {
    let mut rig = Rig::with(|config| {
        let model = |public: &str, internal: &str| Model {
            public: public.into(),
            served_by: vec![ServedBy { internal: internal.into(), upstream: "gpu".into() }],
            context_tokens: None,
            keep_alive: None,
        };
        config.models = Models::Listed(vec![model("house", INTERNAL), model("absent", "absent:1b")]);
    })
    .await;
    assert_eq!(ids(&rig).await, ["house"], "what is listed and there");
    for name in ["qwen3:32b", INTERNAL, "absent:1b", "house:latest", "House"] {
        assert_eq!(rig.send(chat(&asking_for(name))).await.status, 404, "{name}");
    }
    assert!(rig.upstream.untouched());
    let asking = rig.ask(chat(&asking_for("house")));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["model"], INTERNAL);
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().json().await["model"], "house");
}

#[tokio::test(start_paused = true)]
async fn an_openai_compatible_upstream_is_listed_and_served_too() {
    let mut rig =
        Rig::with(|config| config.upstreams = vec![crate::rig::upstream_config(wire::Format::OpenAi)]).await;
    rig.upstream.set_tags(
        200,
        r#"{"object":"list","data":[{"id":"/srv/models/big.gguf","object":"model","created":7,"owned_by":"llamacpp"},{"id":"big","created":8,"owned_by":"vllm"}]}"#,
    );
    let list = rig.send(get("/v1/models")).await.text().await;
    assert!(list.contains(r#"{"id":"big","object":"model","created":8,"owned_by":"library"}"#), "{list}");
    assert!(!list.contains("llamacpp") && !list.contains("vllm"), "{list}");
    let one = rig.send(get("/v1/models/big")).await.text().await;
    assert_eq!(one, r#"{"id":"big","object":"model","created":8,"owned_by":"library"}"#);
    let asking = rig.ask(chat(&asking_for("big")));
    let call = rig.upstream.call().await;
    assert_eq!((call.path.as_str(), &call.body["model"]), ("/v1/chat/completions", &"big".into()));
    call.answer(200, r#"{"id":"cmpl-canary","object":"chat.completion","created":1,"model":"/srv/canary","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},"timings":{"canary":1}}"#).await;
    let text = asking.await.unwrap().text().await;
    assert!(text.contains("\"content\":\"hi\"") && !text.contains("canary"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_a_model_can_is_asked_of_the_upstream_when_it_matters() {
    let mut rig = Rig::new().await;
    let mut thinking = hello(false);
    thinking["reasoning_effort"] = "high".into();
    // The upstream says no: the wish is dropped, and that is recorded. The answer is remembered for a while.
    rig.upstream.push_show(200, SHOWN);
    for _ in 0..3 {
        let asking = rig.ask(chat(&thinking));
        let call = rig.upstream.call().await;
        assert!(call.body["think"].is_null(), "{}", call.body);
        call.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
    }
    assert_eq!(rig.upstream.shown().len(), 1);
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    rig.upstream.push_show(200, r#"{"capabilities":["completion","thinking"]}"#);
    let asking = rig.ask(chat(&thinking));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["think"], "high");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    // One that does not answer the question is sent what was asked.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let asking = rig.ask(chat(&thinking));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["think"], "high");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    // Who does not ask for thinking costs no question.
    let shown = rig.upstream.shown().len();
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    assert_eq!(rig.upstream.shown().len(), shown);
    assert_eq!(rig.records().await[0]["dropped"], json!(["reasoning_effort"]));
}

#[tokio::test(start_paused = true)]
async fn a_model_installed_a_moment_ago_is_known_under_its_public_name_at_once() {
    let mut rig = Rig::new().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.upstream.set_tags(200, r#"{"models":[{"name":"registry.internal/new:1b"}]}"#);
    let mut client = rig.client().await;
    let asking = tokio::spawn(async move { client.send(chat(&asking_for("new:1b"))).await.status });
    let call = rig.upstream.call().await;
    assert_eq!(call.body["model"], "registry.internal/new:1b");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap(), 200);
}
