//! What is refused and how it is named, what items become, what is counted and what is noted as dropped.

use crate::error::Fault;
use crate::request::{ReadLimits, Role, Shape, ToolChoice};
use crate::{Format, ModelRequest, Operation, Outbound, read_request, write_request};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 6, tools: 3, images: 2, image_bytes: 12 };

fn read(body: &[u8]) -> Result<ModelRequest<'_>, Fault> {
    read_request(Format::Responses, Operation::Chat, body, &LIMITS)
}

/// A body with one more field.
fn with(field: &str) -> String {
    format!(r#"{{"model":"m","input":"Hello",{field}}}"#)
}

/// A body whose input holds these items.
fn items(items: &str) -> String {
    format!(r#"{{"model":"m","input":[{items}]}}"#)
}

/// A body whose one message has this content.
fn content(content: &str) -> String {
    items(&format!(r#"{{"role":"user","content":{content}}}"#))
}

fn tools(tools: &str) -> String {
    with(&format!(r#""tools":[{tools}]"#))
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

/// The messages that Ollama gets.
#[track_caller]
fn messages(body: &str) -> String {
    let cell = crate::cell(Format::Responses, Format::Ollama, Operation::Chat).expect("a cell");
    let mut out = Vec::new();
    write_request(cell, &taken(body), &Outbound::to("m"), &mut out).expect(body);
    let text = String::from_utf8(out).expect("UTF-8");
    let (_, rest) = text.split_once("\"messages\":[").expect("messages");
    rest.split_once("],\"stream\"").expect("an end").0.replace("\"role\":", "")
}

#[test]
fn what_must_be_there() {
    refused("{}", "missing_required_parameter", "model");
    refused("[]", "invalid_type", "");
    refused("{", "invalid_json", "");
    refused(r#"{"input":"x"}"#, "missing_required_parameter", "model");
    refused(r#"{"model":"","input":"x"}"#, "invalid_value", "model");
    refused(r#"{"model":"m"}"#, "missing_required_parameter", "input");
    refused(r#"{"model":"m","input":null}"#, "missing_required_parameter", "input");
    refused(r#"{"model":"m","input":null,"instructions":"x"}"#, "missing_required_parameter", "input");
    refused(r#"{"model":"m","input":7}"#, "invalid_type", "input");
    refused(&items(""), "empty_array", "input");
    // An empty chat would only load the model.
    refused(&items(r#"{"type":"web_search_call"}"#), "empty_array", "input");
    refused(&items("7"), "invalid_type", "input[0]");
    refused(&items("{}"), "missing_required_parameter", "input[0].type");
    refused(&items(r#"{"type":7}"#), "invalid_type", "input[0].type");
    refused(&items(r#"{"type":"mesage","role":"user","content":"x"}"#), "invalid_value", "input[0].type");
    refused(&items(r#"{"type":"message","content":"x"}"#), "missing_required_parameter", "input[0].role");
    refused(&items(r#"{"role":"tool","content":"x"}"#), "invalid_value", "input[0].role");
    refused(&items(r#"{"role":"user"}"#), "missing_required_parameter", "input[0].content");
    refused(&items(r#"{"role":"user","content":null}"#), "missing_required_parameter", "input[0].content");
    let call = |members: &str| items(&format!(r#"{{"type":"function_call"{members}}}"#));
    refused(&call(r#","name":"f","arguments":"{}""#), "missing_required_parameter", "input[0].call_id");
    refused(&call(r#","call_id":"c","arguments":"{}""#), "missing_required_parameter", "input[0].name");
    refused(&call(r#","call_id":"c","name":"""#), "invalid_value", "input[0].name");
    refused(&call(r#","call_id":"c","name":"f","arguments":{}"#), "invalid_type", "input[0].arguments");
    let output = |members: &str| items(&format!(r#"{{"type":"function_call_output"{members}}}"#));
    refused(&output(r#","output":"x""#), "missing_required_parameter", "input[0].call_id");
    refused(&output(r#","call_id":"c""#), "missing_required_parameter", "input[0].output");
    refused(&output(r#","call_id":"c","output":{}"#), "invalid_type", "input[0].output");
    refused(&items(r#"{"type":"reasoning","summary":"x"}"#), "invalid_type", "input[0].summary");
    refused(
        &items(r#"{"type":"reasoning","summary":[{"type":"summary_text"}]}"#),
        "missing_required_parameter",
        "input[0].summary[0].text",
    );
}

#[test]
fn what_would_need_state_is_refused_and_says_so() {
    for (field, param) in [
        (r#""previous_response_id":"resp_1""#, "previous_response_id"),
        (r#""conversation":"conv_1""#, "conversation"),
        (r#""conversation":{"id":"conv_1"}"#, "conversation"),
        (r#""background":true"#, "background"),
        (r#""prompt":{"id":"p"}"#, "prompt"),
    ] {
        refused(&with(field), "unsupported_parameter", param);
        let body = with(field);
        let fault = read(body.as_bytes()).expect_err(field);
        assert!(fault.message.contains("keeps no state"), "{fault}");
    }
    for item in [
        r#"{"type":"item_reference","id":"msg_1"}"#,
        r#"{"type":null,"id":"msg_1"}"#,
        r#"{"id":"msg_1"}"#,
        r#"{"type":"compaction","encrypted_content":"x"}"#,
        r#"{"type":"compaction_trigger"}"#,
    ] {
        refused(&items(item), "unsupported_value", "input[0]");
    }
    let image = |image: &str| content(&format!(r#"[{{"type":"input_image",{image}}}]"#));
    refused(&image(r#""file_id":"file_1""#), "unsupported_value", "input[0].content[0].file_id");
    let request = with(
        r#""previous_response_id":null,"conversation":null,"background":false,"prompt":null,"store":false"#,
    );
    assert!(taken(&request).dropped.is_empty());
}

#[test]
fn keys_that_could_mean_two_things() {
    refused(&with(r#""input":"x""#), "duplicate_parameter", "input");
    refused(&with(r#""in\u0070ut":"x""#), "duplicate_parameter", "input");
    refused(&with(r#""top_k":1,"top_k":2"#), "duplicate_parameter", "top_k");
    refused(
        &items(r#"{"type":"message","role":"user","content":"a","type":"reasoning"}"#),
        "duplicate_parameter",
        "input[0].type",
    );
    refused(&tools(r#"{"type":"function","name":"f","name":"g"}"#), "duplicate_parameter", "tools[0].name");
    assert_eq!(taken(&with(r#""Instructions":"x""#)).look_alike, Some("instructions"));
    assert_eq!(taken(&items(r#"{"role":"user","content":"a","Role":"b"}"#)).look_alike, Some("role"));
}

#[test]
fn types_and_ranges() {
    for (field, code, param) in [
        (r#""instructions":7"#, "invalid_type", "instructions"),
        (r#""stream":"yes""#, "invalid_type", "stream"),
        (r#""stream_options":7"#, "invalid_type", "stream_options"),
        (r#""max_output_tokens":0"#, "invalid_value", "max_output_tokens"),
        (r#""max_output_tokens":1.5"#, "invalid_type", "max_output_tokens"),
        (r#""temperature":2.1"#, "invalid_value", "temperature"),
        (r#""top_p":"1""#, "invalid_type", "top_p"),
        (r#""top_logprobs":21"#, "invalid_value", "top_logprobs"),
        (r#""include":"x""#, "invalid_type", "include"),
        (r#""include":[7]"#, "invalid_type", "include[0]"),
        (r#""reasoning":"high""#, "invalid_type", "reasoning"),
        (r#""reasoning":{"effort":"huge"}"#, "invalid_value", "reasoning.effort"),
        (r#""text":{"format":"json"}"#, "invalid_type", "text.format"),
        (r#""text":{"format":{}}"#, "missing_required_parameter", "text.format.type"),
        (r#""text":{"format":{"type":"grammar"}}"#, "invalid_value", "text.format.type"),
        (r#""text":{"format":{"type":"json_schema"}}"#, "missing_required_parameter", "text.format.schema"),
        (r#""text":{"format":{"type":"json_schema","schema":[]}}"#, "invalid_type", "text.format.schema"),
        (r#""metadata":[]"#, "invalid_type", "metadata"),
        (r#""user":7"#, "invalid_type", "user"),
        (r#""truncation":"maybe""#, "invalid_value", "truncation"),
        (r#""store":"x""#, "invalid_type", "store"),
        (r#""background":"x""#, "invalid_type", "background"),
        (r#""parallel_tool_calls":1"#, "invalid_type", "parallel_tool_calls"),
    ] {
        refused(&with(field), code, param);
    }
    for field in [
        "instructions",
        "stream",
        "max_output_tokens",
        "temperature",
        "reasoning",
        "text",
        "include",
        "tools",
    ] {
        taken(&with(&format!("\"{field}\":null")));
    }
    let many = r#"{"role":"user","content":"x"}"#;
    taken(&items(&[many; 6].join(",")));
    refused(&items(&[many; 7].join(",")), "array_above_max_length", "input");
    let outsiders: Vec<String> = (0..65).map(|at| format!("\"x{at}\":1")).collect();
    refused(&with(&outsiders.join(",")), "too_many_parameters", "");
}

#[test]
fn parts_and_images() {
    let image = |url: &str| content(&format!(r#"[{{"type":"input_image","image_url":{url}}}]"#));
    let at = "input[0].content[0].image_url";
    assert_eq!(taken(&image(r#""data:image/png;base64,AAAA""#)).images(), 1);
    refused(&image(r#""https://x/y.png""#), "invalid_image_url", at);
    refused(&image(r#""data:image/tiff;base64,AAAA""#), "invalid_image_format", at);
    refused(&image(r#""data:image/png;base64,AAA""#), "invalid_base64_image", at);
    refused(&image(r#""data:image/png;base64,AAAAAAAAAAAAAAAAAAAA""#), "image_too_large", at);
    refused(&image(r#"{"url":"data:image/png;base64,AAAA"}"#), "invalid_type", at);
    refused(&image("null"), "missing_required_parameter", at);
    let one = r#"{"type":"input_image","image_url":"data:;base64,AAAA"}"#;
    refused(&content(&format!("[{one},{one},{one}]")), "too_many_images", "input[0].content[2].image_url");
    // Results count as well.
    let output = format!(
        r#"{{"role":"user","content":[{one},{one}]}},{{"type":"function_call_output","call_id":"c","output":[{one}]}}"#
    );
    refused(&items(&output), "too_many_images", "input[1].output[0].image_url");
    refused(
        &content(r#"[{"type":"input_file","file_data":"x"}]"#),
        "unsupported_value",
        "input[0].content[0]",
    );
    refused(&content(r#"[{"type":"input_audio"}]"#), "invalid_value", "input[0].content[0].type");
    refused(&content(r#"[{"text":"x"}]"#), "missing_required_parameter", "input[0].content[0].type");
    refused(&content(r#"[{"type":"input_text"}]"#), "missing_required_parameter", "input[0].content[0].text");
    refused(&content("7"), "invalid_type", "input[0].content");
}

#[test]
fn items_become_turns() {
    #[track_caller]
    fn check(given: &str, expected: &str) {
        assert_eq!(messages(&items(given)), expected);
    }
    let user = r#"{"role":"user","content":"u"}"#;
    let thought = r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}]}"#;
    let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
    let called = r#""tool_calls":[{"id":"c","function":{"index":0,"name":"f","arguments":{}}}]"#;
    let said = r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"b"}]}"#;
    let result = r#"{"output":"r","call_id":"c","type":"function_call_output"}"#;
    check(
        &format!("{user},{thought},{said}"),
        r#"{"user","content":"u"},{"assistant","content":"ab","thinking":"t"}"#,
    );
    // A call joins the text before it, and brings its thought along.
    check(
        &format!("{said},{thought},{call},{result}"),
        &format!(
            r#"{{"assistant","content":"ab","thinking":"t",{called}}},{{"tool","content":"r","tool_name":"f","tool_call_id":"c"}}"#
        ),
    );
    check(
        &format!("{user},{call}"),
        &format!(r#"{{"user","content":"u"}},{{"assistant","content":"",{called}}}"#),
    );
    // What a server did between two calls does not part them.
    let second = call.replace("\"c\"", "\"d\"");
    check(
        &format!(r#"{call},{{"type":"web_search_call","id":"w"}},{second}"#),
        r#"{"assistant","content":"","tool_calls":[{"id":"c","function":{"index":0,"name":"f","arguments":{}}},{"id":"d","function":{"index":1,"name":"f","arguments":{}}}]}"#,
    );
    // A thought after which nothing was said stays where it was.
    check(
        &format!("{thought},{user},{thought}"),
        r#"{"assistant","content":"","thinking":"t"},{"user","content":"u"},{"assistant","content":"","thinking":"t"}"#,
    );
    // Sealed, in full, or in short, in this order.
    for (members, expected) in [
        (r#""encrypted_content":"s","content":[{"type":"reasoning_text","text":"f"}]"#, "s"),
        (r#""encrypted_content":null,"content":[{"type":"reasoning_text","text":"f"},{"text":"g"}]"#, "fg"),
        (r#""encrypted_content":"","content":null"#, "t"),
    ] {
        let thought = thought.replace("\"summary\"", &format!("{members},\"summary\""));
        check(
            &format!("{thought},{said}"),
            &format!(r#"{{"assistant","content":"ab","thinking":"{expected}"}}"#),
        );
    }
    check(
        r#"{"type":"reasoning","summary":[]},{"role":"system","content":"s"},{"role":"developer","content":"d"}"#,
        r#"{"system","content":"s"},{"system","content":"d"}"#,
    );
    assert_eq!(
        messages(r#"{"input":"u","model":"m","instructions":"i"}"#),
        r#"{"system","content":"i"},{"user","content":"u"}"#
    );
    assert_eq!(messages(r#"{"instructions":"","input":"u","model":"m"}"#), r#"{"user","content":"u"}"#);
}

#[test]
fn functions_and_what_is_no_function() {
    let f = r#"{"type":"function","name":"f"}"#;
    refused(&tools(r#"{"name":"f"}"#), "missing_required_parameter", "tools[0].type");
    refused(&tools(r#"{"type":"function"}"#), "missing_required_parameter", "tools[0].name");
    refused(&tools(r#"{"type":"function","name":""}"#), "invalid_value", "tools[0].name");
    refused(
        &tools(r#"{"type":"function","name":"f","parameters":"x"}"#),
        "invalid_type",
        "tools[0].parameters",
    );
    refused(
        &tools(r#"{"type":"web_search"},{"type":"custom","name":"x"}"#),
        "unsupported_value",
        "tools[1].type",
    );
    refused(&tools(&[f; 4].join(",")), "array_above_max_length", "tools");
    refused(&tools("7"), "invalid_type", "tools[0]");
    let space = |members: &str| tools(&format!(r#"{{"type":"namespace"{members}}}"#));
    refused(&space(r#","tools":[]"#), "missing_required_parameter", "tools[0].name");
    refused(&space(r#","name":"n","tools":[{}]"#), "missing_required_parameter", "tools[0].tools[0].type");
    refused(
        &space(r#","name":"n","tools":[{"type":"custom","name":"x"}]"#),
        "unsupported_value",
        "tools[0].tools[0].type",
    );
    refused(
        &tools(&format!(r#"{f},{f},{{"type":"namespace","name":"n","tools":[{f},{f}]}}"#)),
        "array_above_max_length",
        "tools[2].tools",
    );
    let body = tools(&format!(r#"{{"type":"mcp"}},{{"type":"of tomorrow"}},{f}"#));
    let request = taken(&body);
    assert_eq!((request.tools.len(), request.dropped.as_slice()), (1, &["tools"][..]));
}

#[test]
fn choices_of_tools() {
    let choice = |choice: &str| with(&format!(r#""tool_choice":{choice}"#));
    for (given, expected) in [
        (r#""auto""#, ToolChoice::Auto),
        (r#""none""#, ToolChoice::None),
        (r#""required""#, ToolChoice::Required),
    ] {
        assert_eq!(taken(&choice(given)).tool_choice, expected);
    }
    let body = choice(r#"{"name":"f","type":"function"}"#);
    assert!(matches!(taken(&body).tool_choice, ToolChoice::Named(name) if name.raw() == "f"));
    let body = choice(
        r#"{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"},{"type":"mcp","server_label":"x"}]}"#,
    );
    let ToolChoice::Allowed { names, required } = taken(&body).tool_choice else { panic!("{body}") };
    assert_eq!((names.len(), required), (1, false));
    refused(&choice("7"), "invalid_type", "tool_choice");
    refused(&choice(r#""any""#), "invalid_value", "tool_choice");
    refused(&choice("{}"), "missing_required_parameter", "tool_choice.type");
    refused(&choice(r#"{"type":"function"}"#), "missing_required_parameter", "tool_choice.name");
    refused(&choice(r#"{"type":"web_search_preview"}"#), "unsupported_value", "tool_choice.type");
    refused(&choice(r#"{"type":"custom","name":"x"}"#), "unsupported_value", "tool_choice.type");
    refused(&choice(r#"{"type":"allowed_tools","mode":"x"}"#), "invalid_value", "tool_choice.mode");
    refused(&choice(r#"{"type":"allowed_tools"}"#), "missing_required_parameter", "tool_choice.tools");
}

#[test]
fn namespaces_lengthen_names_everywhere() {
    // The namespace's own name may come last.
    let body = r#"{"model":"m","tools":[{"tools":[{"name":"f","type":"function"}],"type":"namespace","name":"n\u0020"}],
"input":[{"type":"function_call","call_id":"c","name":"f","namespace":"n ","arguments":"{}"},
{"type":"function_call","call_id":"d","name":"f","arguments":"{}"},
{"type":"function_call_output","call_id":"c","output":""},{"type":"function_call_output","call_id":"d","output":""},
{"type":"function_call_output","name":"f","namespace":"n ","output":""}]}"#;
    let names = |upstream, key: &str| -> Vec<String> {
        let cell = crate::cell(Format::Responses, upstream, Operation::Chat).expect("a cell");
        let mut out = Vec::new();
        write_request(cell, &taken(body), &Outbound::to("m"), &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let key = format!("\"{key}\":\"");
        text.split(&key).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(Format::Ollama, "name"), ["n .f", "f", "n\\u0020.f"]);
    assert_eq!(names(Format::Ollama, "tool_name"), ["n .f", "f", "n .f"]);
    assert_eq!(names(Format::OpenAi, "name"), ["n .f", "f", "n\\u0020.f"]);
    let manner = taken(body).manner();
    assert_eq!(manner.own_name("n .f"), (Some("n "), "f"));
    for other in ["f", "n .g", "x.f"] {
        assert_eq!(manner.own_name(other), (None, other));
    }
    // What the model reads is counted.
    let bare = body.replace(r#""namespace":"n ","#, "").replace("n\\u0020", "n");
    assert_eq!(taken(body).prompt_chars(), taken(&bare).prompt_chars() + 5);
    let estimate = taken(body).prompt_tokens();
    assert!(estimate.high <= taken(body).prompt_bytes());
}

#[test]
fn what_is_dropped_is_named() {
    for (field, names) in [
        (r#""parallel_tool_calls":false"#, vec!["parallel_tool_calls"]),
        (r#""store":true"#, vec!["store"]),
        (r#""store":false"#, vec![]),
        (r#""truncation":"auto""#, vec!["truncation"]),
        (r#""truncation":"disabled""#, vec![]),
        (
            r#""metadata":{"a":"b"},"user":"u","service_tier":"auto","moderation":{}"#,
            vec!["metadata", "user", "service_tier", "moderation"],
        ),
        (r#""max_tool_calls":3,"prompt_cache_key":"k""#, vec!["max_tool_calls", "prompt_cache_key"]),
        (r#""reasoning":{"effort":"low","summary":"auto"}"#, vec!["reasoning.summary"]),
        (r#""text":{"verbosity":"low"}"#, vec!["text.verbosity"]),
        (r#""include":["reasoning.encrypted_content","file_search_call.results"]"#, vec!["include"]),
        (r#""top_logprobs":3"#, vec!["top_logprobs"]),
        (r#""stream_options":{"include_obfuscation":false}"#, vec!["stream_options.include_obfuscation"]),
        (r#""metadata":null,"service_tier":null"#, vec![]),
    ] {
        assert_eq!(taken(&with(field)).dropped, names, "{field}");
    }
    assert_eq!(
        taken(&items(
            r#"{"role":"user","content":"x","y":1,"phase":"commentary"},{"type":"mcp_call","arguments":7}"#
        ))
        .dropped,
        ["(unknown)", "input[].phase", "mcp_call"]
    );
    // Fields of a runtime are for whoever may send them.
    assert_eq!(taken(&with(r#""keep_alive":"5m","own":1"#)).outsiders.len(), 2);
}

#[test]
fn wishes_are_kept() {
    let body = with(
        r#""stream":true,"temperature":0.5,"top_p":1e-1,"max_output_tokens":7,"top_logprobs":2,"include":["message.output_text.logprobs","reasoning.encrypted_content"],"text":{"format":{"type":"json_object"}}"#,
    );
    let request = taken(&body);
    let sampling = &request.sampling;
    assert_eq!((sampling.temperature, sampling.top_p), (Some("0.5"), Some("1e-1")));
    assert_eq!((request.stream(), request.max_output_tokens()), (true, Some(7)));
    assert_eq!((request.logprobs, request.top_logprobs), (true, Some(2)));
    assert!(request.manner.sealed_reasoning && matches!(request.shape, Shape::Json));
    assert!(!taken(&with("\"top_p\":1")).manner.sealed_reasoning);
    let body = with(r#""text":{"format":{"schema":{"type":"object"},"type":"json_schema","name":"x"}}"#);
    assert!(matches!(taken(&body).shape, Shape::Schema(schema) if schema.as_str() == r#"{"type":"object"}"#));
    assert!(taken(&with(r#""reasoning":{"effort":"xhigh"}"#)).wants_thinking());
    assert!(!taken(&with(r#""reasoning":{"effort":null}"#)).wants_thinking());
    // Characters of the question and of the instructions.
    let body = with(r#""instructions":"é\n""#);
    let request = taken(&body);
    assert_eq!((request.prompt_chars(), request.messages.len()), (7, 2));
    assert_eq!(request.messages[0].role, Role::System);
}
