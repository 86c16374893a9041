//! Anthropic's streams and messages, whatever ends them: events in the one order that its SDKs can put together, blocks that
//! open and close in turn, and of a text under a screen nothing lost.

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
    AnswerStream, ErrorBody, ErrorType, Format, Opening, Operation, Progress, Reply, Screen, StopReason,
    Strip,
};

const OLLAMA: Format = Format::Ollama;
const COMPATIBLE: Format = Format::OpenAi;
const BOTH: [Format; 2] = [OLLAMA, COMPATIBLE];

fn chat(upstream: Format) -> wire::Cell {
    wire::cell(Format::Anthropic, upstream, Operation::Chat).unwrap()
}

fn reply() -> Reply {
    Reply { prompt_tokens: 7, line_bytes_max: 4096, ..Reply::new("0123456789abcdef01234567", "m") }
}

/// What an SDK puts together.
#[derive(Debug, Default)]
struct Told {
    blocks: Vec<Value>,
    /// The input of the open call, as it came.
    input: String,
    open: bool,
    begun: bool,
    stop: Option<String>,
    usage: Value,
    over: bool,
    pings: u64,
}

fn told(sent: &[u8]) -> Told {
    let mut told = Told::default();
    for event in std::str::from_utf8(sent).unwrap().split_terminator("\n\n") {
        if event.starts_with(':') {
            assert!(!told.begun, "{event}");
            continue;
        }
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        assert!(!told.over, "{event} after the end");
        told.take(name, &data);
    }
    told
}

impl Told {
    fn take(&mut self, name: &str, data: &Value) {
        assert_eq!(self.begun, name != "message_start", "{data}");
        match name {
            "message_start" => {
                self.begun = true;
                let message = json!({"id": "msg_0123456789abcdef01234567", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 7, "output_tokens": 0}});
                assert_eq!(data["message"], message);
            }
            "ping" => self.pings += 1,
            "content_block_start" => {
                assert!(!self.open && self.stop.is_none(), "{data}");
                assert_eq!(data["index"], self.blocks.len());
                self.open = true;
                self.input.clear();
                self.blocks.push(data["content_block"].clone());
            }
            "content_block_delta" => self.piece(data),
            "content_block_stop" => {
                assert!(self.open && data["index"] == self.blocks.len() - 1, "{data}");
                self.open = false;
                let block = self.blocks.last_mut().unwrap();
                assert!(block["type"] != "thinking" || block["signature"] != "", "{block}");
                if block["type"] == "tool_use" {
                    assert_eq!(block["input"], json!({}));
                    block["input"] = serde_json::from_str(&self.input).unwrap_or(json!(self.input));
                }
            }
            "message_delta" => {
                assert!(!self.open && self.stop.is_none(), "{data}");
                assert_eq!(data["delta"]["stop_sequence"], Value::Null);
                self.stop = Some(data["delta"]["stop_reason"].as_str().unwrap().to_owned());
                self.usage = data["usage"].clone();
            }
            "message_stop" => {
                assert!(self.stop.is_some());
                self.over = true;
            }
            "error" => self.over = true,
            other => unreachable!("an event called {other}"),
        }
    }

    fn piece(&mut self, data: &Value) {
        assert!(self.open && data["index"] == self.blocks.len() - 1, "{data}");
        let block = self.blocks.last_mut().unwrap();
        let (kind, member, of) = match data["delta"]["type"].as_str().unwrap() {
            "text_delta" => ("text", "text", "text"),
            "thinking_delta" => ("thinking", "thinking", "thinking"),
            "signature_delta" => ("thinking", "signature", "signature"),
            "input_json_delta" => ("tool_use", "input", "partial_json"),
            other => unreachable!("a delta called {other}"),
        };
        assert_eq!(block["type"], kind, "{data}");
        let piece = data["delta"][of].as_str().unwrap();
        assert!(!piece.is_empty(), "{data}");
        if kind == "tool_use" {
            self.input.push_str(piece);
        } else {
            // A signature closes its block.
            assert!(kind != "thinking" || block["signature"] == "", "{data}");
            block[member] = json!(block[member].as_str().unwrap().to_owned() + piece);
        }
    }

    /// All texts of a kind, joined.
    fn text(&self, kind: &str) -> String {
        self.blocks.iter().filter_map(|block| block[kind].as_str()).collect()
    }

    fn inputs(&self) -> Vec<&Value> {
        self.blocks.iter().filter(|block| block["type"] == "tool_use").map(|block| &block["input"]).collect()
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
            assert_eq!((told.text("thinking").as_str(), told.text("text").as_str()), (thinking, text));
            let (stop, usage) = if cap < 4 {
                // The upstream has not counted the prompt: the estimate stands.
                ("max_tokens", json!({"input_tokens": 7, "output_tokens": cap}))
            } else {
                ("end_turn", json!({"input_tokens": 3, "output_tokens": 99}))
            };
            assert_eq!((told.stop.as_deref(), told.usage, told.over), (Some(stop), usage, true));
            assert_eq!((progress, stream.upstream_done()), (Progress::Complete, cap == 4));
        }
    }
}

