//! Streams of Ollama's clients: what a client puts together, ends that are ours and the upstream's, calls that must be whole,
//! and what can be said between lines.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helper functions"
)]

#[path = "support/masker.rs"]
mod masker;
#[path = "support/spoken.rs"]
mod spoken;

use masker::Masker;
use proptest::prelude::*;
use serde_json::{Value, json};
use spoken::{Said, lines, said, spoken, words};
use wire::{
    AnswerStream, ErrorBody, ErrorType, Format, Operation, Progress, Reply, Screen, StopReason, Strip,
};

const OLLAMA: Format = Format::Ollama;
const COMPATIBLE: Format = Format::OpenAi;
const BOTH: [Format; 2] = [OLLAMA, COMPATIBLE];
const CHAT: Operation = Operation::Chat;
const GENERATE: Operation = Operation::Complete;

fn reply() -> Reply {
    Reply { created: 1_700_000_000, line_bytes_max: 4096, ..Reply::new("0123456789abcdef01234567", "m") }
}

/// What a client puts together.
#[derive(Debug, Default, PartialEq)]
struct Told {
    thinking: String,
    text: String,
    calls: Vec<Value>,
    /// Lines that say something.
    said: u64,
    /// Lines that say nothing and end nothing.
    empty: u64,
    /// Why it ended, and the counts.
    done: Option<(String, u64, u64)>,
    error: Option<String>,
}

fn told(operation: Operation, sent: &[u8]) -> Told {
    let mut told = Told::default();
    let text = std::str::from_utf8(sent).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.split_terminator('\n') {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(told.done.is_none() && told.error.is_none(), "{line} after the end");
        if let Some(error) = value["error"].as_str() {
            told.error = Some(error.to_owned());
            continue;
        }
        assert_eq!(value["model"], "m");
        assert!(value["created_at"].as_str().unwrap().ends_with('Z'));
        told.take(operation, &value);
    }
    told
}

impl Told {
    fn take(&mut self, operation: Operation, line: &Value) {
        let (member, message) = match operation {
            Operation::Complete => ("response", line),
            _ => ("content", &line["message"]),
        };
        let (text, thinking) = (message[member].as_str().unwrap(), message["thinking"].as_str());
        assert_ne!(thinking, Some(""));
        assert!(operation == Operation::Complete || message["role"] == "assistant");
        self.text.push_str(text);
        self.thinking.push_str(thinking.unwrap_or(""));
        let calls = message["tool_calls"].as_array();
        self.calls.extend(calls.into_iter().flatten().cloned());
        let says = !text.is_empty() || thinking.is_some() || calls.is_some();
        self.said += u64::from(says);
        if line["done"] == true {
            assert!(!says, "the last line of a stream ends it and does nothing else");
            let count = |name: &str| line[name].as_u64().unwrap();
            let reason = line["done_reason"].as_str().unwrap().to_owned();
            self.done = Some((reason, count("prompt_eval_count"), count("eval_count")));
        } else {
            assert_eq!(line["done"], false);
            self.empty += u64::from(!says);
        }
    }
}

struct Seen {
    sent: Vec<u8>,
    progress: Progress,
    stream: AnswerStream,
}

fn feed(
    (operation, upstream): (Operation, Format),
    reply: Reply,
    screen: bool,
    bytes: &[u8],
    size: usize,
) -> Seen {
    let screen = screen.then(|| Box::new(Masker::default()) as Box<dyn Screen>);
    let cell = wire::cell(Format::Ollama, upstream, operation).unwrap();
    let mut stream = AnswerStream::new(cell, reply, screen);
    let mut sent = Vec::new();
    for piece in bytes.chunks(size) {
        stream.push(piece, &mut sent);
    }
    let progress = stream.end(&mut sent);
    Seen { sent, progress, stream }
}

