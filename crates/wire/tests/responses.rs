//! Streamed and whole responses, whatever ends them: events in the one order that clients can put together, numbered without
//! a gap, every text told alike in pieces, in its item and in the response; and of a text under a screen nothing lost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helper functions"
)]

#[path = "support/fed.rs"]
mod fed;
#[path = "support/masker.rs"]
mod masker;
#[path = "support/spoken.rs"]
mod spoken;

use masker::Masker;
use proptest::prelude::*;
use serde_json::{Value, json};
use spoken::{Said, lines, said, spoken, words};
use wire::{
    AnswerStream, ErrorBody, ErrorType, Format, Opening, Operation, Progress, ReadLimits, Reply, StopReason,
    Strip,
};

const OLLAMA: Format = Format::Ollama;
const COMPATIBLE: Format = Format::OpenAi;
const BOTH: [Format; 2] = [OLLAMA, COMPATIBLE];

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 8, tools: 4, images: 1, image_bytes: 64 };

fn chat(upstream: Format) -> wire::Cell {
    wire::cell(Format::Responses, upstream, Operation::Chat).unwrap()
}

/// As the pipeline makes one, for a request with these members.
fn reply_to(members: &str) -> Reply {
    let body = format!("{{\"model\":\"m\",\"input\":\"x\"{members}}}");
    let request = wire::read_request(Format::Responses, Operation::Chat, body.as_bytes(), &LIMITS).unwrap();
    Reply {
        manner: request.manner(),
        created: 1_700_000_000,
        line_bytes_max: 4096,
        ..Reply::new("0123456789abcdef01234567", "m")
    }
}

fn reply() -> Reply {
    reply_to("")
}

/// What a client puts together.
#[derive(Debug, Default)]
struct Told {
    /// Events so far.
    count: u64,
    names: Vec<String>,
    /// Items as they were done.
    items: Vec<Value>,
    /// The open one as it was begun, and its pieces.
    open: Option<(Value, String)>,
    deltas: u64,
    /// Tokens of all deltas.
    tokens: Vec<Value>,
    /// The response of the last event.
    end: Option<Value>,
}

fn told(sent: &[u8]) -> Told {
    let mut told = Told::default();
    for event in std::str::from_utf8(sent).unwrap().split_terminator("\n\n") {
        if event.starts_with(':') {
            assert_eq!(told.count, 0, "{event}");
            continue;
        }
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(told.count)));
        assert!(told.end.is_none(), "{event} after the end");
        told.take(name, &data);
        told.count += 1;
        told.names.push(name.to_owned());
    }
    told
}

impl Told {
    fn take(&mut self, name: &str, data: &Value) {
        match (self.count, name) {
            (_, "response.failed") => {
                assert_eq!(
                    (&data["response"]["output"], &data["response"]["usage"]),
                    (&json!([]), &Value::Null)
                );
                self.end = Some(data["response"].clone());
            }
            (0, _) => assert_eq!(name, "response.created"),
            (1, _) => assert_eq!(name, "response.in_progress"),
            (_, "response.in_progress") => {}
            (_, "response.completed" | "response.incomplete") => {
                assert!(self.open.is_none());
                assert_eq!(data["response"]["output"], json!(self.items));
                assert_eq!(data["response"]["status"], name.trim_start_matches("response."));
                self.end = Some(data["response"].clone());
            }
            (_, "response.output_item.added") => {
                assert!(self.open.is_none());
                self.index(data);
                self.open = Some((data["item"].clone(), String::new()));
            }
            (_, "response.output_item.done") => self.done(data),
            _ => self.inside(name, data),
        }
        if let Some(response) = data.get("response") {
            assert_eq!(
                (&response["id"], &response["object"]),
                (&json!("resp_0123456789abcdef01234567"), &json!("response"))
            );
            for required in [
                "created_at",
                "error",
                "incomplete_details",
                "instructions",
                "model",
                "tools",
                "output",
                "parallel_tool_calls",
                "metadata",
                "tool_choice",
                "temperature",
                "top_p",
            ] {
                assert!(response.get(required).is_some(), "{required} is missing in {response}");
            }
        }
    }

