//! Questions and answers: order, resuming, stopping, restarting.

use serde_json::json;
use store::{Conversations, NewChat, Piece, PieceKind, Question, SqliteOptions, SqliteStore};

use super::harness::{Site, config, header, stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_stored_and_answered() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let (question, answer, run) = client.ask(&chat, "Why is the sky blue?", None).await;

    let mut call = gateway.request().await;
    assert!(call.head.starts_with("POST /v1/chat/completions "), "{}", call.head);
    assert_eq!(header(&call.head, "authorization"), Some("Bearer k"));
    assert_eq!(header(&call.head, "x-user-id"), Some("local"));
    assert_eq!(header(&call.head, "x-gatehouse-progress"), Some("1"));
    assert_eq!(header(&call.head, "x-request-id"), Some(run.as_str()));
    assert_eq!(call.body["messages"], json!([{"role": "user", "content": "Why is the sky blue?"}]));
    assert_eq!(call.body["stream_options"], json!({"include_usage": true}));

    let mut events = client.events(&chat, &format!("run={run}&after=0")).await;
    call.begin().await;
    call.write(": progress {\"state\":\"queued\",\"position\":2}\n\n").await;
    assert_eq!(events.kind("queued").await["position"], 2);
    call.write(": progress {\"state\":\"loading\",\"elapsed_s\":4}\n\n").await;
    let loading = events.kind("loading").await;
    assert_eq!((&loading["model"], &loading["elapsed_s"]), (&json!("m"), &json!(4)));
    call.write("data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n").await;
    assert_eq!(events.kind("thinking").await["text"], "hm");
    call.text("Ray").await;
    call.text("leigh").await;
    call.finish("stop").await;
    let (text, last) = events.rest().await;
    assert_eq!(text, "Rayleigh");
    assert_eq!((&last["kind"], &last["status"]), (&json!("done"), &json!("done")));
    assert_eq!(last["usage"]["output_tokens"], 3);

    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(shown["title"], "Why is the sky blue?");
    assert_eq!(shown["head_id"], json!(answer));
    assert_eq!(shown["run"], json!(null));
    assert_eq!(shown["messages"][0]["id"], json!(question));
    assert_eq!(shown["messages"][1]["text"], "Rayleigh");
    assert_eq!(shown["messages"][1]["thinking"], "hm");
    assert_eq!(shown["messages"][1]["status"], "done");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_gets_the_whole_text_once_wherever_it_begins() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let (.., run) = client.ask(&chat, "q", None).await;
    let mut call = gateway.request().await;
    let mut first = client.events(&chat, "after=0").await;
    call.begin().await;
    call.text("a").await;
    assert_eq!(first.kind("text").await["text"], "a");
    call.text("b").await;
    assert_eq!(first.kind("text").await["seq"], 2);

    // The second tab opens mid-way: snapshot and number belong together.
    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!((&shown["messages"][1]["text"], &shown["run"]["seq"]), (&json!("ab"), &json!(2)));
    assert_eq!(shown["run"]["id"], json!(run));
    let mut second = client.events(&chat, "after=2").await;
    let mut third = client.events(&chat, &format!("run={run}&after=1")).await;
    assert_eq!(third.kind("text").await["text"], "b");
    drop(first);
    call.text("c").await;
    assert_eq!(second.kind("text").await["text"], "c");
    assert_eq!(third.kind("text").await["seq"], 3);
    call.finish("length").await;
    for reader in [&mut second, &mut third] {
        let (text, last) = reader.rest().await;
        assert_eq!(text, "");
        assert_eq!((&last["status"], &last["seq"]), (&json!("cut"), &json!(4)));
    }

    // After the end: what was missed comes as a whole, what was not is not repeated.
    let (text, last) = client.events(&chat, "after=1").await.rest().await;
    assert_eq!((text.as_str(), &last["seq"]), ("abc", &json!(4)));
    let mut late = client.events(&chat, "after=3").await;
    assert_eq!(late.kind("done").await["status"], "cut");
    assert!(late.next().await.is_none());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_closes_the_gateway_request_and_keeps_the_text() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let (.., run) = client.ask(&chat, "q", None).await;
    let mut call = gateway.request().await;
    call.begin().await;
    call.text("kept").await;
    let mut events = client.events(&chat, "after=0").await;
    events.kind("text").await;
    let path = format!("/api/runs/{run}/stop");
    client.call("POST", &path, Some(json!({}))).await.expect(200);
    call.closed().await;
    assert_eq!(events.rest().await.1["status"], "stopped");
    client.call("POST", &path, Some(json!({}))).await.expect(200);
    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(
        (&shown["messages"][1]["text"], &shown["messages"][1]["status"]),
        (&json!("kept"), &json!("stopped"))
    );

    // Also before the gateway has said anything.
    let (.., run) = client.ask(&chat, "q2", None).await;
    let call = gateway.request().await;
    client.call("POST", &format!("/api/runs/{run}/stop"), Some(json!({}))).await.expect(200);
    call.closed().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_tab_stops_nothing() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    client.ask(&chat, "q", None).await;
    let mut call = gateway.request().await;
    let mut events = client.events(&chat, "after=0").await;
    call.begin().await;
    call.text("a").await;
    events.kind("text").await;
    drop(events);
    call.text("b").await;
    call.finish("stop").await;
    assert_eq!(client.events(&chat, "after=0").await.rest().await.0, "ab");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_the_text_and_a_plain_reason() {
    let (folder, gateway, site) = stage().await;
    site.stop().await;
    let path = folder.path().join("chat.db");
    // What a killed process leaves: a run that is open in the store and written by nobody.
    let store = SqliteStore::open(&SqliteOptions::new(&path)).await.unwrap();
    let chat = NewChat { id: "c", owner: "local", title: "t", now_ms: 1, chats_max: 9 };
    store.create_chat(&chat).await.unwrap();
    let question = Question {
        user_message_id: "u",
        message_id: "a",
        run_id: "r",
        client_id: "k",
        parent_id: None,
        text: "q",
        images: &[],
        model: "m",
        title: "t",
        now_ms: 2,
    };
    store.begin_question("local", "c", &question, store::Limits { messages_max: 9 }).await.unwrap();
    let piece = Piece { seq: 1, kind: PieceKind::Text, text: "so far".into() };
    store.append("local", "r", &piece).await.unwrap();
    store.close().await;

    let site = Site::start(config(&path, &gateway)).await;
    let shown = site.client().get("/api/chats/c").await.expect(200);
    assert_eq!(shown["run"], json!(null));
    assert_eq!(shown["messages"][1]["text"], "so far");
    assert_eq!(shown["messages"][1]["failure"]["code"], "interrupted");
    let (text, last) = site.client().events("c", "run=r&after=0").await.rest().await;
    assert_eq!((text.as_str(), &last["failure"]["code"]), ("so far", &json!("interrupted")));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so_in_the_answer() {
    let (folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    client.ask(&chat, "q", None).await;
    let mut call = gateway.request().await;
    let mut events = client.events(&chat, "after=0").await;
    call.begin().await;
    call.text("a").await;
    events.kind("text").await;
    site.stop().await;
    call.closed().await;
    assert_eq!(events.rest().await.1["failure"]["code"], "server_stopped");
    let site = Site::start(config(&folder.path().join("chat.db"), &gateway)).await;
    let shown = site.client().get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(shown["messages"][1]["failure"]["code"], "server_stopped");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_send_twice_is_one_question() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let (a, b) = tokio::join!(client.ask(&chat, "once", None), client.ask(&chat, "once", None));
    assert_eq!(a, b);
    let mut call = gateway.request().await;
    call.begin().await;
    call.finish("stop").await;
    client.events(&chat, "after=0").await.rest().await;
    assert_eq!(client.ask(&chat, "once", None).await, a, "also after the end");
    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(shown["messages"].as_array().unwrap().len(), 2);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regenerating_makes_siblings_and_the_head_can_move_back() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let (question, first, _) = client.ask(&chat, "q", None).await;
    let mut call = gateway.request().await;
    call.begin().await;
    call.text("one").await;
    call.finish("stop").await;
    client.events(&chat, "after=0").await.rest().await;

    let path = format!("/api/chats/{chat}/regenerate");
    let again =
        client.call("POST", &path, Some(json!({"message_id": first, "model": "m2"}))).await.expect(202);
    let mut call = gateway.request().await;
    assert_eq!(
        call.body["messages"],
        json!([{"role": "user", "content": "q"}]),
        "the first answer is not shown to the model"
    );
    assert_eq!(call.body["model"], "m2");
    // A second question has to wait for this one.
    let busy = json!({"client_id": "x", "text": "x", "model": "m", "parent_id": first});
    let busy = client.call("POST", &format!("/api/chats/{chat}/messages"), Some(busy)).await;
    assert_eq!((busy.status, busy.code().as_str()), (409, "busy"));
    call.begin().await;
    call.text("two").await;
    call.finish("stop").await;
    client.events(&chat, "after=0").await.rest().await;

    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(shown["messages"][1]["text"], "two");
    assert_eq!(shown["messages"][1]["siblings"], json!([first, again["message_id"]]));
    let chat_path = format!("/api/chats/{chat}");
    client.call("PATCH", &chat_path, Some(json!({"head_id": first}))).await.expect(200);
    let shown = client.get(&chat_path).await.expect(200);
    assert_eq!((&shown["head_id"], &shown["messages"][1]["text"]), (&json!(first), &json!("one")));

    // The next question carries its branch only, as the model must read it.
    client.ask(&chat, "next", Some(&first)).await;
    let mut call = gateway.request().await;
    let roles: Vec<_> =
        call.body["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(roles, [json!("q"), json!("one"), json!("next")]);
    call.begin().await;
    call.finish("stop").await;
    client.events(&chat, "after=0").await.rest().await;
    assert!(!question.is_empty());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_chat_ends_its_answer() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    client.ask(&chat, "q", None).await;
    let mut call = gateway.request().await;
    call.begin().await;
    let path = format!("/api/chats/{chat}");
    assert_eq!(client.call("DELETE", &path, None).await.status, 204);
    call.closed().await;
    assert_eq!(client.get(&path).await.status, 404);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_travel_as_their_own_type() {
    let (_folder, gateway, site) = stage().await;
    let client = site.client();
    let chat = client.new_chat().await;
    let url = "data:image/png;base64,iVBORw0KGgoBAgM=";
    let body = json!({"client_id": "i", "text": "see", "images": [url], "model": "m", "parent_id": null});
    client.call("POST", &format!("/api/chats/{chat}/messages"), Some(body)).await.expect(202);
    let mut call = gateway.request().await;
    assert_eq!(
        call.body["messages"][0]["content"],
        json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}])
    );
    call.begin().await;
    call.finish("stop").await;
    client.events(&chat, "after=0").await.rest().await;
    let shown = client.get(&format!("/api/chats/{chat}")).await.expect(200);
    assert_eq!(shown["messages"][0]["images"], json!([url]));
    site.stop().await;
}
