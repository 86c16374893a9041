//! No silent truncation: what surely does not fit is refused with the numbers, and the runtime may not cut.

use gateway::config::{Model, Models, ServedBy};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rig::{INTERNAL, Rig, SOON, chat, done_line, hello, only};

fn long(words: usize) -> Value {
    let text = "extraordinary ".repeat(words);
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": text}], "stream": false})
}

async fn with_context(context_tokens: u64) -> Rig {
    Rig::with(|config| {
        config.models = Models::Listed(vec![Model {
            public: "qwen3:32b".into(),
            served_by: vec![ServedBy { upstream: "gpu".into(), internal: INTERNAL.into() }],
            context_tokens: Some(context_tokens),
            keep_alive: Some("30m".into()),
        }]);
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_chat_beyond_the_context_is_refused_with_the_numbers() {
    let mut rig = with_context(512).await;
    let reply = rig.send(chat(&long(1_500))).await;
    let (status, code, message) = reply.error().await;
    assert_eq!((status, code.as_str()), (400, "context_length_exceeded"));
    assert!(message.contains("512"), "{message}");
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn the_runtime_s_own_context_counts_where_the_operator_names_none() {
    let mut rig = Rig::new().await;
    let resident = json!({"models": [{"name": INTERNAL, "model": INTERNAL, "context_length": 256}]});
    rig.upstream.set_resident(&resident.to_string());
    sleep(std::time::Duration::from_secs(60)).await;
    let (status, code, message) = rig.send(chat(&long(1_500))).await.error().await;
    assert_eq!((status, code.as_str()), (400, "context_length_exceeded"));
    assert!(message.contains("256"), "{message}");
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn the_runtime_is_told_not_to_cut_and_what_the_operator_wants() {
    let mut rig = with_context(4_096).await;
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["truncate"], json!(false));
    assert_eq!(call.body["options"]["num_ctx"], json!(4_096));
    assert_eq!(call.body["keep_alive"], json!("30m"));
    call.answer(400, r#"{"error":"{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":9000,\"n_ctx\":4096}}"}"#).await;
    let (status, code, message) = asking.await.unwrap().error().await;
    assert_eq!((status, code.as_str()), (400, "context_length_exceeded"));
    assert!(message.contains("9000") && message.contains("4096"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_has_cut_all_the_same_is_found_out() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&long(1_500)));
    // It says that it has read 11 tokens.
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    sleep(SOON).await;
    assert!(rig.core.metrics_text().contains("gatehouse_truncated_total 1"));
    let record = only(rig.records().await);
    assert_eq!(record["truncated"], true, "{record}");
}

#[tokio::test(start_paused = true)]
async fn options_of_the_runtime_pass_only_for_keys_that_may_set_them() {
    let mut rig = Rig::with(|config| {
        let mut key = crate::rig::key("bob", "test-key-of-bob");
        key.options = vec!["num_ctx".into(), "top_k".into()];
        crate::rig::keys(config).push(key);
    })
    .await;
    let mut body = hello(false);
    body["num_ctx"] = json!(1_024);
    body["top_k"] = json!(7);
    body["keep_alive"] = json!(-1);
    body["options"] = json!({"num_gpu": 0});
    let asking = rig.ask(chat(&body));
    let call = rig.upstream.call().await;
    for field in ["keep_alive", "num_ctx", "top_k"] {
        assert!(call.body[field].is_null(), "{}", call.body);
    }
    for option in ["num_ctx", "top_k", "num_gpu"] {
        assert!(call.body["options"][option].is_null(), "{}", call.body);
    }
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    let head =
        crate::rig::bare_request("POST", "/v1/chat/completions").header("x-api-key", "test-key-of-bob");
    let asking = rig.ask(crate::rig::chat_with(head, &body));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["options"]["top_k"], json!(7), "{}", call.body);
    assert!(call.body["options"]["num_ctx"].is_number());
    assert!(call.body["options"]["num_gpu"].is_null() && call.body["keep_alive"].is_null());
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
}