    fn index(&self, data: &Value) {
        assert_eq!(data["output_index"], json!(self.items.len()), "{data}");
    }

    /// Between an item's first and last event.
    fn inside(&mut self, name: &str, data: &Value) {
        self.index(data);
        let (item, text) = self.open.as_mut().unwrap();
        assert_eq!(data["item_id"], item["id"], "{data}");
        let kind = match name.split('.').nth(1).unwrap() {
            "content_part" | "output_text" => "message",
            "reasoning_summary_part" | "reasoning_summary_text" => "reasoning",
            "function_call_arguments" => "function_call",
            other => unreachable!("an event about {other}"),
        };
        assert_eq!(item["type"], kind, "{data}");
        if name.ends_with("delta") {
            let piece = data["delta"].as_str().unwrap();
            self.deltas += u64::from(!piece.is_empty());
            text.push_str(piece);
            self.tokens.extend(data["logprobs"].as_array().into_iter().flatten().cloned());
        } else {
            let told = ["text", "arguments"].iter().find_map(|member| data.get(member));
            let told = told.unwrap_or_else(|| &data["part"]["text"]);
            assert_eq!(told, text.as_str(), "{data}");
        }
    }

    fn done(&mut self, data: &Value) {
        self.index(data);
        let (begun, text) = self.open.take().unwrap();
        let item = &data["item"];
        for member in ["id", "type", "role", "call_id", "name", "namespace"] {
            assert_eq!(begun.get(member), item.get(member), "{item}");
        }
        assert_eq!(words_of(item), text, "{item}");
        self.items.push(item.clone());
    }

    /// Texts of all items of a kind, joined.
    fn text(&self, kind: &str) -> String {
        self.items.iter().filter(|item| item["type"] == kind).map(words_of).collect()
    }

    fn statuses(&self) -> Vec<&str> {
        self.items.iter().map(|item| item["status"].as_str().unwrap_or("completed")).collect()
    }

    fn status(&self) -> &str {
        self.end.as_ref().unwrap()["status"].as_str().unwrap()
    }

    fn reason(&self) -> &Value {
        &self.end.as_ref().unwrap()["incomplete_details"]["reason"]
    }

    fn output_tokens(&self) -> &Value {
        &self.end.as_ref().unwrap()["usage"]["output_tokens"]
    }
}

fn words_of(item: &Value) -> &str {
    match item["type"].as_str().unwrap() {
        "message" => item["content"][0]["text"].as_str().unwrap(),
        "reasoning" => item["summary"][0]["text"].as_str().unwrap(),
        _ => item["arguments"].as_str().unwrap(),
    }
}

struct Seen {
    told: Told,
    progress: Progress,
    stream: AnswerStream,
}

fn feed(upstream: Format, reply: &Reply, screen: bool, bytes: &str) -> Seen {
    let (sent, progress, stream) = fed::fed(chat(upstream), reply, screen, bytes);
    Seen { told: told(&sent), progress, stream }
}

#[test]
fn exactly_the_caps_deltas_leave() {
    let mut all = words(&["one", "two", "three"]);
    all.insert(0, Said::Thinking("hm".into()));
    for upstream in BOTH {
        let bytes = spoken(upstream, &all);
        for (cap, thinking, text) in
            [(0, "", ""), (1, "hm", ""), (2, "hm", "one"), (3, "hm", "onetwo"), (4, "hm", "onetwothree")]
        {
            let reply = Reply { output_tokens_max: Some(cap), ..reply() };
            let Seen { told, progress, stream } = feed(upstream, &reply, false, &bytes);
            assert_eq!((told.text("reasoning").as_str(), told.text("message").as_str()), (thinking, text));
            let cut = cap < 4;
            let (status, reason) =
                if cut { ("incomplete", json!("max_output_tokens")) } else { ("completed", Value::Null) };
            assert_eq!((told.status(), told.reason()), (status, &reason));
            // The item in which the answer ended is cut, the one before it is not.
            assert_eq!(told.statuses().last().copied().unwrap_or(status), status);
            assert!(told.statuses().iter().rev().skip(1).all(|status| *status == "completed"));
            assert_eq!(told.output_tokens(), &json!(if cut { cap } else { 99 }));
            assert_eq!((told.deltas, progress, stream.upstream_done()), (cap, Progress::Complete, !cut));
        }
    }
}

