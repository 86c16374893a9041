//! Who may ask the runtime for what, and what nobody may.

use crate::{Dropped, Fault, Format, Operation, Outbound, ReadLimits, read_request, write_request};

fn chat(upstream: Format) -> crate::Cell {
    crate::cell(Format::OpenAi, upstream, Operation::Chat).expect("a cell")
}

const LIMITS: ReadLimits = ReadLimits { depth: 32, messages: 16, tools: 8, images: 2, image_bytes: 64 };
const HELLO: &str = r#"{"role":"user","content":"Hello"}"#;

fn write(field: &str, to: &Outbound<'_>) -> Result<(String, Dropped), Fault> {
    let body = format!(r#"{{"model":"m","messages":[{HELLO}],{field}}}"#);
    let request = read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).expect(field);
    let mut out = Vec::new();
    let dropped = write_request(chat(Format::Ollama), &request, to, &mut out)?;
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(crate::json::accepts(text.as_bytes(), 64), "{text}");
    let head = format!(r#"{{"model":"up","messages":[{HELLO}],"stream":false"#);
    let tail = text.strip_prefix(head.as_str()).expect("begins as always");
    Ok((tail.strip_suffix('}').unwrap_or(tail).to_owned(), dropped))
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn allowed(options: &[&str], field: &str, expected: &str, dropped: &[&str]) {
    let options = names(options);
    let to = Outbound { options: &options, ..Outbound::to("up") };
    assert_eq!(write(field, &to), Ok((expected.to_owned(), dropped.to_vec())), "{field}");
}

#[track_caller]
fn refused(options: &[&str], field: &str, code: &str, param: &str) {
    let options = names(options);
    let to = Outbound { options: &options, ..Outbound::to("up") };
    let fault = write(field, &to).expect_err(field);
    assert_eq!((fault.code, fault.param.as_deref()), (code, Some(param)), "{field}");
}

#[test]
fn nothing_passes_that_was_not_allowed() {
    allowed(
        &[],
        r#""keep_alive":0,"num_ctx":8,"top_k":1,"min_p":0.1,"repeat_penalty":1,"think":true,"format":"json","truncate":true,"shift":true"#,
        "",
        &[
            "keep_alive",
            "num_ctx",
            "top_k",
            "min_p",
            "repeat_penalty",
            "think",
            "format",
            "truncate",
            "shift",
        ],
    );
    allowed(
        &["top_k"],
        r#""options":{"num_ctx":1,"num_gpu":99,"stop":["x"],"top_k":7,"NUM_CTX":5,"num_thread":null}"#,
        r#","options":{"top_k":7}"#,
        &["options.num_ctx", "options.num_gpu", "options"],
    );
    allowed(&[], r#""options":{},"keep_alive":null,"x":1,"y":2"#, "", &["(unknown)"]);
    allowed(&["num_ctx"], r#""options":[{"num_ctx":1}]"#, "", &["options"]);
    // What is of the wrong type and goes nowhere is no fault.
    allowed(
        &[],
        r#""think":{},"format":7,"options":{"top_k":"x"}"#,
        "",
        &["think", "format", "options.top_k"],
    );
}

#[test]
fn what_was_allowed_passes() {
    allowed(&["num_ctx"], r#""num_ctx":8192"#, r#","options":{"num_ctx":8192}"#, &[]);
    allowed(&["num_ctx"], r#""options":{"num_ctx":8192}"#, r#","options":{"num_ctx":8192}"#, &[]);
    allowed(
        &["keep_alive", "truncate", "shift"],
        r#""keep_alive":"5m","truncate":true,"shift":false"#,
        r#","shift":false,"truncate":true,"keep_alive":"5m""#,
        &[],
    );
    allowed(&["keep_alive"], r#""keep_alive":-1"#, r#","keep_alive":-1"#, &[]);
    allowed(&["keep_alive"], r#""keep_alive":300.0"#, r#","keep_alive":300.0"#, &[]);
    allowed(&["num_ctx"], r#""num_ctx":8192.00"#, r#","options":{"num_ctx":8192}"#, &[]);
    allowed(&["think"], r#""think":"low""#, r#","think":"low""#, &[]);
    allowed(&["format"], r#""format":{"type":"object"}"#, r#","format":{"type":"object"}"#, &[]);
    allowed(
        &["min_p", "repeat_penalty", "num_gpu", "use_mmap", "temperature", "num_predict"],
        r#""min_p":0.05,"options":{"repeat_penalty":1.1,"num_gpu":-1,"use_mmap":true,"temperature":0.3,"num_predict":9}"#,
        r#","options":{"temperature":0.3,"num_predict":9,"min_p":0.05,"repeat_penalty":1.1,"num_gpu":-1,"use_mmap":true}"#,
        &[],
    );
}

#[test]
fn what_was_allowed_is_checked() {
    for (name, value) in [
        ("num_ctx", "0"),
        ("num_ctx", "1.5"),
        ("num_ctx", "\"8\""),
        ("num_ctx", "99999999999"),
        ("top_k", "-1"),
        ("min_p", "1.1"),
        ("min_p", "{}"),
        ("repeat_penalty", "-0.1"),
        ("think", "\"extreme\""),
        ("think", "1"),
        ("format", "\"xml\""),
        ("format", "[]"),
        ("truncate", "1"),
        ("shift", "\"no\""),
        ("keep_alive", "\"5\""),
        ("keep_alive", "\"a\\u0022b\""),
        ("keep_alive", "1e999"),
        ("keep_alive", "true"),
    ] {
        refused(&[name], &format!("\"{name}\":{value}"), "invalid_value", name);
    }
    refused(&["num_predict"], r#""options":{"num_predict":-1}"#, "invalid_value", "options.num_predict");
    refused(&["use_mmap"], r#""options":{"use_mmap":1}"#, "invalid_value", "options.use_mmap");
}

#[test]
fn one_wish_stands_in_one_place() {
    refused(&["num_ctx"], r#""num_ctx":8,"options":{"num_ctx":9}"#, "duplicate_parameter", "num_ctx");
    refused(&["top_k"], r#""options":{"top_k":1,"top\u005fk":2}"#, "duplicate_parameter", "top_k");
    refused(&["think"], r#""think":true,"reasoning_effort":"low""#, "duplicate_parameter", "think");
    refused(
        &["format"],
        r#""format":"json","response_format":{"type":"json_object"}"#,
        "duplicate_parameter",
        "format",
    );
    refused(
        &["temperature"],
        r#""temperature":1,"options":{"temperature":1}"#,
        "duplicate_parameter",
        "temperature",
    );
    refused(
        &["num_predict"],
        r#""max_tokens":1,"options":{"num_predict":2}"#,
        "duplicate_parameter",
        "num_predict",
    );
}

#[test]
fn what_nobody_may_send() {
    let never = [
        "web_search",
        "_debug_render_only",
        "raw",
        "template",
        "system",
        "context",
        "suffix",
        "prompt",
        "images",
        "adapters",
        "remote_host",
        "x",
    ];
    for name in never {
        let field = format!(r#""{name}":true,"options":{{"{name}":true}}"#);
        allowed(&never, &field, "", &["(unknown)", "options"]);
    }
}

#[test]
fn the_gateways_own_wishes() {
    #[track_caller]
    fn check(field: &str, to: &Outbound<'_>, expected: &str) {
        assert_eq!(write(field, to).expect(field).0, expected, "{field}");
    }
    let options = names(&["num_ctx", "keep_alive", "truncate", "num_predict"]);
    let plain = Outbound {
        num_ctx: Some(4096),
        keep_alive: Some("30m"),
        output_tokens_max: Some(50),
        refuse_truncation: true,
        ..Outbound::to("up")
    };
    let wishes = r#","truncate":false,"keep_alive":"30m","options":{"num_predict":50,"num_ctx":4096}"#;
    check(r#""n":1"#, &plain, wishes);
    check(r#""max_tokens":60,"num_ctx":9"#, &plain, wishes);
    check(
        r#""max_tokens":7"#,
        &plain,
        r#","truncate":false,"keep_alive":"30m","options":{"num_predict":7,"num_ctx":4096}"#,
    );
    let asked = r#""num_ctx":9,"keep_alive":0,"truncate":true,"options":{"num_predict":60}"#;
    check(
        asked,
        &Outbound { options: &options, ..plain },
        r#","truncate":true,"keep_alive":0,"options":{"num_predict":50,"num_ctx":9}"#,
    );
    check(r#""n":1"#, &Outbound { keep_alive: Some("-1"), ..Outbound::to("up") }, r#","keep_alive":-1"#);
}
