//! Texts as Ollama writes them, by status.

use crate::{ErrorBody, ErrorType, Format, UpstreamFaultKind, read_refusal, write_error};

fn invalid(code: &'static str, param: &'static str) -> UpstreamFaultKind {
    UpstreamFaultKind::InvalidRequest { code, param: Some(param).filter(|param| !param.is_empty()) }
}

#[track_caller]
fn check(status: u16, body: &str, expected: UpstreamFaultKind) -> String {
    let fault = read_refusal(Format::Ollama, status, Some("application/json"), body.as_bytes());
    assert_eq!(fault.kind, expected, "{status} {body}");
    fault.message.into_owned()
}

#[track_caller]
fn says(status: u16, text: &str, expected: UpstreamFaultKind) {
    let mut body = Vec::new();
    let error = ErrorBody::new(ErrorType::Server, text, 502);
    write_error(Format::Ollama, &error, &mut body);
    let message = check(status, std::str::from_utf8(&body).unwrap(), expected);
    assert!(!message.contains(text), "the upstream's words are shown: {message}");
}

#[test]
fn the_callers_faults() {
    says(400, "\"m\" does not support thinking", invalid("unsupported_parameter", "reasoning_effort"));
    says(
        400,
        "registry.x/library/m:latest does not support tools",
        invalid("unsupported_parameter", "tools"),
    );
    says(400, "m does not support insert", invalid("unsupported_parameter", "suffix"));
    says(400, "\"m\" does not support chat", invalid("unsupported_value", "model"));
    says(400, "\"m\" does not support embeddings", invalid("unsupported_value", "model"));
    says(400, "invalid model name", invalid("invalid_value", "model"));
    says(400, "top_logprobs must be between 0 and 20", invalid("invalid_value", "top_logprobs"));
    says(400, "invalid think value: \"x\"", invalid("invalid_value", "reasoning_effort"));
    says(400, "illegal base64 data at input byte 4", invalid("invalid_image_format", "messages"));
    says(
        400,
        "json: cannot unmarshal array into Go struct field .tools.type",
        invalid("invalid_type", "tools"),
    );
    says(400, "json: cannot unmarshal number into Go value", invalid("invalid_type", ""));
    says(400, "something new", invalid("invalid_value", ""));
    says(500, "option \"stop\" must be of type array", invalid("invalid_type", ""));
    says(
        500,
        "invalid format: \"x\"; expected \"json\" or a valid JSON Schema object",
        invalid("invalid_value", "response_format"),
    );
    says(404, "model 'x' not found", UpstreamFaultKind::ModelNotFound);
}

#[test]
fn a_message_names_no_field_that_other_dialects_call_otherwise() {
    for (status, text) in [
        (400, "invalid think value: 'x'"),
        (400, "'m' does not support thinking"),
        (500, "invalid format: 'x'; expected"),
    ] {
        let body = format!(r#"{{"error":"{text}"}}"#);
        let fault = read_refusal(Format::Ollama, status, None, body.as_bytes());
        assert!(!fault.message.contains(['_', '\'']), "{}", fault.message);
    }
}

#[test]
fn a_prompt_that_is_too_long_is_told_with_its_numbers() {
    let too_long = invalid("context_length_exceeded", "messages");
    says(400, "the input length exceeds the context length", too_long);
    let inner = r#"{"error":"{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":9000,\"n_ctx\":4096}}"}"#;
    for status in [400, 500] {
        let message = check(status, inner, too_long);
        assert!(message.contains("9000") && message.contains("4096"), "{message}");
    }
}

#[test]
fn the_operators_faults() {
    says(500, "llama-server process has terminated: exit 1", UpstreamFaultKind::Broken);
    says(500, "error parsing tool call: raw='secret'", UpstreamFaultKind::Broken);
    says(500, "model requires more system memory", UpstreamFaultKind::Broken);
    says(502, "dial tcp 10.0.0.1:443", UpstreamFaultKind::Broken);
    says(499, "request canceled", UpstreamFaultKind::Broken);
    says(
        503,
        "server busy, please try again.  maximum pending requests exceeded",
        UpstreamFaultKind::Overloaded,
    );
    // An embedding that failed at work is a 400.
    for text in [
        "model runner has unexpectedly stopped, this may be due to resource limitations",
        "an error was encountered while running the model: unexpected EOF",
        "do embedding request: Post \"http://127.0.0.1:39217/embedding\": EOF",
        "dial tcp 127.0.0.1:39217: connect: connection refused",
    ] {
        says(400, text, UpstreamFaultKind::Broken);
    }
    says(429, "too many requests", UpstreamFaultKind::RateLimited);
    for status in [301, 401, 402, 403, 405] {
        says(status, "unauthorized", UpstreamFaultKind::Protocol);
    }
    for body in ["", "404 page not found", "<html>", "{\"error\":", "{\"error\":{}}"] {
        check(404, body, UpstreamFaultKind::Protocol);
        check(400, body, UpstreamFaultKind::Protocol);
        check(500, body, UpstreamFaultKind::Broken);
        check(503, body, UpstreamFaultKind::Overloaded);
    }
}

#[test]
fn the_log_keeps_the_words_bounded_and_printable() {
    let body = format!("{{\"error\":\"bad\\n{}é\"}}", "é".repeat(4000));
    let fault = read_refusal(Format::Ollama, 500, None, body.as_bytes());
    assert!(fault.detail.contains("bad é") && fault.detail.len() <= 2048, "{}", fault.detail.len());
}
