//! What can go wrong with a request, grouped by who can act, and the one table that says what each means on the wire.
//!
//! Why here: status, code, retry advice and log level of every refusal stand side by side in [`Error::verdict`], so that
//! two refusals of the same kind cannot answer differently on two routes.
//!
//! Never here: upstream text, addresses or paths in anything a caller sees. Details go to the log under the request id.

mod told;

use std::borrow::Cow;

use http::StatusCode;
use wire::{ErrorType, Fault, UpstreamFault, UpstreamFaultKind};

pub use told::ErrorRender;

use crate::config::Counts;
use crate::standing::{Refusal, Remedy};

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // The caller can act.
    #[error("{0}")]
    Request(Fault),
    #[error("the request head is ambiguous (framing, Host or target)")]
    AmbiguousHead,
    #[error("prompt too long, max {max} chars")]
    PromptTooLong { max: usize },
    #[error("request body too large, max {max} bytes")]
    BodyTooLarge { max: usize },
    #[error("the request body did not arrive in time")]
    BodyTooSlow,
    #[error("request bodies must not be compressed")]
    BodyEncoded,
    #[error("the request path is too long")]
    UriTooLong,
    #[error("invalid api key")]
    BadKey,
    #[error("two different credentials in one request")]
    TwoCredentials,
    #[error("this address may not use this service")]
    AddressRefused,
    #[error("unknown path")]
    NoRoute,
    #[error("method not allowed")]
    WrongMethod { allow: String },
    #[error(
        "this operation is not allowed to this key; the operator can allow it in the key's 'manage' or 'options'"
    )]
    NotGranted,
    #[error("this operation is not served here")]
    NotServed,
    #[error("the model '{model}' does not exist or this key may not use it")]
    ModelNotFound { model: String },
    #[error("{}", rate_text(.0))]
    RateLimited(Refusal),
    #[error("the prompt has at least {prompt_tokens} tokens; the model's context holds {context_tokens}")]
    ContextExceeded { prompt_tokens: u64, context_tokens: u64 },
    #[error("the prompt holds text that this service does not accept")]
    Filtered,

    // The operator can act.
    #[error("the audit log cannot be written")]
    AuditUnavailable,

    // The upstream failed.
    #[error("upstream: {}", .0.detail)]
    Upstream(UpstreamFault),
    #[error("the upstream does not answer")]
    UpstreamDown,
    #[error("{0} ran out")]
    Deadline(Clock),

    // Nobody: it passes.
    #[error("too many requests are waiting")]
    Busy,
    #[error("the buffers are full")]
    Crowded,
    #[error("the gateway is stopping")]
    Draining,
    #[error("internal error")]
    Internal,
}

/// Which clock ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Queue,
    Load,
    FirstByte,
    Idle,
    Total,
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queue => "the time to wait for a free slot",
            Self::Load => "the time to load the model",
            Self::FirstByte => "the time to wait for the first token",
            Self::Idle => "the time between two tokens",
            Self::Total => "the time for the whole answer",
        })
    }
}

/// What an error means: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: StatusCode,
    pub kind: ErrorType,
    pub code: Option<&'static str>,
    /// Seconds for `retry-after`, 1..=60 except where the seed's table says otherwise.
    pub retry_after_s: Option<u64>,
    /// `x-should-retry`: SDKs repeat 5xx, 408, 409 and 429 by themselves unless told not to.
    pub should_retry: Option<bool>,
    pub blame: Blame,
}

/// Who can act; decides the log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Caller,
    Operator,
    Upstream,
    Nobody,
}

