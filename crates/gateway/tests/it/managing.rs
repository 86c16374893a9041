//! Work on the models of a runtime: for keys that were allowed it by name, on the one runtime that is meant, and on record.

use gateway::config::Config;
use serde_json::{Value, json};
use tokio::time::sleep;
use wire::Manage;

use crate::rig::{Call, Reply, Rig, SOON, chat_with, get, keys, only, request};

const DIGEST: &str = "sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2";

/// What changes something, with a body that asks for it.
fn work() -> Vec<(&'static str, &'static str, Manage, Value)> {
    vec![
        ("POST", "/api/pull", Manage::Pull, json!({"model": "m:1b", "stream": false})),
        ("POST", "/api/push", Manage::Push, json!({"model": "me/m:1b", "stream": false})),
        ("POST", "/api/create", Manage::Create, json!({"model": "mine", "from": "m:1b", "stream": false})),
        ("POST", "/api/copy", Manage::Copy, json!({"source": "m:1b", "destination": "mine"})),
        ("DELETE", "/api/delete", Manage::Delete, json!({"model": "mine"})),
    ]
}

fn allow(config: &mut Config, grants: &[Manage]) {
    keys(config)[0].grants = grants.to_vec();
}

fn ask(method: &str, path: &str, body: &Value) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    chat_with(request(method, path), body)
}

