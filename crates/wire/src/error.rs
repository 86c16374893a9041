//! Faults found in a request, faults found in an upstream's answer, and an error before it takes a format.
//!
//! Why two kinds: the first is always the caller's and says where; the second says who can act, and keeps the upstream's
//! words away from the caller.
//!
//! Never here: HTTP statuses of ours, retry rules (the gateway's verdict table has them).

use std::borrow::Cow;

use crate::json::{Broken, Why};

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

impl Fault {
    pub(crate) fn new(
        code: &'static str,
        param: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { code, param: Some(param.into()), message: message.into() }
    }

    pub(crate) fn whole(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, param: None, message: message.into() }
    }

    /// A key that is one of ours but for its letters' case.
    pub(crate) fn look_alike(name: &'static str) -> Self {
        let message = format!("A field differs from '{name}' by letter case only. Write it as '{name}'.");
        Self::new("ambiguous_parameter", name, message)
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        let at = broken.at;
        match broken.why {
            Why::TooDeep => {
                Self::whole("json_too_deep", format!("The body is nested too deeply (byte {at})."))
            }
            Why::Utf8 => Self::whole("invalid_json", format!("The body is not valid UTF-8 (byte {at}).")),
            Why::Bom => Self::whole("invalid_json", "The body begins with a byte order mark."),
            Why::Syntax(why) => {
                Self::whole("invalid_json", format!("The body is not valid JSON: {why} (byte {at})."))
            }
        }
    }
}

/// What went wrong upstream, by who can act. The gateway's verdict table gives each its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamFaultKind {
    /// The caller's request, found out by the upstream: 400 with this code.
    InvalidRequest {
        code: &'static str,
        param: Option<&'static str>,
    },
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

    /// What a caller is told when nothing more exact is known.
    fn words(self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "The model server refused the request.",
            Self::ModelNotFound => "The model does not exist on the model server.",
            Self::RateLimited => "The model server limits its requests. Try again later.",
            Self::Overloaded => "The model server is busy or still loading. Try again shortly.",
            Self::Broken => "The model server failed while answering. Try again.",
            Self::Protocol => "The model server gave an answer that cannot be understood.",
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

/// Longest piece of an upstream's text that is kept for the log.
const DETAIL_BYTES_MAX: usize = 2048;

impl UpstreamFault {
    pub(crate) fn new(kind: UpstreamFaultKind, detail: &str) -> Self {
        Self::saying(kind, kind.words(), detail)
    }

    pub(crate) fn saying(
        kind: UpstreamFaultKind,
        message: impl Into<Cow<'static, str>>,
        detail: &str,
    ) -> Self {
        // Ollama quotes what the model said when it cannot read it, and answers are not for the log.
        let detail = detail.split_once("raw=").map_or(detail, |(what, _)| what);
        let end = (0..=DETAIL_BYTES_MAX.min(detail.len())).rev().find(|at| detail.is_char_boundary(*at));
        let detail = detail.get(..end.unwrap_or(0)).unwrap_or("");
        Self { kind, message: message.into(), detail: detail.replace(char::is_control, " ") }
    }

    pub(crate) fn broken(detail: &str) -> Self {
        Self::new(UpstreamFaultKind::Broken, detail)
    }

    pub(crate) fn protocol(detail: &str) -> Self {
        Self::new(UpstreamFaultKind::Protocol, detail)
    }
}

/// Bad JSON inside an answer.
impl From<Broken> for UpstreamFault {
    fn from(broken: Broken) -> Self {
        Self::protocol(&format!("not the JSON of this format at byte {}: {:?}", broken.at, broken.why))
    }
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
    /// The status that goes with it, where one can still go; some dialects name the type by it.
    pub status: u16,
    pub request_id: Option<&'a str>,
}

impl<'a> ErrorBody<'a> {
    /// An error about which no more is known than its kind, words and status.
    pub fn new(kind: ErrorType, message: &'a str, status: u16) -> Self {
        Self { kind, message, param: None, code: None, status, request_id: None }
    }
}

#[cfg(test)]
mod tests {
    use super::UpstreamFault;

    #[test]
    fn details_are_bounded_and_hold_no_answers() {
        let detail = |text: &str| UpstreamFault::broken(text).detail;
        assert_eq!(
            detail("error parsing tool call: raw='what the model said', err=x"),
            "error parsing tool call: "
        );
        assert_eq!(detail("a\nb"), "a b");
        assert_eq!(detail(&"é".repeat(2_000)).len(), 2_048);
    }
}