impl Error {
    /// The table.
    pub fn verdict(&self) -> Verdict {
        use Blame::{Caller, Nobody, Operator, Upstream};
        use ErrorType::{InvalidRequest, Permission, Server};
        let row = |status, kind, code, blame| Verdict {
            status,
            kind,
            code,
            retry_after_s: None,
            should_retry: None,
            blame,
        };
        let wait = |seconds, verdict: Verdict| Verdict { retry_after_s: Some(seconds), ..verdict };
        let once = |verdict: Verdict| Verdict { should_retry: Some(false), ..verdict };
        type S = StatusCode;
        match self {
            Self::Request(fault) => row(S::BAD_REQUEST, InvalidRequest, Some(fault.code), Caller),
            Self::AmbiguousHead => row(S::BAD_REQUEST, InvalidRequest, Some("invalid_request"), Caller),
            Self::PromptTooLong { .. } => {
                row(S::BAD_REQUEST, InvalidRequest, Some("context_length_exceeded"), Caller)
            }
            Self::BodyTooLarge { .. } => {
                row(S::PAYLOAD_TOO_LARGE, InvalidRequest, Some("request_too_large"), Caller)
            }
            // 408 would be repeated by every SDK although the same upload will be slow again.
            Self::BodyTooSlow => {
                once(row(S::REQUEST_TIMEOUT, InvalidRequest, Some("request_timeout"), Caller))
            }
            Self::BodyEncoded => {
                row(S::UNSUPPORTED_MEDIA_TYPE, InvalidRequest, Some("unsupported_content_encoding"), Caller)
            }
            Self::UriTooLong => row(S::URI_TOO_LONG, InvalidRequest, Some("uri_too_long"), Caller),
            Self::BadKey => row(S::UNAUTHORIZED, InvalidRequest, Some("invalid_api_key"), Caller),
            Self::TwoCredentials => row(S::BAD_REQUEST, InvalidRequest, Some("two_credentials"), Caller),
            Self::AddressRefused => row(S::FORBIDDEN, Permission, Some("address_not_allowed"), Caller),
            Self::NotGranted | Self::NotServed => {
                row(S::FORBIDDEN, Permission, Some("operation_not_allowed"), Caller)
            }
            Self::NoRoute => row(S::NOT_FOUND, InvalidRequest, None, Caller),
            Self::WrongMethod { .. } => row(S::METHOD_NOT_ALLOWED, InvalidRequest, None, Caller),
            Self::ModelNotFound { .. } => row(S::NOT_FOUND, InvalidRequest, Some("model_not_found"), Caller),
            Self::RateLimited(refusal) => rate_verdict(refusal),
            Self::ContextExceeded { .. } => {
                row(S::BAD_REQUEST, InvalidRequest, Some("context_length_exceeded"), Caller)
            }
            Self::Filtered => row(S::BAD_REQUEST, InvalidRequest, Some("content_filter"), Caller),
            Self::AuditUnavailable => {
                wait(10, row(S::SERVICE_UNAVAILABLE, Server, Some("audit_unavailable"), Operator))
            }
            Self::Upstream(fault) => upstream_verdict(fault.kind),
            Self::UpstreamDown => {
                wait(5, row(S::SERVICE_UNAVAILABLE, Server, Some("upstream_unavailable"), Upstream))
            }
            Self::Deadline(Clock::Queue) => {
                wait(10, row(S::SERVICE_UNAVAILABLE, Server, Some("queue_timeout"), Nobody))
            }
            Self::Deadline(_) => row(S::GATEWAY_TIMEOUT, Server, Some("upstream_timeout"), Upstream),
            Self::Crowded => wait(5, row(S::SERVICE_UNAVAILABLE, Server, Some("overloaded"), Nobody)),
            Self::Busy => wait(5, row(S::SERVICE_UNAVAILABLE, Server, Some("queue_full"), Nobody)),
            Self::Draining => wait(5, row(S::SERVICE_UNAVAILABLE, Server, Some("shutting_down"), Nobody)),
            Self::Internal => row(S::INTERNAL_SERVER_ERROR, Server, Some("internal_error"), Operator),
        }
    }

