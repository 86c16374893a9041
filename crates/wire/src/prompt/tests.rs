//! Every text that a model reads is shown, and what was changed reaches the upstream changed, on both lanes.

use crate::{Channel, Format, Operation, Outbound, ReadLimits, Screen, Verdict, read_request, write_request};

fn chat(upstream: Format) -> crate::Cell {
    crate::cell(Format::OpenAi, upstream, Operation::Chat).expect("a cell")
}

const LIMITS: ReadLimits = ReadLimits { depth: 32, messages: 16, tools: 8, images: 2, image_bytes: 64 };

/// Keeps what it was shown, masks "key", stops at "bomb".
#[derive(Debug, Default)]
struct Recorder(Vec<(Channel, String)>);

impl Screen for Recorder {
    fn push(&mut self, channel: Channel, text: &str, out: &mut String) -> Verdict {
        self.0.push((channel, text.to_owned()));
        out.push_str(&text.replace("key", "***"));
        if text.contains("bomb") { Verdict::Stop } else { Verdict::Pass }
    }

    fn finish(&mut self, _: Channel, _: &mut String) -> Verdict {
        Verdict::Pass
    }
}

const BODY: &str = r#"{"model":"key","user":"key","messages":[
{"role":"system","content":"a key\n"},
{"role":"user","name":"key","content":[{"type":"text","text":"\u006bey \u4f60"},{"type":"image_url","image_url":"data:;base64,AAAA"}]},
{"role":"assistant","content":null,"reasoning":"the key","tool_calls":[{"id":"key","type":"function","function":{"name":"key","arguments":"{\"q\":\"key\"}"}}]},
{"role":"tool","tool_call_id":"key","content":"no k e y"}],
"tools":[{"type":"function","function":{"name":"key","description":"key?","parameters":{"type":"object","properties":{"url":{"type":"string","description":"monkey"}}}}}]}"#;

#[test]
fn each_text_is_shown_once() {
    let mut request = read_request(Format::OpenAi, Operation::Chat, BODY.as_bytes(), &LIMITS).expect("read");
    let mut recorder = Recorder::default();
    assert_eq!(request.screen(&mut recorder), Verdict::Pass);
    let text = |text: &str| (Channel::Text, text.to_owned());
    assert_eq!(
        recorder.0,
        [
            text("a key\n"),
            text("key 你"),
            (Channel::Thinking, "the key".into()),
            (Channel::Arguments(0), r#"{"q":"key"}"#.into()),
            text("no k e y"),
            text("key?"),
            text("monkey"),
        ]
    );
}

#[test]
fn masked_texts_reach_the_upstream_masked() {
    let mut request = read_request(Format::OpenAi, Operation::Chat, BODY.as_bytes(), &LIMITS).expect("read");
    let verdict = request.screen(&mut Recorder::default());
    assert_eq!(verdict, Verdict::Pass);
    let mut relayed = Vec::new();
    write_request(chat(Format::OpenAi), &request, &Outbound::to("up"), &mut relayed).expect("written");
    let expected = BODY
        .replace("\"model\":\"key\"", "\"model\":\"up\"")
        .replace("a key", "a ***")
        .replace("\\u006bey \\u4f60", "*** 你")
        .replace("the key", "the ***")
        .replace("\\\"key\\\"", "\\\"***\\\"")
        .replace("key?", "***?")
        .replace("monkey", "mon***");
    assert_eq!(String::from_utf8_lossy(&relayed), expected);
    let mut translated = Vec::new();
    write_request(chat(Format::Ollama), &request, &Outbound::to("up"), &mut translated).expect("written");
    let expected = r#"{"model":"up","messages":[{"role":"system","content":"a ***\n"},{"role":"user","content":"*** 你","images":["AAAA"]},{"role":"assistant","content":"","thinking":"the ***","tool_calls":[{"id":"key","function":{"index":0,"name":"key","arguments":{"q":"***"}}}]},{"role":"tool","content":"no k e y","tool_name":"key","tool_call_id":"key"}],"stream":false,"tools":[{"type":"function","function":{"name":"key","description":"***?","parameters":{"type":"object","properties":{"url":{"type":"string","description":"mon***"}}}}}]}"#;
    assert_eq!(String::from_utf8_lossy(&translated), expected);
}

#[test]
fn texts_that_only_the_relay_lane_sends_are_shown_too() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","content":"a","refusal":"bomb"}]}"#;
    let mut request = read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).expect("read");
    assert_eq!(request.screen(&mut Recorder::default()), Verdict::Stop);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"a"}],"functions":[{"name":"f","description":"bomb"}]}"#;
    let mut request = read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).expect("read");
    assert_eq!(request.screen(&mut Recorder::default()), Verdict::Stop);
}

