//! Every dialect walks the same way: limits, queue, clocks, filter, departures and records hold for each of them.
//!
//! Never here: a dialect's bytes in detail (`wire` proves those).

use std::time::Duration;

use gateway::config::{Counts, Filter, FilterAction, FilterRule, LimitRule, Pattern, RetryAfter, Selector};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::rig::{Reply, Rig, SOON, chat_with, only, request};

/// A client's dialect, as far as these tests have to know it.
struct Dialect {
    path: &'static str,
    body: fn(bool) -> Value,
    content_type: &'static str,
    /// What the line of a piece of text holds before the text.
    piece: &'static str,
    /// What a proper end looks like, and no failed stream may hold.
    end: &'static str,
    /// What a failed stream ends with.
    failure: &'static str,
    /// What keeps a silent stream open once it has begun.
    heartbeat: &'static str,
    /// The same before the upstream has said anything.
    early_heartbeat: &'static str,
    /// Why an answer ended that reached a cap.
    length: &'static str,
    overloaded: u16,
    unknown_model: u16,
    /// Where a whole answer has its text.
    whole_text: &'static str,
}

fn messages(stream: bool) -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "hello"}], "stream": stream, "max_tokens": 50})
}

const DIALECTS: [Dialect; 5] = [
    Dialect {
        path: "/v1/chat/completions",
        body: messages,
        content_type: "text/event-stream",
        piece: "\"content\":\"",
        end: "data: [DONE]",
        failure: "data: {\"error\":{",
        heartbeat: ": keepalive\n\n",
        early_heartbeat: ": keepalive\n\n",
        length: "\"finish_reason\":\"length\"",
        overloaded: 503,
        unknown_model: 404,
        whole_text: "/choices/0/message/content",
    },
    Dialect {
        path: "/v1/responses",
        body: |stream| json!({"model": "qwen3:32b", "input": "hello", "stream": stream}),
        content_type: "text/event-stream",
        piece: "\"delta\":\"",
        end: "event: response.completed",
        failure: "event: response.failed",
        heartbeat: "event: response.in_progress",
        early_heartbeat: ": keepalive\n\n",
        length: "\"reason\":\"max_output_tokens\"",
        overloaded: 429,
        unknown_model: 400,
        whole_text: "/output/0/content/0/text",
    },
    Dialect {
        path: "/v1/messages",
        body: messages,
        content_type: "text/event-stream",
        piece: "\"text_delta\",\"text\":\"",
        end: "event: message_stop",
        failure: "event: error",
        heartbeat: "event: ping",
        early_heartbeat: ": keepalive\n\n",
        length: "\"stop_reason\":\"max_tokens\"",
        overloaded: 529,
        unknown_model: 404,
        whole_text: "/content/0/text",
    },
    Dialect {
        path: "/api/chat",
        body: |stream| {
            let mut body = messages(stream);
            body.as_object_mut().unwrap().remove("max_tokens");
            body
        },
        content_type: "application/x-ndjson",
        piece: "\"content\":\"",
        end: "\"done\":true",
        failure: "{\"error\":\"",
        heartbeat: "\"content\":\"\"},\"done\":false}\n",
        early_heartbeat: "\"content\":\"\"},\"done\":false}\n",
        length: "\"done_reason\":\"length\"",
        overloaded: 503,
        unknown_model: 404,
        whole_text: "/message/content",
    },
    Dialect {
        path: "/v1/completions",
        body: |stream| json!({"model": "qwen3:32b", "prompt": "hello", "stream": stream}),
        content_type: "text/event-stream",
        piece: "\"text\":\"",
        end: "data: [DONE]",
        failure: "data: {\"error\":{",
        heartbeat: ": keepalive\n\n",
        early_heartbeat: ": keepalive\n\n",
        length: "\"finish_reason\":\"length\"",
        overloaded: 503,
        unknown_model: 404,
        whole_text: "/choices/0/text",
    },
];

