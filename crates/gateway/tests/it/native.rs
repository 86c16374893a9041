//! What else Ollama's own clients ask for: loading and letting go, what is there and what it is; and what only one dialect has.

use gateway::config::{Key, Model, Models, ServedBy};
use serde_json::{Value, json};
use wire::Manage;

use crate::rig::{INTERNAL, Rig, chat_with, get, keys, only, request};

const SHOWN: &str = r#"{"license":"canary licence","modelfile":"FROM canary","template":"canary template","system":"canary prompt","parameters":"stop canary","details":{"family":"qwen3","parent_model":"/secret/canary","parameter_size":"32B"},"model_info":{"general.architecture":"qwen3","qwen3.context_length":40960},"capabilities":["completion","tools"],"modified_at":"2026-01-02T03:04:05Z"}"#;

fn post(path: &str, body: &Value) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    chat_with(request("POST", path), body)
}

async fn rig(tweak: impl FnOnce(&mut Key)) -> Rig {
    Rig::with(|config| tweak(&mut keys(config)[0])).await
}

#[tokio::test(start_paused = true)]
async fn an_empty_question_loads_a_model_once() {
    for path in ["/api/generate", "/api/chat"] {
        let mut rig = Rig::new().await;
        rig.upstream.script_loads();
        // It is in memory.
        let reply = rig.send(post(path, &json!({"model": "qwen3:32b"}))).await;
        assert_eq!(reply.status, 200);
        let loaded = reply.json().await;
        assert_eq!(loaded["model"], "qwen3:32b");
        assert_eq!((&loaded["done"], &loaded["done_reason"]), (&json!(true), &json!("load")));
        assert!(rig.upstream.untouched());
        // It is not.
        rig.upstream.set_resident(r#"{"models":[]}"#);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let asking = [(); 3].map(|()| rig.ask(post(path, &json!({"model": "qwen3:32b"}))));
        let call = rig.upstream.call().await;
        assert_eq!((call.path.as_str(), &call.body["model"]), ("/api/generate", &json!(INTERNAL)));
        call.answer(200, r#"{"done":true,"done_reason":"load"}"#).await;
        for one in asking {
            assert_eq!(one.await.unwrap().json().await["done_reason"], "load");
        }
        assert!(rig.upstream.untouched(), "one load is enough");
    }
}

#[tokio::test(start_paused = true)]
async fn letting_a_model_go_is_for_keys_that_say_how_long_it_stays() {
    let away = json!({"model": "qwen3:32b", "keep_alive": 0});
    let mut plain = Rig::new().await;
    plain.upstream.script_loads();
    assert_eq!(plain.send(post("/api/generate", &away)).await.status, 403);
    assert!(plain.upstream.untouched());

    let mut granted = rig(|key| key.options = vec!["keep_alive".to_owned()]).await;
    granted.upstream.script_loads();
    let asking = granted.ask(post("/api/generate", &away));
    let call = granted.upstream.call().await;
    assert_eq!((&call.body["model"], &call.body["keep_alive"]), (&json!(INTERNAL), &json!(0)));
    call.answer(200, r#"{"done":true,"done_reason":"unload"}"#).await;
    assert_eq!(asking.await.unwrap().json().await["done_reason"], "unload");
}

#[tokio::test(start_paused = true)]
async fn a_model_is_let_go_wherever_it_is() {
    let (mut rig, mut second) = Rig::with_second().await;
    let mut config = rig.config.clone();
    keys(&mut config)[0].options = vec!["keep_alive".to_owned()];
    rig.core.reload(config).unwrap();
    rig.upstream.script_loads();
    second.script_loads();
    let asking = rig.ask(post("/api/generate", &json!({"model": "qwen3:32b", "keep_alive": 0})));
    for upstream in [&mut rig.upstream, &mut second] {
        let call = upstream.call().await;
        assert_eq!((call.path.as_str(), &call.body["keep_alive"]), ("/api/generate", &json!(0)));
        call.answer(200, r#"{"done":true,"done_reason":"unload"}"#).await;
    }
    assert_eq!(asking.await.unwrap().json().await["done_reason"], "unload");
}

#[tokio::test(start_paused = true)]
async fn texts_of_a_model_are_for_keys_that_may_show_them() {
    for granted in [false, true] {
        let rig = rig(|key| key.grants = if granted { vec![Manage::Show] } else { vec![] }).await;
        rig.upstream.push_show(200, SHOWN);
        let reply = rig.send(post("/api/show", &json!({"model": "qwen3:32b"}))).await;
        assert_eq!(reply.status, 200);
        let text = reply.text().await;
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["capabilities"], json!(["completion", "tools"]));
        assert_eq!(shown["model_info"]["qwen3.context_length"], 40960);
        assert_eq!(shown["details"]["parameter_size"], "32B");
        assert_eq!(
            shown["template"].as_str().is_some_and(|text| text == "canary template"),
            granted,
            "{text}"
        );
        assert!(granted || !text.contains("canary"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_speak_of_what_the_key_may_use() {
    let tags = format!(
        r#"{{"models":[{{"name":"{INTERNAL}","model":"{INTERNAL}","modified_at":"2026-01-02T03:04:05Z","size":7,"digest":"d","details":{{"family":"qwen3"}}}},{{"name":"hidden:1b","model":"hidden:1b"}}]}}"#
    );
    let rig = rig(|key| key.models = Some(vec!["qwen3:32b".to_owned()])).await;
    rig.upstream.set_tags(200, &tags);
    rig.upstream.set_resident(&tags);
    for path in ["/api/tags", "/api/ps", "/v1/models"] {
        let text = rig.send(get(path)).await.text().await;
        assert!(text.contains("qwen3:32b"), "{path}: {text}");
        assert!(!text.contains("hidden") && !text.contains("registry.internal"), "{path}: {text}");
    }
    assert_eq!(rig.send(post("/api/show", &json!({"model": "hidden:1b"}))).await.status, 404);
    assert_eq!(rig.send(get("/api/version")).await.json().await, json!({"version": "0.30.0"}));
}

#[tokio::test(start_paused = true)]
async fn a_client_s_greeting_is_answered() {
    let mut rig = Rig::new().await;
    for method in ["GET", "HEAD"] {
        let reply = rig.send(request(method, "/").body(http_body_util::Full::default()).unwrap()).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.text().await, if method == "GET" { "Ollama is running" } else { "" });
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn one_address_lists_models_as_its_caller_reads_them() {
    let rig = Rig::new().await;
    let openai = rig.send(get("/v1/models")).await.json().await;
    assert_eq!(openai["object"], "list");
    let head = request("GET", "/v1/models").header("anthropic-version", "2023-06-01");
    let reply = rig.send(head.body(http_body_util::Full::default()).unwrap()).await;
    assert!(reply.header("request-id").is_some());
    let anthropic = reply.json().await;
    assert_eq!((&anthropic["has_more"], &anthropic["data"][0]["type"]), (&json!(false), &json!("model")));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_counted_without_the_model() {
    let mut rig = Rig::new().await;
    let ask = |text: &str| {
        let head = request("POST", "/v1/messages/count_tokens").header("anthropic-version", "2023-06-01");
        chat_with(head, &json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": text}]}))
    };
    let short = rig.send(ask("hello")).await.json().await["input_tokens"].as_u64().unwrap();
    let long = rig.send(ask(&"hello ".repeat(500))).await.json().await["input_tokens"].as_u64().unwrap();
    assert!(short > 0 && long > 100 && long > short);
    assert!(rig.upstream.untouched());
    // A stream begins with the same number, and ends with the runtime's own.
    let body = json!({"model": "qwen3:32b", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "hello ".repeat(500)}]});
    let asking = rig.ask(post("/v1/messages", &body));
    let answer = rig.upstream.call().await.stream();
    answer.text("hi").await;
    answer.done().await;
    let stream = asking.await.unwrap().text().await;
    let (start, end) = stream.split_once("content_block_start").unwrap();
    assert!(start.contains(&format!("\"input_tokens\":{long},")), "{start}");
    assert!(end.contains("\"input_tokens\":11,"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_packed_body_is_read_where_a_client_packs_it() {
    let packed = |path: &str, body: &Value| {
        let bytes = body.to_string().into_bytes();
        let packed = ruzstd::encoding::compress_to_vec(&*bytes, ruzstd::encoding::CompressionLevel::Fastest);
        let head = request("POST", path).header("content-type", "application/json");
        head.header("content-encoding", "zstd").body(packed.into()).unwrap()
    };
    let mut rig = Rig::new().await;
    let asking = rig.ask(packed("/v1/responses", &json!({"model": "qwen3:32b", "input": "hello packed"})));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["messages"][0]["content"], "hello packed");
    assert!(!call.headers.contains_key("content-encoding"));
    call.answer(200, &crate::rig::done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    // Nobody else does.
    let body = json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "x"}]});
    for path in ["/v1/chat/completions", "/v1/messages", "/api/chat"] {
        assert_eq!(rig.send(packed(path, &body)).await.status, 415, "{path}");
    }
    // A bomb ends at the bound on bodies.
    let bomb = json!({"model": "qwen3:32b", "input": " ".repeat(64 << 20)});
    assert_eq!(rig.send(packed("/v1/responses", &bomb)).await.status, 413);
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn vectors_are_asked_for_by_every_dialect_that_has_them() {
    for (path, body) in [
        ("/v1/embeddings", json!({"model": "qwen3:32b", "input": ["a", "b"]})),
        ("/api/embed", json!({"model": "qwen3:32b", "input": ["a", "b"]})),
    ] {
        let mut rig = Rig::new().await;
        let asking = rig.ask(post(path, &body));
        let call = rig.upstream.call().await;
        assert_eq!((call.path.as_str(), &call.body["input"]), ("/api/embed", &json!(["a", "b"])));
        call.answer(200, r#"{"model":"m","embeddings":[[0.5,0.25],[1,2]],"prompt_eval_count":4}"#).await;
        let text = asking.await.unwrap().text().await;
        assert!(text.contains("0.25") && text.contains("qwen3:32b") && !text.contains("registry"), "{text}");
        let record = only(rig.records().await);
        assert_eq!((&record["prompt_tokens"], &record["status"]), (&json!(4), &json!(200)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_is_called_by_its_public_name_everywhere() {
    let rig = Rig::with(|config| {
        config.models = Models::Listed(vec![Model {
            public: "house".to_owned(),
            served_by: vec![ServedBy { upstream: "gpu".to_owned(), internal: INTERNAL.to_owned() }],
            context_tokens: None,
            keep_alive: None,
        }]);
    })
    .await;
    for path in ["/api/tags", "/api/ps", "/v1/models"] {
        let text = rig.send(get(path)).await.text().await;
        assert!(text.contains("\"house\"") && !text.contains("qwen3"), "{path}: {text}");
    }
}