async fn refusal(reply: Reply) -> (u16, String) {
    let status = reply.status.as_u16();
    (status, reply.json().await["error"].as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn nobody_changes_models_whose_key_does_not_say_so() {
    // Every other grant is no help.
    for (method, path, needed, body) in work() {
        let others: Vec<_> = Manage::GRANTED.into_iter().filter(|grant| *grant != needed).collect();
        let mut rig = Rig::with(|config| allow(config, &others)).await;
        let (status, text) = refusal(rig.send(ask(method, path, &body)).await).await;
        assert_eq!(status, 403, "{path}");
        assert!(text.contains("manage"), "{text}");
        // Before a byte of the body is understood.
        assert_eq!(rig.send(ask(method, path, &json!("nonsense"))).await.status, 403);
        assert!(rig.upstream.untouched());
    }
    let mut rig = Rig::with(|config| allow(config, &[Manage::Pull])).await;
    for method in ["HEAD", "POST"] {
        let path = format!("/api/blobs/{DIGEST}");
        assert_eq!(rig.send(ask(method, &path, &json!(1))).await.status, 403);
    }
    for path in ["/api/me", "/api/signout", "/api/experimental/web_search"] {
        let status = rig.send(ask("POST", path, &json!({}))).await.status.as_u16();
        assert!([403, 404].contains(&status), "{path}: {status}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_is_written_anew() {
    for (method, path, needed, mut body) in work() {
        let mut rig = Rig::with(|config| allow(config, &[needed])).await;
        let wanted = body.clone();
        body["username"] = "canary".into();
        body["path"] = "/etc/canary".into();
        let asking = rig.ask(ask(method, path, &body));
        let call: Call = rig.upstream.call().await;
        assert_eq!((call.method.as_str(), call.path.as_str()), (method, path));
        assert_eq!(call.body, wanted);
        assert!(!call.headers.contains_key("authorization"));
        let said =
            if [Manage::Copy, Manage::Delete].contains(&needed) { "" } else { r#"{"status":"success"}"# };
        call.answer(200, said).await;
        let reply = asking.await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.text().await, said);
        let record = only(rig.records().await);
        assert_eq!((record["status"].as_u64(), record["upstream"].as_str()), (Some(200), Some("gpu")));
        assert!(
            record["model"].as_str().unwrap().contains("mine")
                || needed == Manage::Pull
                || needed == Manage::Push
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_key_is_told_what_would_not_be_sent() {
    let mut rig = Rig::with(|config| {
        allow(config, &[Manage::Pull]);
        keys(config)[0].strict = true;
    })
    .await;
    let body = json!({"model": "m", "username": "me"});
    let (status, text) = refusal(rig.send(ask("POST", "/api/pull", &body)).await).await;
    assert_eq!(status, 400);
    assert!(text.contains("strict key"), "{text}");
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_kept_to_some_models_changes_no_others() {
    let mut rig = Rig::with(|config| {
        allow(config, &[Manage::Pull, Manage::Copy]);
        keys(config)[0].models = Some(vec!["mine:1b".to_owned()]);
    })
    .await;
    for (path, body) in [
        ("/api/pull", json!({"model": "other:1b"})),
        ("/api/copy", json!({"source": "other:1b", "destination": "mine:1b"})),
        ("/api/copy", json!({"source": "mine:1b", "destination": "other:1b"})),
    ] {
        assert_eq!(refusal(rig.send(ask("POST", path, &body)).await).await.0, 403, "{body}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_line_by_line() {
    let mut rig = Rig::with(|config| allow(config, &[Manage::Pull])).await;
    let asking = rig.ask(ask("POST", "/api/pull", &json!({"model": "m:1b"})));
    let mut call = rig.upstream.call().await;
    assert_eq!(call.body, json!({"model": "m:1b", "stream": true}));
    let answer = call.stream();
    answer.send("{\"status\":\"pulling manifest\"}\n").await;
    let mut reply = asking.await.unwrap();
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(reply.piece().await.unwrap(), "{\"status\":\"pulling manifest\"}\n");
    let line = format!("{{\"status\":\"pulling\",\"digest\":\"{DIGEST}\",\"total\":100,\"completed\":50}}\n");
    answer.send(&line).await;
    assert_eq!(reply.piece().await.unwrap(), line);
    answer.send("{\"status\":\"success\"}\n").await;
    drop(answer);
    assert_eq!(reply.text().await, "{\"status\":\"success\"}\n");
}

#[tokio::test(start_paused = true)]
async fn work_that_fails_half_way_says_so() {
    for (last, found) in [
        (Some("{\"error\":\"pull model manifest: file does not exist\"}\n"), "{\"error\":\""),
        // The connection breaks: nothing that reads like a success.
        (None, "{\"error\":\""),
    ] {
        let mut rig = Rig::with(|config| allow(config, &[Manage::Pull])).await;
        let asking = rig.ask(ask("POST", "/api/pull", &json!({"model": "m:1b"})));
        let answer = rig.upstream.call().await.stream();
        answer.send("{\"status\":\"pulling manifest\"}\n").await;
        match last {
            Some(line) => answer.send(line).await,
            None => answer.cut().await,
        }
        let text = asking.await.unwrap().text().await;
        assert!(text.contains(found) && !text.contains("success"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_ends_the_work() {
    let mut rig = Rig::with(|config| allow(config, &[Manage::Pull])).await;
    let asking = rig.ask(ask("POST", "/api/pull", &json!({"model": "m:1b"})));
    let mut call = rig.upstream.call().await;
    let answer = call.stream();
    answer.send("{\"status\":\"pulling manifest\"}\n").await;
    let mut reply = asking.await.unwrap();
    reply.piece().await.unwrap();
    reply.leave();
    sleep(SOON).await;
    assert!(call.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_runtime_s_is_its_own() {
    let mut rig = Rig::with(|config| allow(config, &[Manage::Delete])).await;
    let asking = rig.ask(ask("DELETE", "/api/delete", &json!({"model": "absent"})));
    rig.upstream.call().await.answer(404, r#"{"error":"model 'absent' not found"}"#).await;
    assert_eq!(refusal(asking.await.unwrap()).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn of_several_runtimes_one_has_to_be_named() {
    let (rig, mut second) = Rig::with_second().await;
    let mut config = rig.config.clone();
    allow(&mut config, &[Manage::Pull]);
    rig.core.reload(config).unwrap();
    let body = json!({"model": "m:1b", "stream": false});
    let named = |name: Option<&str>| {
        let mut head = request("POST", "/api/pull");
        if let Some(name) = name {
            head = head.header("x-gatehouse-upstream", name);
        }
        chat_with(head, &body)
    };
    for wrong in [None, Some("third"), Some("")] {
        let (status, text) = refusal(rig.send(named(wrong)).await).await;
        assert_eq!(status, 400);
        assert!(text.contains("X-Gatehouse-Upstream") && text.contains("gpu, second"), "{text}");
    }
    let asking = rig.ask(named(Some("second")));
    let call = second.call().await;
    assert_eq!(call.authority.as_str(), "second.test:11434");
    call.answer(200, r#"{"status":"success"}"#).await;
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn blobs_pass_as_bytes() {
    let mut rig = Rig::with(|config| allow(config, &[Manage::Blobs])).await;
    let path = format!("/api/blobs/{DIGEST}");
    for status in [200, 404] {
        let asking = rig.ask(request("HEAD", &path).body(http_body_util::Full::default()).unwrap());
        let mut call = rig.upstream.call().await;
        assert_eq!((call.method.as_str(), call.path.as_str()), ("HEAD", path.as_str()));
        drop(call.begin(status, "text/plain"));
        assert_eq!(asking.await.unwrap().status, status);
    }
    // More than a body of fields may have, and than the pipe holds.
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let asking = rig.ask(request("POST", &path).body(bytes.clone().into()).unwrap());
    let mut call = rig.upstream.call().await;
    assert_eq!(call.headers["content-length"], "200000");
    assert!(call.bytes == bytes);
    drop(call.begin(201, "text/plain"));
    let status = asking.await.unwrap().status.as_u16();
    assert!([200, 201].contains(&status), "{status}");
    for wrong in ["sha256:short", "..%2F..%2Fetc", "md5:29fdb92e57cf0827ded04ae6461b5931"] {
        let path = format!("/api/blobs/{wrong}");
        let status = rig.send(request("POST", &path).body("x".into()).unwrap()).await.status.as_u16();
        assert!([400, 404].contains(&status), "{wrong}: {status}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn what_was_made_is_listed_at_once() {
    let mut rig = Rig::with(|config| allow(config, &[Manage::Copy])).await;
    rig.send(get("/api/tags")).await.text().await;
    let asking = rig.ask(ask("POST", "/api/copy", &json!({"source": "m:1b", "destination": "mine"})));
    let call = rig.upstream.call().await;
    rig.upstream.set_tags(200, r#"{"models":[{"name":"mine:latest"}]}"#);
    call.answer(200, "").await;
    asking.await.unwrap();
    assert!(rig.send(get("/api/tags")).await.text().await.contains("mine:latest"));
}
