//! Answers that end before their model ends them, by a cap or by a screen: properly, at the same place on both lanes and for
//! every way of cutting the bytes; and text under a screen, of which nothing is lost, doubled or out of order.

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
use serde_json::Value;
use spoken::{Said, lines, said, spoken, words};
use wire::{AnswerStream, Format, Operation, Progress, Reply, Screen, StopReason, Usage};

/// The cell of a chat that came in OpenAI's format.
fn chat(upstream: Format) -> wire::Cell {
    wire::cell(Format::OpenAi, upstream, Operation::Chat).unwrap()
}

const OLLAMA: Format = Format::Ollama;
const COMPATIBLE: Format = Format::OpenAi;

fn reply() -> Reply {
    Reply {
        include_usage: true,
        created: 1_700_000_000,
        line_bytes_max: 4096,
        ..Reply::new("0123456789abcdef01234567", "m")
    }
}

/// What a client of one choice puts together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    thinking: String,
    content: String,
    refusal: String,
    calls: Vec<(String, String)>,
    /// Deltas with text or calls.
    deltas: u64,
    finish: Option<String>,
    usage: Option<(u64, u64)>,
    done: bool,
    roles: u64,
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
        if let Some(usage) = chunk.get("usage") {
            let count = |name: &str| usage[name].as_u64().unwrap();
            told.usage = Some((count("prompt_tokens"), count("completion_tokens")));
        }
        for choice in chunk["choices"].as_array().unwrap() {
            assert!(told.finish.is_none(), "{data} after the finish chunk");
            told.take(choice);
        }
    }
    told
}

impl Told {
    fn take(&mut self, choice: &Value) {
        let delta = &choice["delta"];
        self.roles += u64::from(delta["role"].is_string());
        assert_eq!(self.roles, 1, "{choice}");
        for (name, text) in [
            ("reasoning", &mut self.thinking),
            ("content", &mut self.content),
            ("refusal", &mut self.refusal),
        ] {
            let piece = delta[name].as_str().unwrap_or("");
            self.deltas += u64::from(!piece.is_empty());
            text.push_str(piece);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.deltas += 1;
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            self.calls.resize(self.calls.len().max(index + 1), Default::default());
            let known = &mut self.calls[index];
            known.0.push_str(call["function"]["name"].as_str().unwrap_or(""));
            known.1.push_str(call["function"]["arguments"].as_str().unwrap_or(""));
        }
        self.finish = choice["finish_reason"].as_str().map(str::to_owned);
    }
}

struct Seen {
    sent: Vec<u8>,
    progress: Progress,
    stream: AnswerStream,
}

fn feed(upstream: Format, reply: Reply, screen: bool, bytes: &[u8], cuts: &[usize]) -> Seen {
    let screen = screen.then(|| Box::new(Masker::default()) as Box<dyn Screen>);
    let mut stream = AnswerStream::new(chat(upstream), reply, screen);
    let mut sent = Vec::new();
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    at.sort_unstable();
    for pair in at.windows(2) {
        let (before, ended) = (sent.len(), stream.metered().stop.is_some());
        let progress = stream.push(&bytes[pair[0]..pair[1]], &mut sent);
        assert!(!ended || sent.len() == before || progress == Progress::Complete);
    }
    let progress = stream.end(&mut sent);
    Seen { sent, progress, stream }
}

/// The same for every way of cutting; given back whole.
fn steady(upstream: Format, reply: &Reply, screen: bool, bytes: &[u8], cuts: &[usize]) -> Seen {
    let whole = feed(upstream, reply.clone(), screen, bytes, &[]);
    let every_byte: Vec<usize> = (0..bytes.len()).collect();
    for cuts in [cuts, &every_byte] {
        let seen = feed(upstream, reply.clone(), screen, bytes, cuts);
        assert_eq!(String::from_utf8_lossy(&seen.sent), String::from_utf8_lossy(&whole.sent));
        assert_eq!(seen.progress, whole.progress);
        assert_eq!(seen.stream.metered(), whole.stream.metered());
        assert_eq!(seen.stream.upstream_done(), whole.stream.upstream_done());
    }
    whole
}

