//! Error objects as servers of this dialect write them.

use crate::{ErrorBody, ErrorType, Format, UpstreamFaultKind, read_refusal, write_error};

fn invalid(code: &'static str, param: Option<&'static str>) -> UpstreamFaultKind {
    UpstreamFaultKind::InvalidRequest { code, param }
}

#[track_caller]
fn check(status: u16, body: &str, expected: UpstreamFaultKind) {
    let fault = read_refusal(Format::OpenAi, status, Some("application/json"), body.as_bytes());
    assert_eq!(fault.kind, expected, "{status} {body}");
    assert!(!fault.message.contains("secret"), "{}", fault.message);
}

#[test]
fn refusals_of_the_known_servers() {
    let too_long = invalid("context_length_exceeded", Some("messages"));
    check(
        400,
        r#"{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (4096 tokens)","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":4096}}"#,
        too_long,
    );
    check(
        400,
        r#"{"error":{"message":"This model's maximum context length is 4096 tokens. However, you requested 9000 tokens","type":"BadRequestError","param":null,"code":400}}"#,
        too_long,
    );
    check(
        400,
        r#"{"object":"error","message":"secret","type":"BadRequestError","param":null,"code":400}"#,
        invalid("invalid_value", None),
    );
    check(
        400,
        r#"{"error":{"message":"secret","param":"temperature"}}"#,
        invalid("invalid_value", Some("temperature")),
    );
    check(400, r#"{"error":{"message":"secret","param":"/etc/secret"}}"#, invalid("invalid_value", None));
    check(422, r#"{"detail":[{"loc":["body","n"],"msg":"secret"}]}"#, invalid("invalid_value", None));
    check(
        404,
        r#"{"error":{"message":"The model `secret` does not exist.","type":"NotFoundError","code":404}}"#,
        UpstreamFaultKind::ModelNotFound,
    );
    check(404, r#"{"detail":"Not Found"}"#, UpstreamFaultKind::Protocol);
    check(
        401,
        r#"{"error":{"message":"secret","type":"authentication_error","code":401}}"#,
        UpstreamFaultKind::Protocol,
    );
    check(
        503,
        r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
        UpstreamFaultKind::Overloaded,
    );
    check(429, "", UpstreamFaultKind::RateLimited);
    check(
        501,
        r#"{"error":{"code":501,"message":"secret","type":"not_supported_error"}}"#,
        invalid("unsupported_parameter", None),
    );
    check(500, r#"{"error":"secret"}"#, UpstreamFaultKind::Broken);
    // Codes as words.
    check(400, r#"{"error":{"message":"secret","code":"context_length_exceeded"}}"#, too_long);
    check(
        404,
        r#"{"error":{"message":"secret","code":"model_not_found"}}"#,
        UpstreamFaultKind::ModelNotFound,
    );
    check(
        400,
        r#"{"error":{"message":"secret","code":"400","param":"n"}}"#,
        invalid("invalid_value", Some("n")),
    );
    // No error object but for the status.
    check(400, r#"{"message":"secret","type":"BadRequestError"}"#, invalid("invalid_value", None));
    check(400, r#"{"message":7}"#, UpstreamFaultKind::Protocol);
    check(502, "<html>secret</html>", UpstreamFaultKind::Broken);
    check(400, "<html>secret</html>", UpstreamFaultKind::Protocol);
    check(200, "{}", UpstreamFaultKind::Protocol);
}

#[test]
fn an_error_in_a_stream_names_its_own_status() {
    #[track_caller]
    fn check(error: &str, expected: UpstreamFaultKind) {
        let body = format!(r#"{{"error":{error}}}"#);
        assert_eq!(super::in_stream(body.as_bytes()).map(|fault| fault.kind), Some(expected), "{error}");
    }
    check(r#"{"message":"x","code":503}"#, UpstreamFaultKind::Overloaded);
    check(r#"{"message":"x","code":"429"}"#, UpstreamFaultKind::RateLimited);
    check(r#"{"message":"x","code":"rate_limit_exceeded"}"#, UpstreamFaultKind::RateLimited);
    check(r#"{"message":"x","type":"BadRequestError"}"#, invalid("invalid_value", None));
    check(
        r#"{"message":"x","code":"context_length_exceeded"}"#,
        invalid("context_length_exceeded", Some("messages")),
    );
    check(r#"{"message":"x","code":"model_not_found"}"#, UpstreamFaultKind::ModelNotFound);
    check(r#"{"message":"x","code":null}"#, UpstreamFaultKind::Broken);
    check(r#""x""#, UpstreamFaultKind::Broken);
    // A message of its own is an answer's, not an error's.
    assert_eq!(super::in_stream(br#"{"message":"x"}"#), None);
}

#[test]
fn the_object_always_has_four_keys() {
    #[track_caller]
    fn check(kind: ErrorType, param: Option<&str>, code: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        write_error(
            Format::OpenAi,
            &ErrorBody { kind, message: "a \"b\"", param, code, status: 502, request_id: None },
            &mut out,
        );
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, format!(r#"{{"error":{{"message":"a \"b\"",{expected}}}}}"#));
    }
    check(ErrorType::Server, None, None, r#""type":"server_error","param":null,"code":null"#);
    check(
        ErrorType::Authentication,
        None,
        Some("invalid_api_key"),
        r#""type":"invalid_request_error","param":null,"code":"invalid_api_key""#,
    );
    check(ErrorType::Permission, None, None, r#""type":"permission_error","param":null,"code":null"#);
    check(ErrorType::RateLimit, Some("p"), Some("c"), r#""type":"rate_limit_error","param":"p","code":"c""#);
    check(
        ErrorType::RateLimit,
        None,
        Some("insufficient_quota"),
        r#""type":"insufficient_quota","param":null,"code":"insufficient_quota""#,
    );
    check(
        ErrorType::InvalidRequest,
        Some("n"),
        None,
        r#""type":"invalid_request_error","param":"n","code":null"#,
    );
}
