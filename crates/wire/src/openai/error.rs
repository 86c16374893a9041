//! Writes OpenAI's error object, and reads the error objects of servers that speak its dialect.
//!
//! They differ: llama.cpp and vLLM put the status into `code`, older SGLang puts the message at the top, FastAPI says
//! `detail`. All of it becomes a kind; the text goes to the log.
//!
//! Never here: which status a client gets.

use crate::error::{ErrorBody, ErrorType, UpstreamFault, UpstreamFaultKind};
use crate::json::{Broken, Kind, Reader, write};
use crate::refusal::{context_exceeded, invalid};

const DEPTH_MAX: usize = 16;

const QUOTA: &str = "insufficient_quota";
const CONTEXT: &str = "context_length_exceeded";

/// All four keys: the schema requires them.
pub(crate) fn write(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":{\"message\":");
    write::string(out, error.message);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(match error.kind {
        // OpenAI answers a wrong key with the type of a wrong request.
        ErrorType::InvalidRequest | ErrorType::Authentication => b"invalid_request_error".as_slice(),
        ErrorType::Permission => b"permission_error",
        // A budget that is used up has its code for a type, too.
        ErrorType::RateLimit if error.code == Some(QUOTA) => b"insufficient_quota",
        ErrorType::RateLimit => b"rate_limit_error",
        ErrorType::Server => b"server_error",
    });
    out.push(b'"');
    nullable(b",\"param\":", error.param, out);
    nullable(b",\"code\":", error.code, out);
    out.extend_from_slice(b"}}");
}

/// The last event of a stream.
pub(crate) fn write_event(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    write(error, out);
    out.extend_from_slice(b"\n\n");
}

fn nullable(key: &[u8], value: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => write::string(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// What an error object says.
#[derive(Debug, Default)]
pub(super) struct Said {
    message: String,
    kind: String,
    /// As a number: the status that the server had in mind.
    status: Option<u16>,
    /// As a word, for OpenAI's own and proxies before it.
    code: String,
    param: String,
}

pub(crate) fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> UpstreamFault {
    let said = said(body, true);
    let fault = match &said {
        Some(said) => judge(Some(status), said),
        None => match status {
            429 => UpstreamFault::new(UpstreamFaultKind::RateLimited, ""),
            503 | 529 => UpstreamFault::new(UpstreamFaultKind::Overloaded, ""),
            408 | 500..=599 => UpstreamFault::broken(""),
            _ => UpstreamFault::protocol(""),
        },
    };
    let words = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), |said| said.message);
    let content_type = content_type.unwrap_or("none");
    UpstreamFault::saying(
        fault.kind,
        fault.message,
        &format!("status {status}, content type {content_type}: {words}"),
    )
}

/// An error object where an answer or an event was expected. `None`: it is no error object.
pub(super) fn in_stream(body: &[u8]) -> Option<UpstreamFault> {
    said(body, false).map(|said| judge(None, &said))
}

fn judge(status: Option<u16>, said: &Said) -> UpstreamFault {
    let plain = |kind| UpstreamFault::new(kind, &said.message);
    let status = status.or(said.status).unwrap_or_else(|| status_of(said));
    match status {
        400 | 413 | 422 => bad_request(said),
        404 if said.code == "model_not_found" => plain(UpstreamFaultKind::ModelNotFound),
        // A path that the server does not have is a 404 too.
        404 if said.message.to_ascii_lowercase().contains("model") => plain(UpstreamFaultKind::ModelNotFound),
        429 => plain(UpstreamFaultKind::RateLimited),
        503 | 529 => plain(UpstreamFaultKind::Overloaded),
        501 => plain(invalid("unsupported_parameter", None)),
        // llama.cpp before 2025 and some proxies call every fault a 500.
        500 => context_exceeded(&said.message).unwrap_or_else(|| plain(UpstreamFaultKind::Broken)),
        408 | 499 | 502..=599 => plain(UpstreamFaultKind::Broken),
        _ => plain(UpstreamFaultKind::Protocol),
    }
}

/// For an error object that names no status.
fn status_of(said: &Said) -> u16 {
    if let Ok(status) = said.code.parse() {
        return status;
    }
    match said.code.as_str() {
        CONTEXT => return 400,
        "model_not_found" => return 404,
        "rate_limit_exceeded" | QUOTA => return 429,
        _ => {}
    }
    match said.kind.as_str() {
        "exceed_context_size_error" | "invalid_request_error" | "BadRequestError" => 400,
        "not_found_error" | "NotFoundError" => 404,
        "rate_limit_error" | "RateLimitError" => 429,
        "unavailable_error" | "overloaded_error" => 503,
        "not_supported_error" => 501,
        _ => 500,
    }
}

fn bad_request(said: &Said) -> UpstreamFault {
    if said.kind == "exceed_context_size_error" || said.code == CONTEXT {
        let text = format!("context size: {}", said.message);
        return context_exceeded(&text).unwrap_or_else(|| UpstreamFault::protocol(&text));
    }
    if let Some(fault) = context_exceeded(&said.message) {
        return fault;
    }
    // A name of ours that the server repeats may be shown; its words may not.
    let param = PARAMS.iter().find(|name| **name == said.param).copied();
    UpstreamFault::new(invalid("invalid_value", param), &said.message)
}

const PARAMS: &[&str] = &[
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "frequency_penalty",
    "presence_penalty",
    "prompt",
    "suffix",
    "best_of",
    "echo",
    "input",
    "dimensions",
    "encoding_format",
];

/// `None`: it is no error object. `refused`: the status says that it is one, so a message alone is enough.
fn said(body: &[u8], refused: bool) -> Option<Said> {
    let mut said = Said::default();
    let mut is_error = false;
    let mut reader = Reader::new(body, DEPTH_MAX).ok()?;
    let read = reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("error", Kind::Object) => {
                is_error = true;
                reader.object(|reader, key| detail(reader, key.raw(), &mut said))
            }
            ("error" | "detail", Kind::String) => {
                is_error = true;
                said.message = reader.string()?.decode().into_owned();
                Ok(())
            }
            ("detail", Kind::Array) => {
                is_error = true;
                said.message = reader.raw()?.as_str().to_owned();
                Ok(())
            }
            ("object", Kind::String) => {
                is_error |= reader.string()?.raw() == "error";
                Ok(())
            }
            (key, _) => detail(reader, key, &mut said),
        }
    });
    let is_error = is_error || (refused && !said.message.is_empty());
    (read.is_ok() && is_error).then_some(said)
}

fn detail(reader: &mut Reader<'_>, key: &str, said: &mut Said) -> Result<(), Broken> {
    match (key, reader.kind()?) {
        ("message", Kind::String) => said.message = reader.string()?.decode().into_owned(),
        ("type", Kind::String) => said.kind = reader.string()?.decode().into_owned(),
        ("param", Kind::String) => said.param = reader.string()?.decode().into_owned(),
        ("code", Kind::Number) => said.status = reader.number()?.parse().ok(),
        ("code", Kind::String) => said.code = reader.string()?.decode().into_owned(),
        _ => reader.skip()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