#[test]
fn exactly_the_caps_deltas_leave() {
    let mut said = words(&["one", "two", "three", "four"]);
    said.insert(0, Said::Thinking("hm".into()));
    for upstream in [OLLAMA, COMPATIBLE] {
        let bytes = spoken(upstream, &said);
        for cap in 0..=6 {
            let reply = Reply { output_tokens_max: Some(cap), ..reply() };
            let seen = steady(upstream, &reply, false, bytes.as_bytes(), &[10, 99, 500]);
            let told = told(&seen.sent);
            let cut = cap < 5;
            assert_eq!(told.deltas, cap.min(5));
            assert_eq!(told.finish.as_deref(), Some(if cut { "length" } else { "stop" }));
            assert_eq!(told.usage, Some(if cut { (0, cap) } else { (3, 99) }));
            assert!(told.done && seen.progress == Progress::Complete);
            assert_eq!(seen.stream.upstream_done(), !cut);
            assert_eq!(seen.stream.metered().deltas, cap.min(5));
            assert_eq!(
                seen.stream.metered().stop,
                Some(if cut { StopReason::Length } else { StopReason::Stop })
            );
            let counts = Usage { prompt_tokens: 3, output_tokens: 99 };
            assert_eq!(seen.stream.metered().usage, (!cut).then_some(counts));
        }
    }
}

#[test]
fn the_end_comes_in_the_push_that_brings_too_much() {
    for upstream in [OLLAMA, COMPATIBLE] {
        let bytes = spoken(upstream, &words(&["one", "two", "three"]));
        let second = bytes.find("three").unwrap();
        let begins = bytes[..second].rfind('\n').unwrap() + 1;
        let ends = second + bytes[second..].find("\n").unwrap() + 1 + usize::from(upstream == COMPATIBLE);
        let reply = Reply { output_tokens_max: Some(2), include_usage: false, ..reply() };
        let mut stream = AnswerStream::new(chat(upstream), reply, None);
        let mut sent = Vec::new();
        assert_eq!(stream.push(&bytes.as_bytes()[..begins], &mut sent), Progress::Flowing);
        assert_eq!(stream.push(&bytes.as_bytes()[begins..ends], &mut sent), Progress::Complete);
        let told = told(&sent);
        assert_eq!((told.content.as_str(), told.usage, told.done), ("onetwo", None, true));
        let length = sent.len();
        assert_eq!(stream.push(&bytes.as_bytes()[ends..], &mut sent), Progress::Complete);
        assert_eq!(stream.end(&mut sent), Progress::Complete);
        assert_eq!(sent.len(), length, "nothing follows the end");
    }
}

#[test]
fn bytes_are_capped_too() {
    for upstream in [OLLAMA, COMPATIBLE] {
        let bytes = spoken(upstream, &words(&["four", "five", "6", "7"]));
        for (cap, content) in
            [(3, ""), (4, "four"), (7, "four"), (8, "fourfive"), (9, "fourfive6"), (10, "fourfive67")]
        {
            let reply = Reply { output_bytes_max: Some(cap), ..reply() };
            let told = told(&steady(upstream, &reply, false, bytes.as_bytes(), &[77]).sent);
            let finish = if cap < 10 { "length" } else { "stop" };
            assert_eq!((told.content.as_str(), told.finish.as_deref()), (content, Some(finish)));
        }
    }
}

