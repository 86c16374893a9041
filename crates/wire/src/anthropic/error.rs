//! Writes Anthropic's error object: the body of a refusal, and the data of the event that ends a stream.
//!
//! The type follows from the status: it is what clients decide by where the status is gone.
//!
//! Never here: which status a client gets.

use crate::error::ErrorBody;
use crate::json::write;

pub(crate) fn write(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":\"");
    out.extend_from_slice(kind(error.status).as_bytes());
    out.extend_from_slice(b"\",\"message\":\"");
    // Clients know by these words that a conversation has to be shortened.
    if error.code == Some("context_length_exceeded") {
        out.extend_from_slice(b"prompt is too long: ");
    } else if let Some(param) = error.param.filter(|param| !error.message.contains(param)) {
        // The object has no place for the field: the words must name it.
        write::escape(out, param);
        out.extend_from_slice(b": ");
    }
    write::escape(out, error.message);
    out.extend_from_slice(b"\"}");
    if let Some(id) = error.request_id {
        out.extend_from_slice(b",\"request_id\":");
        write::string(out, id);
    }
    out.push(b'}');
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        0..500 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use crate::{ErrorBody, ErrorType, Format, write_error};

    #[track_caller]
    fn check(error: &ErrorBody<'_>, expected: &str) {
        let mut out = Vec::new();
        write_error(Format::Anthropic, error, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn the_status_names_the_type() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (408, "timeout_error"),
            (409, "conflict_error"),
            (413, "request_too_large"),
            (414, "invalid_request_error"),
            (415, "invalid_request_error"),
            (429, "rate_limit_error"),
            (431, "invalid_request_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ] {
            let expected = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"a\n\"b\""}}}}"#);
            check(&ErrorBody::new(ErrorType::Server, "a\n\"b\"", status), &expected);
        }
    }

    #[test]
    fn the_words_say_what_has_no_field() {
        let error = ErrorBody {
            param: Some("messages"),
            code: Some("context_length_exceeded"),
            request_id: Some("req_1"),
            ..ErrorBody::new(ErrorType::InvalidRequest, "The prompt has 9 tokens.", 400)
        };
        check(
            &error,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: The prompt has 9 tokens."},"request_id":"req_1"}"#,
        );
        let error = ErrorBody { code: Some("invalid_image_url"), ..error };
        check(
            &ErrorBody { param: Some("messages[0].content"), message: "Not fetched.", ..error },
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages[0].content: Not fetched."},"request_id":"req_1"}"#,
        );
        check(
            &ErrorBody { param: Some("model"), message: "Missing: 'model'.", ..error },
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Missing: 'model'."},"request_id":"req_1"}"#,
        );
    }
}
