//! Completions that end before their model ends them, by a cap or by a screen: properly, at the same place on both lanes and
//! for every way of cutting the bytes; and what of an answer never reaches a client of this operation.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helper functions"
)]

#[path = "support/masker.rs"]
mod masker;

use masker::Masker;
use serde_json::Value;
use wire::{
    AnswerStream, Cell, ErrorBody, ErrorType, Format, Operation, Progress, Reply, Screen, StopReason, Usage,
};

const OLLAMA: Format = Format::Ollama;
const COMPATIBLE: Format = Format::OpenAi;
const BOTH: [Format; 2] = [OLLAMA, COMPATIBLE];

fn cell(upstream: Format) -> Cell {
    wire::cell(Format::OpenAi, upstream, Operation::Complete).unwrap()
}

fn reply() -> Reply {
    Reply {
        include_usage: true,
        created: 1_700_000_000,
        line_bytes_max: 4096,
        ..Reply::new("0123456789abcdef01234567", "m")
    }
}

/// A piece of text, or of thinking if it begins with `~`.
fn spoken(upstream: Format, said: &[&str]) -> String {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let token = r#"{"token":"secret","logprob":-1}"#;
    let member = |one: &str, text: &str| match one.strip_prefix('~') {
        Some(thought) => format!("\"{text}\":\"\",\"{}\":{}", "reasoning", json(thought)),
        None => format!("\"{text}\":{}", json(one)),
    };
    let mut bytes = String::new();
    for one in said {
        bytes += &if upstream == OLLAMA {
            let said = member(one, "response").replace("reasoning", "thinking");
            format!("{{{said},\"logprobs\":[{token}],\"done\":false}}\n")
        } else {
            let said = member(one, "text");
            let logprobs =
                r#"{"tokens":["secret"],"token_logprobs":[-1],"top_logprobs":null,"text_offset":[0]}"#;
            format!(
                "data: {{\"choices\":[{{\"index\":0,{said},\"logprobs\":{logprobs},\"finish_reason\":null}}]}}\n\n"
            )
        };
    }
    bytes
        + if upstream == OLLAMA {
            "{\"response\":\"\",\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":99}\n"
        } else {
            "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":99}}\n\ndata: [DONE]\n\n"
        }
}

/// What a client of one choice puts together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    text: String,
    thinking: String,
    /// Chunks with text or thinking.
    deltas: u64,
    finish: Option<String>,
    usage: Option<(u64, u64)>,
    done: bool,
}

fn told(sent: &[u8]) -> Told {
    let mut told = Told::default();
    for event in std::str::from_utf8(sent).unwrap().split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").unwrap();
        assert!(!told.done, "{data} after the end");
        if data == "[DONE]" {
            told.done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&chunk["object"], &chunk["id"]),
            (&"text_completion".into(), &"cmpl-0123456789abcdef01234567".into())
        );
        if let Some(usage) = chunk.get("usage") {
            let count = |name: &str| usage[name].as_u64().unwrap();
            told.usage = Some((count("prompt_tokens"), count("completion_tokens")));
        }
        for choice in chunk["choices"].as_array().unwrap() {
            assert!(told.finish.is_none(), "{data} after the last chunk");
            let (text, thinking) =
                (choice["text"].as_str().unwrap(), choice["reasoning"].as_str().unwrap_or(""));
            told.deltas += u64::from(!text.is_empty()) + u64::from(!thinking.is_empty());
            told.text.push_str(text);
            told.thinking.push_str(thinking);
            told.finish = choice["finish_reason"].as_str().map(str::to_owned);
        }
    }
    told
}

struct Seen {
    sent: Vec<u8>,
    progress: Progress,
    stream: AnswerStream,
}

fn feed(upstream: Format, reply: Reply, screen: bool, bytes: &[u8], size: usize) -> Seen {
    let screen = screen.then(|| Box::new(Masker::default()) as Box<dyn Screen>);
    let mut stream = AnswerStream::new(cell(upstream), reply, screen);
    let mut sent = Vec::new();
    for piece in bytes.chunks(size) {
        stream.push(piece, &mut sent);
    }
    let progress = stream.end(&mut sent);
    Seen { sent, progress, stream }
}