/// What is shown of a body in Ollama's dialect, and what reaches both upstreams.
#[track_caller]
fn of_ollamas_clients(operation: Operation, body: &str, shown: &[&str], sent: [&str; 2]) {
    let mut request = read_request(Format::Ollama, operation, body.as_bytes(), &LIMITS).expect("read");
    let mut recorder = Recorder::default();
    assert_eq!(request.screen(&mut recorder), Verdict::Pass);
    let texts: Vec<&str> = recorder.0.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, shown);
    let options = ["system".to_owned()];
    for (upstream, expected) in [Format::Ollama, Format::OpenAi].into_iter().zip(sent) {
        let cell = crate::cell(Format::Ollama, upstream, operation).expect("a cell");
        let mut out = Vec::new();
        let to = Outbound { options: &options, ..Outbound::to("up") };
        match write_request(cell, &request, &to, &mut out) {
            Ok(_) => assert_eq!(String::from_utf8_lossy(&out), expected),
            Err(fault) => assert_eq!(fault.code, expected),
        }
    }
}

#[test]
fn texts_of_ollamas_chats() {
    of_ollamas_clients(
        Operation::Chat,
        r#"{"model":"key","stream":false,"messages":[{"role":"user","content":"a key","images":["keys"]},{"role":"assistant","content":"","thinking":"the key","tool_calls":[{"id":"key","function":{"name":"key","arguments":{"name":"key","thinking":["key",7]}}}]},{"role":"tool","tool_name":"key","content":"no k e y"}],"tools":[{"type":"function","function":{"name":"key","description":"key?"}}],"format":{"type":"object","description":"monkey"}}"#,
        &["a key", "the key", "key", "key", "no k e y", "key?", "monkey"],
        [
            r#"{"model":"up","messages":[{"role":"user","content":"a ***","images":["keys"]},{"role":"assistant","content":"","thinking":"the ***","tool_calls":[{"id":"key","function":{"index":0,"name":"key","arguments":{"name":"***","thinking":["***",7]}}}]},{"role":"tool","content":"no k e y","tool_name":"key"}],"stream":false,"tools":[{"type":"function","function":{"name":"key","description":"***?","parameters":{"type":"object","properties":{}}}}],"format":{"type":"object","description":"mon***"}}"#,
            r#"{"model":"up","messages":[{"role":"user","content":[{"type":"text","text":"a ***"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,keys"}}]},{"role":"assistant","content":null,"reasoning_content":"the ***","tool_calls":[{"id":"key","type":"function","function":{"name":"key","arguments":"{\"name\":\"***\",\"thinking\":[\"***\",7]}"}}]},{"role":"tool","content":"no k e y","tool_call_id":"key"}],"stream":false,"tools":[{"type":"function","function":{"name":"key","description":"***?"}}],"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","description":"mon***"}}}}"#,
        ],
    );
}

#[test]
fn texts_of_ollamas_prompts() {
    of_ollamas_clients(
        Operation::Complete,
        r#"{"model":"key","stream":false,"format":"json","system":"key 1","prompt":"key 2","suffix":"key 3","images":["keys"]}"#,
        &["key 1", "key 2", "key 3"],
        [
            r#"{"model":"up","prompt":"*** 2","suffix":"*** 3","system":"*** 1","images":["keys"],"stream":false,"format":"json"}"#,
            "unsupported_parameter",
        ],
    );
    let body = r#"{"model":"m","input":["a key","b"]}"#;
    let mut request = read_request(Format::Ollama, Operation::Embed, body.as_bytes(), &LIMITS).expect("read");
    assert_eq!(request.screen(&mut Recorder::default()), Verdict::Pass);
    let cell = crate::cell(Format::Ollama, Format::Ollama, Operation::Embed).expect("a cell");
    let mut out = Vec::new();
    write_request(cell, &request, &Outbound::to("up"), &mut out).expect("written");
    assert_eq!(String::from_utf8_lossy(&out), r#"{"model":"up","input":["a ***","b"]}"#);
}