    /// What a caller may read: what happened, and what to do where that is not plain.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Upstream(fault) => fault.message.clone(),
            Self::RateLimited(refusal) => rate_text(refusal).into(),
            Self::UpstreamDown => "the model server is not answering, please try again in a moment".into(),
            Self::Deadline(Clock::Queue) => {
                "no model slot became free in time, please try again in a moment".into()
            }
            Self::Deadline(clock) => format!("the model server took too long: {clock} ran out").into(),
            Self::Busy => "the model server is busy, please try again in a moment".into(),
            Self::Crowded => "the service holds as much data as it may, please try again in a moment".into(),
            Self::Draining => "the service is restarting, please try again in a moment".into(),
            Self::AuditUnavailable => {
                "the service cannot record requests at the moment; the operator has to free the audit log"
                    .into()
            }
            caller => caller.to_string().into(),
        }
    }

    /// The request member at fault, in the caller's dialect.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Request(fault) => fault.param.as_deref(),
            Self::PromptTooLong { .. } | Self::ContextExceeded { .. } | Self::Filtered => Some("messages"),
            Self::Upstream(UpstreamFault {
                kind: UpstreamFaultKind::InvalidRequest { param, .. }, ..
            }) => *param,
            _ => None,
        }
    }

    /// The label of this error in metrics and the audit record.
    pub fn label(&self) -> &'static str {
        let verdict = self.verdict();
        verdict.code.unwrap_or(match verdict.status {
            StatusCode::NOT_FOUND => "unknown_path",
            StatusCode::METHOD_NOT_ALLOWED => "wrong_method",
            _ => "refused",
        })
    }
}

/// Which limit, what it counts, and what would have been needed.
fn rate_text(refusal: &Refusal) -> String {
    let Refusal { rule, counts, limit, remaining, requested, remedy, .. } = refusal;
    let Some(rule) = rule else {
        return format!("rate limit reached, max {limit} requests per window");
    };
    let what = match counts {
        Counts::Requests => "requests",
        Counts::PromptTokens => "prompt tokens",
        Counts::OutputTokens => "output tokens",
        Counts::Tokens => "tokens",
        Counts::Concurrency => "requests at the same time",
    };
    match remedy {
        Remedy::AskForLess => {
            format!("this request needs {requested} {what}; the limit '{rule}' allows {limit} altogether")
        }
        Remedy::Wait | Remedy::Budget => {
            format!("the limit '{rule}' is reached: max {limit} {what}, {remaining} left, {requested} needed")
        }
    }
}

fn rate_verdict(refusal: &Refusal) -> Verdict {
    let (code, should_retry) = match refusal.remedy {
        Remedy::Wait => ("rate_limit_exceeded", None),
        // Neither comes right by repeating: SDKs would wait a minute, three times, for a day or for ever.
        Remedy::Budget => ("insufficient_quota", Some(false)),
        Remedy::AskForLess => ("rate_limit_exceeded", Some(false)),
    };
    Verdict {
        status: StatusCode::TOO_MANY_REQUESTS,
        kind: ErrorType::RateLimit,
        code: Some(code),
        retry_after_s: Some(refusal.retry_after_s),
        should_retry,
        blame: Blame::Caller,
    }
}

fn upstream_verdict(kind: UpstreamFaultKind) -> Verdict {
    let row = |status, error_type, blame| Verdict {
        status,
        kind: error_type,
        code: Some(kind.code()),
        retry_after_s: None,
        should_retry: None,
        blame,
    };
    let busy = |verdict: Verdict| Verdict { retry_after_s: Some(5), ..verdict };
    match kind {
        UpstreamFaultKind::InvalidRequest { .. } => {
            row(StatusCode::BAD_REQUEST, ErrorType::InvalidRequest, Blame::Caller)
        }
        UpstreamFaultKind::ModelNotFound => {
            row(StatusCode::NOT_FOUND, ErrorType::InvalidRequest, Blame::Caller)
        }
        UpstreamFaultKind::RateLimited => {
            busy(row(StatusCode::TOO_MANY_REQUESTS, ErrorType::RateLimit, Blame::Upstream))
        }
        UpstreamFaultKind::Overloaded => {
            busy(row(StatusCode::SERVICE_UNAVAILABLE, ErrorType::Server, Blame::Upstream))
        }
        UpstreamFaultKind::Broken => row(StatusCode::BAD_GATEWAY, ErrorType::Server, Blame::Upstream),
        // Most often a wrong address or format in the configuration.
        UpstreamFaultKind::Protocol => row(StatusCode::BAD_GATEWAY, ErrorType::Server, Blame::Operator),
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Request(fault)
    }
}

impl From<UpstreamFault> for Error {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream(fault)
    }
}
