//! Errors into a client's bytes, refusals out of an upstream's.
//!
//! Never here: statuses of ours.

use crate::error::{ErrorBody, UpstreamFault};
use crate::format::Format;
use crate::{anthropic, ollama, openai, responses};

/// Renders an error body in a client's format (OpenAI: the object with four keys; Anthropic: an object
/// that names its type; Ollama: `{"error":"text"}`).
pub fn write_error(client: Format, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    match client {
        Format::OpenAi => openai::error::write(error, out),
        Format::Responses => responses::error::write(error, out),
        Format::Anthropic => anthropic::error::write(error, out),
        Format::Ollama => ollama::error::write(error, out),
    }
}

/// What an upstream's refusal (a status other than 200 before any event) means. Matches on status first, on text last.
pub fn read_refusal(upstream: Format, status: u16, content_type: Option<&str>, body: &[u8]) -> UpstreamFault {
    match upstream {
        Format::Ollama => ollama::error::read(status, content_type, body),
        _ => openai::error::read(status, content_type, body),
    }
}
