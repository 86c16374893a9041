//! Keys: where they may stand, what a wrong one hears, and that none goes further than this house.

use bytes::Bytes;
use gateway::config::{Key, Secret};
use http::Request;
use http_body_util::Full;

use crate::rig::{KEY, Rig, bare_request, chat, chat_with, done_line, get, hello, key, keys, only, request};

const UNAUTHORIZED: &str = r#"{"error":{"message":"invalid api key; send your key as 'Authorization: Bearer KEY', or ask the operator for one","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;

const UNAUTHORIZED_IN_OLLAMAS_SHAPE: &str = r#"{"error":"invalid api key; send your key as 'Authorization: Bearer KEY', or ask the operator for one"}"#;

fn with_headers(headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut head = bare_request("GET", "/v1/models");
    for (name, value) in headers {
        head = head.header(*name, *value);
    }
    head.body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_carrier_alone_and_together() {
    let rig = Rig::new().await;
    let bearer = format!("Bearer {KEY}");
    let (lower, upper) = (format!("bearer {KEY}"), format!("BEARER   {KEY}"));
    let (longer, shorter) = (format!("Bearer {KEY}x"), format!("Bearer {}", &KEY[1..]));
    let (glued, basic) = (format!("Bearer{KEY}"), format!("Basic {KEY}"));
    let (quoted, two) = (format!("Bearer \"{KEY}\""), format!("Bearer {KEY}, Bearer {KEY}"));
    let cookie = format!("key={KEY}");
    for (status, headers) in [
        (200, vec![("authorization", bearer.as_str())]),
        (200, vec![("authorization", &lower)]),
        (200, vec![("authorization", &upper)]),
        (200, vec![("x-api-key", KEY)]),
        (200, vec![("authorization", &bearer), ("x-api-key", KEY)]),
        (401, vec![]),
        (401, vec![("authorization", "")]),
        (401, vec![("authorization", "Bearer")]),
        (401, vec![("authorization", "Bearer ")]),
        (401, vec![("authorization", KEY)]),
        (401, vec![("authorization", &glued)]),
        (401, vec![("authorization", &basic)]),
        (401, vec![("authorization", &quoted)]),
        (401, vec![("authorization", &two)]),
        (401, vec![("authorization", &longer)]),
        (401, vec![("authorization", &shorter)]),
        (401, vec![("x-api-key", &bearer)]),
        (401, vec![("x-api-key", "wrong")]),
        (401, vec![("api-key", KEY)]),
        (401, vec![("cookie", &cookie)]),
        (401, vec![("proxy-authorization", &bearer)]),
        // Two that do not agree are nobody's, whichever of them is right.
        (400, vec![("authorization", &bearer), ("x-api-key", "wrong")]),
        (400, vec![("authorization", "Bearer wrong"), ("x-api-key", KEY)]),
        (400, vec![("authorization", &basic), ("x-api-key", KEY)]),
        (400, vec![("authorization", ""), ("x-api-key", KEY)]),
        (400, vec![("authorization", &bearer), ("authorization", &bearer)]),
        (400, vec![("authorization", &bearer), ("authorization", "Bearer wrong")]),
        (400, vec![("x-api-key", KEY), ("x-api-key", KEY)]),
    ] {
        let reply = rig.send(with_headers(&headers)).await;
        assert_eq!(reply.status, status, "{headers:?}");
        match status {
            401 => {
                assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
                assert_eq!(reply.text().await, UNAUTHORIZED, "{headers:?}");
            }
            400 => assert_eq!(reply.error().await.1, "two_credentials"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_hears_one_sentence_where_that_shape_is_configured() {
    let mut rig = Rig::with(|config| config.error_format = Some(wire::Format::Ollama)).await;
    for asked in [
        with_headers(&[("authorization", "Bearer wrong")]),
        with_headers(&[("x-api-key", "wrong")]),
        chat_with(bare_request("POST", "/v1/chat/completions"), &hello(true)),
    ] {
        let reply = rig.send(asked).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.text().await, r#"{"error":"invalid api key"}"#);
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn without_a_key_nobody_learns_which_paths_exist() {
    let rig = Rig::new().await;
    for (method, path) in [
        ("GET", "/v1/models"),
        ("DELETE", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/api/tags"),
        ("GET", "/api/nonsense"),
        ("POST", "/api/pull"),
        ("GET", "/metrics"),
        ("GET", "/"),
    ] {
        let reply = rig.send(bare_request(method, path).body(Full::default()).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (401, None), "{method} {path}");
        // The shape is that of the path's beginning, served or not; the root is Ollama's.
        let in_ollamas = path.starts_with("/api/") || path == "/";
        let expected = if in_ollamas { UNAUTHORIZED_IN_OLLAMAS_SHAPE } else { UNAUTHORIZED };
        assert_eq!(reply.text().await, expected, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_s_body_is_read_before_his_key() {
    let rig = Rig::new().await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: wrong\r\ncontent-length: 1000000\r\n\r\n";
    let heard = crate::rig::raw(rig.pipe(), head.as_bytes()).await;
    assert_eq!(heard.statuses(), [401], "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_for_some_models_sees_and_uses_only_those() {
    let mut rig = Rig::with(|config| {
        let of = |models: &[&str]| Some(models.iter().map(|model| (*model).to_owned()).collect());
        keys(config).push(Key { models: of(&["small"]), ..key("intern", "test-key-of-intern") });
        keys(config).push(Key { models: of(&[]), ..key("nobody", "test-key-of-nobody") });
    })
    .await;
    rig.upstream.set_tags(
        200,
        r#"{"models":[{"name":"registry.internal/qwen3:32b"},{"name":"small"},{"name":"registry.internal/small"}]}"#,
    );
    let as_intern = |head: http::request::Builder| head.header("x-api-key", "test-key-of-intern");
    let list = bare_request("GET", "/v1/models");
    let listed = rig.send(as_intern(list).body(Full::default()).unwrap()).await.json().await;
    assert_eq!(
        listed["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect::<Vec<_>>(),
        ["small"]
    );

    for path in ["/v1/models/qwen3:32b", "/v1/models/registry.internal%2Fsmall", "/v1/models/absent"] {
        let reply = rig.send(as_intern(bare_request("GET", path)).body(Full::default()).unwrap()).await;
        let (status, code, message) = reply.error().await;
        assert_eq!((status, code.as_str()), (404, "model_not_found"), "{path}: {message}");
    }
    let head = as_intern(bare_request("POST", "/v1/chat/completions"));
    let reply = rig.send(chat_with(head, &hello(true))).await;
    assert_eq!(reply.status, 404);
    assert!(rig.upstream.untouched());
    assert!(rig.upstream.shown().is_empty());

    let head = as_intern(bare_request("POST", "/v1/chat/completions"));
    let mut allowed = hello(false);
    allowed["model"] = "small".into();
    let asking = rig.ask(chat_with(head, &allowed));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);

    let head = bare_request("GET", "/v1/models").header("x-api-key", "test-key-of-nobody");
    let listed = rig.send(head.body(Full::default()).unwrap()).await.text().await;
    assert_eq!(listed, r#"{"object":"list","data":[]}"#);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_client_s_head_reaches_the_upstream() {
    let mut rig = Rig::new().await;
    let mut head = request("POST", "/v1/chat/completions");
    for (name, value) in [
        ("x-api-key", KEY),
        ("cookie", "session=canary"),
        ("x-user-id", "canary"),
        ("x-real-ip", "203.0.113.7"),
        ("x-forwarded-for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("x-request-id", "canary"),
        ("traceparent", "00-canary-01"),
        ("user-agent", "canary/1.0"),
        ("accept", "text/canary"),
        ("accept-encoding", "gzip"),
        ("referer", "https://canary.test/"),
        ("origin", "https://canary.test"),
        ("te", "trailers"),
        ("openai-organization", "canary"),
        ("x-stainless-os", "canary"),
        ("connection", "x-api-key, authorization"),
        ("proxy-authorization", "canary"),
    ] {
        head = head.header(name, value);
    }
    let asking = rig.ask(chat_with(head, &hello(false)));
    let call = rig.upstream.call().await;
    let mut names: Vec<_> = call.headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["accept", "content-length", "content-type", "host"]);
    assert_eq!(call.headers["host"], "upstream.test:11434");
    let seen = format!("{:?} {}", call.headers, call.body);
    assert!(!seen.contains("canary") && !seen.contains(KEY) && !seen.contains("203.0.113"), "{seen}");
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_s_own_token_is_sent_to_it_alone() {
    let mut rig =
        Rig::with(|config| config.upstreams[0].bearer = Some(Secret("upstream-token".into()))).await;
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    assert_eq!(call.headers["authorization"], "Bearer upstream-token");
    call.answer(200, &done_line("hi")).await;
    let reply = asking.await.unwrap();
    assert!(!format!("{:?}", reply.headers).contains("upstream-token"));
    assert!(!reply.text().await.contains("upstream-token"));
}

#[tokio::test(start_paused = true)]
async fn a_strict_key_is_told_what_would_be_dropped() {
    let mut rig = Rig::with(|config| keys(config)[0].strict = true).await;
    let mut body = hello(false);
    body["metadata"] = serde_json::json!({"a": "b"});
    let reply = rig.send(chat(&body)).await.json().await;
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["param"]),
        (&"unsupported_parameter".into(), &"metadata".into())
    );
    assert!(rig.upstream.untouched());
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    let records = rig.records().await;
    assert_eq!((&records[0]["end"], &records[0]["status"]), (&"refused".into(), &400.into()));
    assert!(!records.iter().any(|record| record.to_string().contains(KEY)));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_asked_a_key_is_not_in_the_way() {
    let rig = Rig::with(|config| config.auth = gateway::config::Auth::Open).await;
    assert_eq!(rig.send(with_headers(&[])).await.status, 200);
    assert_eq!(rig.send(with_headers(&[("authorization", "Bearer whatever")])).await.status, 200);
    let mut records = rig.records().await;
    records.truncate(1);
    assert_eq!(only(records)["key_id"], "open");
}
