//! However the upstream's bytes are cut, the client gets the same bytes; whatever they are, nothing panics and nothing
//! reaches the client that its SDK chokes on.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helper functions"
)]

#[path = "support/masker.rs"]
mod masker;

use masker::Masker;
use proptest::prelude::*;
use wire::frame::{ndjson, sse};
use wire::{
    AnswerStream, ErrorBody, ErrorType, Format, Operation, Outbound, Progress, ReadLimits, Reply, Screen,
};

/// The cell of what came in OpenAI's format.
fn cell(operation: Operation, upstream: Format) -> wire::Cell {
    wire::cell(Format::OpenAi, upstream, operation).unwrap()
}

/// Formats of clients whose streams are cut here.
const CLIENTS: [Format; 4] = Format::ALL;

const OLLAMA: Format = Format::Ollama;
const COMPATIBLE: Format = Format::OpenAi;

fn reply() -> Reply {
    Reply {
        include_usage: true,
        created: 1_700_000_000,
        reasoning_alias: true,
        line_bytes_max: 2048,
        ..Reply::new("0123456789abcdef01234567", "m")
    }
}

/// Everything that the client gets, the last state, and what was metered.
fn translate(way: Way, bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Progress, String) {
    let screen = way.screen.then(|| Box::new(Masker::default()) as Box<dyn Screen>);
    let reply = Reply { output_tokens_max: way.cap, ..reply() };
    let mut stream = AnswerStream::new(way.cell, reply, screen);
    let mut out = Vec::new();
    for piece in pieces(bytes, cuts) {
        let before = out.len();
        if matches!(stream.push(piece, &mut out), Progress::Waiting) {
            assert_eq!(out.len(), before, "Waiting, but bytes were written");
        }
    }
    let progress = stream.end(&mut out);
    if matches!(progress, Progress::Failed(_)) {
        let error = ErrorBody::new(ErrorType::Server, "x\ny", 502);
        stream.fail(&error, &mut out);
    }
    (out, progress, format!("{:?}", stream.metered()))
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| bytes.get(pair[0]..pair[1]).unwrap()).collect()
}