/// The same for every size of pieces; given back whole.
fn steady(upstream: Format, reply: &Reply, screen: bool, bytes: &str) -> Seen {
    let whole = feed(upstream, reply.clone(), screen, bytes.as_bytes(), bytes.len());
    for size in [1, 3, 64] {
        let seen = feed(upstream, reply.clone(), screen, bytes.as_bytes(), size);
        assert_eq!(String::from_utf8_lossy(&seen.sent), String::from_utf8_lossy(&whole.sent));
        assert_eq!(seen.progress, whole.progress);
        assert_eq!(seen.stream.metered(), whole.stream.metered());
        assert_eq!(seen.stream.upstream_done(), whole.stream.upstream_done());
    }
    whole
}

#[test]
fn exactly_the_caps_deltas_leave() {
    for upstream in BOTH {
        let bytes = spoken(upstream, &["~hm", "one", "two", "three"]);
        for cap in 0..=5 {
            let reply = Reply { output_tokens_max: Some(cap), ..reply() };
            let seen = steady(upstream, &reply, false, &bytes);
            let told = told(&seen.sent);
            let cut = cap < 4;
            let expected = ["", "", "one", "onetwo", "onetwothree", "onetwothree"];
            assert_eq!(
                (told.deltas, told.text.as_str()),
                (cap.min(4), expected[usize::try_from(cap).unwrap()])
            );
            assert_eq!(told.finish.as_deref(), Some(if cut { "length" } else { "stop" }));
            assert_eq!(told.usage, Some(if cut { (0, cap) } else { (3, 99) }));
            assert!(told.done && seen.progress == Progress::Complete);
            assert_eq!(seen.stream.upstream_done(), !cut);
            // Logprobs spell what was cut: they leave with their text or not at all.
            let spelt = String::from_utf8_lossy(&seen.sent).matches(r#""tokens":["secret"]"#).count();
            assert_eq!(u64::try_from(spelt), Ok(told.deltas));
            let stop = if cut { StopReason::Length } else { StopReason::Stop };
            let metered = seen.stream.metered();
            assert_eq!((metered.deltas, metered.stop), (cap.min(4), Some(stop)));
            let counts = Usage { prompt_tokens: 3, output_tokens: 99 };
            assert_eq!(metered.usage, (!cut).then_some(counts));
        }
        let reply = Reply { output_bytes_max: Some(8), ..reply() };
        let told = told(&steady(upstream, &reply, false, &bytes).sent);
        assert_eq!((told.text.as_str(), told.finish.as_deref()), ("onetwo", Some("length")));
    }
}

#[test]
fn a_cap_ends_every_choice() {
    let choice = |index: u64| format!(r#"{{"index":{index},"text":"x","finish_reason":null}}"#);
    let event = |choices: &str| format!("data: {{\"choices\":[{choices}]}}\n\n");
    let bytes = event(&[choice(0), choice(1), choice(2)].join(",")).repeat(2);
    let reply = Reply { output_tokens_max: Some(4), ..reply() };
    let text = String::from_utf8(steady(COMPATIBLE, &reply, false, &bytes).sent).unwrap();
    assert_eq!(text.matches(r#""text":"x""#).count(), 4, "{text}");
    for index in 0..3 {
        let end = format!(r#"{{"index":{index},"text":"","logprobs":null,"finish_reason":"length"}}"#);
        assert_eq!(text.matches(&end).count(), 1, "{text}");
    }
    let seen = feed(COMPATIBLE, reply, true, bytes.as_bytes(), 7);
    assert!(matches!(seen.progress, Progress::Failed(_)), "several choices cannot be screened");
    assert!(!String::from_utf8_lossy(&seen.sent).contains("[DONE]"));
}

#[test]
fn a_screened_stream_loses_nothing_and_ends_as_it_did() {
    for upstream in BOTH {
        let bytes = spoken(upstream, &["~a sec", "~ret th", "the se", "cret is \"se\"\n", "sec"]);
        let seen = steady(upstream, &reply(), true, &bytes);
        let text = String::from_utf8(seen.sent.clone()).unwrap();
        // Nor in the logprobs, which spell the text.
        assert!(!text.contains("secret") && !text.contains("tokens\":["), "{text}");
        let told = told(&seen.sent);
        assert_eq!(
            (told.thinking.as_str(), told.text.as_str()),
            ("a ****** th", "the ****** is \"se\"\nsec")
        );
        assert_eq!((told.finish.as_deref(), told.usage, told.done), (Some("stop"), Some((3, 99)), true));
        assert!(seen.stream.upstream_done());
    }
}

#[test]
fn a_screen_ends_an_answer_properly() {
    for upstream in BOTH {
        for (said, text) in [
            (["a safe bo", "mb and more", "more"].as_slice(), "a safe "),
            (&["bomb"], ""),
            (&["bo", "~x", "mb"], ""),
            (&["a fus"], "a "),
        ] {
            let seen = steady(upstream, &reply(), true, &spoken(upstream, said));
            let told = told(&seen.sent);
            assert_eq!(
                (told.text.as_str(), told.finish.as_deref()),
                (text, Some("content_filter")),
                "{said:?}"
            );
            let metered = seen.stream.metered();
            assert_eq!(metered.stop, Some(StopReason::ContentFilter));
            assert!(told.done);
        }
        let reply = Reply { output_tokens_max: Some(3), ..reply() };
        let told = told(&steady(upstream, &reply, true, &spoken(upstream, &["s", "e", "c", "x"])).sent);
        assert_eq!(
            (told.text.as_str(), told.finish.as_deref(), told.usage),
            ("sec", Some("length"), Some((0, 3)))
        );
    }
}

#[test]
fn whole_answers_pass_the_screen() {
    let native = |text: &str| {
        format!(
            r#"{{"response":"{text}","thinking":"a secret","done":true,"done_reason":"stop","logprobs":[{{"token":"secret","logprob":-1}}],"eval_count":7}}"#
        )
    };
    let compatible = |text: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"text":"{text}","reasoning":"a secret","logprobs":{{"tokens":["secret"],"token_logprobs":[-1]}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":0,"completion_tokens":7}}}}"#
        )
    };
    for (upstream, body) in [(OLLAMA, &native as &dyn Fn(&str) -> String), (COMPATIBLE, &compatible)] {
        for (said, text, finish, stop) in [
            ("b secret sec", "b ****** sec", "stop", StopReason::Stop),
            ("b bomb c", "b ", "content_filter", StopReason::ContentFilter),
        ] {
            let mut out = Vec::new();
            let mut masker = Masker::default();
            let screen: Option<&mut dyn Screen> = Some(&mut masker);
            let metered =
                wire::read_answer(cell(upstream), &reply(), screen, body(said).as_bytes(), &mut out).unwrap();
            let answer: Value = serde_json::from_slice(&out).unwrap();
            let choice = &answer["choices"][0];
            assert_eq!((&choice["text"], &choice["reasoning"]), (&text.into(), &"a ******".into()));
            assert_eq!((&choice["logprobs"], &choice["finish_reason"]), (&Value::Null, &finish.into()));
            assert_eq!(answer["usage"]["completion_tokens"], 7);
            assert_eq!(metered.stop, Some(stop));
        }
    }
}

#[test]
fn heartbeats_and_failures_are_a_chats() {
    for upstream in BOTH {
        let bytes = spoken(upstream, &["one"]);
        let mut stream = AnswerStream::new(cell(upstream), reply(), None);
        let mut sent = Vec::new();
        stream.heartbeat(&mut sent);
        assert_eq!(
            stream.push(&bytes.as_bytes()[..bytes.find("\n").unwrap() + 2], &mut sent),
            Progress::Flowing
        );
        stream.fail(&ErrorBody::new(ErrorType::Server, "boom", 502), &mut sent);
        let text = String::from_utf8(sent).unwrap();
        assert!(text.starts_with(": keepalive\n\ndata: {\"id\":\"cmpl-"), "{text}");
        let end = "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";
        assert!(text.ends_with(end), "{text}");
    }
}

#[test]
fn calls_that_nobody_asked_for_do_not_leave() {
    let call = r#"[{"function":{"name":"f","arguments":{"secret":1}}}]"#;
    let bytes = format!(
        "{{\"response\":\"a\",\"tool_calls\":{call},\"done\":false}}\n{{\"response\":\"\",\"done\":true,\"done_reason\":\"stop\"}}\n"
    );
    let seen = steady(OLLAMA, &reply(), false, &bytes);
    let told = told(&seen.sent);
    assert_eq!((told.text.as_str(), told.finish.as_deref()), ("a", Some("stop")));
    assert!(!String::from_utf8_lossy(&seen.sent).contains("secret"));
}
