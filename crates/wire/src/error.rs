//! CONTRACT STUB: faults (found in a request), upstream faults (found in an answer), and error bodies.

use std::borrow::Cow;

use crate::format::Format;

/// A fault of the caller, found in its request: always a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// `invalid_value`, `invalid_type`, `unsupported_parameter`, `missing_required_parameter`...
    pub code: &'static str,
    pub param: Option<Cow<'static, str>>,
    /// Safe to show to the caller: fixed words and bounded, escaped pieces of its own input.
    pub message: String,
}

/// What went wrong upstream, by who can act. The gateway's verdict table gives each its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamFaultKind {
    /// The caller's request, found out by the upstream: 400 with this code.
    InvalidRequest { code: &'static str, param: Option<&'static str> },
    ModelNotFound,
    RateLimited,
    /// Its queue is full or it is loading: 503 with retry-after.
    Overloaded,
    /// It failed while working: crashed, ran out of memory, cut the answer. 502, `upstream_error`.
    Broken,
    /// It does not speak the format it was configured with (401, 403, HTML, bad JSON): 502, `upstream_protocol_error`.
    Protocol,
}

impl UpstreamFaultKind {
    /// The code a client sees.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest { code, .. } => code,
            Self::ModelNotFound => "model_not_found",
            Self::RateLimited => "rate_limit_exceeded",
            Self::Overloaded => "upstream_overloaded",
            Self::Broken => "upstream_error",
            Self::Protocol => "upstream_protocol_error",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFault {
    pub kind: UpstreamFaultKind,
    /// Safe to show: fixed words, numbers at most.
    pub message: Cow<'static, str>,
    /// For the operator's log under the request id. May hold the upstream's text: never shown to a caller.
    pub detail: String,
}

/// OpenAI's `error.type`; other formats map from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    InvalidRequest,
    Authentication,
    Permission,
    RateLimit,
    Server,
}

/// An error as a client sees it, before it takes a format.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBody<'a> {
    pub kind: ErrorType,
    pub message: &'a str,
    pub param: Option<&'a str>,
    pub code: Option<&'a str>,
}

/// Renders an error body in a client's format (OpenAI: the object with four keys; Ollama: `{"error":"text"}`).
pub fn write_error(client: Format, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    todo!("{client:?} {error:?} {out:?}")
}

/// What an upstream's refusal (a status other than 200 before any event) means. Matches on status first, on text last.
pub fn read_refusal(upstream: Format, status: u16, content_type: Option<&str>, body: &[u8]) -> UpstreamFault {
    todo!("{upstream:?} {status} {content_type:?} {body:?}")
}

/// Renders an error as the one event of a stream that had already begun (its head was sent) but has no answer: for OpenAI
/// `data: {"error":{...}}` and a blank line. CONTRACT: the gateway calls this; keep it when this file is rewritten.
pub fn write_error_event(client: Format, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
    todo!("{client:?} {error:?} {out:?}")
}
