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

const RESPONSE: &str = r#"{"model":"key","user":"key","instructions":"the key","input":[
{"role":"user","content":[{"type":"input_text","text":"\u006bey"},{"type":"input_image","image_url":"data:;base64,AAAA","detail":"key"}]},
{"type":"reasoning","id":"key","summary":[],"encrypted_content":"a key"},
{"type":"function_call","id":"key","call_id":"key","name":"key","namespace":"key","arguments":"{\"q\":\"key\"}"},
{"type":"function_call_output","call_id":"key","output":"monkey"},
{"type":"function_call_output","call_id":"key","output":[{"type":"input_text","text":"no key"}]}],
"tools":[{"type":"namespace","name":"key","description":"keys","tools":[{"type":"function","name":"key","description":"key?","parameters":{"type":"object","title":"key!"}}]}],
"text":{"format":{"type":"json_schema","name":"key","schema":{"description":"a key"}},"verbosity":"low"},"metadata":{"a":"key"}}"#;

#[test]
fn texts_of_a_response_are_shown_and_reach_the_upstream_masked() {
    let mut request =
        read_request(Format::Responses, Operation::Chat, RESPONSE.as_bytes(), &LIMITS).expect("read");
    let mut recorder = Recorder::default();
    assert_eq!(request.screen(&mut recorder), Verdict::Pass);
    let text = |text: &str| (Channel::Text, text.to_owned());
    assert_eq!(
        recorder.0,
        [
            text("the key"),
            text("key"),
            (Channel::Thinking, "a key".into()),
            (Channel::Arguments(0), r#"{"q":"key"}"#.into()),
            text("monkey"),
            text("no key"),
            text("keys"),
            text("key?"),
            text("key!"),
            text("a key"),
        ]
    );
    for (upstream, expected) in [
        (
            Format::Ollama,
            r#"{"model":"up","messages":[{"role":"system","content":"the ***"},{"role":"user","content":"***","images":["AAAA"]},{"role":"assistant","content":"","thinking":"a ***","tool_calls":[{"id":"key","function":{"index":0,"name":"key.key","arguments":{"q":"***"}}}]},{"role":"tool","content":"mon***","tool_name":"key.key","tool_call_id":"key"},{"role":"tool","content":"no ***","tool_name":"key.key","tool_call_id":"key"}],"stream":false,"tools":[{"type":"function","function":{"name":"key.key","description":"***?","parameters":{"type":"object","title":"***!"}}}],"format":{"description":"a ***"}}"#,
        ),
        (
            Format::OpenAi,
            r#"{"model":"up","messages":[{"role":"system","content":"the ***"},{"role":"user","content":[{"type":"text","text":"***"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,AAAA"}}]},{"role":"assistant","content":null,"reasoning_content":"a ***","tool_calls":[{"id":"key","type":"function","function":{"name":"key.key","arguments":"{\"q\":\"***\"}"}}]},{"role":"tool","content":"mon***","tool_call_id":"key"},{"role":"tool","content":"no ***","tool_call_id":"key"}],"stream":false,"tools":[{"type":"function","function":{"name":"key.key","description":"***?","parameters":{"type":"object","title":"***!"}}}],"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"description":"a ***"}}}}"#,
        ),
    ] {
        let cell = crate::cell(Format::Responses, upstream, Operation::Chat).expect("a cell");
        let mut out = Vec::new();
        write_request(cell, &request, &Outbound::to("up"), &mut out).expect("written");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
