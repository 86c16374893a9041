//! Answers: what a client gets is what its format needs, and nothing else that the upstream said.

use http::Response;
use serde_json::{Value, json};

use crate::rig::{
    INTERNAL, Reply, Rig, answer_text, chat, chat_with, done_line, events, failure, hello, only, request,
    text_line,
};

/// Words of the upstream's that must never be seen.
const HIDDEN: [&str; 11] = [
    "registry.internal",
    "created_at",
    "total_duration",
    "load_duration",
    "eval_count",
    "eval_duration",
    "done_reason",
    "5043500667",
    "canary",
    "/srv/models",
    "10.9.8.7",
];

fn shows_nothing_hidden(text: &str) {
    for word in HIDDEN {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

fn header_names(reply: &Reply) -> Vec<String> {
    let mut names: Vec<_> = reply.headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_format_and_no_more() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let call = rig.upstream.call().await;
    assert_eq!((call.authority.as_str(), call.path.as_str()), ("upstream.test:11434", "/api/chat"));
    let answer = { call }.stream();
    answer.text("Hello").await;
    answer.text(", world").await;
    answer.done().await;
    let text = asking.await.unwrap().text().await;
    shows_nothing_hidden(&text);
    let events = events(&text);
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    for chunk in &chunks {
        let names: Vec<_> = chunk.as_object().unwrap().keys().collect();
        assert_eq!(names, ["choices", "created", "id", "model", "object"]);
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(
            (&chunk["object"], &chunk["model"], &chunk["created"]),
            (&"chat.completion.chunk".into(), &"qwen3:32b".into(), &1_767_323_045.into())
        );
    }
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "Hello"}));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer_text(&text), "Hello, world");
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_holds_its_format_and_no_more() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, &done_line("Hello, world")).await;
    let reply = asking.await.unwrap();
    let length = reply.header("content-length").unwrap().to_owned();
    let text = reply.text().await;
    assert_eq!(length, text.len().to_string());
    shows_nothing_hidden(&text);
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["id"].take().as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(
        answer,
        json!({
            "id": null,
            "object": "chat.completion",
            "created": 1_767_323_045,
            "model": "qwen3:32b",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": "Hello, world", "refusal": null},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        })
    );
}

#[tokio::test(start_paused = true)]
async fn heads_are_ours_whatever_the_upstream_sends() {
    let mut rig = Rig::new().await;
    for stream in [true, false] {
        let asking = rig.ask(chat(&hello(stream)));
        let head = Response::builder()
            .header("content-type", if stream { "application/x-ndjson" } else { "application/json" })
            .header("server", "canary")
            .header("set-cookie", "canary=1")
            .header("x-request-id", "canary")
            .header("x-ratelimit-limit-requests", "7")
            .header("access-control-allow-origin", "*")
            .header("cache-control", "public, max-age=31536000")
            .header("openai-processing-ms", "canary")
            .header("via", "canary");
        let answer = rig.upstream.call().await.begin_with(head);
        answer.done().await;
        let reply = asking.await.unwrap();
        let framing = if stream { "transfer-encoding" } else { "content-length" };
        let mut expected = vec![
            "cache-control",
            "content-type",
            framing,
            "date",
            "request-id",
            "x-accel-buffering",
            "x-content-type-options",
            "x-request-id",
        ];
        expected.sort_unstable();
        assert_eq!(header_names(&reply), expected);
        assert_eq!(
            reply.header("content-type"),
            Some(if stream { "text/event-stream" } else { "application/json" })
        );
        assert_eq!(reply.header("cache-control"), Some("no-cache, no-store"));
        assert_eq!(reply.header("x-accel-buffering"), Some("no"));
        assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
        shows_nothing_hidden(&format!("{:?}", reply.headers));
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_says_whether_to_stream_and_not_accept() {
    let mut rig = Rig::new().await;
    for (stream, accept) in [(true, "application/json"), (false, "text/event-stream")] {
        let head = request("POST", "/v1/chat/completions").header("accept", accept);
        let asking = rig.ask(chat_with(head, &hello(stream)));
        let call = rig.upstream.call().await;
        assert_eq!(call.body["stream"], stream);
        call.answer(200, &done_line("hi")).await;
        let expected = if stream { "text/event-stream" } else { "application/json" };
        assert_eq!(asking.await.unwrap().header("content-type"), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_comes_at_the_end_for_who_asks() {
    let mut rig = Rig::new().await;
    for asked in [true, false] {
        let mut body = hello(true);
        body["stream_options"] = json!({"include_usage": asked});
        let asking = rig.ask(chat(&body));
        rig.upstream.call().await.stream().done().await;
        let text = asking.await.unwrap().text().await;
        let events = events(&text);
        let last: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
        if asked {
            assert_eq!(
                last["usage"],
                json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})
            );
            assert_eq!(last["choices"], json!([]));
        } else {
            assert!(!text.contains("usage"), "{text}");
        }
    }
    // Asked or not, the house counts.
    let records = rig.records().await;
    for record in records {
        assert_eq!((&record["prompt_tokens"], &record["output_tokens"]), (&11.into(), &7.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn fields_can_be_stripped() {
    let mut rig = Rig::with(|config| {
        config.answer.strip = wire::Strip { model: true, created: true };
    })
    .await;
    for stream in [true, false] {
        let asking = rig.ask(chat(&hello(stream)));
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
        let text = asking.await.unwrap().text().await;
        assert!(
            !text.contains("\"model\"") && !text.contains("\"created\"") && !text.contains("qwen3"),
            "{text}"
        );
        assert!(text.contains("\"content\":\"hi\""), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_upstream_become_ours() {
    let mut rig = Rig::new().await;
    let (json, plain) = ("application/json; charset=utf-8", "text/plain; charset=utf-8");
    for (upstream, content_type, body, status, code) in [
        (400, json, r#"{"error":"\"canary\" does not support thinking"}"#, 400, "unsupported_parameter"),
        (400, json, r#"{"error":"canary does not support tools"}"#, 400, "unsupported_parameter"),
        (400, json, r#"{"error":"canary 10.9.8.7"}"#, 400, "invalid_value"),
        (400, json, r#"{"error":"prompt is too long: canary"}"#, 400, "context_length_exceeded"),
        (404, json, r#"{"error":"model 'registry.internal/canary' not found"}"#, 404, "model_not_found"),
        (404, plain, "404 page not found canary", 502, "upstream_protocol_error"),
        (
            401,
            json,
            r#"{"error":"unauthorized","signin_url":"https://canary.test"}"#,
            502,
            "upstream_protocol_error",
        ),
        (403, plain, "canary", 502, "upstream_protocol_error"),
        (405, plain, "405 method not allowed canary", 502, "upstream_protocol_error"),
        (301, plain, "canary", 502, "upstream_protocol_error"),
        (204, plain, "", 502, "upstream_protocol_error"),
        (429, json, r#"{"error":"canary"}"#, 429, "rate_limit_exceeded"),
        (
            500,
            json,
            r#"{"error":"llama runner process has terminated: /srv/models/canary"}"#,
            502,
            "upstream_error",
        ),
        (500, json, r#"{"error":"error parsing tool call: raw='canary'"}"#, 502, "upstream_error"),
        (500, json, r#"{"error":"invalid format: canary"}"#, 400, "invalid_value"),
        (502, "text/html", "<html>canary</html>", 502, "upstream_error"),
        (503, json, r#"{"error":"server busy canary"}"#, 503, "upstream_overloaded"),
        (200, "text/html", "<html>\n<body>canary</body>\n</html>\n", 502, "upstream_protocol_error"),
        (200, "text/html", "<html>canary</html>", 502, "upstream_protocol_error"),
        (200, json, "{\"error\":\"canary\"}\n", 502, "upstream_error"),
        (200, json, "{\"message\":", 502, ""),
        (200, json, "[]\n", 502, "upstream_protocol_error"),
        (200, json, "", 502, ""),
    ] {
        for stream in [true, false] {
            let asking = rig.ask(chat(&hello(stream)));
            rig.upstream.call().await.begin(upstream, content_type).send(body).await;
            let reply = asking.await.unwrap();
            let retry_after = reply.header("retry-after").map(|text| text.parse::<u64>().unwrap());
            let text = reply.status.as_u16();
            let (got, got_code, message) = reply.error().await;
            let what = format!("{upstream} {body:?} stream {stream} -> {text} {got_code} {message}");
            assert_eq!(got, status, "{what}");
            assert!(code.is_empty() || got_code == code, "{what}");
            assert!(!message.is_empty(), "{what}");
            shows_nothing_hidden(&message);
            assert_eq!(retry_after.is_some(), [429, 503].contains(&status), "{what}");
        }
    }
}

/// Each way to break off mid-stream is an error event, never a proper end.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_says_so() {
    let mut rig = Rig::new().await;
    for (rest, cut) in [
        (String::new(), false),
        (String::new(), true),
        ("{\"error\":\"canary /srv/models 10.9.8.7\"}\n".to_owned(), false),
        ("{\"error\":\"canary\"}".to_owned(), false),
        ("<html>canary</html>\n".to_owned(), false),
        ("{\"message\":{\"content\":\"can".to_owned(), false),
        (text_line("more").trim_end().to_owned(), false),
        ("\u{0}\n".to_owned(), false),
    ] {
        let (reply, answer) = rig.streaming().await;
        if !rest.is_empty() {
            answer.send(&rest).await;
        }
        if cut {
            answer.cut().await;
        } else {
            drop(answer);
        }
        let text = reply.text().await;
        let (code, message) = failure(&text);
        assert!(code.starts_with("upstream_"), "{rest:?}: {text}");
        assert!(!message.is_empty());
        shows_nothing_hidden(&text);
    }
    for record in rig.records().await {
        assert_eq!((&record["end"], &record["status"]), (&"upstream_cut".into(), &200.into()));
        assert!(record["error"].as_str().unwrap().starts_with("upstream_"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_without_an_end_is_cut_at_a_bound() {
    let mut rig = Rig::new().await;
    let (reply, mut answer) = rig.streaming().await;
    let piece = "x".repeat(64 << 10);
    let endless = async {
        let mut sent_bytes = 0;
        while !answer.is_gone() {
            answer.send(&piece).await;
            sent_bytes += piece.len();
            assert!(sent_bytes < 10 << 20, "a line of 10 MiB is still read");
        }
    };
    let (text, ()) = tokio::join!(reply.text(), endless);
    assert_eq!(failure(&text).0, "upstream_protocol_error");
    answer.gone().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_not_passed_on() {
    let mut rig = Rig::new().await;
    let (reply, answer) = rig.streaming().await;
    answer.send(&(done_line("") + &text_line("late canary") + "{\"error\":\"canary\"}\n")).await;
    let text = reply.text().await;
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("canary"), "{text}");
    drop(answer);
    assert_eq!(only(rig.records().await)["end"], "complete");
}

#[tokio::test(start_paused = true)]
async fn bytes_may_be_cut_anywhere() {
    let mut rig = Rig::new().await;
    let whole = text_line("naïve 你好 🎈") + &text_line("\u{2028}\"quoted\"\n") + &done_line("");
    let asking = rig.ask(chat(&hello(true)));
    let answer = rig.upstream.call().await.stream();
    let text = tokio::spawn(async move { asking.await.unwrap().text().await });
    for character in whole.chars() {
        answer.send(&character.to_string()).await;
    }
    drop(answer);
    let text = text.await.unwrap();
    assert_eq!(answer_text(&text), "naïve 你好 🎈\u{2028}\"quoted\"\n");
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn every_request_has_an_id_of_its_own() {
    let mut rig = Rig::new().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let asking = rig.ask(chat(&hello(false)));
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
        let reply = asking.await.unwrap();
        assert!(seen.insert(reply.header("x-request-id").unwrap().to_owned()));
        assert!(seen.insert(reply.json().await["id"].as_str().unwrap().to_owned()));
    }
    assert!(!seen.iter().any(|id| id.contains(INTERNAL)));
}

/// What a stream has begun with belongs to the caller, also where its end came in the same piece.
#[tokio::test(start_paused = true)]
async fn a_fault_in_one_piece_with_the_first_event_is_an_event_too() {
    for end in ["{\"error\":\"the runner died\"}\n", ""] {
        let mut rig = Rig::new().await;
        let asking = rig.ask(chat(&hello(true)));
        let answer = rig.upstream.call().await.stream();
        answer.send(&format!("{}{end}", text_line("Hel"))).await;
        drop(answer);
        let reply = asking.await.unwrap();
        assert_eq!(reply.status, 200);
        let text = reply.text().await;
        assert_eq!(answer_text(&text), "Hel");
        assert_eq!(failure(&text).0, "upstream_error");
        assert_eq!(only(rig.records().await)["end"], "upstream_cut");
    }
}
