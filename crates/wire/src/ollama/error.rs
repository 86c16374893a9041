//! Reads Ollama's refusals and error lines, and writes its error body.
//!
//! Status first: the texts change from release to release. Never shown to a caller: the text, which may hold host names,
//! paths, or what the model wrote.

use crate::error::{ErrorBody, UpstreamFault, UpstreamFaultKind};
use crate::json::{Broken, Kind, Reader, write};
use crate::refusal::{context_exceeded, invalid};

const DEPTH_MAX: usize = 16;

/// `{"error":"text"}`.
pub(crate) fn write(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    write::string(out, error.message);
    out.push(b'}');
}

pub(crate) fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> UpstreamFault {
    let said = text(body);
    let detail = || {
        let words = said.clone().unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        format!("status {status}, content type {}: {words}", content_type.unwrap_or("none"))
    };
    let fault = match (status, said.as_deref()) {
        (400, Some(text)) => bad_request(text),
        (404, Some(_)) => UpstreamFault::new(UpstreamFaultKind::ModelNotFound, ""),
        (429, _) => UpstreamFault::new(UpstreamFaultKind::RateLimited, ""),
        (503 | 529, _) => UpstreamFault::new(UpstreamFaultKind::Overloaded, ""),
        (500, Some(text)) => failure(text),
        (408 | 499 | 500..=599, _) => UpstreamFault::broken(""),
        _ => UpstreamFault::protocol(""),
    };
    UpstreamFault::saying(fault.kind, fault.message, &detail())
}

/// An error line after the first byte, or an error object in an answer of status 200.
pub(super) fn in_stream(text: &str) -> UpstreamFault {
    let fault = failure(text);
    UpstreamFault::saying(fault.kind, fault.message, text)
}

fn text(body: &[u8]) -> Option<String> {
    let mut found = None;
    let mut reader = Reader::new(body, DEPTH_MAX).ok()?;
    let read = reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("error", Kind::String) => found = Some(reader.string()?.decode().into_owned()),
            _ => reader.skip()?,
        }
        Ok(())
    });
    read.ok().and(found)
}

/// What a runner's own trouble is told by, whatever the status.
const RUNNER_TEXTS: &[&str] = &[
    "llama-server process has terminated",
    "llama-server reported",
    "waiting for llama-server",
    "model runner has unexpectedly stopped",
    "error was encountered while running the model",
    "requires more system memory",
    "connection refused",
    "connection reset",
    ": EOF",
];

/// Status 400: something in the request, by what the text names.
fn bad_request(text: &str) -> UpstreamFault {
    if let Some(fault) = context_exceeded(text) {
        return fault;
    }
    // Embeddings say so of their own failures as well.
    if RUNNER_TEXTS.iter().any(|known| text.contains(known)) {
        return UpstreamFault::broken(text);
    }
    let (kind, words) = match text {
        _ if text.contains("does not support thinking") => (
            invalid("unsupported_parameter", Some("reasoning_effort")),
            "This model does not support thinking.",
        ),
        _ if text.contains("does not support tools") => {
            (invalid("unsupported_parameter", Some("tools")), "This model does not support tools.")
        }
        _ if text.contains("does not support insert") => {
            (invalid("unsupported_parameter", Some("suffix")), "This model does not support a suffix.")
        }
        _ if text.contains("does not support embed") => {
            (invalid("unsupported_value", Some("model")), "This model makes no embeddings.")
        }
        _ if text.contains("does not support") => (
            invalid("unsupported_value", Some("model")),
            "This model does not support what the request asks for.",
        ),
        _ if text.contains("invalid model name") || text.contains(":cloud, not both") => {
            (invalid("invalid_value", Some("model")), "The model's name is not valid on the model server.")
        }
        _ if text.contains("top_logprobs") => {
            (invalid("invalid_value", Some("top_logprobs")), "Invalid value for 'top_logprobs'.")
        }
        _ if text.contains("think value") => (
            invalid("invalid_value", Some("reasoning_effort")),
            "The model server does not know this much of thinking.",
        ),
        _ if text.contains("base64") || text.contains("image") => {
            (invalid("invalid_image_format", Some("messages")), "The model server could not read an image.")
        }
        _ if text.contains("cannot unmarshal") && text.contains("tools") => {
            (invalid("invalid_type", Some("tools")), "The model server could not read the tool definitions.")
        }
        _ if text.contains("cannot unmarshal") => {
            (invalid("invalid_type", None), "The model server refused the type of a value.")
        }
        // Both would be our own doing: we always send a body with a model.
        "missing request body" | "model is required" => return UpstreamFault::protocol(text),
        _ => return UpstreamFault::new(invalid("invalid_value", None), text),
    };
    UpstreamFault::saying(kind, words, text)
}

/// Status 500 or an error line: mostly its own trouble, sometimes the caller's.
fn failure(text: &str) -> UpstreamFault {
    if let Some(fault) = context_exceeded(text) {
        return fault;
    }
    if text.starts_with("option \"") && text.contains("must be of type") {
        let words = "The model server refused the type of an option.";
        return UpstreamFault::saying(invalid("invalid_type", None), words, text);
    }
    if text.starts_with("invalid format:") {
        let words = "The model server refused the format that the answer should have.";
        return UpstreamFault::saying(invalid("invalid_value", Some("response_format")), words, text);
    }
    UpstreamFault::broken(text)
}

#[cfg(test)]
mod tests;