impl Dialect {
    fn ask(&self, stream: bool) -> http::Request<http_body_util::Full<bytes::Bytes>> {
        chat_with(request("POST", self.path), &(self.body)(stream))
    }

    /// Everything that the pieces of a stream say.
    fn text(&self, stream: &str) -> String {
        let piece = |line: &str| {
            let (_, rest) = line.split_once(self.piece)?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        // The last line of some dialects tells the whole once more.
        let told_again = |line: &&str| !line.contains(".done") && !line.contains(self.end);
        stream.lines().filter(told_again).filter_map(piece).collect()
    }

    fn failed(&self, stream: &str) -> bool {
        stream.contains(self.failure) && !stream.contains(self.end)
    }

    fn native(&self) -> bool {
        self.path != "/v1/completions"
    }
}

/// A line of the upstream's, of the operation that it was asked for.
fn line(dialect: &Dialect, text: &str) -> String {
    if dialect.native() {
        return crate::rig::text_line(text);
    }
    json!({"model": "m", "created_at": "2026-01-02T03:04:05Z", "response": text, "done": false}).to_string()
        + "\n"
}

fn last(dialect: &Dialect, text: &str) -> String {
    if dialect.native() {
        return crate::rig::done_line(text);
    }
    let counts = json!({"model": "m", "created_at": "2026-01-02T03:04:05Z", "response": text, "done": true,
        "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2});
    counts.to_string() + "\n"
}

#[tokio::test(start_paused = true)]
async fn answers_stream_and_come_whole() {
    for dialect in &DIALECTS {
        let mut rig = Rig::new().await;
        let asking = rig.ask(dialect.ask(true));
        let answer = rig.upstream.call().await.stream();
        answer.send(&line(dialect, "one")).await;
        let mut reply = asking.await.unwrap();
        assert_eq!(reply.header("content-type"), Some(dialect.content_type), "{}", dialect.path);
        let first = reply.piece().await.unwrap();
        assert_eq!(dialect.text(&first), "one", "{first}");
        answer.send(&line(dialect, " two")).await;
        answer.send(&last(dialect, "")).await;
        drop(answer);
        let stream = first + &reply.text().await;
        assert_eq!(dialect.text(&stream), "one two", "{stream}");
        assert!(stream.contains(dialect.end) && !stream.contains(dialect.failure), "{stream}");

        let asking = rig.ask(dialect.ask(false));
        rig.upstream.call().await.answer(200, &last(dialect, "whole")).await;
        let body = asking.await.unwrap().json().await;
        assert_eq!(body.pointer(dialect.whole_text), Some(&json!("whole")), "{body}");
        let records = rig.records().await;
        assert_eq!(records.len(), 2);
        for record in records {
            assert_eq!((&record["route"], &record["end"]), (&json!(dialect.path), &json!("complete")));
            assert!(record["output_tokens"].as_u64() > Some(0), "{record}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_never_given_a_proper_end() {
    for dialect in &DIALECTS {
        let mut rig = Rig::new().await;
        let asking = rig.ask(dialect.ask(true));
        let answer = rig.upstream.call().await.stream();
        answer.send(&line(dialect, "one")).await;
        let reply = asking.await.unwrap();
        answer.send("{\"error\":\"runner died at /srv/models\"}\n").await;
        drop(answer);
        let stream = reply.text().await;
        assert!(dialect.failed(&stream) && !stream.contains("/srv"), "{}: {stream}", dialect.path);
        let record = only(rig.records().await);
        assert_eq!((&record["end"], &record["error"]), (&json!("upstream_cut"), &json!("upstream_error")));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_kept_open_in_each_dialect() {
    for dialect in &DIALECTS {
        let mut rig = Rig::new().await;
        let asking = rig.ask(dialect.ask(true));
        let answer = rig.upstream.call().await.stream();
        answer.send(&line(dialect, "one")).await;
        let mut reply = asking.await.unwrap();
        let first = reply.piece().await.unwrap();
        let beat = timeout(Duration::from_secs(16), reply.piece()).await.expect("a heartbeat").unwrap();
        assert!(beat.contains(dialect.heartbeat), "{}: {beat}", dialect.path);
        assert_eq!(dialect.text(&beat), "", "{beat}");
        answer.send(&last(dialect, " two")).await;
        drop(answer);
        let stream = first + &beat + &reply.text().await;
        assert_eq!(dialect.text(&stream), "one two", "{stream}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_begins_with_heartbeats_and_may_still_fail() {
    for dialect in &DIALECTS {
        let mut rig = Rig::new().await;
        let asking = rig.ask(dialect.ask(true));
        let call = rig.upstream.call().await;
        let mut reply = timeout(Duration::from_secs(26), asking).await.expect("a head").unwrap();
        assert_eq!(reply.status, 200);
        let beat = reply.piece().await.unwrap();
        assert!(beat.contains(dialect.early_heartbeat), "{}: {beat}", dialect.path);
        call.answer(500, r#"{"error":"model runner has unexpectedly stopped"}"#).await;
        let rest = reply.text().await;
        assert!(dialect.failed(&rest), "{}: {rest}", dialect.path);
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_frees_the_model() {
    for dialect in &DIALECTS {
        let mut rig = Rig::new().await;
        let asking = rig.ask(dialect.ask(true));
        let mut answer = rig.upstream.call().await.stream();
        answer.send(&line(dialect, "one")).await;
        asking.await.unwrap().leave();
        timeout(SOON, answer.gone()).await.expect("the upstream still works for nobody");
        sleep(SOON).await;
        let record = only(rig.records().await);
        assert_eq!(record["end"], "client_gone", "{}", dialect.path);
    }
}

fn at_most(max: u64, counts: Counts) -> LimitRule {
    LimitRule {
        name: "few".into(),
        applies_to: Selector::default(),
        per: vec![],
        counts,
        max,
        window: Duration::from_secs(60),
        retry_after: RetryAfter::Exact,
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_tokens_ends_each_dialect_properly() {
    for dialect in &DIALECTS {
        let mut rig = Rig::with(|config| {
            config.limits = vec![at_most(3, Counts::OutputTokens)];
        })
        .await;
        let mut body = (dialect.body)(true);
        body.as_object_mut()
            .unwrap()
            .retain(|name, _| name != "max_tokens" || dialect.path == "/v1/messages");
        if dialect.path == "/v1/messages" {
            body["max_tokens"] = json!(3);
        }
        let asking = rig.ask(chat_with(request("POST", dialect.path), &body));
        let mut answer = rig.upstream.call().await.stream();
        for text in ["a", "b", "c", "d"] {
            answer.send(&line(dialect, text)).await;
        }
        let stream = asking.await.unwrap().text().await;
        assert_eq!(dialect.text(&stream), "abc", "{stream}");
        assert!(stream.contains(dialect.length) && !stream.contains(dialect.failure), "{stream}");
        answer.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_is_reserved_at_its_upper_bound() {
    for dialect in &DIALECTS {
        let mut rig = Rig::with(|config| {
            // More than the text has, less than a template may make of it.
            config.limits = vec![at_most(10, Counts::Tokens)];
        })
        .await;
        let reply = rig.send(dialect.ask(false)).await;
        assert!([400, 429].contains(&reply.status.as_u16()), "{}: {}", dialect.path, reply.status);
        assert!(rig.upstream.untouched());
    }
}

#[tokio::test(start_paused = true)]
async fn the_filter_looks_at_each_dialect() {
    const SECRET: &str = "project-heron";
    for dialect in &DIALECTS {
        let mut rig = Rig::with(|config| {
            config.filter = Some(Filter {
                rules: vec![FilterRule {
                    name: "names".into(),
                    looks_for: Pattern::Literals(vec![SECRET.into()]),
                    action: FilterAction::Mask,
                }],
                answers: true,
                tool_arguments: true,
                prompts: true,
            });
        })
        .await;
        let mut body = (dialect.body)(true);
        let asked = format!("what is {SECRET}?");
        match body.as_object_mut().unwrap() {
            map if map.contains_key("messages") => map["messages"][0]["content"] = json!(asked),
            map if map.contains_key("prompt") => map["prompt"] = json!(asked),
            map => map["input"] = json!(asked),
        }
        let asking = rig.ask(chat_with(request("POST", dialect.path), &body));
        let mut call = rig.upstream.call().await;
        assert!(!call.body.to_string().contains(SECRET), "{}", call.body);
        assert!(call.body.to_string().contains("what is *************?"), "{}", call.body);
        let answer = call.stream();
        answer.send(&line(dialect, "it is project-")).await;
        answer.send(&line(dialect, "heron!")).await;
        answer.send(&last(dialect, "")).await;
        drop(answer);
        let stream = asking.await.unwrap().text().await;
        assert_eq!(dialect.text(&stream), "it is *************!", "{stream}");
        assert!(!stream.contains(SECRET) && stream.contains(dialect.end), "{stream}");
    }
}

/// Status, and whether the body is an error in the dialect's own shape.
async fn refused(dialect: &Dialect, reply: Reply) -> u16 {
    let status = reply.status.as_u16();
    let body = reply.json().await;
    let shaped = match dialect.path {
        "/v1/messages" => {
            body["type"] == "error" && body["error"]["type"].is_string() && body["request_id"].is_string()
        }
        "/api/chat" => body["error"].is_string(),
        _ => body["error"]["type"].is_string() && body["error"].get("param").is_some(),
    };
    assert!(shaped, "{}: {body}", dialect.path);
    status
}

#[tokio::test(start_paused = true)]
async fn refusals_have_the_statuses_that_clients_understand() {
    for dialect in &DIALECTS {
        let mut rig = Rig::with(|config| {
            config.upstreams[0].slots = Some(1);
            config.upstreams[0].queue_max = 0;
        })
        .await;
        let busy = rig.ask(dialect.ask(true));
        let call = rig.upstream.call().await;
        let reply = rig.send(dialect.ask(true)).await;
        assert!(reply.header("retry-after").is_some());
        assert_eq!(refused(dialect, reply).await, dialect.overloaded, "{}", dialect.path);
        drop((busy, call));

        let mut body = (dialect.body)(false);
        body["model"] = json!("../etc");
        let reply = rig.send(chat_with(request("POST", dialect.path), &body)).await;
        assert_eq!(refused(dialect, reply).await, dialect.unknown_model, "{}", dialect.path);

        let reply = rig.send(chat_with(request("POST", dialect.path), &json!({"model": 1}))).await;
        assert_eq!(refused(dialect, reply).await, 400, "{}", dialect.path);
        let reply = rig.send(request("PUT", dialect.path).body(Default::default()).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("POST")));
        let wrong = chat_with(crate::rig::bare_request("POST", dialect.path), &(dialect.body)(true));
        assert_eq!(refused(dialect, rig.send(wrong).await).await, 401, "{}", dialect.path);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_at_the_door_is_told_in_its_dialect() {
    let rig = Rig::new().await;
    let ask = |path: &str| request("POST", path).body(http_body_util::Full::default()).unwrap();
    // Before the path is looked at: a key in the address.
    let reply = rig.send(ask("/v1/messages?api_key=x")).await;
    assert_eq!((reply.status.as_u16(), reply.header("request-id").is_some()), (400, true));
    assert_eq!(reply.json().await["error"]["type"], "invalid_request_error");
    let text = rig.send(ask("/api/chat?key=x")).await.json().await["error"].as_str().map(str::to_owned);
    assert!(text.is_some_and(|text| text.contains("header")));
    // Before anything else: there is no room for a record.
    rig.core.close_audit().await;
    let reply = rig.send(ask("/v1/messages")).await;
    assert_eq!((reply.status.as_u16(), reply.header("request-id").is_some()), (529, true));
    let body = reply.json().await;
    assert_eq!((&body["type"], &body["error"]["type"]), (&"error".into(), &"overloaded_error".into()));
    assert!(rig.send(ask("/api/chat")).await.json().await["error"].is_string());
}
