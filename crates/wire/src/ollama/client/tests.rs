//! What clients of this dialect send, what becomes of it for both upstreams, and what is refused.

use crate::{
    Dropped, Fault, Format, Operation, Outbound, ReadLimits, Reply, read_request, read_show_request, unloads,
    write_loaded, write_request,
};

const LIMITS: ReadLimits = ReadLimits { depth: 32, messages: 4, tools: 2, images: 2, image_bytes: 64 };

fn write(
    operation: Operation,
    upstream: Format,
    body: &str,
    to: &Outbound<'_>,
) -> Result<(String, Dropped), Fault> {
    let cell = crate::cell(Format::Ollama, upstream, operation).expect("a cell");
    let request = read_request(Format::Ollama, operation, body.as_bytes(), &LIMITS)?;
    let mut out = Vec::new();
    let dropped = write_request(cell, &request, to, &mut out)?;
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(crate::json::accepts(text.as_bytes(), 64), "{text}");
    Ok((text, dropped))
}

const PLAIN: Outbound<'_> = Outbound::to("up");

/// To Ollama, for a key without permissions.
#[track_caller]
fn becomes(operation: Operation, body: &str, expected: &str, dropped: &[&str]) {
    let got = write(operation, Format::Ollama, body, &PLAIN);
    assert_eq!(got, Ok((expected.to_owned(), dropped.to_vec())), "{body}");
}

#[track_caller]
fn refused(operation: Operation, body: &str, code: &str, param: &str) {
    let fault = write(operation, Format::Ollama, body, &PLAIN).expect_err(body);
    assert_eq!((fault.code, fault.param.as_deref()), (code, Some(param)), "{body}");
}