/// The same for every size of pieces; given back whole.
fn steady(way: (Operation, Format), reply: &Reply, screen: bool, bytes: &str) -> Seen {
    let whole = feed(way, reply.clone(), screen, bytes.as_bytes(), bytes.len());
    for size in [1, 3, 64] {
        let seen = feed(way, reply.clone(), screen, bytes.as_bytes(), size);
        assert_eq!(String::from_utf8_lossy(&seen.sent), String::from_utf8_lossy(&whole.sent));
        assert_eq!(seen.progress, whole.progress);
        assert_eq!(seen.stream.metered(), whole.stream.metered());
        assert_eq!(seen.stream.upstream_done(), whole.stream.upstream_done());
    }
    whole
}

fn done(reason: &str, prompt: u64, output: u64) -> Option<(String, u64, u64)> {
    Some((reason.to_owned(), prompt, output))
}

#[test]
fn exactly_the_caps_deltas_leave() {
    let mut said = words(&["one", "two", "three"]);
    said.insert(0, Said::Thinking("hm".into()));
    for upstream in BOTH {
        for operation in [CHAT, GENERATE] {
            for cap in 0..=5 {
                let reply = Reply { output_tokens_max: Some(cap), ..reply() };
                let seen = steady((operation, upstream), &reply, false, &spoken(upstream, &said));
                let told = told(operation, &seen.sent);
                let cut = cap < 4;
                assert_eq!(told.said, cap.min(4));
                assert_eq!(told.done, if cut { done("length", 0, cap) } else { done("stop", 3, 99) });
                assert_eq!(seen.progress, Progress::Complete);
                assert_eq!(seen.stream.upstream_done(), !cut);
                let stop = if cut { StopReason::Length } else { StopReason::Stop };
                assert_eq!(seen.stream.metered().stop, Some(stop));
            }
        }
    }
}

#[test]
fn calls_are_whole_objects_with_ids_and_an_index_counted_here() {
    let said = [Said::Content("a".into()), Said::Call("x \"y\"".into()), Said::Call("z".into())];
    for upstream in BOTH {
        let seen = steady((CHAT, upstream), &reply(), false, &spoken(upstream, &said));
        let told = told(CHAT, &seen.sent);
        let id = |index| match upstream {
            OLLAMA => format!("call_0123456789abcdef01234567_{index}"),
            _ => format!("c{index}"),
        };
        let call = |index: u64, q: &str| json!({"id": id(index), "function": {"index": index, "name": "f", "arguments": {"q": q}}});
        assert_eq!(told.calls, [call(0, "x \"y\""), call(1, "z")]);
        assert_eq!(told.done, done("stop", 3, 99));
        assert_eq!(seen.stream.metered().stop, Some(StopReason::ToolCalls));
    }
}

/// A compatible server's stream with one call whose arguments are `arguments`, ended by `finish`.
fn one_call(arguments: &str, finish: &str) -> String {
    let arguments = serde_json::to_string(arguments).unwrap();
    let call = format!(r#"{{"index":0,"id":"c","function":{{"name":"f","arguments":{arguments}}}}}"#);
    [
        format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"a","tool_calls":[{call}]}}}}]}}"#),
        format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{finish}"}}]}}"#),
        "[DONE]".to_owned(),
    ]
    .map(|data| format!("data: {data}\n\n"))
    .concat()
}

#[test]
fn arguments_come_as_an_object_on_one_line_or_not_at_all() {
    let written = "{\n \"a b\" : [1, \"\u{2028} \\n\"],\r\n\t\"c\":{}}";
    let seen = steady((CHAT, COMPATIBLE), &reply(), false, &one_call(written, "tool_calls"));
    let text = String::from_utf8(seen.sent).unwrap();
    assert!(text.contains(r#""arguments":{"a b":[1,"\u2028 \n"],"c":{}}}"#), "{text}");
    for half in ["{\"a\":", "[1]", "7", "{} {}"] {
        let seen = steady((CHAT, COMPATIBLE), &reply(), false, &one_call(half, "tool_calls"));
        assert!(matches!(seen.progress, Progress::Failed(_)), "{half}");
        assert_eq!(told(CHAT, &seen.sent).done, None);
        // A cut may fall into a call: the answer ends as it did, and nobody runs half of it.
        for (finish, reason) in [("length", "length"), ("content_filter", "stop")] {
            let seen = steady((CHAT, COMPATIBLE), &reply(), false, &one_call(half, finish));
            let told = told(CHAT, &seen.sent);
            assert_eq!((told.text.as_str(), told.calls.len()), ("a", 0));
            assert_eq!(told.done, done(reason, 0, 0));
        }
    }
}

#[test]
fn a_whole_answer_that_was_cut_leaves_half_a_call_out() {
    let cell = wire::cell(Format::Ollama, COMPATIBLE, CHAT).unwrap();
    let read = |finish: &str| {
        let body = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"a","tool_calls":[{{"id":"c","function":{{"name":"f","arguments":"{{}}"}}}},{{"id":"d","function":{{"name":"g","arguments":"{{"}}}}]}},"finish_reason":"{finish}"}}]}}"#
        );
        let mut out = Vec::new();
        wire::read_answer(cell, &reply(), None, body.as_bytes(), &mut out).map(|_| out)
    };
    let answer: Value = serde_json::from_slice(&read("length").unwrap()).unwrap();
    assert_eq!(answer["message"]["tool_calls"].as_array().unwrap().len(), 1);
    assert_eq!(answer["done_reason"], "length");
    assert!(read("tool_calls").is_err());
}

