//! How an error is told in a caller's dialect: its status, the name of the member at fault, and a hint.
//!
//! Why apart from the verdict table: what an error is does not depend on who asks; a few dialects only have other words for
//! it. `docs/api.md` lists them.
//!
//! Never here: deciding what an error is.

use std::borrow::Cow;

use http::StatusCode;
use wire::{ErrorBody, Format, Operation};

use super::{Blame, Error, Verdict};

/// Overload, in the words of Anthropic's clients.
const OVERLOADED: u16 = 529;

/// How errors are written for a request: in which dialect, with or without hints.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRender {
    pub format: Format,
    /// What was asked for: the member at fault is called by its name there.
    pub operation: Operation,
    /// The seed's texts, without hints.
    pub bare: bool,
}

impl ErrorRender {
    /// What the error means to a caller of this dialect.
    pub fn verdict(self, error: &Error) -> Verdict {
        let verdict = error.verdict();
        Verdict { status: status(self.format, &verdict), ..verdict }
    }

    /// The whole body of a refusal.
    pub fn body(self, error: &Error, request_id: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        self.lend(error, request_id, |body| wire::write_error(self.format, body, &mut out));
        out
    }

    /// Lends the error as a body that has not taken its format yet, for streams that have begun.
    pub fn lend<T>(self, error: &Error, request_id: &str, write: impl FnOnce(&ErrorBody<'_>) -> T) -> T {
        let verdict = self.verdict(error);
        let text = match error.hint(self.format, self.operation).filter(|_| !self.bare) {
            Some(hint) => Cow::Owned(format!("{}; {hint}", error.message())),
            None => error.message(),
        };
        write(&ErrorBody {
            kind: verdict.kind,
            message: &text,
            param: error.param().map(|name| member(self.format, self.operation, name)),
            code: verdict.code,
            status: verdict.status.as_u16(),
            request_id: Some(request_id),
        })
    }
}

fn status(format: Format, verdict: &Verdict) -> StatusCode {
    let passes = matches!(verdict.blame, Blame::Nobody | Blame::Upstream);
    match (format, verdict.status) {
        (Format::Anthropic, StatusCode::SERVICE_UNAVAILABLE) => {
            StatusCode::from_u16(OVERLOADED).unwrap_or(verdict.status)
        }
        // Clients of this dialect repeat a 503 thirty times within seconds, and a 404 six times.
        (Format::Responses, StatusCode::SERVICE_UNAVAILABLE) if passes => StatusCode::TOO_MANY_REQUESTS,
        (Format::Responses, StatusCode::NOT_FOUND) if verdict.code.is_some() => StatusCode::BAD_REQUEST,
        (_, status) => status,
    }
}

/// What OpenAI's chat calls so has other names elsewhere.
fn member(format: Format, operation: Operation, name: &str) -> &str {
    match (format, name) {
        (Format::OpenAi | Format::Ollama, "messages") => match operation {
            Operation::Complete | Operation::EmbedOne => "prompt",
            Operation::Embed => "input",
            _ => name,
        },
        (Format::Responses, "messages") => "input",
        (Format::Responses, "response_format") => "text.format",
        (Format::Responses, "reasoning_effort") => "reasoning",
        (Format::Anthropic, "reasoning_effort") => "thinking",
        (Format::Anthropic, "response_format") => "output_config.format",
        (Format::Ollama, "reasoning_effort") => "think",
        (Format::Ollama, "response_format") => "format",
        _ => name,
    }
}

impl Error {
    /// A further sentence for dialects that have room for it; the seed's bodies hold the bare text.
    fn hint(&self, format: Format, operation: Operation) -> Option<&'static str> {
        match self {
            Self::BadKey => Some("send your key as 'Authorization: Bearer KEY', or ask the operator for one"),
            Self::PromptTooLong { .. } | Self::ContextExceeded { .. } => Some(match operation {
                Operation::Complete | Operation::Embed | Operation::EmbedOne => "shorten the text",
                _ => "shorten the messages or start a new conversation",
            }),
            Self::TwoCredentials => Some("send one key, in one header"),
            Self::ModelNotFound { .. } if format == Format::Ollama => {
                Some("GET /api/tags lists the models you may use")
            }
            Self::ModelNotFound { .. } => Some("GET /v1/models lists the models you may use"),
            Self::NoRoute => Some("GET /openapi.json lists what is served"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Clock;

    #[track_caller]
    fn check(error: &Error, expected: [u16; 4]) {
        let told = Format::ALL.map(|format| {
            ErrorRender { format, operation: Operation::Chat, bare: false }.verdict(error).status.as_u16()
        });
        assert_eq!(told, expected, "{error}");
    }

    #[test]
    fn statuses_by_dialect() {
        // OpenAI, Responses, Anthropic, Ollama.
        check(&Error::Busy, [503, 429, 529, 503]);
        check(&Error::Crowded, [503, 429, 529, 503]);
        check(&Error::Deadline(Clock::Queue), [503, 429, 529, 503]);
        check(&Error::UpstreamDown, [503, 429, 529, 503]);
        // Somebody has to do something first.
        check(&Error::AuditUnavailable, [503, 503, 529, 503]);
        check(&Error::ModelNotFound { model: "m".into() }, [404, 400, 404, 404]);
        check(&Error::NoRoute, [404, 404, 404, 404]);
        check(&Error::BadKey, [401, 401, 401, 401]);
        check(&Error::Deadline(Clock::FirstByte), [504, 504, 504, 504]);
    }

    #[test]
    fn members_have_the_callers_name() {
        let error = Error::ContextExceeded { prompt_tokens: 9, context_tokens: 4 };
        let param = |format, operation| {
            let errors = ErrorRender { format, operation, bare: false };
            errors.lend(&error, "req", |body| body.param.map(str::to_owned))
        };
        assert_eq!(param(Format::OpenAi, Operation::Chat).as_deref(), Some("messages"));
        assert_eq!(param(Format::OpenAi, Operation::Complete).as_deref(), Some("prompt"));
        assert_eq!(param(Format::OpenAi, Operation::Embed).as_deref(), Some("input"));
        assert_eq!(param(Format::Responses, Operation::Chat).as_deref(), Some("input"));
        assert_eq!(member(Format::Anthropic, Operation::Chat, "response_format"), "output_config.format");
        assert_eq!(member(Format::Anthropic, Operation::Chat, "reasoning_effort"), "thinking");
        assert_eq!(member(Format::Ollama, Operation::Complete, "response_format"), "format");
        assert_eq!(member(Format::Ollama, Operation::Chat, "reasoning_effort"), "think");
    }
}
