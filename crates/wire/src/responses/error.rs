//! Errors as this dialect says them: OpenAI's object before a stream, and the one code of a response that failed.
//!
//! Never here: which status a client gets.

use crate::error::{ErrorBody, ErrorType};
use crate::openai;

/// OpenAI's error object. What concerns a chat's member is said of the member that means the same here.
pub(crate) fn write(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    openai::error::write(&ErrorBody { param: error.param.map(param), ..*error }, out);
}

fn param(name: &str) -> &str {
    match name {
        "messages" => "input",
        "max_tokens" | "max_completion_tokens" => "max_output_tokens",
        "response_format" => "text.format",
        "reasoning_effort" => "reasoning",
        other => other,
    }
}

/// Codes of a failed response that say more than that it failed. Clients try again after any other.
const CODES: &[&str] = &[
    "context_length_exceeded",
    "rate_limit_exceeded",
    "insufficient_quota",
    "invalid_prompt",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
];

pub(super) fn code<'e>(error: &ErrorBody<'e>) -> &'e str {
    match (error.code.filter(|code| CODES.contains(code)), error.kind) {
        (Some(code), _) => code,
        // The caller's own fault: the same request fails again.
        (None, ErrorType::InvalidRequest) => "invalid_prompt",
        (None, ErrorType::RateLimit) => "rate_limit_exceeded",
        (None, _) => "server_error",
    }
}
