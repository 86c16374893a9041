//! What is refused and how it is named, what upstreams are sent, what is noted as dropped.

use crate::error::Fault;
use crate::request::{Dropped, Effort, Outbound, ReadLimits};
use crate::{Format, ModelRequest, Operation, read_request, write_request};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 4, tools: 2, images: 2, image_bytes: 12 };
const HELLO: &str = r#"{"role":"user","content":"Hello"}"#;

fn read(body: &[u8]) -> Result<ModelRequest<'_>, Fault> {
    read_request(Format::Anthropic, Operation::Chat, body, &LIMITS)
}

/// A body with one more field.
fn with(field: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":9,"messages":[{HELLO}],{field}}}"#)
}

/// A body with these messages.
fn saying(messages: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":9,"messages":[{messages}]}}"#)
}

/// A body whose one message of this role has these blocks.
fn blocks(role: &str, blocks: &str) -> String {
    saying(&format!(r#"{{"role":"{role}","content":[{blocks}]}}"#))
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

#[track_caller]
fn written(upstream: Format, body: &str) -> (String, Dropped) {
    let cell = crate::cell(Format::Anthropic, upstream, Operation::Chat).expect("a cell");
    let mut out = Vec::new();
    let to = Outbound { sampling_defaults: true, lenient_tool_choice: true, ..Outbound::to("u") };
    let dropped = write_request(cell, &taken(body), &to, &mut out).expect(body);
    (String::from_utf8(out).expect("UTF-8"), dropped)
}

/// The messages that Ollama gets.
#[track_caller]
fn becomes(messages: &str, expected: &str, dropped: &[&str]) {
    let (body, noted) = written(Format::Ollama, &saying(messages));
    let rest = r#","stream":false,"options":{"num_predict":9}}"#;
    assert_eq!(body, format!(r#"{{"model":"u","messages":[{expected}]{rest}"#), "{messages}");
    assert_eq!(noted, dropped, "{messages}");
}

/// What Ollama gets of a field, behind the messages.
#[track_caller]
fn asks(field: &str, expected: &str, dropped: &[&str]) {
    let (body, noted) = written(Format::Ollama, &with(field));
    let head = r#"{"model":"u","messages":[{"role":"user","content":"Hello"}],"stream":false"#;
    assert_eq!(body.strip_prefix(head), Some(expected), "{field}");
    assert_eq!(noted, dropped, "{field}");
}

#[test]
fn bodies_that_are_not_a_request() {
    for body in ["", "{", "nul", "{\"model\":\"m\"} x", "\u{feff}{}", r#"{"model":"\ud800"}"#] {
        refused(body, "invalid_json", "");
    }
    for body in ["[]", "null", "1", "\"x\""] {
        refused(body, "invalid_type", "");
    }
    refused(&with(&format!("\"x\":{}{}", "[".repeat(16), "]".repeat(16))), "json_too_deep", "");
    let nested = format!(r#"{{"type":"x","y":{}{}}}"#, "[".repeat(13), "]".repeat(13));
    refused(&blocks("user", &nested), "json_too_deep", "");
}

#[test]
fn what_must_be_there() {
    let missing = |body: &str, param| refused(body, "missing_required_parameter", param);
    missing("{}", "model");
    missing(&format!(r#"{{"model":null,"max_tokens":1,"messages":[{HELLO}]}}"#), "model");
    missing(r#"{"model":"m","max_tokens":1}"#, "messages");
    missing(r#"{"model":"m","max_tokens":1,"messages":null}"#, "messages");
    missing(&format!(r#"{{"model":"m","messages":[{HELLO}]}}"#), "max_tokens");
    missing(&format!(r#"{{"model":"m","messages":[{HELLO}],"max_tokens":null}}"#), "max_tokens");
    missing(&saying(r#"{"content":"x"}"#), "messages[0].role");
    missing(&saying(r#"{"role":null,"content":"x"}"#), "messages[0].role");
    missing(&saying(r#"{"role":"user"}"#), "messages[0].content");
    missing(&blocks("user", "{}"), "messages[0].content[0].type");
    missing(&blocks("user", r#"{"type":null}"#), "messages[0].content[0].type");
    missing(&blocks("user", r#"{"type":"text"}"#), "messages[0].content[0].text");
    missing(&blocks("assistant", r#"{"type":"thinking"}"#), "messages[0].content[0].thinking");
    refused(&saying(""), "empty_array", "messages");
    refused(&format!(r#"{{"model":"","max_tokens":1,"messages":[{HELLO}]}}"#), "invalid_value", "model");
    refused(&saying("7"), "invalid_type", "messages[0]");
    refused(&saying(r#"{"role":7,"content":"x"}"#), "invalid_type", "messages[0].role");
    for role in ["tool", "developer", "User", ""] {
        refused(
            &saying(&format!(r#"{{"role":"{role}","content":"x"}}"#)),
            "invalid_value",
            "messages[0].role",
        );
    }
    for content in ["null", "7", "{}"] {
        let body = saying(&format!(r#"{{"role":"user","content":{content}}}"#));
        refused(&body, "invalid_type", "messages[0].content");
    }
    refused(&blocks("user", "\"x\""), "invalid_type", "messages[0].content[0]");
    refused(&blocks("user", r#"{"type":7}"#), "invalid_type", "messages[0].content[0].type");
}

#[test]
fn a_request_without_words_is_none() {
    for message in [
        r#"{"role":"user","content":""}"#,
        r#"{"role":"user","content":[]}"#,
        r#"{"role":"user","content":[{"type":"text","text":""}]}"#,
        r#"{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]}"#,
    ] {
        refused(&saying(message), "invalid_value", "messages");
        let body = format!(r#"{{"model":"m","max_tokens":9,"system":"x","messages":[{message}]}}"#);
        refused(&body, "invalid_value", "messages");
    }
}

#[test]
fn keys_that_could_mean_two_things() {
    let twice = |body: &str, param| refused(body, "duplicate_parameter", param);
    twice(&with(r#""model":"x""#), "model");
    twice(&with(r#""m\u0061x_tokens":7"#), "max_tokens");
    twice(&with(r#""system":"a","system":"b""#), "system");
    twice(&with(r#""keep_alive":1,"keep_alive":2"#), "keep_alive");
    twice(&saying(r#"{"role":"user","role":"assistant","content":"a"}"#), "messages[0].role");
    twice(&saying(r#"{"role":"user","content":"a","content":"b"}"#), "messages[0].content");
    twice(&blocks("user", r#"{"type":"text","type":"image","text":"a"}"#), "messages[0].content[0].type");
    twice(&blocks("user", r#"{"type":"text","text":"a","text":"b"}"#), "messages[0].content[0].text");
    twice(
        &with(
            r#""output_format":{"type":"json_schema","schema":{}},"output_config":{"format":{"type":"json_schema","schema":{}}}"#,
        ),
        "output_format",
    );
    assert_eq!(taken(&with(r#""Model":"x""#)).look_alike, Some("model"));
    assert_eq!(taken(&saying(r#"{"role":"user","content":"a","Content":"b"}"#)).look_alike, Some("content"));
}

#[test]
fn types_and_ranges() {
    for (field, code, param) in [
        (r#""stream":1"#, "invalid_type", "stream"),
        (r#""temperature":2.1"#, "invalid_value", "temperature"),
        (r#""temperature":"1""#, "invalid_type", "temperature"),
        (r#""top_p":-0.1"#, "invalid_value", "top_p"),
        (r#""top_k":-1"#, "invalid_value", "top_k"),
        (r#""top_k":1.5"#, "invalid_type", "top_k"),
        (r#""top_k":2147483648"#, "invalid_value", "top_k"),
        (r#""stop_sequences":"x""#, "invalid_type", "stop_sequences"),
        (r#""stop_sequences":["x",null]"#, "invalid_type", "stop_sequences[1]"),
        (r#""system":7"#, "invalid_type", "system"),
        (r#""system":["x"]"#, "invalid_type", "system[0]"),
        (r#""system":[{"type":"image"}]"#, "invalid_value", "system[0].type"),
        (r#""system":[{"type":"text"}]"#, "missing_required_parameter", "system[0].text"),
        (r#""tools":{}"#, "invalid_type", "tools"),
        (r#""tools":[7]"#, "invalid_type", "tools[0]"),
        (r#""tools":[{"input_schema":{}}]"#, "missing_required_parameter", "tools[0].name"),
        (r#""tools":[{"name":"","input_schema":{}}]"#, "invalid_value", "tools[0].name"),
        (r#""tools":[{"name":"f"}]"#, "missing_required_parameter", "tools[0].input_schema"),
        (r#""tools":[{"name":"f","input_schema":[]}]"#, "invalid_type", "tools[0].input_schema"),
        (r#""tools":[{"type":"a"},{"type":"b"},{"type":"c"}]"#, "array_above_max_length", "tools"),
        (r#""tool_choice":"auto""#, "invalid_type", "tool_choice"),
        (r#""tool_choice":{}"#, "missing_required_parameter", "tool_choice.type"),
        (r#""tool_choice":{"type":"required"}"#, "invalid_value", "tool_choice.type"),
        (r#""tool_choice":{"type":"tool"}"#, "missing_required_parameter", "tool_choice.name"),
        (r#""tool_choice":{"type":"any"}"#, "invalid_value", "tool_choice"),
        (
            r#""tool_choice":{"type":"any"},"tools":[{"type":"bash_20250124","name":"bash"}]"#,
            "invalid_value",
            "tool_choice",
        ),
        (
            r#""tool_choice":{"type":"tool","name":"g"},"tools":[{"name":"f","input_schema":{}}]"#,
            "invalid_value",
            "tool_choice",
        ),
        (r#""thinking":true"#, "invalid_type", "thinking"),
        (r#""thinking":{}"#, "missing_required_parameter", "thinking.type"),
        (r#""thinking":{"type":"on"}"#, "invalid_value", "thinking.type"),
        (r#""output_config":{"effort":"extreme"}"#, "invalid_value", "output_config.effort"),
        (
            r#""output_config":{"format":{"schema":{}}}"#,
            "missing_required_parameter",
            "output_config.format.type",
        ),
        (r#""output_config":{"format":{"type":"json"}}"#, "invalid_value", "output_config.format.type"),
        (r#""output_format":{"type":"json_schema"}"#, "missing_required_parameter", "output_format.schema"),
        (r#""mcp_servers":{}"#, "invalid_type", "mcp_servers"),
    ] {
        refused(&with(field), code, param);
    }
    for (cap, code) in
        [("0", "invalid_value"), ("-1", "invalid_value"), ("1.0", "invalid_type"), ("\"1\"", "invalid_type")]
    {
        refused(&format!(r#"{{"model":"m","messages":[{HELLO}],"max_tokens":{cap}}}"#), code, "max_tokens");
    }
    for member in KNOWN_NULLABLE {
        taken(&with(&format!("\"{member}\":null")));
    }
    refused(&saying(&[HELLO; 5].join(",")), "array_above_max_length", "messages");
    let result = r#"{"type":"tool_result","tool_use_id":"a"}"#;
    refused(&blocks("user", &[result; 5].join(",")), "array_above_max_length", "messages");
    refused(
        &with(&(0..65).map(|n| format!("\"x{n}\":1")).collect::<Vec<_>>().join(",")),
        "too_many_parameters",
        "",
    );
}

const KNOWN_NULLABLE: &[&str] = &[
    "system",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "mcp_servers",
    "thread",
    "metadata",
    "container",
    "x",
];

#[test]
fn the_system_text_leads_wherever_it_stands() {
    let system = r#""system":[{"type":"text","text":"a\n","cache_control":{"type":"ephemeral"}},{"text":" b","type":"text"}]"#;
    let told = r#"{"model":"u","messages":[{"role":"system","content":"a\n b"},{"role":"user","content":"Hello"}],"stream":false,"options":{"num_predict":9}}"#;
    let (body, dropped) = written(Format::Ollama, &with(system));
    assert_eq!((body.as_str(), dropped), (told, vec!["cache_control"]));
    let first = format!(r#"{{{system},"model":"m","max_tokens":9,"messages":[{HELLO}]}}"#);
    assert_eq!(written(Format::Ollama, &first).0, told);
    for nothing in [r#""""#, "[]", r#"[{"type":"text","text":""}]"#] {
        asks(&format!("\"system\":{nothing}"), r#","options":{"num_predict":9}}"#, &[]);
    }
}

#[test]
fn texts_join_with_nothing_between() {
    let user = r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""},{"type":"text","text":"b","citations":null}]}"#;
    becomes(user, r#"{"role":"user","content":"ab"}"#, &[]);
    let system = r#"{"role":"user","content":"q"},{"content":"now in French","role":"system"}"#;
    becomes(system, r#"{"role":"user","content":"q"},{"role":"system","content":"now in French"}"#, &[]);
    let empty = r#"{"role":"user","content":"q"},{"role":"assistant","content":""}"#;
    becomes(empty, r#"{"role":"user","content":"q"}"#, &[]);
}

#[test]
fn thinking_and_calls_of_an_assistant() {
    becomes(
        r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm \"x\"","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"thinking","thinking":", so","signature":""},{"type":"text","text":"Looking."},{"type":"tool_use","id":"a","name":"f","input":{"q": [1.50,"\u00e9"]},"cache_control":{}},{"input":{},"name":"g","id":"b","type":"tool_use","caller":{"type":"direct"}}]}"#,
        r#"{"role":"assistant","content":"Looking.","thinking":"hm \"x\", so","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{"q": [1.50,"\u00e9"]}}},{"id":"b","function":{"index":1,"name":"g","arguments":{}}}]}"#,
        &["messages[].content[].redacted_thinking", "cache_control", "messages[].content[].caller"],
    );
    let call = |members: &str| blocks("assistant", &format!(r#"{{"type":"tool_use",{members}}}"#));
    let missing = |members: &str, member: &str| {
        refused(&call(members), "missing_required_parameter", &format!("messages[0].content[0].{member}"));
    };
    missing(r#""name":"f","input":{}"#, "id");
    missing(r#""id":"a","input":{}"#, "name");
    missing(r#""id":"a","name":"f""#, "input");
    refused(&call(r#""id":"","name":"f","input":{}"#), "invalid_value", "messages[0].content[0].id");
    refused(&call(r#""id":"a","name":"","input":{}"#), "invalid_value", "messages[0].content[0].name");
    refused(&call(r#""id":"a","name":"f","input":"{}""#), "invalid_type", "messages[0].content[0].input");
}

#[test]
fn results_stand_before_what_the_user_says() {
    becomes(
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"g","input":{}}]},{"role":"user","content":[{"type":"text","text":"and?"},{"type":"tool_result","tool_use_id":"a","content":"one"},{"type":"tool_result","tool_use_id":"b","is_error":true,"content":[{"type":"text","text":"fail"},{"type":"text","text":"ed"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"tool_reference","tool_name":"x"}]}]}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{}}},{"id":"b","function":{"index":1,"name":"g","arguments":{}}}]},{"role":"tool","content":"one","tool_name":"f","tool_call_id":"a"},{"role":"tool","content":"failed","images":["AAAA"],"tool_name":"g","tool_call_id":"b"},{"role":"user","content":"and?"}"#,
        &["messages[].content[].is_error", "messages[].content[]"],
    );
    for content in ["", r#","content":null"#, r#","content":"""#, r#","content":[],"is_error":false"#] {
        let message =
            format!(r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a"{content}}}]}}"#);
        becomes(&message, r#"{"role":"tool","content":"","tool_call_id":"a"}"#, &[]);
    }
    let result = |members: &str| blocks("user", &format!(r#"{{"type":"tool_result"{members}}}"#));
    refused(&result(""), "missing_required_parameter", "messages[0].content[0].tool_use_id");
    refused(&result(r#","tool_use_id":"""#), "invalid_value", "messages[0].content[0].tool_use_id");
    refused(&result(r#","tool_use_id":"a","content":7"#), "invalid_type", "messages[0].content[0].content");
    let inside = |block: &str| result(&format!(r#","tool_use_id":"a","content":[{{"type":"{block}"}}]"#));
    let at = "messages[0].content[0].content[0]";
    for block in ["document", "search_result"] {
        refused(&inside(block), "unsupported_value", at);
    }
    for block in ["tool_result", "tool_use", "thinking"] {
        refused(&inside(block), "invalid_value", &format!("{at}.type"));
    }
}

#[test]
fn blocks_in_the_wrong_hands() {
    for (role, block) in [
        ("user", "thinking"),
        ("user", "tool_use"),
        ("system", "tool_use"),
        ("assistant", "tool_result"),
        ("system", "tool_result"),
        ("system", "image"),
    ] {
        refused(
            &blocks(role, &format!(r#"{{"type":"{block}"}}"#)),
            "invalid_value",
            "messages[0].content[0].type",
        );
    }
    for block in ["document", "search_result"] {
        refused(
            &blocks("user", &format!(r#"{{"type":"{block}"}}"#)),
            "unsupported_value",
            "messages[0].content[0]",
        );
    }
    becomes(
        r#"{"role":"assistant","content":[{"type":"server_tool_use","id":"x","name":"web_search","input":7},{"content":[{"type":"web_search_result"}],"type":"web_search_tool_result"},{"type":"text","text":"a"}]}"#,
        r#"{"role":"assistant","content":"a"}"#,
        &["messages[].content[]"],
    );
}

#[test]
fn images() {
    let image = |source: &str| blocks("user", &format!(r#"{{"source":{{{source}}},"type":"image"}}"#));
    let base64 = |kind: &str, data: &str| {
        image(&format!(r#""type":"base64","media_type":"image/{kind}","data":"{data}""#))
    };
    for kind in ["jpeg", "png", "webp"] {
        assert_eq!(taken(&base64(kind, "AAAA")).images(), 1);
    }
    let (openai, _) = written(Format::OpenAi, &base64("png", "iVBORw0KGgoAAAAA"));
    assert!(
        openai
            .contains(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAAA"}}"#),
        "{openai}"
    );
    let source = "messages[0].content[0].source";
    let at = |member: &str| format!("{source}.{member}");
    for kind in ["gif", "svg+xml", "PNG"] {
        refused(&base64(kind, "AAAA"), "invalid_image_format", &at("media_type"));
    }
    refused(&base64("png", "AAA"), "invalid_base64_image", &at("data"));
    refused(&base64("png", ""), "invalid_base64_image", &at("data"));
    refused(&base64("png", &"A".repeat(20)), "image_too_large", &at("data"));
    refused(&image(r#""type":"url","url":"http://x/""#), "invalid_image_url", source);
    refused(&image(r#""type":"file","file_id":"f""#), "unsupported_value", source);
    refused(&image(r#""type":"x""#), "invalid_value", &at("type"));
    refused(&image(r#""data":"AAAA""#), "missing_required_parameter", &at("type"));
    refused(&image(r#""type":"base64","data":"AAAA""#), "missing_required_parameter", &at("media_type"));
    refused(&image(r#""type":"base64","media_type":"image/png""#), "missing_required_parameter", &at("data"));
    refused(&blocks("user", r#"{"type":"image"}"#), "missing_required_parameter", source);
    let one = r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#;
    refused(&blocks("user", &[one; 3].join(",")), "too_many_images", "messages[0].content[2].source.data");
}

#[test]
fn tools_and_the_choice_among_them() {
    let tool = r#"{"name":"f","description":"d","input_schema":{"type":"object"}}"#;
    let sent =
        r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}"#;
    let end = r#","options":{"num_predict":9}}"#;
    let tools = |tools: &str, choice: &str| format!("\"tools\":[{tools}],\"tool_choice\":{choice}");
    let told = format!(",\"tools\":[{sent}]{end}");
    asks(&tools(tool, r#"{"type":"auto"}"#), &told, &[]);
    asks(&tools(tool, "null"), &told, &[]);
    asks(&tools(tool, r#"{"type":"none"}"#), end, &[]);
    asks(&tools(tool, r#"{"type":"any"}"#), &told, &["tool_choice"]);
    asks(&tools(tool, r#"{"type":"tool","name":"f"}"#), &told, &["tool_choice"]);
    asks(
        &tools(tool, r#"{"type":"auto","disable_parallel_tool_use":true}"#),
        &told,
        &["tool_choice.disable_parallel_tool_use"],
    );
    asks(&tools(tool, r#"{"type":"auto","disable_parallel_tool_use":false}"#), &told, &[]);
    let mixed = format!(r#"{{"max_uses":5,"name":"web_search","type":"web_search_20250305"}},{tool}"#);
    asks(&tools(&mixed, "null"), &told, &["tools"]);
    asks(
        &tools(
            r#"{"type":"custom","name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"defer_loading":true}"#,
            "null",
        ),
        &told,
        &["tools[].strict", "tools[].defer_loading"],
    );
    asks(
        &tools(r#"{"type":"computer_20250124","name":"computer","display_width_px":1}"#, "null"),
        end,
        &["tools"],
    );
    let (openai, _) = written(Format::OpenAi, &with(&tools(tool, r#"{"type":"any"}"#)));
    assert!(openai.contains(r#""tool_choice":"required""#), "{openai}");
}

#[test]
fn thinking_and_effort() {
    let end = r#","options":{"num_predict":9}}"#;
    for (field, think, dropped) in [
        (
            r#""thinking":{"type":"enabled","budget_tokens":2048}"#,
            ",\"think\":true",
            &["thinking.budget_tokens"][..],
        ),
        (r#""thinking":{"type":"disabled"}"#, ",\"think\":false", &[]),
        (r#""thinking":{"type":"adaptive","display":"summarized"}"#, "", &["thinking.display"]),
        (r#""thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#, ",\"think\":\"low\"", &[]),
        (r#""output_config":{"effort":"medium"}"#, ",\"think\":\"medium\"", &[]),
        (r#""output_config":{"effort":"high"}"#, ",\"think\":\"high\"", &[]),
        (r#""output_config":{"effort":"xhigh"}"#, ",\"think\":\"high\"", &[]),
        (r#""output_config":{"effort":"max","task_budget":{}}"#, ",\"think\":\"max\"", &["(unknown)"]),
        (r#""output_config":{"effort":null,"format":null}"#, "", &[]),
        (
            r#""output_config":{"effort":"low"},"thinking":{"type":"enabled"}"#,
            ",\"think\":true",
            &["output_config.effort"],
        ),
    ] {
        asks(field, &format!("{think}{end}"), dropped);
    }
    assert_eq!(taken(&with(r#""thinking":{"type":"enabled"}"#)).effort, Some(Effort::Some));
}

#[test]
fn the_shape_of_the_answer() {
    let format = r#"{"type":"json_schema","schema":{"type":"object","x":1.0}}"#;
    let told = r#","format":{"type":"object","x":1.0},"options":{"num_predict":9}}"#;
    asks(&format!(r#""output_config":{{"format":{format}}}"#), told, &[]);
    asks(&format!(r#""output_format":{format}"#), told, &[]);
}

#[test]
fn sampling_is_as_written_and_nothing_else() {
    asks(
        r#""temperature":0.70,"top_p":1,"top_k":40,"stop_sequences":["a","","\n"]"#,
        r#","options":{"temperature":0.70,"top_p":1,"top_k":40,"num_predict":9,"stop":["a","\n"]}}"#,
        &["stop_sequences"],
    );
    let (openai, _) = written(Format::OpenAi, &with(r#""top_k":40,"stop_sequences":["a"]"#));
    assert_eq!(
        openai,
        r#"{"model":"u","messages":[{"role":"user","content":"Hello"}],"stream":false,"top_k":40,"max_tokens":9,"stop":["a"]}"#
    );
}

#[test]
fn nothing_vanishes_silently() {
    for name in [
        "metadata",
        "cache_control",
        "service_tier",
        "container",
        "context_management",
        "inference_geo",
        "betas",
        "speed",
        "diagnostics",
        "fallbacks",
    ] {
        asks(&format!(r#""{name}":{{"a":1}}"#), r#","options":{"num_predict":9}}"#, &[name]);
    }
    asks(
        r#""foo":1,"bar":null,"keep_alive":5"#,
        r#","options":{"num_predict":9}}"#,
        &["(unknown)", "keep_alive"],
    );
}

#[test]
fn what_no_upstream_can_give_is_refused_by_all() {
    for (field, refused) in [
        (r#""mcp_servers":[{"type":"url","url":"https://x"}]"#, Some("mcp_servers")),
        (r#""mcp_servers":[ ]"#, None),
        (r#""thread":{"id":"x"}"#, Some("thread")),
    ] {
        for upstream in crate::lanes::UPSTREAMS {
            let cell = crate::cell(Format::Anthropic, upstream, Operation::Chat).expect("a cell");
            let body = with(field);
            let fault = write_request(cell, &taken(&body), &Outbound::to("u"), &mut Vec::new()).err();
            assert_eq!(fault.as_ref().and_then(|fault| fault.param.as_deref()), refused, "{field}");
            assert!(fault.is_none_or(|fault| fault.code == "unsupported_parameter"));
        }
    }
    assert_eq!(taken(&with(r#""mcp_servers":[7]"#)).counted_tokens(), 1);
}

#[test]
fn a_count_needs_no_cap() {
    #[track_caller]
    fn check(body: &str, tokens: u64) {
        let request = read_request(Format::Anthropic, Operation::CountTokens, body.as_bytes(), &LIMITS);
        let request = request.unwrap_or_else(|fault| panic!("{body}: {fault:?}"));
        assert_eq!(
            (request.operation(), request.counted_tokens()),
            (Operation::CountTokens, tokens),
            "{body}"
        );
    }
    let body =
        |more: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"12345678"}}]{more}}}"#);
    check(&body(""), 2);
    check(&body(r#","max_tokens":5"#), 2);
    check(&body(r#","system":"\u4f60\u597d\n\u4f60""#), 4);
    check(&body(r#","tools":[{"name":"fg","description":"description","input_schema":{"a":1}}]"#), 7);
    check(&body(r#","output_config":{"format":{"type":"json_schema","schema":{"a":1}}}"#), 3);
    check(r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#, 1);
    check(
        r#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"1234"},{"type":"tool_use","id":"long","name":"name","input":{"a":"b"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"long","content":"4321"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}"#,
        768 + 5,
    );
    let fault = read_request(Format::Anthropic, Operation::CountTokens, b"{\"model\":\"m\"}", &LIMITS);
    assert_eq!(fault.expect_err("no messages").param.as_deref(), Some("messages"));
    let alike = br#"{"model":"m","messages":[{"role":"user","content":"a"}],"System":"b"}"#;
    let fault = read_request(Format::Anthropic, Operation::CountTokens, alike, &LIMITS);
    assert_eq!(fault.expect_err("two readings").code, "ambiguous_parameter");
    let mut out = Vec::new();
    crate::write_token_count(Format::Anthropic, 7, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), r#"{"input_tokens":7}"#);
}