#[test]
fn a_screened_stream_loses_nothing_and_ends_as_it_did() {
    let said = [
        Said::Thinking("a sec".into()),
        Said::Thinking("ret th".into()),
        Said::Content("the se".into()),
        Said::Content("cret is \"se\"\n".into()),
        Said::Call("my secret".into()),
        Said::Content("sec".into()),
    ];
    for upstream in BOTH {
        let seen = steady((CHAT, upstream), &reply(), true, &spoken(upstream, &said));
        let text = String::from_utf8(seen.sent.clone()).unwrap();
        assert!(!text.contains("secret") && !text.contains("\"token\""), "{text}");
        let told = told(CHAT, &seen.sent);
        assert_eq!(
            (told.thinking.as_str(), told.text.as_str()),
            ("a ****** th", "the ****** is \"se\"\nsec")
        );
        assert_eq!(told.calls[0]["function"]["arguments"], json!({"q": "my ******"}));
        assert_eq!(told.done, done("stop", 3, 99));
    }
}

#[test]
fn a_screen_ends_an_answer_properly() {
    for upstream in BOTH {
        for (said, text) in [
            (words(&["a safe bo", "mb and more", "more"]), "a safe "),
            (words(&["bomb"]), ""),
            (vec![Said::Content("a bo".into()), Said::Call("x".into()), Said::Content("mb".into())], "a "),
        ] {
            let seen = steady((CHAT, upstream), &reply(), true, &spoken(upstream, &said));
            let told = told(CHAT, &seen.sent);
            let metered = seen.stream.metered();
            assert_eq!((told.text.as_str(), told.done), (text, done("stop", 0, metered.deltas)));
            assert_eq!(metered.stop, Some(StopReason::ContentFilter));
            assert!(!seen.stream.upstream_done());
        }
    }
}

/// Takes the last letter of what a call is given.
#[derive(Debug)]
struct Clumsy;

impl Screen for Clumsy {
    fn push(&mut self, channel: wire::Channel, text: &str, out: &mut String) -> wire::Verdict {
        let clipped = text.len() - usize::from(matches!(channel, wire::Channel::Arguments(_)));
        out.push_str(&text[..clipped]);
        wire::Verdict::Pass
    }

    fn finish(&mut self, _: wire::Channel, _: &mut String) -> wire::Verdict {
        wire::Verdict::Pass
    }
}

#[test]
fn a_screen_that_leaves_no_object_ends_the_answer() {
    let said = [Said::Content("a".into()), Said::Call("x".into())];
    for upstream in BOTH {
        let cell = wire::cell(Format::Ollama, upstream, CHAT).unwrap();
        let mut stream = AnswerStream::new(cell, reply(), Some(Box::new(Clumsy)));
        let mut sent = Vec::new();
        assert_eq!(stream.push(spoken(upstream, &said).as_bytes(), &mut sent), Progress::Complete);
        let told = told(CHAT, &sent);
        assert_eq!((told.text.as_str(), told.calls.len()), ("a", 0));
        assert_eq!(stream.metered().stop, Some(StopReason::ContentFilter));
    }
    let body =
        r#"{"message":{"content":"a","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"done":true}"#;
    let mut out = Vec::new();
    let screen: Option<&mut dyn Screen> = Some(&mut Clumsy);
    let cell = wire::cell(Format::Ollama, OLLAMA, CHAT).unwrap();
    let metered = wire::read_answer(cell, &reply(), screen, body.as_bytes(), &mut out).unwrap();
    assert_eq!(metered.stop, Some(StopReason::ContentFilter));
    let answer: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(answer["message"], json!({"role": "assistant", "content": "a"}));
}