#[track_caller]
fn messages(given: &str, expected: &str, dropped: &[&str]) {
    becomes(
        Operation::Chat,
        &format!(r#"{{"model":"m","messages":[{given}]}}"#),
        &format!(r#"{{"model":"up","messages":[{expected}],"stream":true}}"#),
        dropped,
    );
}

#[track_caller]
fn bad_message(given: &str, code: &str, param: &str) {
    refused(Operation::Chat, &format!(r#"{{"model":"m","messages":[{given}]}}"#), code, param);
}

/// Members beside one message, with what they become.
#[track_caller]
fn fields(given: &str, expected: &str, dropped: &[&str]) {
    let hello = r#"{"role":"user","content":"Hi"}"#;
    becomes(
        Operation::Chat,
        &format!(r#"{{"model":"m","messages":[{hello}],"stream":false,{given}}}"#),
        &format!(r#"{{"model":"up","messages":[{hello}],"stream":false{expected}}}"#),
        dropped,
    );
}

#[track_caller]
fn bad_field(given: &str, code: &str, param: &str) {
    refused(
        Operation::Chat,
        &format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],{given}}}"#),
        code,
        param,
    );
}

#[test]
fn roles_content_and_images() {
    messages(r#"{"role":"USER","content":"a\nb"}"#, r#"{"role":"user","content":"a\nb"}"#, &[]);
    messages(r#"{"content":"x","role":"System"}"#, r#"{"role":"system","content":"x"}"#, &[]);
    messages(r#"{"role":"user"}"#, r#"{"role":"user","content":""}"#, &[]);
    messages(r#"{"role":"user","content":null}"#, r#"{"role":"user","content":""}"#, &[]);
    messages(
        r#"{"role":"user","images":["AAAA","\u0041AA="],"content":"x"}"#,
        r#"{"role":"user","content":"x","images":["AAAA","AAA="]}"#,
        &[],
    );
    messages(
        r#"{"role":"assistant","content":"x","thinking":"t"}"#,
        r#"{"role":"assistant","content":"x","thinking":"t"}"#,
        &[],
    );
    messages(
        r#"{"role":"user","content":"x","thinking":"t","tool_name":"f","tool_call_id":"c","name":"n"}"#,
        r#"{"role":"user","content":"x"}"#,
        &["(unknown)", "messages[].thinking", "messages[].tool_name", "messages[].tool_call_id"],
    );
    bad_message(r#"{"content":"x"}"#, "missing_required_parameter", "messages[0].role");
    bad_message(r#"{"role":"developer","content":"x"}"#, "invalid_value", "messages[0].role");
    bad_message(
        r#"{"role":"user","content":[{"type":"text","text":"x"}]}"#,
        "invalid_type",
        "messages[0].content",
    );
    bad_message(r#"{"role":"user","images":"AAAA"}"#, "invalid_type", "messages[0].images");
    bad_message(
        r#"{"role":"user","images":["data:image/png;base64,AAAA"]}"#,
        "invalid_base64_image",
        "messages[0].images[0]",
    );
    bad_message(
        r#"{"role":"user","images":["AAAA","AAAA","AAAA"]}"#,
        "too_many_images",
        "messages[0].images[2]",
    );
    bad_message(r#"{"role":"user","role":"system"}"#, "duplicate_parameter", "messages[0].role");
    bad_message(r#"{"role":"user","Content":"x"}"#, "ambiguous_parameter", "content");
    let four = [r#"{"role":"user","content":"x"}"#; 5].join(",");
    bad_message(&four, "array_above_max_length", "messages");
}

#[test]
fn calls_hold_objects() {
    messages(
        r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"index":7,"name":"f","arguments":{"z": 1.0,"a":[null]}}},{"function":{"name":"g"}}]},{"role":"tool","content":"r","tool_name":"f"},{"role":"tool","content":"r","tool_call_id":"a"}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{"z": 1.0,"a":[null]}}},{"function":{"index":1,"name":"g","arguments":{}}}]},{"role":"tool","content":"r","tool_name":"f"},{"role":"tool","content":"r","tool_name":"f","tool_call_id":"a"}"#,
        &[],
    );
    let call = |call: &str| format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#);
    let at = "messages[0].tool_calls[0].function";
    bad_message(
        &call(r#"{"function":{"name":"f","arguments":"{}"}}"#),
        "invalid_type",
        &format!("{at}.arguments"),
    );
    bad_message(
        &call(r#"{"function":{"arguments":{}}}"#),
        "missing_required_parameter",
        &format!("{at}.name"),
    );
    bad_message(&call("{}"), "missing_required_parameter", at);
    bad_message(
        r#"{"role":"user","tool_calls":[{"function":{"name":"f"}}]}"#,
        "invalid_value",
        "messages[0].tool_calls",
    );
}

#[test]
fn tools_formats_and_thinking() {
    fields(
        r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"function":{"name":"g"}}]"#,
        r#","tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}},{"type":"function","function":{"name":"g","parameters":{"type":"object","properties":{}}}}]"#,
        &["tools[].function.strict"],
    );
    fields(r#""tools":null,"format":"","think":null,"logprobs":null"#, "", &[]);
    fields(r#""format":"json""#, r#","format":"json""#, &[]);
    fields(r#""format":{"type":"object"}"#, r#","format":{"type":"object"}"#, &[]);
    fields(r#""think":true"#, r#","think":true"#, &[]);
    fields(r#""think":false"#, r#","think":false"#, &[]);
    fields(r#""think":"max""#, r#","think":"max""#, &[]);
    fields(r#""logprobs":true,"top_logprobs":3"#, r#","logprobs":true,"top_logprobs":3"#, &[]);
    fields(r#""top_logprobs":3"#, "", &["top_logprobs"]);
    fields(r#""top_logprobs":0"#, "", &[]);
    bad_field(r#""tools":[{"type":"custom","function":{"name":"f"}}]"#, "unsupported_value", "tools[0].type");
    bad_field(r#""tools":[{}]"#, "missing_required_parameter", "tools[0].function");
    bad_field(r#""format":"xml""#, "invalid_value", "format");
    bad_field(r#""format":1"#, "invalid_type", "format");
    bad_field(r#""think":"minimal""#, "invalid_value", "think");
    bad_field(r#""think":1"#, "invalid_type", "think");
    bad_field(r#""top_logprobs":21"#, "invalid_value", "top_logprobs");
    bad_field(r#""stream":"yes""#, "invalid_type", "stream");
    bad_field(r#""Model":"x""#, "ambiguous_parameter", "model");
    bad_field(r#""\u212aeep_alive":1"#, "ambiguous_parameter", "keep_alive");
    bad_field(r#""model":"x""#, "duplicate_parameter", "model");
}

#[test]
fn options_of_the_words_pass_for_everybody() {
    fields(
        r#""options":{"temperature":0.70,"top_p":1e-1,"seed":-5,"frequency_penalty":1,"presence_penalty":-1,"top_k":40.0,"min_p":0.05,"typical_p":0.9,"repeat_last_n":-1,"repeat_penalty":1.1,"num_keep":5,"num_predict":7.0,"stop":["a",""]}"#,
        r#","options":{"temperature":0.70,"top_p":1e-1,"frequency_penalty":1,"presence_penalty":-1,"seed":-5,"top_k":40,"min_p":0.05,"num_predict":7,"typical_p":0.9,"repeat_last_n":-1,"repeat_penalty":1.1,"num_keep":5,"stop":["a"]}"#,
        &["options.stop"],
    );
    fields(r#""options":{"num_predict":-1,"stop":"E\nD"}"#, r#","options":{"stop":["E\nD"]}"#, &[]);
    fields(r#""options":{"num_predict":-2.0,"temperature":null}"#, "", &[]);
    fields(r#""options":null"#, "", &[]);
    fields(r#""options":{"mirostat":2,"numa":null,"penalize_newline":true}"#, "", &["options"]);
    for (given, param) in [
        ("\"num_predict\":0", "options.num_predict"),
        ("\"num_predict\":-3", "options.num_predict"),
        ("\"num_predict\":1.5", "options.num_predict"),
        ("\"temperature\":2.5", "options.temperature"),
        ("\"top_k\":1.5", "options.top_k"),
        ("\"min_p\":-1", "options.min_p"),
        ("\"seed\":1e99", "options.seed"),
    ] {
        bad_field(&format!(r#""options":{{{given}}}"#), "invalid_value", param);
    }
    bad_field(r#""options":{"temperature":"0.7"}"#, "invalid_type", "options.temperature");
    bad_field(r#""options":{"stop":[1]}"#, "invalid_type", "options.stop[0]");
    bad_field(r#""options":[]"#, "invalid_type", "options");
    bad_field(r#""options":{"top_k":1,"top\u005fk":2}"#, "duplicate_parameter", "options.top_k");
    bad_field(r#""options":{"Top_K":1}"#, "ambiguous_parameter", "top_k");
}

#[test]
fn what_acts_on_everybodys_model_needs_permission() {
    let body = r#""keep_alive":"1h","truncate":true,"shift":false,"_debug_render_only":true,"web_search":1,"options":{"num_ctx":9,"num_gpu":1,"use_mmap":false,"num_thread":"x"}"#;
    let noted = [
        "options.num_ctx",
        "options.num_gpu",
        "options.use_mmap",
        "options.num_thread",
        "keep_alive",
        "truncate",
        "shift",
        "(unknown)",
    ];
    fields(body, "", &noted);
    let hello = r#"{"role":"user","content":"Hi"}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{hello}],"stream":false,"keep_alive":-1.0,"truncate":true,"shift":false,"_debug_render_only":true,"options":{{"num_ctx":9.0,"num_gpu":-1,"use_mmap":false}}}}"#
    );
    let options: Vec<String> =
        ["keep_alive", "truncate", "shift", "_debug_render_only", "num_ctx", "num_gpu", "use_mmap"]
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
    let to = Outbound { options: &options, num_ctx: Some(8), keep_alive: Some("5m"), ..PLAIN };
    let expected = format!(
        r#"{{"model":"up","messages":[{hello}],"stream":false,"shift":false,"truncate":true,"keep_alive":-1.0,"options":{{"num_ctx":9,"num_gpu":-1,"use_mmap":false}}}}"#
    );
    assert_eq!(
        write(Operation::Chat, Format::Ollama, &body, &to),
        Ok((expected, vec!["(unknown)"])),
        "a caller that may ask has the last word"
    );
    let wrong = r#"{"model":"m","messages":[],"options":{"num_ctx":"9"}}"#;
    let fault = write(Operation::Chat, Format::Ollama, wrong, &to).expect_err("a string");
    assert_eq!(fault.param.as_deref(), Some("options.num_ctx"));
}

#[test]
fn a_chat_for_a_compatible_server() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x","images":["iVBORw0KGgoA"]}],"think":true,"format":{"type":"object"},"options":{"num_predict":5,"repeat_penalty":1.1,"num_ctx":9,"top_k":3},"keep_alive":0}"#;
    let (text, dropped) = write(Operation::Chat, Format::OpenAi, body, &PLAIN).expect("written");
    assert_eq!(
        text,
        r#"{"model":"up","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoA"}}]}],"stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"}}},"reasoning_effort":"medium","top_k":3,"max_tokens":5}"#
    );
    assert_eq!(dropped, ["repeat_penalty", "num_ctx", "keep_alive"]);
}

const GENERATE: Operation = Operation::Complete;

#[test]
fn prompts() {
    becomes(GENERATE, r#"{"model":"m","prompt":"x"}"#, r#"{"model":"up","prompt":"x","stream":true}"#, &[]);
    // As the Python client sends it.
    becomes(
        GENERATE,
        r#"{"model":"m","stream":false,"prompt":"x","suffix":"","system":"","template":"","context":[],"raw":false}"#,
        r#"{"model":"up","prompt":"x","stream":false}"#,
        &[],
    );
    becomes(
        GENERATE,
        r#"{"model":"m","images":["AAAA"],"suffix":"}","prompt":"a\nb","think":"low","format":"json","options":{"num_predict":3},"context":null,"width":5}"#,
        r#"{"model":"up","prompt":"a\nb","suffix":"}","images":["AAAA"],"stream":true,"format":"json","think":"low","options":{"num_predict":3}}"#,
        &["(unknown)"],
    );
    for (field, param) in [
        (r#""raw":true"#, "raw"),
        (r#""template":"{{ .Prompt }}""#, "template"),
        (r#""context":[1,2]"#, "context"),
        (r#""system":"x""#, "system"),
    ] {
        refused(
            GENERATE,
            &format!(r#"{{"model":"m","prompt":"x",{field}}}"#),
            "unsupported_parameter",
            param,
        );
    }
    refused(GENERATE, r#"{"model":"m","prompt":["x"]}"#, "invalid_type", "prompt");
    refused(GENERATE, r#"{"model":"m","context":7}"#, "invalid_type", "context");
    refused(GENERATE, r#"{"model":"m","raw":1}"#, "invalid_type", "raw");
    refused(GENERATE, r#"{"prompt":"x"}"#, "missing_required_parameter", "model");
    refused(GENERATE, r#"{"model":"","prompt":"x"}"#, "missing_required_parameter", "model");
}

#[test]
fn an_instruction_beside_a_prompt_is_the_operators_word() {
    let body = r#"{"model":"m","prompt":"x","system":"be brief","stream":false}"#;
    for upstream in [Format::Ollama, Format::OpenAi] {
        let fault = write(GENERATE, upstream, body, &PLAIN).expect_err("not allowed");
        assert_eq!((fault.code, fault.param.as_deref()), ("unsupported_parameter", Some("system")));
    }
    let options = ["system".to_owned()];
    let to = Outbound { options: &options, ..PLAIN };
    let sent = |upstream| write(GENERATE, upstream, body, &to).expect("allowed").0;
    assert_eq!(sent(Format::Ollama), r#"{"model":"up","prompt":"x","system":"be brief","stream":false}"#);
    assert_eq!(
        sent(Format::OpenAi),
        r#"{"model":"up","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"x"}],"stream":false}"#
    );
    let suffix = r#"{"model":"m","prompt":"x","suffix":"y"}"#;
    let fault = write(GENERATE, Format::OpenAi, suffix, &to).expect_err("no suffix there");
    assert_eq!(fault.param.as_deref(), Some("suffix"));
}

#[test]
fn texts_to_embed() {
    let embed = |given: &str, expected: &str, dropped: &[&str]| {
        becomes(
            Operation::Embed,
            &format!(r#"{{"model":"m",{given}}}"#),
            &format!(r#"{{"model":"up","input":{expected}}}"#),
            dropped,
        );
    };
    embed(r#""input":"x""#, r#""x""#, &[]);
    embed(r#""input":["x","","y"]"#, r#"["x","","y"]"#, &[]);
    // In this dialect no text: no vector.
    embed(r#""input":"""#, "[]", &[]);
    embed(r#""input":null"#, "[]", &[]);
    embed(
        r#""input":"x","dimensions":8,"truncate":true,"keep_alive":0,"options":{"num_ctx":5},"stream":true"#,
        r#""x","dimensions":8"#,
        &["options.num_ctx", "truncate", "keep_alive", "(unknown)"],
    );
    embed(r#""input":"x","dimensions":0"#, r#""x""#, &[]);
    refused(Operation::Embed, r#"{"model":"m","input":[[1,2]]}"#, "invalid_type", "input[0]");
    refused(Operation::Embed, r#"{"model":"m","input":7}"#, "invalid_type", "input");
    refused(Operation::Embed, r#"{"model":"m","input":["","","","",""]}"#, "array_above_max_length", "input");
    becomes(Operation::EmbedOne, r#"{"model":"m","prompt":"x"}"#, r#"{"model":"up","input":"x"}"#, &[]);
    becomes(Operation::EmbedOne, r#"{"model":"m"}"#, r#"{"model":"up","input":[]}"#, &[]);
    for (operation, body) in
        [(Operation::Embed, r#"{"model":"m","input":[]}"#), (Operation::EmbedOne, r#"{"model":"m"}"#)]
    {
        let fault = write(operation, Format::OpenAi, body, &PLAIN).expect_err(body);
        assert_eq!(fault.code, "empty_array", "other servers know no question without a text");
    }
    let to = Outbound { refuse_truncation: true, num_ctx: Some(8), output_tokens_max: Some(5), ..PLAIN };
    let sent = write(Operation::Embed, Format::Ollama, r#"{"model":"m","input":"x"}"#, &to);
    let expected = r#"{"model":"up","input":"x","truncate":false,"options":{"num_ctx":8}}"#;
    assert_eq!(sent, Ok((expected.to_owned(), vec![])), "no cap on vectors");
}

#[test]
fn an_empty_question_loads_or_unloads() {
    #[track_caller]
    fn check(operation: Operation, body: &str, load: bool, unload: bool) {
        let request = read_request(Format::Ollama, operation, body.as_bytes(), &LIMITS).expect(body);
        assert_eq!((request.is_load(), unloads(&request)), (load, unload), "{body}");
    }
    use Operation::{Chat, Complete, Embed};
    check(Chat, r#"{"model":"m"}"#, true, false);
    check(Chat, r#"{"model":"m","messages":[],"keep_alive":"5m"}"#, true, false);
    check(Chat, r#"{"model":"m","messages":null,"keep_alive":0}"#, true, true);
    check(Chat, r#"{"model":"m","messages":[{"role":"user","content":""}],"keep_alive":0}"#, false, false);
    check(Complete, r#"{"model":"m"}"#, true, false);
    check(Complete, r#"{"model":"m","prompt":"","system":"s","suffix":"x","images":["AAAA"]}"#, true, false);
    check(Complete, r#"{"model":"m","prompt":" "}"#, false, false);
    check(Embed, r#"{"model":"m","keep_alive":0}"#, false, false);
    for zero in ["0", "0.0", "-0", "\"0\"", "\"0s\"", "\"\\u0030m\""] {
        check(Complete, &format!(r#"{{"model":"m","keep_alive":{zero}}}"#), true, true);
    }
    for time in ["1", "-1", "\"5m\"", "\"\"", "null", "true", "[]", "{}"] {
        check(Complete, &format!(r#"{{"model":"m","keep_alive":{time}}}"#), true, false);
    }
}

#[test]
fn an_older_runtime_thinks_high_at_most() {
    let to = Outbound { thinks_max: false, ..PLAIN };
    for (operation, question) in [
        (Operation::Chat, r#""messages":[{"role":"user","content":"x"}]"#),
        (Operation::Complete, r#""prompt":"x""#),
    ] {
        for (asked, sent) in [("\"max\"", "\"high\""), ("\"high\"", "\"high\""), ("true", "true")] {
            let body = format!(r#"{{"model":"m",{question},"think":{asked}}}"#);
            let (text, _) = write(operation, Format::Ollama, &body, &to).expect("served");
            assert!(text.contains(&format!("\"think\":{sent}")), "{text}");
        }
    }
}

#[test]
fn a_misspelt_question_is_no_empty_one() {
    use Operation::{Chat, Complete};
    for (operation, body, name) in [
        (Chat, r#"{"model":"m","Messages":[{"role":"user","content":"x"}]}"#, "messages"),
        (Chat, r#"{"model":"m","Keep_alive":0}"#, "keep_alive"),
        (Complete, r#"{"model":"m","PROMPT":"x"}"#, "prompt"),
    ] {
        let fault = read_request(Format::Ollama, operation, body.as_bytes(), &LIMITS).expect_err(body);
        assert_eq!((fault.code, fault.param.as_deref()), ("ambiguous_parameter", Some(name)), "{body}");
    }
}

#[test]
fn loads_are_answered_as_ollama_does() {
    #[track_caller]
    fn check(operation: Operation, unloaded: bool, expected: &str) {
        let reply = Reply { created: 1_767_323_045, ..Reply::new("x", "m") };
        let mut out = Vec::new();
        write_loaded(operation, &reply, unloaded, &mut out);
        let head = r#"{"model":"m","created_at":"2026-01-02T03:04:05Z","#;
        assert_eq!(String::from_utf8_lossy(&out), format!("{head}{expected}"));
    }
    check(
        Operation::Chat,
        false,
        r#""message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}"#,
    );
    check(Operation::Complete, true, r#""response":"","done":true,"done_reason":"unload"}"#);
}

#[test]
fn who_is_to_be_shown() {
    #[track_caller]
    fn check(body: &str, expected: Result<&str, &str>) {
        let got = read_show_request(body.as_bytes(), &LIMITS);
        let got = got.map(String::from).map_err(|fault| fault.code);
        assert_eq!(got.as_deref().map_err(|code| *code), expected, "{body}");
    }
    check(r#"{"model":"a:b","verbose":true,"system":"x"}"#, Ok("a:b"));
    check(r#"{"name":"a\u002fb"}"#, Ok("a/b"));
    check(r#"{"name":"a","model":"a"}"#, Ok("a"));
    check(r#"{"name":"a","model":"b"}"#, Err("duplicate_parameter"));
    check(r#"{"model":""}"#, Err("missing_required_parameter"));
    check(r#"{"model":7}"#, Err("invalid_type"));
    check(r#"{"model":"a","Model":"b"}"#, Err("ambiguous_parameter"));
}