#[test]
fn a_call_beyond_the_cap_does_not_leave() {
    let bytes = lines(&[Said::Content("a".into()), Said::Call("b".into()), Said::Call("c".into())]);
    // A call comes whole and is several tokens.
    let reply = Reply { output_tokens_max: Some(3), ..reply() };
    let told = told(&steady(OLLAMA, &reply, false, bytes.as_bytes(), &[]).sent);
    assert_eq!(told.calls, [("f".to_owned(), r#"{"q":"b"}"#.to_owned())]);
    assert_eq!(told.finish.as_deref(), Some("length"));
}

#[test]
fn a_chunk_with_many_deltas_is_cut_inside() {
    let event = |choices: &str| format!("data: {{\"choices\":[{choices}]}}\n\n");
    let full = r#"{"index":0,"delta":{"reasoning":"r","content":"c","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]},"finish_reason":"tool_calls"}"#;
    let bytes = event(full) + "data: [DONE]\n\n";
    for cap in 0..=4 {
        let reply = Reply { output_tokens_max: Some(cap), ..reply() };
        let told = told(&steady(COMPATIBLE, &reply, false, bytes.as_bytes(), &[]).sent);
        assert_eq!(told.deltas, cap);
        assert_eq!(told.finish.as_deref(), Some(if cap < 4 { "length" } else { "tool_calls" }));
    }
    let choice =
        |index: u64| format!(r#"{{"index":{index},"delta":{{"content":"x"}},"finish_reason":null}}"#);
    let bytes = event(&[choice(0), choice(1), choice(2)].join(",")).repeat(2);
    let reply = Reply { output_tokens_max: Some(4), ..reply() };
    let seen = steady(COMPATIBLE, &reply, false, bytes.as_bytes(), &[]);
    let text = String::from_utf8(seen.sent).unwrap();
    assert_eq!(text.matches(r#""content":"x""#).count(), 4, "{text}");
    assert_eq!(text.matches(r#""finish_reason":"length""#).count(), 3, "{text}");
}

#[test]
fn a_screened_stream_loses_nothing_and_ends_as_it_did() {
    let said = [
        Said::Thinking("a sec".into()),
        Said::Thinking("ret th".into()),
        Said::Content("the se".into()),
        Said::Content("cret is \"se\"\n".into()),
        Said::Content("sec".into()),
        Said::Call("my secret".into()),
        Said::Call("sec".into()),
    ];
    for upstream in [OLLAMA, COMPATIBLE] {
        let bytes = spoken(upstream, &said);
        let seen = steady(upstream, &reply(), true, bytes.as_bytes(), &[40, 200, 201, 800]);
        let text = String::from_utf8(seen.sent.clone()).unwrap();
        assert!(!text.contains("secret") && !text.contains("\"token\""), "{text}");
        let told = told(&seen.sent);
        assert_eq!(told.thinking, "a ****** th");
        assert_eq!(told.content, "the ****** is \"se\"\nsec");
        let call = |arguments: &str| ("f".to_owned(), format!(r#"{{"q":"{arguments}"}}"#));
        assert_eq!(told.calls, [call("my ******"), call("sec")]);
        assert_eq!((told.usage, told.done), (Some((3, 99)), true));
        assert!(seen.stream.upstream_done());
        // Held-back thinking leaves before the content that came after it.
        assert!(text.find(" th").unwrap() < text.find("the ").unwrap(), "{text}");
    }
}

#[test]
fn a_screen_ends_an_answer_properly() {
    for upstream in [OLLAMA, COMPATIBLE] {
        for (said, content) in [
            (words(&["a safe bo", "mb and more", "more"]), "a safe "),
            (words(&["bomb"]), ""),
            (words(&["bo", "m", "b"]), ""),
        ] {
            let bytes = spoken(upstream, &said);
            let seen = steady(upstream, &reply(), true, bytes.as_bytes(), &[33]);
            let told = told(&seen.sent);
            assert_eq!((told.content.as_str(), told.finish.as_deref()), (content, Some("content_filter")));
            assert!(told.done && told.roles == 1 && !seen.stream.upstream_done());
            assert_eq!(seen.stream.metered().stop, Some(StopReason::ContentFilter));
            assert_eq!(told.usage, Some((0, seen.stream.metered().deltas)));
        }
        // A text is over when the answer is: what a screen sees only then still ends it, before a finish chunk leaves.
        for last in [Said::Call("x".into()), Said::Thinking("x".into())] {
            let bytes = spoken(upstream, &[Said::Content("a fus".into()), last]);
            let told = told(&steady(upstream, &reply(), true, bytes.as_bytes(), &[]).sent);
            assert_eq!((told.content.as_str(), told.finish.as_deref()), ("a ", Some("content_filter")));
        }
        // And a match goes on behind whatever stands between its halves: a client joins them.
        for between in [Said::Call("x".into()), Said::Thinking("x".into())] {
            let said = [Said::Content("a bo".into()), between, Said::Content("mb".into())];
            let told = told(&steady(upstream, &reply(), true, spoken(upstream, &said).as_bytes(), &[]).sent);
            assert_eq!((told.content.as_str(), told.finish.as_deref()), ("a ", Some("content_filter")));
        }
        let bytes = spoken(upstream, &words(&["a fus"]));
        let told = told(&steady(upstream, &reply(), true, bytes.as_bytes(), &[]).sent);
        assert_eq!((told.content.as_str(), told.finish.as_deref()), ("a ", Some("content_filter")));
    }
}

#[test]
fn a_stopped_call_does_not_leave_whole() {
    let bytes = lines(&[Said::Call("ok".into()), Said::Call("bomb".into())]);
    let told = told(&steady(OLLAMA, &reply(), true, bytes.as_bytes(), &[]).sent);
    assert_eq!(told.calls, [("f".to_owned(), r#"{"q":"ok"}"#.to_owned())]);
    assert_eq!(told.finish.as_deref(), Some("content_filter"));
}

#[test]
fn a_cap_under_a_screen_counts_what_the_model_said() {
    for upstream in [OLLAMA, COMPATIBLE] {
        let bytes = spoken(upstream, &words(&["s", "e", "c", "x", "y"]));
        let reply = Reply { output_tokens_max: Some(3), ..reply() };
        let seen = steady(upstream, &reply, true, bytes.as_bytes(), &[]);
        let told = told(&seen.sent);
        assert_eq!((told.content.as_str(), told.finish.as_deref()), ("sec", Some("length")));
        assert_eq!((told.usage, seen.stream.metered().deltas), (Some((0, 3)), 3));
    }
}

#[test]
fn several_choices_cannot_be_screened() {
    let bytes = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let seen = feed(COMPATIBLE, reply(), true, bytes.as_bytes(), &[]);
    assert!(matches!(seen.progress, Progress::Failed(_)) && seen.sent.is_empty());
}

#[test]
fn refusals_are_a_text_of_their_own() {
    let event = |delta: &str, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let bytes = event(r#""content":"sec""#, "null")
        + &event(r#""refusal":"ret secr""#, "null")
        + &event(r#""refusal":"et""#, "\"stop\"")
        + "data: [DONE]\n\n";
    let told = told(&steady(COMPATIBLE, &reply(), true, bytes.as_bytes(), &[]).sent);
    assert_eq!((told.content.as_str(), told.refusal.as_str()), ("sec", "ret ******"));
    assert_eq!(told.finish.as_deref(), Some("stop"));
}

fn whole(upstream: Format, body: &str) -> (Value, Option<StopReason>) {
    let mut out = Vec::new();
    let mut masker = Masker::default();
    let screen: Option<&mut dyn Screen> = Some(&mut masker);
    let metered = wire::read_answer(chat(upstream), &reply(), screen, body.as_bytes(), &mut out);
    (serde_json::from_slice(&out).unwrap(), metered.unwrap().stop)
}

#[test]
fn whole_answers_pass_the_screen() {
    let native = |content: &str| {
        format!(
            r#"{{"message":{{"thinking":"a secret","content":"{content}","tool_calls":[{{"function":{{"name":"f","arguments":{{"q":"secret"}}}}}}]}},"done":true,"done_reason":"stop","logprobs":[{{"token":"secret","logprob":-1}}],"eval_count":7}}"#
        )
    };
    let compatible = |content: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"message":{{"reasoning":"a secret","content":"{content}","tool_calls":[{{"id":"a","function":{{"name":"f","arguments":"{{\"q\":\"secret\"}}"}}}}]}},"logprobs":{{"content":[{{"token":"secret","logprob":-1}}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":0,"completion_tokens":7}}}}"#
        )
    };
    for (upstream, body) in [(OLLAMA, &native as &dyn Fn(&str) -> String), (COMPATIBLE, &compatible)] {
        let (answer, stop) = whole(upstream, &body("b \\\"secret\\\" sec"));
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"]["reasoning"], "a ******");
        assert_eq!(choice["message"]["content"], "b \"******\" sec");
        assert_eq!(choice["message"]["tool_calls"][0]["function"]["arguments"], r#"{"q":"******"}"#);
        assert_eq!((&choice["logprobs"], stop), (&Value::Null, Some(StopReason::ToolCalls)));
        assert_eq!(answer["usage"]["completion_tokens"], 7);
        let (answer, stop) = whole(upstream, &body("b bomb c"));
        let choice = &answer["choices"][0];
        assert_eq!((&choice["message"]["content"], stop), (&"b ".into(), Some(StopReason::ContentFilter)));
        assert_eq!(choice["finish_reason"], "content_filter");
        assert!(choice["message"].get("tool_calls").is_none());
        assert_eq!(answer["usage"]["completion_tokens"], 7);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_screened_stream_is_steady_and_clean(
        said in said(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        cap in prop::option::of(0..12u64),
        compatible in any::<bool>(),
    ) {
        let upstream = if compatible { COMPATIBLE } else { OLLAMA };
        let bytes = spoken(upstream, &said);
        let reply = Reply { output_tokens_max: cap, ..reply() };
        let seen = steady(upstream, &reply, true, bytes.as_bytes(), &cuts);
        prop_assert_eq!(&seen.progress, &Progress::Complete);
        let told = told(&seen.sent);
        prop_assert!(told.done && told.finish.is_some());
        for (_, arguments) in &told.calls {
            prop_assert!(!arguments.contains("bomb") && !arguments.contains("secret"), "{}", arguments);
        }
        for text in [&told.content, &told.thinking] {
            prop_assert!(!text.contains("bomb") && !text.contains("secret"), "{}", text);
        }
        if cap.is_none() && told.finish.as_deref() != Some("content_filter") {
            // All pieces of one kind are a text, whatever stands between them.
            let pieces = said.iter().map(|one| if let Said::Content(text) = one { text.as_str() } else { "" });
            let expected = pieces.collect::<String>().replace("secret", "******");
            prop_assert_eq!(told.content, expected);
        }
    }
}
