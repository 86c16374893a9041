//! Which errors a route can answer with, and as which statuses its dialect tells them.
//!
//! Why from the errors themselves: their statuses stand in one verdict table; here is only said how far a request must have
//! come to meet each, so that a status in the description is one that a caller can see.
//!
//! Never here: a status.

use std::collections::BTreeSet;
use std::time::Duration;

use wire::{Fault, Format, Manage, Operation, UpstreamFault, UpstreamFaultKind};

use crate::config::Counts;
use crate::error::{Clock, Error, ErrorRender, Verdict};
use crate::routes::{Access, Route};
use crate::standing::{Reason, Refusal, Remedy};

/// What an error means to callers of a dialect.
pub(super) fn told(error: &Error, format: Format) -> Verdict {
    ErrorRender { format, operation: wire::Operation::Chat, bare: false }.verdict(error)
}

/// All statuses that a route can refuse with.
pub(super) fn statuses(route: &Route) -> BTreeSet<u16> {
    let met = samples().into_iter().filter(|error| meets(route, error));
    met.map(|error| told(&error, route.format).status.as_u16()).collect()
}

/// Whether a request of this route can come to this error.
pub(super) fn meets(route: &Route, error: &Error) -> bool {
    let operation = route.operation;
    // A model works for it.
    let works =
        matches!(operation, Operation::Chat | Operation::Complete | Operation::Embed | Operation::EmbedOne);
    // The same body, read and not sent.
    let prompts = works || operation == Operation::CountTokens;
    let manages = matches!(operation, Operation::Manage(which) if which != Manage::Other);
    let looks = matches!(operation, Operation::ListModels | Operation::RetrieveModel);
    let names = works || manages || operation == Operation::RetrieveModel;
    // An empty question that would let everybody's model go.
    let unloads =
        route.format == Format::Ollama && matches!(operation, Operation::Chat | Operation::Complete);
    // Passed on as it comes, and not held.
    let flows = operation == Operation::Manage(Manage::Blobs);
    match error {
        // Whoever can connect.
        Error::Request(_)
        | Error::AmbiguousHead
        | Error::UriTooLong
        | Error::AddressRefused
        | Error::WrongMethod { .. }
        | Error::AuditUnavailable
        | Error::Internal => true,
        Error::BodyTooLarge { .. } | Error::BodyTooSlow | Error::BodyEncoded | Error::Crowded => !flows,
        Error::BadKey | Error::TwoCredentials => route.access != Access::Open,
        // Of a path that is described, only the name at its end can be wrong.
        Error::NoRoute => route.path.contains('{'),
        Error::NotGranted => manages || unloads,
        Error::NotServed => operation == Operation::Manage(Manage::Other),
        Error::RateLimited(_) => prompts || looks || manages || operation == Operation::ListResident,
        Error::PromptTooLong { .. } | Error::Filtered => prompts,
        Error::ModelNotFound { .. } => names,
        Error::UpstreamDown => works || looks || manages,
        Error::Upstream(fault) => match fault.kind {
            UpstreamFaultKind::InvalidRequest { .. } => works || manages,
            UpstreamFaultKind::ModelNotFound => names,
            UpstreamFaultKind::RateLimited
            | UpstreamFaultKind::Overloaded
            | UpstreamFaultKind::Broken
            | UpstreamFaultKind::Protocol => works || looks || manages,
        },
        Error::ContextExceeded { .. } | Error::Busy => works,
        Error::Deadline(Clock::Total) | Error::Draining => works || manages,
        Error::Deadline(Clock::Queue | Clock::Load | Clock::FirstByte | Clock::Idle) => works,
    }
}

/// One error of each kind: of every variant, and of every inner kind that has a verdict of its own.
pub(super) fn samples() -> Vec<Error> {
    let fault = Fault { code: "invalid_value", param: None, message: String::new() };
    let mut all = vec![
        Error::Request(fault),
        Error::AmbiguousHead,
        Error::PromptTooLong { max: 0 },
        Error::BodyTooLarge { max: 0 },
        Error::BodyTooSlow,
        Error::BodyEncoded,
        Error::UriTooLong,
        Error::BadKey,
        Error::TwoCredentials,
        Error::AddressRefused,
        Error::NoRoute,
        Error::WrongMethod { allow: String::new() },
        Error::NotGranted,
        Error::NotServed,
        Error::ModelNotFound { model: String::new() },
        Error::ContextExceeded { prompt_tokens: 0, context_tokens: 0 },
        Error::Filtered,
        Error::AuditUnavailable,
        Error::UpstreamDown,
        Error::Busy,
        Error::Crowded,
        Error::Draining,
        Error::Internal,
    ];
    all.extend([Remedy::Wait, Remedy::Budget, Remedy::AskForLess].map(limited));
    all.extend([Clock::Queue, Clock::Load, Clock::FirstByte, Clock::Idle, Clock::Total].map(Error::Deadline));
    all.extend(
        [
            UpstreamFaultKind::InvalidRequest { code: "invalid_value", param: None },
            UpstreamFaultKind::ModelNotFound,
            UpstreamFaultKind::RateLimited,
            UpstreamFaultKind::Overloaded,
            UpstreamFaultKind::Broken,
            UpstreamFaultKind::Protocol,
        ]
        .map(|kind| Error::Upstream(UpstreamFault { kind, message: "".into(), detail: String::new() })),
    );
    all
}

fn limited(remedy: Remedy) -> Error {
    Error::RateLimited(Refusal {
        rule: None,
        counts: Counts::Requests,
        limit: 0,
        remaining: 0,
        requested: 1,
        reset: Duration::ZERO,
        wait: Duration::ZERO,
        retry_after_s: 1,
        remedy,
        reason: Reason::KeyRequests,
    })
}