#[test]
fn a_call_that_is_cut_is_closed_and_not_whole() {
    let whole = json!({"q": "b"});
    // A call's name is no delta: it may stand there without an input.
    for (cap, inputs) in [
        (1, vec![json!("")]),
        (2, vec![json!("{\"")]),
        (6, vec![whole.clone(), json!("")]),
        (9, vec![whole, json!("{\"q\":\"")]),
    ] {
        let all = [Said::Content("a".into()), Said::Call("b".into()), Said::Call("c".into())];
        let reply = Reply { output_tokens_max: Some(cap), ..reply() };
        let Seen { told, .. } = feed(COMPATIBLE, &reply, false, &spoken(COMPATIBLE, &all));
        assert_eq!(told.inputs(), inputs.iter().collect::<Vec<_>>());
        assert_eq!((told.stop.as_deref(), told.over), (Some("max_tokens"), true));
    }
}

#[test]
fn every_call_gets_an_object_and_an_id() {
    let event = |call: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{call}]}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let bytes = event(r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#)
        + &event(r#"{"index":1,"function":{"name":"f","arguments":" "}}"#)
        + &event(r#"{"index":1,"function":{"arguments":"\n{}"}}"#)
        + &event(r#"{"index":2,"id":"","function":{"name":"g","arguments":"\t\u0020"}}"#)
        + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    for screen in [false, true] {
        let Seen { told, .. } = feed(COMPATIBLE, &reply(), screen, &bytes);
        assert_eq!(told.inputs(), [&json!({}); 3]);
        let ids: Vec<&str> = told.blocks.iter().map(|block| block["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["a", "toolu_0123456789abcdef01234567_1", "toolu_0123456789abcdef01234567_2"]);
        assert_eq!(told.stop.as_deref(), Some("tool_use"));
    }
}

#[test]
fn what_a_screen_holds_back_opens_a_block_of_its_own() {
    let all = [
        Said::Thinking("a sec".into()),
        Said::Content("the se".into()),
        Said::Thinking("ret th".into()),
        Said::Call("my secret".into()),
        Said::Content("cret is sec".into()),
    ];
    for upstream in BOTH {
        let Seen { told, stream, .. } = feed(upstream, &reply(), true, &spoken(upstream, &all));
        assert_eq!(
            (told.text("thinking").as_str(), told.text("text").as_str()),
            ("a ****** th", "the ****** is sec")
        );
        assert_eq!(told.inputs(), [&json!({"q": "my ******"})]);
        assert_eq!((told.stop.as_deref(), told.over), (Some("tool_use"), true));
        assert!(stream.upstream_done());
    }
}

#[test]
fn a_screen_ends_an_answer_as_a_refusal() {
    for upstream in BOTH {
        for (all, text) in [
            (words(&["a safe bo", "mb and more", "more"]), "a safe "),
            (words(&["bomb"]), ""),
            (vec![Said::Content("a ".into()), Said::Call("bomb".into())], "a "),
        ] {
            let Seen { told, progress, stream } = feed(upstream, &reply(), true, &spoken(upstream, &all));
            assert_eq!((told.text("text").as_str(), told.inputs().len()), (text, 0));
            assert_eq!((told.stop.as_deref(), told.over), (Some("refusal"), true));
            assert_eq!(
                (progress, stream.metered().stop),
                (Progress::Complete, Some(StopReason::ContentFilter))
            );
        }
    }
}

/// Takes the quotes out of what it is shown.
#[derive(Debug)]
struct Breaker;

impl Screen for Breaker {
    fn push(&mut self, _: wire::Channel, text: &str, out: &mut String) -> wire::Verdict {
        out.push_str(&text.replace('"', ""));
        wire::Verdict::Pass
    }

    fn finish(&mut self, _: wire::Channel, _: &mut String) -> wire::Verdict {
        wire::Verdict::Pass
    }
}

#[test]
fn an_input_that_a_screen_has_broken_does_not_leave() {
    let bytes = lines(&[Said::Content("a".into()), Said::Call("b".into())]);
    let mut stream = AnswerStream::new(chat(OLLAMA), reply(), Some(Box::new(Breaker)));
    let mut sent = Vec::new();
    assert_eq!(stream.push(bytes.as_bytes(), &mut sent), Progress::Complete);
    let told = told(&sent);
    assert_eq!((told.blocks.len(), told.stop.as_deref(), told.over), (1, Some("refusal"), true));
    let body = r#"{"message":{"content":"a","tool_calls":[{"function":{"name":"f","arguments":{}}},{"function":{"name":"f","arguments":{"q":"b"}}}]},"done":true,"done_reason":"stop"}"#;
    let mut out = Vec::new();
    let metered =
        wire::read_answer(chat(OLLAMA), &reply(), Some(&mut Breaker), body.as_bytes(), &mut out).unwrap();
    let message: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        (&message["content"], &message["stop_reason"]),
        (&json!([{"type": "text", "text": "a"}]), &json!("refusal"))
    );
    assert_eq!(metered.stop, Some(StopReason::ContentFilter));
}

#[test]
fn whole_messages_pass_the_screen() {
    for (text, content, stop) in [("sec", "sec", "tool_use"), ("a bomb", "a ", "refusal")] {
        let body = format!(
            r#"{{"message":{{"thinking":"a secret","content":"{text}","tool_calls":[{{"id":"x","function":{{"name":"f","arguments":{{"q":"secret"}}}}}}]}},"done":true,"done_reason":"stop"}}"#
        );
        let mut out = Vec::new();
        wire::read_answer(chat(OLLAMA), &reply(), Some(&mut Masker::default()), body.as_bytes(), &mut out)
            .unwrap();
        let message: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(message["content"][0]["thinking"], "a ******");
        assert_eq!(
            (&message["content"][1]["text"], &message["stop_reason"]),
            (&json!(content), &json!(stop))
        );
        let call = json!({"type": "tool_use", "id": "x", "name": "f", "input": {"q": "******"}});
        assert_eq!(message["content"].get(2), Some(&call).filter(|_| stop == "tool_use"));
        assert_eq!(message["usage"], json!({"input_tokens": 7, "output_tokens": 0}));
    }
}

#[test]
fn a_silent_stream_is_kept_open_by_what_may_stand_there() {
    let mut sent = Vec::new();
    Opening::new(Format::Anthropic, Operation::Chat, reply()).heartbeat(&mut sent);
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
    assert_eq!((told.pings, told.text("text").as_str(), told.over), (1, "onetwo", true));
}

#[test]
fn a_failure_is_an_event_of_its_own_and_the_last() {
    let error = ErrorBody { request_id: Some("req_1"), ..ErrorBody::new(ErrorType::Server, "busy\n", 503) };
    let event = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\\n\"},\"request_id\":\"req_1\"}\n\n";
    let mut sent = Vec::new();
    Opening::new(Format::Anthropic, Operation::Chat, reply()).fail(&error, &mut sent);
    assert_eq!(String::from_utf8_lossy(&sent), event);
    let mut stream = AnswerStream::new(chat(OLLAMA), reply(), None);
    let mut sent = Vec::new();
    let bytes = spoken(OLLAMA, &words(&["one", "two"]));
    stream.push(&bytes.as_bytes()[..bytes.find('\n').unwrap() + 1], &mut sent);
    stream.fail(&error, &mut sent);
    stream.heartbeat(&mut sent);
    stream.push(bytes.as_bytes(), &mut sent);
    let text = String::from_utf8_lossy(&sent);
    assert!(text.ends_with(event), "{text}");
    assert!(told(&sent).over);
}

#[test]
fn a_model_name_may_be_kept_back() {
    let reply = Reply { strip: Strip { model: true, created: true }, ..reply() };
    let bytes = spoken(OLLAMA, &words(&["one"]));
    let mut stream = AnswerStream::new(chat(OLLAMA), reply.clone(), None);
    let mut sent = Vec::new();
    stream.push(bytes.as_bytes(), &mut sent);
    assert!(!String::from_utf8_lossy(&sent).contains("\"model\""));
    let mut out = Vec::new();
    let body = r#"{"message":{"content":"a"},"done":true}"#;
    wire::read_answer(chat(OLLAMA), &reply, None, body.as_bytes(), &mut out).unwrap();
    let message: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((message.get("model"), &message["content"][0]["text"]), (None, &json!("a")));
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
        let reply = Reply { output_tokens_max: cap, ..reply() };
        let Seen { told, progress, .. } = feed(upstream, &reply, screen, &spoken(upstream, &all));
        prop_assert_eq!(progress, Progress::Complete);
        prop_assert!(told.over && told.stop.is_some());
        let all_of = |kind: fn(&Said) -> Option<&String>| all.iter().filter_map(kind).cloned().collect::<String>();
        if cap.is_none() && told.stop.as_deref() != Some("refusal") {
            let mask = |text: String| if screen { text.replace("secret", "******") } else { text };
            let content = all_of(|one| if let Said::Content(text) = one { Some(text) } else { None });
            let thinking = all_of(|one| if let Said::Thinking(text) = one { Some(text) } else { None });
            prop_assert_eq!(told.text("text"), mask(content));
            prop_assert_eq!(told.text("thinking"), mask(thinking));
            let calls: Vec<Value> = all
                .iter()
                .filter_map(|one| if let Said::Call(text) = one { Some(json!({"q": mask(text.clone())})) } else { None })
                .collect();
            prop_assert_eq!(told.inputs(), calls.iter().collect::<Vec<_>>());
        }
    }
}