/// What every SDK accepts: `data: ` lines of JSON or the end mark, each followed by a blank line, and with its name before
/// it where the format has names; or a line of JSON each.
fn assert_clean(client: Format, sent: &[u8]) {
    let text = std::str::from_utf8(sent).unwrap();
    let (before, after) = if client == Format::Ollama { ("", "\n") } else { ("data: ", "\n\n") };
    assert!(text.is_empty() || text.ends_with(after));
    assert!(!text.starts_with('\u{feff}'));
    for event in text.split_terminator(after) {
        let mut data = event;
        if matches!(client, Format::Anthropic | Format::Responses) {
            let (name, rest) =
                event.strip_prefix("event: ").and_then(|event| event.split_once('\n')).unwrap();
            assert!(rest.starts_with(&format!("data: {{\"type\":\"{name}\"")), "{event:?}");
            data = rest;
        }
        let data = data.strip_prefix(before).unwrap();
        let is_end = client == Format::OpenAi && data == "[DONE]";
        assert!(is_end || wire::json::accepts(data.as_bytes(), 128), "{data:?}");
        assert!(!data.contains(['\n', '\r', '\u{2028}', '\u{2029}']), "{data:?}");
    }
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => any::<String>().prop_map(|text| format!(
            r#"{{"created_at":"2026-01-02T03:04:05Z","message":{{"role":"assistant","content":{}}},"done":false}}"#,
            serde_json::to_string(&text).unwrap()
        )),
        1 => Just(r#"{"message":{"thinking":"h\u006d","content":"\u003c"},"done":false,"logprobs":[{"token":"x","logprob":-1}]}"#.to_owned()),
        1 => Just(r#"{"message":{"tool_calls":[{"function":{"index":0,"name":"f","arguments":{"a": [1,"\n"]}}},{"id":"q","function":{"name":"g","arguments":{}}}]},"done":false}"#.to_owned()),
        1 => Just(r#"{"message":{"tool_calls":[{"function":{"name":"f","arguments":{}}},{"function":{}}]},"done":false}"#.to_owned()),
        3 => any::<String>().prop_map(|text| format!(
            r#"{{"created_at":"2026-01-02T03:04:05Z","response":{},"done":false}}"#,
            serde_json::to_string(&text).unwrap()
        )),
        1 => Just(r#"{"thinking":"h\u006d","response":"\u003c","done":false,"logprobs":[{"token":"x","logprob":-1,"top_logprobs":[{"token":"y","logprob":-2}]}]}"#.to_owned()),
        1 => Just(r#"{"error":"boom"}"#.to_owned()),
        2 => Just(r#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}"#.to_owned()),
        1 => Just(String::new()),
        1 => Just("x".repeat(2049)),
        1 => any::<String>(),
    ];
    let ending = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")];
    (any::<bool>(), prop::collection::vec((line, ending), 0..8), any::<bool>()).prop_map(
        |(bom, lines, cut)| {
            let mut text = if bom { "\u{feff}".to_owned() } else { String::new() };
            for (line, ending) in lines {
                text.push_str(&line);
                text.push_str(ending);
            }
            if cut { text.trim_end().to_owned() } else { text }
        },
    )
}

fn events() -> impl Strategy<Value = String> {
    let event = prop_oneof![
        4 => any::<String>().prop_map(|text| format!(
            r#"data: {{"id":"up","created":5,"choices":[{{"index":0,"delta":{{"role":"assistant","content":{}}},"finish_reason":null}}],"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#,
            serde_json::to_string(&text).unwrap()
        )),
        1 => Just(r#"data:{"choices":[{"index":1,"delta":{"reasoning_content":"a","reasoning":"a"}},{"index":0,"delta":{}}]}"#.to_owned()),
        1 => Just("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\ndata: \"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}".to_owned()),
        3 => any::<String>().prop_map(|text| format!(
            r#"data: {{"created":5,"choices":[{{"index":0,"text":{},"finish_reason":null}}]}}"#,
            serde_json::to_string(&text).unwrap()
        )),
        1 => Just(r#"data: {"choices":[{"index":1,"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[null],"top_logprobs":[{"a":-1}],"text_offset":[0]}},{"index":0,"text":"é","reasoning":"b","logprobs":{"content":[{"token":"é","logprob":-1}]}}]}"#.to_owned()),
        2 => Just(r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned()),
        1 => Just("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7}}".to_owned()),
        1 => Just(r#"data: {"error":{"message":"boom","code":500}}"#.to_owned()),
        2 => Just("data: [DONE]".to_owned()),
        1 => Just(": ping".to_owned()),
        1 => Just("event: x\nid: 1\nretry: 2".to_owned()),
        1 => Just(format!("data: {}", "x".repeat(2049))),
        1 => any::<String>(),
    ];
    let ending = prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\r\r"), Just("\n")];
    (prop::collection::vec((event, ending), 0..8), any::<bool>()).prop_map(|(events, cut)| {
        let text: String = events.into_iter().map(|(event, ending)| event + ending).collect();
        if cut { text.trim_end().to_owned() } else { text }
    })
}

/// How a stream is carried.
#[derive(Clone, Copy, Debug)]
struct Way {
    cell: wire::Cell,
    screen: bool,
    cap: Option<u64>,
}

fn check(upstream: Format, text: &str, cuts: &[usize]) {
    let streams = |cell: &wire::Cell| matches!(cell.operation(), Operation::Chat | Operation::Complete);
    for cell in cells().filter(|cell| cell.upstream() == upstream).filter(streams) {
        for (screen, cap) in [(false, None), (true, None), (false, Some(2)), (true, Some(2))] {
            check_way(Way { cell, screen, cap }, text, cuts);
        }
    }
}

/// Every cell whose streams and bodies are cut here.
fn cells() -> impl Iterator<Item = wire::Cell> {
    wire::lanes::cells().filter(|cell| CLIENTS.contains(&cell.client()))
}

/// The end of an answer that is whole.
fn ends_well(client: Format, sent: &[u8]) -> bool {
    let text = std::str::from_utf8(sent).unwrap();
    match client {
        Format::Ollama => text.lines().last().is_some_and(|line| line.contains(r#","done":true,"#)),
        Format::Anthropic => text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        Format::Responses => {
            let last = text.trim_end().rsplit("\n\n").next().unwrap();
            ["completed", "incomplete"]
                .iter()
                .any(|end| last.starts_with(&format!("event: response.{end}\n")))
        }
        Format::OpenAi => text.ends_with("data: [DONE]\n\n"),
    }
}

fn check_way(way: Way, text: &str, cuts: &[usize]) {
    let whole = translate(way, text.as_bytes(), &[]);
    assert_clean(way.cell.client(), &whole.0);
    assert_eq!(ends_well(way.cell.client(), &whole.0), whole.1 == Progress::Complete);
    let every_byte: Vec<usize> = (0..text.len()).collect();
    assert_eq!(translate(way, text.as_bytes(), &every_byte), whole);
    assert_eq!(translate(way, text.as_bytes(), cuts), whole);
}

/// The one error that framing knows.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

fn records(bytes: &[u8], cuts: &[usize]) -> Vec<Result<Vec<u8>, TooLong>> {
    let mut decoder = ndjson::Decoder::new(64);
    let mut records = Vec::new();
    for mut piece in pieces(bytes, cuts) {
        while let Some(record) = decoder.next(&mut piece) {
            let Ok(record) = record else {
                records.push(Err(TooLong));
                return records;
            };
            records.push(Ok(record.to_vec()));
        }
    }
    records.extend(decoder.end().map(|record| Ok(record.to_vec())));
    records
}

fn items(bytes: &[u8], cuts: &[usize]) -> Vec<Result<String, TooLong>> {
    let mut decoder = sse::Decoder::new(64);
    let mut items = Vec::new();
    for mut piece in pieces(bytes, cuts) {
        while let Some(item) = decoder.next(&mut piece) {
            let Ok(item) = item else {
                items.push(Err(TooLong));
                return items;
            };
            items.push(Ok(format!("{item:?}")));
        }
    }
    items.extend(decoder.end().map(|item| Ok(format!("{item:?}"))));
    items
}

/// Pieces of both framings, so that random bytes come near them.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        &b"data:"[..],
        b"data: a",
        b"event: e",
        b":",
        b"\n",
        b"\r",
        b"\r\n",
        b"\xef\xbb\xbf",
        b" ",
        b"{}",
        b"\xff",
        b"0123456789012345678901234567890",
        b"\xc3\xa9",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

const LIMITS: ReadLimits = ReadLimits { depth: 8, messages: 4, tools: 4, images: 2, image_bytes: 64 };

/// Reads, and writes for both upstreams; what is written must be JSON.
fn read_and_write(body: &[u8]) {
    for cell in cells() {
        read_and_write_of(cell, body);
    }
}

fn read_and_write_of(cell: wire::Cell, body: &[u8]) {
    let read = wire::read_request(cell.client(), cell.operation(), body, &LIMITS);
    let Ok(mut request) = read else { return };
    let estimate = request.prompt_tokens();
    assert!(estimate.low <= estimate.high && estimate.high <= request.prompt_bytes());
    let _verdict = request.screen(&mut Masker::default());
    let options = ["keep_alive", "options", "top_k", "think", "format", "system", "num_ctx", "x"];
    let options = options.map(str::to_owned);
    let to = Outbound {
        sampling_defaults: true,
        options: &options,
        num_ctx: Some(8),
        output_tokens_max: Some(5),
        ..Outbound::to("up")
    };
    let mut out = Vec::new();
    if wire::write_request(cell, &request, &to, &mut out).is_ok() {
        assert!(wire::json::accepts(&out, 128), "{}", String::from_utf8_lossy(&out));
    }
}

/// Text made of JSON's own pieces and our keys.
fn json_like() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u00",
        "\\ud83d",
        "null",
        "true",
        "1",
        "-",
        ".5",
        "e9",
        " ",
        "\"model\":\"m\",",
        "\"messages\":[",
        "{\"role\":\"user\",\"content\":\"x\"}",
        "\"stream\":true,",
        "\"stream_options\":{",
        "\"tools\":[",
        "\"stop\":",
        "\"prompt\":\"a secret\",",
        "\"suffix\":\"b\",",
        "\"best_of\":",
        "\"echo\":",
        "\"logprobs\":",
        "\"input\":[\"a secret\"],",
        "\"encoding_format\":\"base64\",",
        "\"dimensions\":",
        "\"content\":[",
        "{\"type\":\"text\",\"text\":",
        "\"image_url\":",
        "\"data:;base64,AAAA\"",
        "\"format\":",
        "\"prompt\":\"a secret\",",
        "\"system\":",
        "\"input\":[",
        "\"images\":[\"AAAA\"],",
        "\"options\":{\"num_predict\":",
        "{\"function\":{\"name\":\"f\",\"arguments\":{",
        "\"thinking\":",
        "\"keep_alive\":0,",
        "\"system\":[",
        "\"max_tokens\":9,",
        "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{",
        "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":",
        "{\"type\":\"thinking\",\"thinking\":",
        "\"input_schema\":{",
        "\"instructions\":",
        "{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"namespace\":\"n\",\"arguments\":",
        "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":",
        "{\"type\":\"reasoning\",\"summary\":[",
        "{\"type\":\"input_text\",\"text\":",
        "{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[",
        "{\"type\":\"function\",\"name\":\"f\"}",
        "\"include\":[",
        "\"type\":",
        "\"n\":",
        "\"x\":",
        "\"y\":null,",
        "\"top_k\":1,",
        "\"think\":",
        "\"options\":{\"top_k\":",
        "\"max_tokens\":null,",
        "\"secret\",",
        "é",
        "\u{2028}",
        "\u{0}",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

/// Whole answers of either upstream, some of whose values are of another kind than they should be.
fn answer_like() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        r#""a secret""#,
        "[0.1,-2e-3]",
        "[[0.1,1e9],[]]",
        "[1e999]",
        r#"[{"token":"a","logprob":-1,"top_logprobs":[{"token":"\ud83d\ude42","logprob":-2}]}]"#,
        r#"{"tokens":["a"],"token_logprobs":[null],"top_logprobs":null}"#,
        r#"{"content":"bomb"}"#,
        r#"[{"index":0,"text":"a bomb","finish_reason":"stop","logprobs":{"content":[{"token":"a"}]}}]"#,
        r#"[{"index":1,"embedding":[1]},{"index":0,"embedding":[2e-45]}]"#,
        r#"[{"index":0,"message":{"content":"secret"},"finish_reason":"length"}]"#,
        "true",
        "null",
        "7",
        "{}",
        "[]",
        "\"",
    ]);
    let key = prop::sample::select(vec![
        "response",
        "thinking",
        "message",
        "done",
        "logprobs",
        "embeddings",
        "choices",
        "data",
        "usage",
        "error",
        "created",
        "prompt_eval_count",
        "object",
        "x",
    ]);
    prop::collection::vec((key, value), 0..6).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Members of a body in any order, some of which are not of the format.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let known = [
        (r#""model""#, r#""m""#),
        (r#""messages""#, r#"[{"role":"user","content":"a secret"}]"#),
        (r#""stream""#, "true"),
        (r#""max_tokens""#, "9"),
        (r#""user""#, r#""u""#),
    ];
    let outside = prop::sample::select(vec!["x", "y", "keep_alive", "top_k", "options", "_z", "x\\u0031"]);
    let outsiders =
        prop::collection::vec((outside, prop::sample::select(vec!["null", "1", "[{}]", "\",\""])), 0..5);
    let blank = prop::sample::select(vec!["", " ", "\n\t"]);
    (outsiders, blank).prop_flat_map(move |(outsiders, blank)| {
        let mut all: Vec<(String, String)> =
            known.iter().map(|(key, value)| (format!("{key}{blank}"), (*value).to_owned())).collect();
        for (name, value) in outsiders {
            let key = format!("\"{name}\"{blank}");
            if !all.iter().any(|(known, _)| *known == key) {
                all.push((key, format!("{blank}{value}{blank}")));
            }
        }
        Just(all).prop_shuffle()
    })
}

/// A text that is masked, in a field that is cut out.
#[test]
fn what_is_masked_inside_of_what_is_cut_goes_with_it() {
    let chat =
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"prompt":"a secret","best_of":null}"#;
    read_and_write(chat.as_bytes());
    read_and_write(br#"{"prompt":"a secret","model":"m","messages":[{"role":"user","content":"a secret"}]}"#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ollama_streams(text in lines(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        check(OLLAMA, &text, &cuts);
    }

    #[test]
    fn compatible_streams(text in events(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        check(COMPATIBLE, &text, &cuts);
    }

    #[test]
    fn framing(bytes in frames(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let every_byte: Vec<usize> = (0..bytes.len()).collect();
        for cuts in [&cuts, &every_byte] {
            prop_assert_eq!(records(&bytes, cuts), records(&bytes, &[]));
            prop_assert_eq!(items(&bytes, cuts), items(&bytes, &[]));
        }
    }

    #[test]
    fn requests_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64), text in json_like()) {
        read_and_write(&bytes);
        read_and_write(text.as_bytes());
        for asked in [
            r#""messages":[{"role":"user","content":"x"}]"#,
            r#""messages":[{"role":"assistant","content":"a secret"}]"#,
            r#""prompt":"x""#,
            r#""input":["x","secret"]"#,
            r#""input":"a secret""#,
        ] {
            read_and_write(format!("{{\"model\":\"m\",{asked},{text}}}").as_bytes());
            read_and_write(format!("{{\"model\":\"m\",\"max_tokens\":5,{asked},{text}}}").as_bytes());
        }
        for body in ["messages\":[{\"role\":\"user\"", "messages\":[{\"role\":\"assistant\",\"content\":\"a secret\""] {
            read_and_write(format!("{{\"model\":\"m\",\"{body},{text}}}]}}").as_bytes());
        }
        read_and_write(format!("{{\"model\":\"m\",\"input\":[{{\"role\":\"assistant\",\"content\":\"x\"}},{text}]}}").as_bytes());
        for role in ["user", "assistant"] {
            let body = format!(
                "{{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{{\"role\":\"{role}\",\"content\":[{{\"type\":\"text\",\"text\":\"a secret\"}},{text}]}}]}}"
            );
            read_and_write(body.as_bytes());
        }
    }

    #[test]
    fn whole_answers_of_any_bytes(text in answer_like()) {
        for cell in cells() {
            let mut out = b"x".to_vec();
            let mut screen = Masker::default();
            for screen in [None, Some(&mut screen as &mut dyn Screen)] {
                out.truncate(1);
                match wire::read_answer(cell, &reply(), screen, text.as_bytes(), &mut out) {
                    Ok(_) => prop_assert!(wire::json::accepts(&out[1..], 128), "{}", String::from_utf8_lossy(&out)),
                    Err(_) => prop_assert_eq!(out.len(), 1),
                }
            }
        }
    }

    #[test]
    fn a_relayed_body_holds_what_may_pass(members in members(), allowed in any::<bool>()) {
        let text: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        let body = format!("{{{}}}", text.join(","));
        let mut expected: serde_json::Value = serde_json::from_str(&body).unwrap();
        let mut request = wire::read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).unwrap();
        prop_assert_eq!(request.screen(&mut Masker::default()), wire::Verdict::Pass);
        let options = ["x".to_owned(), "_z".to_owned(), "options".to_owned()];
        let options: &[String] = if allowed { &options } else { &[] };
        let to = Outbound { options, output_tokens_max: Some(5), ..Outbound::to("up") };
        let mut out = Vec::new();
        let dropped = wire::write_request(cell(Operation::Chat, Format::OpenAi), &request, &to, &mut out).unwrap();
        let got: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let object = expected.as_object_mut().unwrap();
        let all = object.len();
        let cut = ["x", "y", "keep_alive", "top_k", "options", "_z", "x1"];
        object.retain(|name, _| !cut.contains(&name.as_str()) || allowed && name == "x");
        prop_assert!(dropped.len() <= all - object.len());
        object.insert("model".into(), "up".into());
        object.insert("max_tokens".into(), 5.into());
        object.insert("stream_options".into(), serde_json::json!({"include_usage": true}));
        object.insert("messages".into(), serde_json::json!([{"role": "user", "content": "a ******"}]));
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn json_is_judged_as_serde_json_does(text in json_like(), bytes in prop::collection::vec(any::<u8>(), 0..16)) {
        for bytes in [text.as_bytes(), &bytes] {
            let judged = serde_json::from_slice::<serde_json::Value>(bytes);
            // Its numbers must fit a double; ours are text until somebody asks.
            let out_of_range = judged.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
            prop_assert!(out_of_range || judged.is_ok() == wire::json::accepts(bytes, 127), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
