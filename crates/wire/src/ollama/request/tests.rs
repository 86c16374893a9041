//! What the body of `/api/chat` holds, and what this dialect refuses.

use crate::{Dropped, Fault, Format, Operation, Outbound, ReadLimits, read_request, write_request};

fn chat(upstream: Format) -> crate::Cell {
    crate::cell(Format::OpenAi, upstream, Operation::Chat).expect("a cell")
}

const LIMITS: ReadLimits = ReadLimits { depth: 32, messages: 16, tools: 8, images: 2, image_bytes: 64 };
const HELLO: &str = r#"{"role":"user","content":"Hello"}"#;

fn write(body: &str, to: &Outbound<'_>) -> Result<(String, Dropped), Fault> {
    let request = read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).expect(body);
    let mut out = Vec::new();
    let dropped = write_request(chat(Format::Ollama), &request, to, &mut out)?;
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(crate::json::accepts(text.as_bytes(), 64), "{text}");
    Ok((text, dropped))
}

const PLAIN: Outbound<'_> = Outbound::to("up");

#[track_caller]
fn messages(given: &str, expected: &str) {
    let (text, _) = write(&format!(r#"{{"model":"m","messages":[{given}]}}"#), &PLAIN).expect(given);
    assert_eq!(text, format!(r#"{{"model":"up","messages":[{expected}],"stream":false}}"#));
}

#[track_caller]
fn fields(given: &str, expected: &str) {
    let (text, _) = write(&format!(r#"{{"model":"m","messages":[{HELLO}],{given}}}"#), &PLAIN).expect(given);
    assert_eq!(text, format!(r#"{{"model":"up","messages":[{HELLO}],"stream":false{expected}}}"#));
}

#[track_caller]
fn refused(given: &str, code: &str, param: &str) {
    let fault = write(&format!(r#"{{"model":"m","messages":[{HELLO}],{given}}}"#), &PLAIN).expect_err(given);
    assert_eq!((fault.code, fault.param.as_deref()), (code, Some(param)), "{given}");
}

#[test]
fn roles_and_content() {
    messages(r#"{"role":"developer","content":"x"}"#, r#"{"role":"system","content":"x"}"#);
    messages(r#"{"content":"x","role":"\u0075ser"}"#, r#"{"role":"user","content":"x"}"#);
    messages(r#"{"role":"user","content":[]}"#, r#"{"role":"user","content":""}"#);
    messages(
        r#"{"role":"user","content":[{"type":"text","text":"a\"b"},{"type":"image_url","image_url":"data:;base64,AA=="},{"type":"text","text":"c"},{"type":"image_url","image_url":{"url":"data:image\/png;base64,+\/+\/"}}]}"#,
        r#"{"role":"user","content":"a\"b\nc","images":["AA==","+/+/"]}"#,
    );
    messages("{\"role\":\"user\",\"content\":\"a\u{2028}b\"}", r#"{"role":"user","content":"a\u2028b"}"#);
    messages(
        r#"{"role":"assistant","content":null,"refusal":"no"}"#,
        r#"{"role":"assistant","content":"no"}"#,
    );
    messages(
        r#"{"role":"assistant","content":"x","reasoning_content":"t"}"#,
        r#"{"role":"assistant","content":"x","thinking":"t"}"#,
    );
    messages(r#"{"role":"user","content":"x","reasoning":"t"}"#, r#"{"role":"user","content":"x"}"#);
}

#[test]
fn calls_and_their_results() {
    messages(
        r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":" {\"z\":1.0e2,\"a\":12345678901234567890} "}},{"function":{"name":"g"}}]}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{"z":1.0e2,"a":12345678901234567890}}},{"function":{"index":1,"name":"g","arguments":{}}}]}"#,
    );
    let call = |name: &str| {
        let given = format!(
            r#"{{"role":"assistant","tool_calls":[{{"id":"a","type":"function","function":{{"name":"{name}","arguments":""}}}}]}}"#
        );
        let written = format!(
            r#"{{"role":"assistant","content":"","tool_calls":[{{"id":"a","function":{{"index":0,"name":"{name}","arguments":{{}}}}}}]}}"#
        );
        (given, written)
    };
    let (one, two) = (call("one"), call("two"));
    messages(
        &format!(r#"{},{},{{"role":"tool","tool_call_id":"\u0061","content":"r"}}"#, one.0, two.0),
        &format!(
            r#"{},{},{{"role":"tool","content":"r","tool_name":"two","tool_call_id":"\u0061"}}"#,
            one.1, two.1
        ),
    );
    messages(
        r#"{"role":"tool","tool_call_id":"zzz","content":"r"}"#,
        r#"{"role":"tool","content":"r","tool_call_id":"zzz"}"#,
    );
    messages(
        r#"{"role":"function","name":"f","content":"r"}"#,
        r#"{"role":"tool","content":"r","tool_name":"f"}"#,
    );
    messages(
        r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"f","arguments":{}}}]}"#,
    );
}

#[test]
fn arguments_must_hold_an_object() {
    for arguments in ["[]", "1", "null", "{", "{} {}", r#"{\"a\":}"#, r#"{\"a\":\"\\ud800\"}"#] {
        let body = format!(
            r#"{{"model":"m","messages":[{HELLO},{{"role":"assistant","tool_calls":[{{"function":{{"name":"f","arguments":"{arguments}"}}}}]}}]}}"#
        );
        let fault = write(&body, &PLAIN).expect_err(arguments);
        assert_eq!(fault.param.as_deref(), Some("messages[1].tool_calls[0].function.arguments"));
    }
}

#[test]
fn wishes_become_options() {
    fields(
        r#""temperature":0.70,"seed":-5,"top_p":1e-1"#,
        r#","options":{"temperature":0.70,"top_p":1e-1,"seed":-5}"#,
    );
    fields(r#""max_tokens":7,"stop":"E\nD""#, r#","options":{"num_predict":7,"stop":["E\nD"]}"#);
    fields(r#""stop":[]"#, "");
    fields(r#""response_format":{"type":"json_object"}"#, r#","format":"json""#);
    fields(r#""logprobs":true,"top_logprobs":0"#, r#","logprobs":true,"top_logprobs":0"#);
    fields(
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto""#,
        r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#,
    );
    fields(r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#, "");
    fields(r#""tools":[]"#, "");
    fields(r#""keep_alive":0,"options":{"num_ctx":1}"#, "");
    fields(
        r#""response_format":{"type":"json_schema","json_schema":{"schema":{"a": 1}}}"#,
        r#","format":{"a": 1}"#,
    );
}

#[test]
fn what_this_dialect_cannot_say() {
    // Its decoder ignores the case of keys.
    refused(r#""Stream":true"#, "ambiguous_parameter", "stream");
    refused(r#""n":2"#, "unsupported_value", "n");
    refused(r#""logit_bias":{"1":5}"#, "unsupported_parameter", "logit_bias");
    refused(r#""prediction":{}"#, "unsupported_parameter", "prediction");
    refused(r#""audio":{}"#, "unsupported_parameter", "audio");
    refused(r#""web_search_options":{}"#, "unsupported_parameter", "web_search_options");
    refused(r#""functions":[{"name":"f"}]"#, "unsupported_parameter", "functions");
    refused(r#""function_call":"auto""#, "unsupported_parameter", "function_call");
    refused(r#""modalities":["text","audio"]"#, "unsupported_value", "modalities");
    refused(r#""tool_choice":"required""#, "unsupported_value", "tool_choice");
    refused(
        r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
        "unsupported_value",
        "tool_choice",
    );
    refused(r#""tools":[{"type":"custom","custom":{"name":"f"}}]"#, "unsupported_value", "tools[0].type");
}

#[test]
fn effort_becomes_think_where_the_model_can() {
    #[track_caller]
    fn check(effort: &str, thinks: Option<bool>, expected: &str, dropped: &[&str]) {
        let body = format!(r#"{{"model":"m","messages":[{HELLO}],"reasoning_effort":"{effort}"}}"#);
        let (text, got) = write(&body, &Outbound { thinks, ..PLAIN }).expect(effort);
        assert_eq!(text, format!(r#"{{"model":"up","messages":[{HELLO}],"stream":false{expected}}}"#));
        assert_eq!(got, dropped);
    }
    for thinks in [None, Some(true)] {
        check("none", thinks, r#","think":false"#, &[]);
        check("minimal", thinks, r#","think":"low""#, &[]);
        check("medium", thinks, r#","think":"medium""#, &[]);
        check("ultra", thinks, r#","think":"max""#, &[]);
    }
    check("none", Some(false), "", &[]);
    check("high", Some(false), "", &["reasoning_effort"]);
}

#[test]
fn openai_defaults_are_a_setting() {
    let body = format!(r#"{{"model":"m","messages":[{HELLO}],"top_p":0.5,"stream":true}}"#);
    let (text, _) = write(&body, &Outbound { sampling_defaults: true, ..PLAIN }).expect("written");
    assert!(text.ends_with(r#""stream":true,"options":{"temperature":1.0,"top_p":0.5}}"#), "{text}");
}
