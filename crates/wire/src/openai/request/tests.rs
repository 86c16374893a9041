//! What is refused and how it is named, what is counted, what is noted as dropped.

use crate::error::Fault;
use crate::request::ReadLimits;
use crate::{Format, ModelRequest, Operation, read_request};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 4, tools: 2, images: 2, image_bytes: 12 };
const HELLO: &str = r#"{"role":"user","content":"Hello"}"#;

fn read(body: &[u8]) -> Result<ModelRequest<'_>, Fault> {
    read_request(Format::OpenAi, Operation::Chat, body, &LIMITS)
}

/// A body with one more field.
fn with(field: &str) -> String {
    format!(r#"{{"model":"m","messages":[{HELLO}],{field}}}"#)
}

/// A body with these messages.
fn saying(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{messages}]}}"#)
}

/// A body whose one message has this content.
fn content(content: &str) -> String {
    saying(&format!(r#"{{"role":"user","content":{content}}}"#))
}

#[track_caller]
fn refused(body: &str, code: &str, param: &str) {
    let fault = read(body.as_bytes()).expect_err(body);
    assert_eq!((fault.code, fault.param.as_deref().unwrap_or("")), (code, param), "{body}\n{fault}");
    assert!(!fault.message.is_empty());
}

#[track_caller]
fn taken(body: &str) -> ModelRequest<'_> {
    read(body.as_bytes()).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

#[test]
fn bodies_that_are_not_a_request() {
    for body in
        ["", "{", "nul", "{\"model\":\"m\"} x", "\u{feff}{}", r#"{"model":"\ud800"}"#, r#"{"x":"\udc00"}"#]
    {
        refused(body, "invalid_json", "");
    }
    for body in ["[]", "null", "1", "\"x\""] {
        refused(body, "invalid_type", "");
    }
    assert_eq!(read(b"{\"model\":\"\xff\"}").expect_err("not UTF-8").code, "invalid_json");
    refused(&with(&format!("\"x\":{}{}", "[".repeat(16), "]".repeat(16))), "json_too_deep", "");
    taken(&with(&format!("\"x\":{}{}", "[".repeat(15), "]".repeat(15))));
}

#[test]
fn what_must_be_there() {
    refused("{}", "missing_required_parameter", "model");
    refused(r#"{"model":null,"messages":[]}"#, "empty_array", "messages");
    refused(&format!(r#"{{"model":null,"messages":[{HELLO}]}}"#), "missing_required_parameter", "model");
    refused(&format!(r#"{{"Model":"m","messages":[{HELLO}]}}"#), "missing_required_parameter", "model");
    refused(&format!(r#"{{"model":"","messages":[{HELLO}]}}"#), "invalid_value", "model");
    refused(&format!(r#"{{"model":7,"messages":[{HELLO}]}}"#), "invalid_type", "model");
    refused(r#"{"model":"m"}"#, "missing_required_parameter", "messages");
    refused(r#"{"model":"m","messages":null}"#, "missing_required_parameter", "messages");
    refused(r#"{"model":"m","messages":{}}"#, "invalid_type", "messages");
    refused(&saying("7"), "invalid_type", "messages[0]");
    refused(&saying(r#"{"content":"x"}"#), "missing_required_parameter", "messages[0].role");
    refused(&saying(r#"{"role":"robot","content":"x"}"#), "invalid_value", "messages[0].role");
    refused(&saying(r#"{"role":"user"}"#), "missing_required_parameter", "messages[0].content");
    refused(&saying(r#"{"role":"user","content":null}"#), "invalid_type", "messages[0].content");
    refused(&saying(r#"{"role":"assistant","content":null}"#), "invalid_type", "messages[0].content");
    refused(
        &saying(r#"{"role":"tool","content":"x"}"#),
        "missing_required_parameter",
        "messages[0].tool_call_id",
    );
    taken(&saying(r#"{"role":"assistant","refusal":"no"}"#));
}

#[test]
fn keys_that_could_mean_two_things() {
    refused(&with(r#""model":"x""#), "duplicate_parameter", "model");
    refused(&with(r#""m\u006fdel":"x""#), "duplicate_parameter", "model");
    refused(&with(r#""stream":true,"stream":false"#), "duplicate_parameter", "stream");
    refused(
        &saying(r#"{"role":"user","content":"a","content":"b"}"#),
        "duplicate_parameter",
        "messages[0].content",
    );
    refused(
        &with(r#""stream_options":{"include_usage":true,"include_usage":false}"#),
        "duplicate_parameter",
        "stream_options.include_usage",
    );
    assert_eq!(taken(&with(r#""Model":"x""#)).model(), "m");
    for (field, name) in
        [("Model", "model"), ("\u{17f}tream", "stream"), ("m\\u006FDEL", "model"), ("top_\u{212a}", "top_k")]
    {
        assert_eq!(taken(&with(&format!("\"{field}\":1"))).look_alike, Some(name), "{field}");
    }
    assert_eq!(taken(&saying(r#"{"role":"user","content":"a","Content":"b"}"#)).look_alike, Some("content"));
    assert_eq!(taken(&with(r#""modelx":"x""#)).look_alike, None);
}

#[test]
fn types_and_ranges() {
    for (field, code, param) in [
        (r#""stream":"yes""#, "invalid_type", "stream"),
        (r#""stream_options":7"#, "invalid_type", "stream_options"),
        (r#""stream_options":{"include_usage":1}"#, "invalid_type", "stream_options.include_usage"),
        (r#""max_tokens":0"#, "invalid_value", "max_tokens"),
        (r#""max_tokens":-1"#, "invalid_value", "max_tokens"),
        (r#""max_tokens":1.5"#, "invalid_type", "max_tokens"),
        (r#""max_tokens":99999999999999999999"#, "invalid_value", "max_tokens"),
        (r#""max_completion_tokens":"5""#, "invalid_type", "max_completion_tokens"),
        (r#""temperature":2.1"#, "invalid_value", "temperature"),
        (r#""temperature":-0.1"#, "invalid_value", "temperature"),
        (r#""temperature":1e999"#, "invalid_value", "temperature"),
        (r#""temperature":"1""#, "invalid_type", "temperature"),
        (r#""top_p":1.01"#, "invalid_value", "top_p"),
        (r#""frequency_penalty":2.5"#, "invalid_value", "frequency_penalty"),
        (r#""presence_penalty":-2.5"#, "invalid_value", "presence_penalty"),
        (r#""seed":1.5"#, "invalid_type", "seed"),
        (r#""seed":9223372036854775808"#, "invalid_value", "seed"),
        (r#""stop":7"#, "invalid_type", "stop"),
        (r#""stop":["a",7]"#, "invalid_type", "stop[1]"),
        (r#""n":0"#, "invalid_value", "n"),
        (r#""n":129"#, "invalid_value", "n"),
        (r#""top_logprobs":5"#, "invalid_value", "top_logprobs"),
        (r#""logprobs":false,"top_logprobs":5"#, "invalid_value", "top_logprobs"),
        (r#""logprobs":true,"top_logprobs":21"#, "invalid_value", "top_logprobs"),
        (r#""logprobs":5"#, "invalid_type", "logprobs"),
        (r#""reasoning_effort":"extreme""#, "invalid_value", "reasoning_effort"),
        (r#""reasoning":{"effort":"extreme"}"#, "invalid_value", "reasoning.effort"),
        (r#""reasoning_effort":3"#, "invalid_type", "reasoning_effort"),
        (r#""response_format":{}"#, "missing_required_parameter", "response_format.type"),
        (r#""response_format":{"type":"xml"}"#, "invalid_value", "response_format.type"),
        (
            r#""response_format":{"type":"json_schema"}"#,
            "missing_required_parameter",
            "response_format.json_schema",
        ),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"name":"x"}}"#,
            "missing_required_parameter",
            "response_format.json_schema.schema",
        ),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"schema":"x"}}"#,
            "invalid_type",
            "response_format.json_schema.schema",
        ),
        (r#""logit_bias":[]"#, "invalid_type", "logit_bias"),
        (r#""functions":{}"#, "invalid_type", "functions"),
        (r#""modalities":"text""#, "invalid_type", "modalities"),
    ] {
        refused(&with(field), code, param);
    }
}

#[test]
fn tools_and_calls() {
    let call = |call: &str| saying(&format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#));
    refused(&with(r#""tools":[{}]"#), "missing_required_parameter", "tools[0].type");
    refused(&with(r#""tools":[{"type":"magic"}]"#), "invalid_value", "tools[0].type");
    refused(&with(r#""tools":[{"type":"function"}]"#), "missing_required_parameter", "tools[0].function");
    refused(
        &with(r#""tools":[{"type":"function","function":{}}]"#),
        "missing_required_parameter",
        "tools[0].function.name",
    );
    refused(
        &with(r#""tools":[{"type":"function","function":{"name":""}}]"#),
        "invalid_value",
        "tools[0].function.name",
    );
    refused(
        &with(r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#),
        "invalid_type",
        "tools[0].function.parameters",
    );
    refused(&with(r#""tools":[1,2,3]"#), "invalid_type", "tools[0]");
    let tool = r#"{"type":"function","function":{"name":"f"}}"#;
    refused(&with(&format!(r#""tools":[{tool},{tool},{tool}]"#)), "array_above_max_length", "tools");
    refused(&with(r#""tool_choice":"maybe""#), "invalid_value", "tool_choice");
    refused(&with(r#""tool_choice":7"#), "invalid_type", "tool_choice");
    refused(&call(r#"{"id":"a"}"#), "missing_required_parameter", "messages[0].tool_calls[0].function");
    refused(
        &call(r#"{"function":{}}"#),
        "missing_required_parameter",
        "messages[0].tool_calls[0].function.name",
    );
    refused(
        &call(r#"{"function":{"name":"f","arguments":{}}}"#),
        "invalid_type",
        "messages[0].tool_calls[0].function.arguments",
    );
    refused(&call(r#"{"type":"custom"}"#), "unsupported_value", "messages[0].tool_calls[0].type");
    refused(
        &saying(r#"{"role":"user","content":"x","tool_calls":[{"function":{"name":"f"}}]}"#),
        "invalid_value",
        "messages[0].tool_calls",
    );
}

#[test]
fn images_are_checked_and_counted_before_they_are_decoded() {
    let image = |url: &str| content(&format!(r#"[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]"#));
    let at = "messages[0].content[0].image_url";
    for url in ["http://x/a.png", "https://x/a.png", "file:///etc/passwd", "ftp://x", "HTTP://x", "//x", ""] {
        refused(&image(url), "invalid_image_url", at);
    }
    for url in ["data:image/gif;base64,AAAA", "data:image/png,AAAA", "data:text/html;base64,AAAA", "data:,x"]
    {
        refused(&image(url), "invalid_image_format", at);
    }
    for letters in ["", "A", "AAA", "AA=A", "A===", "====", "AAAA=", "AA-_", "AA AA", "AAAé"] {
        refused(&image(&format!("data:image/png;base64,{letters}")), "invalid_base64_image", at);
    }
    for letters in ["AAAA", "AAA=", "AA==", "+/+/", "\\/\\/\\/\\/"] {
        assert_eq!(taken(&image(&format!("data:image/webp;base64,{letters}"))).images(), 1);
    }
    let part = r#"{"type":"image_url","image_url":"data:;base64,AAAA"}"#;
    assert_eq!(taken(&content(&format!("[{part},{part}]"))).images(), 2);
    refused(
        &content(&format!("[{part},{part},{part}]")),
        "too_many_images",
        "messages[0].content[2].image_url",
    );
    refused(&image(&format!("data:;base64,{}", "A".repeat(20))), "image_too_large", at);
    let sound = r#"[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]"#;
    assert_eq!(taken(&content(sound)).images(), 1);
}

#[test]
fn parts() {
    refused(&content("[7]"), "invalid_type", "messages[0].content[0]");
    refused(&content("[{}]"), "missing_required_parameter", "messages[0].content[0].type");
    refused(&content(r#"[{"type":"text"}]"#), "missing_required_parameter", "messages[0].content[0].text");
    refused(&content(r#"[{"type":"file","file":{}}]"#), "unsupported_value", "messages[0].content[0]");
    for kind in ["video_url", "audio_url", "image_embeds"] {
        let part = format!(r#"[{{"type":"{kind}","{kind}":{{"url":"http://x"}}}}]"#);
        refused(&content(&part), "invalid_value", "messages[0].content[0].type");
    }
    refused(&saying(&[HELLO; 5].join(",")), "array_above_max_length", "messages");
    taken(&saying(&[HELLO; 4].join(",")));
}

#[test]
fn everything_that_the_model_reads_is_counted() {
    #[track_caller]
    fn check(body: &str, chars: usize) {
        assert_eq!(taken(body).prompt_chars(), chars, "{body}");
    }
    check(&saying(HELLO), 5);
    check(&content(r#""é\n\ud83d\ude42""#), 3);
    check(
        &content(r#"[{"type":"text","text":"ab"},{"type":"image_url","image_url":"data:;base64,AAAA"}]"#),
        2,
    );
    check(
        &saying(
            r#"{"role":"assistant","reasoning":"abc","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#,
        ),
        6,
    );
    check(
        &with(
            r#""tools":[{"type":"function","function":{"name":"f","description":"de","parameters":{"a":1}}}]"#,
        ),
        15,
    );
    check(&with(r#""response_format":{"type":"json_schema","json_schema":{"schema":{"a":1}}}"#), 12);
}

#[test]
fn nothing_vanishes_silently() {
    #[track_caller]
    fn check(field: &str, dropped: &[&str]) {
        assert_eq!(taken(&with(field)).dropped, dropped, "{field}");
    }
    check(r#""user":"u","store":false,"metadata":{}"#, &["user", "store", "metadata"]);
    check(r#""user":null"#, &[]);
    check(r#""modalities":["text"],"logit_bias":{},"functions":[],"n":1,"tool_choice":"auto""#, &[]);
    check(r#""stop":["","a"]"#, &["stop"]);
    check(r#""stream_options":{"include_obfuscation":false}"#, &["stream_options.include_obfuscation"]);
    check(
        r#""tools":[{"type":"function","function":{"name":"f","strict":true}}]"#,
        &["tools[].function.strict"],
    );
    let named = saying(r#"{"role":"user","name":"Ann","content":"x"}"#);
    assert_eq!(taken(&named).dropped, ["messages[].name"]);
    let image = r#"[{"type":"image_url","image_url":{"url":"data:;base64,AAAA","detail":"low"}}]"#;
    assert_eq!(taken(&content(image)).dropped, ["messages[].content[].image_url.detail"]);
}

#[test]
fn fields_outside_the_format_are_kept_apart_and_few() {
    let body = with(r#""keep_alive":0,"m\u0069nd":{"a":[1]},"top_k":null"#);
    let request = taken(&body);
    let outsiders: Vec<(&str, &str)> =
        request.outsiders.iter().map(|outsider| (&*outsider.name, outsider.value.as_str())).collect();
    assert_eq!(outsiders, [("keep_alive", "0"), ("mind", r#"{"a":[1]}"#), ("top_k", "null")]);
    let many: Vec<String> = (0..65).map(|which| format!("\"x{which}\":1")).collect();
    taken(&with(&many.get(..64).unwrap_or_default().join(",")));
    refused(&with(&many.join(",")), "too_many_parameters", "");
}

#[test]
fn keys_are_governed_at_every_depth() {
    let calls = |call: &str| saying(&format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#));
    for (body, name) in [
        (saying(r#"{"role":"user","role":"system","content":"a"}"#), "messages[0].role"),
        (content(r#"[{"type":"text","text":"a","text":"b"}]"#), "messages[0].content[0].text"),
        (
            content(r#"[{"type":"image_url","image_url":{"url":"x","url":"y"}}]"#),
            "messages[0].content[0].image_url.url",
        ),
        (
            calls(r#"{"function":{"name":"f","arguments":"{}","arguments":"{}"}}"#),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (with(r#""tools":[],"tools":[]"#), "tools"),
        (with(r#""tools":[{"type":"function","type":"custom"}]"#), "tools[0].type"),
        (
            with(r#""tools":[{"type":"function","function":{"name":"f","n\u0061me":"g"}}]"#),
            "tools[0].function.name",
        ),
        (with(r#""response_format":{"type":"text","type":"json_object"}"#), "response_format.type"),
        (with(r#""stream_options":{},"stream_options":{}"#), "stream_options"),
    ] {
        refused(&body, "duplicate_parameter", name);
    }
    for (body, name) in [
        (saying(r#"{"role":"user","Role":"system","content":"a"}"#), "role"),
        (content(r#"[{"type":"text","text":"a","TEXT":"b"}]"#), "text"),
        (calls(r#"{"function":{"name":"f","Arguments":"{}"}}"#), "arguments"),
        (with(r#""tools":[{"type":"function","function":{"name":"f","Parameters":{}}}]"#), "parameters"),
        (with(r#""stream_options":{"Include_Usage":true}"#), "include_usage"),
        (with(r#""Max_Tokens":5"#), "max_tokens"),
    ] {
        assert_eq!(taken(&body).look_alike, Some(name), "{body}");
    }
}

#[test]
fn wishes() {
    let request = |field: &str| with(field);
    assert!(taken(&request(r#""stream":true"#)).stream());
    assert!(!taken(&request(r#""stream":null"#)).stream());
    assert!(taken(&request(r#""stream_options":{"include_usage":true}"#)).include_usage());
    assert_eq!(taken(&request(r#""max_tokens":5,"max_completion_tokens":6"#)).max_output_tokens(), Some(6));
    assert_eq!(
        taken(&request(r#""max_tokens":5,"max_completion_tokens":null"#)).max_output_tokens(),
        Some(5)
    );
    assert!(taken(&request(r#""reasoning":{"effort":"low","summary":"auto"}"#)).wants_thinking());
    assert!(!taken(&request(r#""reasoning_effort":null"#)).wants_thinking());
}