#[test]
fn half_a_call_is_not_told_as_done() {
    let all = [Said::Content("a".into()), Said::Call("b".into()), Said::Call("c".into())];
    let whole = r#"{"q":"b"}"#;
    let (done, cut) = ("completed", "incomplete");
    let two = spoken(COMPATIBLE, &all);
    // A model that ends where its call does: the object is whole, although nobody said so.
    let one =
        spoken(COMPATIBLE, &all[..2]).replace(r#""finish_reason":"stop""#, r#""finish_reason":"length""#);
    for (bytes, cap, arguments, statuses) in [
        (&two, 1, vec![""], vec![cut]),
        (&two, 2, vec!["{\""], vec![cut]),
        (&one, 6, vec![whole], vec![done]),
        (&two, 6, vec![whole, ""], vec![done, cut]),
        (&two, 8, vec![whole, "{\"q\""], vec![done, cut]),
    ] {
        let reply = Reply { output_tokens_max: Some(cap), ..reply() };
        let Seen { told, .. } = feed(COMPATIBLE, &reply, false, bytes);
        let calls: Vec<&Value> = told.items.iter().filter(|item| item["type"] == "function_call").collect();
        assert_eq!(calls.iter().map(|call| words_of(call)).collect::<Vec<_>>(), arguments, "{cap}");
        assert_eq!(told.statuses()[1..], statuses);
        let ended = told.names.iter().filter(|name| *name == "response.function_call_arguments.done").count();
        assert_eq!(ended, statuses.iter().filter(|status| **status == done).count());
        assert_eq!((told.status(), told.reason()), ("incomplete", &json!("max_output_tokens")));
    }
}

#[test]
fn every_call_gets_an_object_and_both_ids() {
    let event = |call: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{call}]}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let bytes = event(r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#)
        + &event(r#"{"index":1,"function":{"name":"n.f","arguments":"{"}}"#)
        + &event(r#"{"index":1,"function":{"arguments":"}"}}"#)
        + &event(r#"{"index":2,"id":"","function":{"name":"n.g"}}"#)
        + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let reply = reply_to(
        r#","tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]},{"type":"function","name":"f"}]"#,
    );
    for screen in [false, true] {
        let Seen { told, .. } = feed(COMPATIBLE, &reply, screen, &bytes);
        let member = |name: &str| told.items.iter().map(|item| item[name].clone()).collect::<Vec<_>>();
        assert_eq!(member("arguments"), ["{}"; 3]);
        assert_eq!(member("id"), ["0", "1", "2"].map(|place| format!("fc_0123456789abcdef01234567_{place}")));
        let ours = |place: u8| json!(format!("call_0123456789abcdef01234567_{place}"));
        assert_eq!(member("call_id"), [json!("a"), ours(1), ours(2)]);
        // Taken apart is only what was put together.
        assert_eq!(member("name"), ["f", "f", "n.g"]);
        assert_eq!(member("namespace"), [Value::Null, json!("n"), Value::Null]);
        assert_eq!(told.status(), "completed");
    }
}

#[test]
fn what_a_screen_holds_back_opens_an_item_of_its_own() {
    let all = [
        Said::Thinking("a sec".into()),
        Said::Content("the se".into()),
        Said::Thinking("ret th".into()),
        Said::Call("my secret".into()),
        Said::Content("cret is sec".into()),
    ];
    for upstream in BOTH {
        let Seen { told, stream, .. } = feed(
            upstream,
            &reply_to(r#","include":["message.output_text.logprobs","reasoning.encrypted_content"]"#),
            true,
            &spoken(upstream, &all),
        );
        assert_eq!(
            (told.text("reasoning").as_str(), told.text("message").as_str()),
            ("a ****** th", "the ****** is sec")
        );
        assert_eq!(told.text("function_call"), r#"{"q":"my ******"}"#);
        let sealed = told.items.iter().filter(|item| item["type"] == "reasoning");
        assert!(sealed.into_iter().all(|item| item["encrypted_content"] == words_of(item)));
        assert_eq!((told.status(), told.tokens.len()), ("completed", 0));
        assert!(stream.upstream_done());
    }
}

#[test]
fn a_screen_ends_an_answer_as_filtered() {
    for upstream in BOTH {
        for (all, text) in [
            (words(&["a safe bo", "mb and more", "more"]), "a safe "),
            (words(&["bomb"]), ""),
            (vec![Said::Content("a ".into()), Said::Call("bomb".into())], "a "),
        ] {
            let Seen { told, progress, stream } = feed(upstream, &reply(), true, &spoken(upstream, &all));
            assert_eq!((told.text("message").as_str(), told.text("function_call").as_str()), (text, ""));
            assert_eq!((told.status(), told.reason()), ("incomplete", &json!("content_filter")));
            assert!(told.statuses().iter().all(|status| *status == "incomplete"));
            assert_eq!(
                (progress, stream.metered().stop),
                (Progress::Complete, Some(StopReason::ContentFilter))
            );
        }
    }
}

#[test]
fn logprobs_are_told_with_their_text() {
    let all = [Said::Thinking("hm".into()), Said::Content("a".into()), Said::Content("b".into())];
    for upstream in BOTH {
        let Seen { told, .. } = feed(upstream, &reply(), false, &spoken(upstream, &all));
        let token = json!({"token": "secret", "logprob": -1, "bytes": [115, 101, 99, 114, 101, 116], "top_logprobs": []});
        // Those of the thought are left out. A compatible server's come on the last chunk, too.
        assert_eq!(told.tokens, vec![token; if upstream == OLLAMA { 2 } else { 3 }]);
        let message = told.items.last().unwrap();
        assert_eq!(message["content"][0]["logprobs"], json!(told.tokens));
    }
}

#[test]
fn an_answer_too_long_to_be_remembered_fails() {
    for upstream in BOTH {
        let bytes = spoken(upstream, &vec![Said::Content("x".repeat(900)); 6]);
        let mut stream = AnswerStream::new(chat(upstream), reply(), None);
        let mut sent = Vec::new();
        let progress = stream.push(bytes.as_bytes(), &mut sent);
        assert!(matches!(progress, Progress::Failed(_)));
        assert!(stream.held_bytes() <= 4096 + 1024);
        stream.fail(&ErrorBody::new(ErrorType::Server, "too long", 502), &mut sent);
        let told = told(&sent);
        assert_eq!((told.status(), told.deltas), ("failed", 4));
    }
}

#[test]
fn a_record_that_fails_leaves_no_gap() {
    // The first call of the line is whole, the second is none: nothing of the line is sent.
    let bytes = concat!(
        r#"{"message":{"content":"a"},"done":false}"#,
        "\n",
        r#"{"message":{"tool_calls":[{"function":{"name":"f","arguments":{}}},{"function":{}}]},"done":false}"#,
        "\n"
    );
    for from in [0, bytes.find('\n').unwrap() + 1] {
        let mut stream = AnswerStream::new(chat(OLLAMA), reply(), None);
        let mut sent = Vec::new();
        assert!(matches!(stream.push(&bytes.as_bytes()[from..], &mut sent), Progress::Failed(_)));
        stream.fail(&ErrorBody::new(ErrorType::Server, "x", 502), &mut sent);
        let told = told(&sent);
        assert_eq!((told.status(), told.count), ("failed", if from == 0 { 6 } else { 1 }));
    }
}

#[test]
fn a_silent_stream_is_kept_open_by_what_may_stand_there() {
    let mut sent = Vec::new();
    Opening::new(Format::Responses, Operation::Chat, reply()).heartbeat(&mut sent);
    let bytes = spoken(OLLAMA, &words(&["one", "two"]));
    let (first, rest) = bytes.split_at(bytes.find('\n').unwrap() + 1);
    let mut stream = AnswerStream::new(chat(OLLAMA), reply(), None);
    stream.heartbeat(&mut sent);
    assert_eq!(sent, b": keepalive\n\n: keepalive\n\n");
    stream.push(first.as_bytes(), &mut sent);
    stream.heartbeat(&mut sent);
    stream.push(rest.as_bytes(), &mut sent);
    stream.heartbeat(&mut sent);
    let told = told(&sent);
    assert_eq!((told.text("message").as_str(), told.status()), ("onetwo", "completed"));
    assert_eq!(told.names.iter().filter(|name| *name == "response.in_progress").count(), 2);
}

#[test]
fn a_failure_says_what_a_client_can_do() {
    #[track_caller]
    fn check(kind: ErrorType, code: Option<&str>, expected: &str) {
        let error = ErrorBody { code, ..ErrorBody::new(kind, "no\n", 502) };
        let mut sent = Vec::new();
        Opening::new(Format::Responses, Operation::Chat, reply()).fail(&error, &mut sent);
        let told = told(&sent);
        assert_eq!(told.end.as_ref().unwrap()["error"], json!({"code": expected, "message": "no\n"}));
        assert_eq!((told.status(), told.count), ("failed", 1));
    }
    check(ErrorType::Server, Some("upstream_error"), "server_error");
    check(ErrorType::Server, None, "server_error");
    check(ErrorType::RateLimit, Some("rate_limit_exceeded"), "rate_limit_exceeded");
    check(ErrorType::RateLimit, Some("insufficient_quota"), "insufficient_quota");
    check(ErrorType::RateLimit, None, "rate_limit_exceeded");
    check(ErrorType::InvalidRequest, Some("context_length_exceeded"), "context_length_exceeded");
    check(ErrorType::InvalidRequest, Some("unsupported_value"), "invalid_prompt");
    check(ErrorType::Permission, Some("content_filter"), "server_error");
}

#[test]
fn a_failure_is_the_last_event() {
    let bytes = spoken(OLLAMA, &words(&["one", "two"]));
    let mut stream = AnswerStream::new(chat(OLLAMA), reply(), None);
    let mut sent = Vec::new();
    stream.push(&bytes.as_bytes()[..bytes.find('\n').unwrap() + 1], &mut sent);
    stream.fail(&ErrorBody::new(ErrorType::Server, "gone", 502), &mut sent);
    let length = sent.len();
    stream.heartbeat(&mut sent);
    stream.push(bytes.as_bytes(), &mut sent);
    assert_eq!(sent.len(), length);
    assert_eq!((told(&sent).status(), told(&sent).count), ("failed", 6));
}

#[test]
fn errors_before_a_stream_name_the_members_of_this_dialect() {
    for (param, expected) in [
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
        ("response_format", "text.format"),
        ("input[1].role", "input[1].role"),
    ] {
        let error = ErrorBody { param: Some(param), ..ErrorBody::new(ErrorType::InvalidRequest, "x", 400) };
        let mut out = Vec::new();
        wire::write_error(Format::Responses, &error, &mut out);
        let body: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            body,
            json!({"error": {"message": "x", "type": "invalid_request_error", "param": expected, "code": null}})
        );
    }
}

#[test]
fn whole_responses_pass_the_screen() {
    for (text, content, status) in [("sec", "sec", "completed"), ("a bomb", "a ", "incomplete")] {
        let body = format!(
            r#"{{"message":{{"thinking":"a secret","content":"{text}","tool_calls":[{{"id":"x","function":{{"name":"f","arguments":{{"q":"secret"}}}}}}]}},"done":true,"done_reason":"stop","logprobs":[{{"token":"secret","logprob":-1}}]}}"#
        );
        let mut out = Vec::new();
        wire::read_answer(chat(OLLAMA), &reply(), Some(&mut Masker::default()), body.as_bytes(), &mut out)
            .unwrap();
        let response: Value = serde_json::from_slice(&out).unwrap();
        let output = response["output"].as_array().unwrap();
        assert_eq!(words_of(&output[0]), "a ******");
        assert_eq!((words_of(&output[1]), &output[1]["content"][0]["logprobs"]), (content, &json!([])));
        assert_eq!((&response["status"], &output[1]["status"]), (&json!(status), &json!(status)));
        let call = json!({"id": "fc_0123456789abcdef01234567_2", "type": "function_call", "status": "completed", "call_id": "x", "name": "f", "arguments": "{\"q\":\"******\"}"});
        assert_eq!(output.get(2), Some(&call).filter(|_| status == "completed"));
    }
}

#[test]
fn model_and_time_may_be_kept_back() {
    let reply = Reply { strip: Strip { model: true, created: true }, ..reply() };
    let mut out = Vec::new();
    let body = r#"{"message":{"content":"a"},"done":true}"#;
    wire::read_answer(chat(OLLAMA), &reply, None, body.as_bytes(), &mut out).unwrap();
    let response: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((response.get("model"), response.get("created_at")), (None, None));
    assert_eq!(words_of(&response["output"][0]), "a");
}

#[test]
fn what_a_request_says_stands_in_its_response() {
    let body = lines(&words(&["a"])).replace(r#","done":false}"#, "}");
    let body = body.lines().next().unwrap().replace("\"logprobs\"", "\"done\":true,\"logprobs\"");
    let check = |members: &str, expected: Value| {
        let mut out = Vec::new();
        wire::read_answer(chat(OLLAMA), &reply_to(members), None, body.as_bytes(), &mut out).unwrap();
        let response: Value = serde_json::from_slice(&out).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(response.get(name).unwrap_or(&json!("absent")), value, "{name} after {members}");
        }
    };
    let defaults = json!({
        "instructions": null, "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1.0,
        "tool_choice": "auto", "tools": [], "text": {"format": {"type": "text"}}, "store": false,
        "reasoning": {"effort": null, "summary": null}, "truncation": "disabled", "background": false,
        "previous_response_id": null, "max_output_tokens": null, "top_logprobs": 0, "user": "absent",
    });
    check("", defaults.clone());
    check(
        r#","instructions":null,"metadata":null,"tools":null,"text":null,"temperature":null,"user":null,"store":true,"truncation":"auto","previous_response_id":null,"background":false,"prompt":null"#,
        defaults,
    );
    check(
        ",\"instructions\":\"a\\u2028\\\"\",\"metadata\": { \"k\" : \"v \\n\" },\"temperature\":0.25,\"user\":\"u\",\"max_output_tokens\":7,\n\"tool_choice\":\"none\",\"safety_identifier\":\"s\"",
        json!({"instructions": "a\u{2028}\"", "metadata": {"k": "v \n"}, "temperature": 0.25, "user": "u", "max_output_tokens": 7, "tool_choice": "none", "safety_identifier": "s"}),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_can_be_put_together(
        all in said(),
        cap in prop::option::of(0..12u64),
        compatible in any::<bool>(),
        screen in any::<bool>(),
    ) {
        let upstream = if compatible { COMPATIBLE } else { OLLAMA };
        let reply = Reply { output_tokens_max: cap, line_bytes_max: 1 << 20, ..reply() };
        let Seen { told, progress, .. } = feed(upstream, &reply, screen, &spoken(upstream, &all));
        prop_assert_eq!(progress, Progress::Complete);
        let all_of = |kind: fn(&Said) -> Option<&String>| all.iter().filter_map(kind).cloned().collect::<String>();
        if told.status() == "completed" {
            let mask = |text: String| if screen { text.replace("secret", "******") } else { text };
            let content = all_of(|one| if let Said::Content(text) = one { Some(text) } else { None });
            let thinking = all_of(|one| if let Said::Thinking(text) = one { Some(text) } else { None });
            prop_assert_eq!(told.text("message"), mask(content));
            prop_assert_eq!(told.text("reasoning"), mask(thinking));
            let calls = all.iter().filter_map(|one| {
                let Said::Call(text) = one else { return None };
                Some(format!(r#"{{"q":{}}}"#, serde_json::to_string(&mask(text.clone())).unwrap()))
            });
            prop_assert_eq!(told.text("function_call"), calls.collect::<String>());
        } else {
            prop_assert!(cap.is_some() || screen);
        }
    }
}
