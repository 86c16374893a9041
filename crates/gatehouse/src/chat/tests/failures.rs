//! Every way an exchange with the gateway can fail, as the person sees it.

use serde_json::json;

use super::harness::{Site, config, stage};

/// Asks, lets the gateway answer with a refusal, and returns the failure told.
async fn refusal(status: &str, headers: &str, body: &str) -> serde_json::Value {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    client.ask(&chat, "q", None).await;
    gateway.request().await.answer(status, headers, body).await;
    let (_, last) = client.events(&chat, "after=0").await.rest().await;
    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(shown["messages"][1]["failure"], last["failure"], "the transcript keeps the reason");
    site.stop().await;
    last["failure"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_who_can_act() {
    let failure =
        refusal("401 Unauthorized", "x-request-id: gw-7\r\n", r#"{"error":"invalid api key"}"#).await;
    assert_eq!(failure["code"], "key_refused");
    assert_eq!(failure["action"], "operator");
    assert_eq!(failure["request_id"], "gw-7");
    let failure =
        refusal("429 Too Many Requests", "retry-after: 17\r\n", r#"{"error":{"message":"slow down"}}"#).await;
    assert_eq!((&failure["code"], &failure["retry_after_s"]), (&json!("rate_limited"), &json!(17)));
    let failure = refusal("503 Service Unavailable", "", "<html>upstream 10.0.0.7:11434</html>").await;
    assert_eq!(failure["code"], "gateway_busy");
    assert!(!failure.to_string().contains("10.0.0.7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_keep_their_text() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    for (tail, code) in [
        ("", "stream_cut"),
        ("data: {\"error\":{\"message\":\"at 10.0.0.7\",\"type\":\"server_error\"}}\n\n", "gateway_failed"),
        ("data: {\"choices\":[{\"delta\":{\"content\":", "gateway_failed"),
    ] {
        let chat = client.new_chat().await;
        client.ask(&chat, "q", None).await;
        let mut call = gateway.request().await;
        let mut events = client.events(&chat, "after=0").await;
        call.begin().await;
        call.text("kept").await;
        call.write(tail).await;
        drop(call);
        let (text, last) = events.rest().await;
        assert_eq!((text.as_str(), last["failure"]["code"].as_str().unwrap()), ("kept", code));
        assert_eq!(last["failure"]["request_id"], "gw-1");
        assert!(!last.to_string().contains("10.0.0.7"));
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_not_there() {
    let (folder, gateway, site) = stage().await;
    site.stop().await;
    let mut config = config(&folder.path().join("chat.db"), &gateway);
    // Nothing listens on a port that was just given back.
    drop(gateway);
    config.listen = "127.0.0.1:0".parse().unwrap();
    let site = Site::start(config).await;
    let client = site.client();
    let chat = client.new_chat().await;
    client.ask(&chat, "q", None).await;
    let (_, last) = client.events(&chat, "after=0").await.rest().await;
    assert_eq!(last["failure"]["code"], "gateway_unreachable");
    assert!(!last.to_string().contains("127.0.0.1"));
    let models = client.get("/api/models").await.expect(200);
    assert_eq!(models["error"]["code"], "gateway_unreachable");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_page_is_served_and_says_so() {
    let (folder, gateway, site) = stage().await;
    site.stop().await;
    let mut config = config(&folder.path().join("chat.db"), &gateway);
    config.gateway.key = None;
    let site = Site::start(config).await;
    let client = site.client();
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.get("/health").await.expect(200), json!({"status": "ok"}));
    assert_eq!(client.get("/api/setup").await.expect(200)["notice"]["code"], "no_key");
    assert_eq!(client.get("/api/models").await.expect(200)["error"]["code"], "no_key");
    let chat = client.new_chat().await;
    let body = json!({"client_id": "c", "text": "q", "model": "m", "parent_id": null});
    let refused = client.call("POST", &format!("/api/chats/{chat}/messages"), Some(body)).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "no_key"));
    assert_eq!(client.get(&format!("/api/chats/{chat}")).await.expect(200)["messages"], json!([]));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_have_bounds() {
    let (_folder, _gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let path = format!("/api/chats/{chat}/messages");
    let question = |change: serde_json::Value| {
        let mut body = json!({"client_id": "c", "text": "q", "model": "m", "parent_id": null});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, status) in [
        (json!({"text": "  "}), 400),
        (json!({"text": "x".repeat(200_001)}), 413),
        (json!({"client_id": ""}), 400),
        (json!({"model": "m\u{7}"}), 400),
        (json!({"images": ["https://example.com/x.png"]}), 400),
        (json!({"images": vec!["data:image/png;base64,"; 5]}), 413),
        (json!({"parent_id": "nowhere"}), 404),
        (json!({"unknown": 1}), 400),
    ] {
        let reply = client.call("POST", &path, Some(question(change.clone()))).await;
        let shown: String = change.to_string().chars().take(60).collect();
        assert_eq!(reply.status, status, "{shown}");
    }
    let big = client.call("POST", "/api/chats", Some(json!({"title": "x".repeat(70_000)}))).await;
    assert_eq!((big.status, big.code().as_str()), (413, "too_large"));
    assert_eq!(
        client.get(&format!("/api/chats/{chat}")).await.expect(200)["messages"],
        json!([]),
        "nothing was stored"
    );
    site.stop().await;
}