#[test]
fn silence_is_kept_open_by_lines_that_say_nothing() {
    let bytes = lines(&words(&["one", "two"]));
    let middle = bytes.find('\n').unwrap() + 1;
    for operation in [CHAT, GENERATE] {
        let cell = wire::cell(Format::Ollama, OLLAMA, operation).unwrap();
        let mut stream = AnswerStream::new(cell, reply(), None);
        let mut sent = Vec::new();
        stream.heartbeat(&mut sent);
        assert_eq!(stream.push(&bytes.as_bytes()[..middle], &mut sent), Progress::Flowing);
        stream.heartbeat(&mut sent);
        assert_eq!(stream.push(&bytes.as_bytes()[middle..], &mut sent), Progress::Complete);
        stream.heartbeat(&mut sent);
        stream.fail(&ErrorBody::new(ErrorType::Server, "late", 502), &mut sent);
        let told = told(operation, &sent);
        assert_eq!((told.text.as_str(), told.empty, told.said), ("onetwo", 2, 2));
        assert_eq!((told.done, told.error), (done("stop", 3, 99), None));
    }
}

#[test]
fn a_failure_is_the_last_line_and_no_end() {
    for upstream in BOTH {
        let bytes = spoken(upstream, &words(&["one", "two"]));
        let cut = &bytes[..bytes.find("two").unwrap()];
        let mut seen = feed((CHAT, upstream), reply(), false, cut.as_bytes(), 9);
        assert!(matches!(seen.progress, Progress::Failed(_)));
        seen.stream.fail(&ErrorBody::new(ErrorType::Server, "The \"server\" failed.", 502), &mut seen.sent);
        let told = told(CHAT, &seen.sent);
        assert_eq!((told.text.as_str(), told.done), ("one", None));
        assert_eq!(told.error.as_deref(), Some("The \"server\" failed."));
    }
}

#[test]
fn what_an_operator_strips_is_left_out() {
    let strip = Strip { model: true, created: true };
    let bytes = lines(&words(&["one"]));
    let seen = feed((CHAT, OLLAMA), Reply { strip, ..reply() }, false, bytes.as_bytes(), 7);
    for line in std::str::from_utf8(&seen.sent).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line.get("model").is_none() && line.get("created_at").is_none(), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_is_steady_and_clean(
        said in said(),
        cap in prop::option::of(0..12u64),
        compatible in any::<bool>(),
        screen in any::<bool>(),
        generate in any::<bool>(),
    ) {
        let upstream = if compatible { COMPATIBLE } else { OLLAMA };
        let operation = if generate { GENERATE } else { CHAT };
        let reply = Reply { output_tokens_max: cap, ..reply() };
        let seen = steady((operation, upstream), &reply, screen, &spoken(upstream, &said));
        prop_assert_eq!(&seen.progress, &Progress::Complete);
        let told = told(operation, &seen.sent);
        prop_assert!(told.done.is_some());
        for (index, call) in (0u64..).zip(&told.calls) {
            prop_assert_eq!(call["function"]["index"].as_u64(), Some(index));
            prop_assert!(call["function"]["arguments"].is_object());
        }
        if screen {
            prop_assert!(!String::from_utf8_lossy(&seen.sent).contains("secret"));
        }
        if cap.is_none() && seen.stream.metered().stop != Some(StopReason::ContentFilter) {
            let pieces = said.iter().map(|one| if let Said::Content(text) = one { text.as_str() } else { "" });
            let all = pieces.collect::<String>();
            prop_assert_eq!(told.text, if screen { all.replace("secret", "******") } else { all });
        }
    }
}
