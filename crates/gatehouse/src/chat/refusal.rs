//! What a gateway's refusal means to the person who asked.
//!
//! Why here: refusals come in two shapes (OpenAI's error object, and `{"error":"text"}` in the seed profile), as a
//! status before the stream or as an event inside it. All four meet in one table.
//!
//! Never here: showing the gateway's own text. It is logged.

use axum::http::StatusCode;
use serde::Deserialize;

use super::api::{Failure, FailureAction};
use super::failure::failure;

/// A refusal as it came, before it means anything.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// `None`: an event inside a stream whose status was 200.
    pub status: Option<StatusCode>,
    pub kind: String,
    pub code: String,
    pub message: String,
    pub retry_after_s: Option<u64>,
    pub request_id: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    error: Shape,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Shape {
    Text(String),
    Object(Object),
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<Code>,
}

/// Some servers send the status as a number here.
#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Word(String),
    Number(u16),
}

impl Refusal {
    /// Reads either shape; a body that is neither leaves the words empty.
    pub fn read(status: Option<StatusCode>, body: &[u8]) -> Self {
        let mut refusal = Self { status, ..Self::default() };
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { error: Shape::Text(message) }) => refusal.message = message,
            Ok(Body { error: Shape::Object(object) }) => {
                refusal.message = object.message.unwrap_or_default();
                refusal.kind = object.kind.unwrap_or_default();
                match object.code {
                    Some(Code::Word(code)) => refusal.code = code,
                    Some(Code::Number(n)) => refusal.status = status.or_else(|| StatusCode::from_u16(n).ok()),
                    None => {}
                }
            }
            Err(_) => {}
        }
        refusal
    }

    /// The status, or the one that the words of an in-stream error stand for.
    fn class(&self) -> u16 {
        match (self.status, self.kind.as_str(), self.code.as_str()) {
            (Some(status), _, _) => status.as_u16(),
            (_, _, "invalid_api_key" | "address_not_allowed") => 401,
            (_, _, "request_too_large") => 413,
            (_, _, "upstream_timeout") => 504,
            (_, _, "upstream_unavailable" | "queue_timeout" | "shutting_down") => 503,
            (_, _, "model_not_found") => 404,
            (_, "invalid_request_error", _) => 400,
            (_, "authentication_error" | "permission_error", _) => 401,
            (_, "rate_limit_error" | "rate_limit_exceeded", _) | (_, _, "rate_limit_exceeded") => 429,
            (_, _, "overloaded" | "queue_full" | "model_overloaded") | (_, "overloaded_error", _) => 503,
            _ => 500,
        }
    }

    fn too_long(&self) -> bool {
        matches!(
            self.code.as_str(),
            "context_length_exceeded" | "prompt_too_long" | "string_above_max_length"
        ) || self.message.contains("prompt too long")
    }

    pub fn failure(self) -> Failure {
        tracing::warn!(
            status = self.status.map(|s| s.as_u16()),
            kind = self.kind,
            code = self.code,
            message = self.message,
            request_id = self.request_id,
            "the gateway refused"
        );
        Failure { retry_after_s: self.retry_after_s, request_id: self.request_id.clone(), ..self.meaning() }
    }

    fn meaning(&self) -> Failure {
        match self.class() {
            _ if self.too_long() => failure(
                "prompt_too_long",
                "The question with its conversation is longer than the gateway accepts.",
                FailureAction::Shorten,
            ),
            401 | 403 => failure(
                "key_refused",
                "The gateway does not accept this chat server's key. Its operator must correct it.",
                FailureAction::Operator,
            ),
            404 => failure(
                "model_not_found",
                "This model is not there. Choose another one.",
                FailureAction::Operator,
            ),
            413 => failure(
                "prompt_too_long",
                "The conversation is larger than the gateway accepts.",
                FailureAction::NewChat,
            ),
            429 => failure("rate_limited", "Too many requests at the moment.", FailureAction::Wait),
            400..=499 => failure(
                "request_refused",
                "The gateway did not accept this question. The model may not support what it contains.",
                FailureAction::Shorten,
            ),
            503 => {
                failure("gateway_busy", "The models are busy or starting at the moment.", FailureAction::Wait)
            }
            504 => {
                failure("gateway_silent", "The model has not answered for too long.", FailureAction::Retry)
            }
            _ => failure("gateway_failed", "The model could not finish this answer.", FailureAction::Retry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: Option<u16>, body: &str, code: &str, action: FailureAction) {
        let status = status.map(|s| StatusCode::from_u16(s).unwrap());
        let failure = Refusal::read(status, body.as_bytes()).failure();
        assert_eq!((failure.code.as_ref(), failure.action), (code, action), "{body}");
        assert!(!failure.message.contains("10.0.0.7"), "outside text leaked");
    }

    #[test]
    fn both_shapes_before_and_inside_the_stream() {
        use FailureAction::{NewChat, Operator, Retry, Shorten, Wait};
        check(Some(401), r#"{"error":"invalid api key"}"#, "key_refused", Operator);
        check(
            Some(401),
            r#"{"error":{"message":"x","type":"authentication_error","code":null}}"#,
            "key_refused",
            Operator,
        );
        check(Some(400), r#"{"error":"prompt too long, max 32768 chars"}"#, "prompt_too_long", Shorten);
        check(
            Some(400),
            r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#,
            "prompt_too_long",
            Shorten,
        );
        check(
            Some(400),
            r#"{"error":{"message":"m at 10.0.0.7:1","code":"invalid_value"}}"#,
            "request_refused",
            Shorten,
        );
        check(
            Some(404),
            r#"{"error":{"message":"m","code":"model_not_found"}}"#,
            "model_not_found",
            Operator,
        );
        check(Some(413), "", "prompt_too_long", NewChat);
        check(Some(429), r#"{"error":"rate limit exceeded"}"#, "rate_limited", Wait);
        check(Some(503), "<html>10.0.0.7</html>", "gateway_busy", Wait);
        check(Some(500), "", "gateway_failed", Retry);
        check(Some(504), "", "gateway_silent", Retry);
        check(
            None,
            r#"{"error":{"message":"10.0.0.7 died","type":"server_error","code":null}}"#,
            "gateway_failed",
            Retry,
        );
        check(None, r#"{"error":{"message":"","type":"rate_limit_error"}}"#, "rate_limited", Wait);
        check(None, r#"{"error":{"message":"","code":503}}"#, "gateway_busy", Wait);
        for code in ["upstream_unavailable", "queue_timeout", "queue_full", "shutting_down"] {
            let body = format!(
                r#"{{"error":{{"message":"m","type":"server_error","param":null,"code":"{code}"}}}}"#
            );
            check(None, &body, "gateway_busy", Wait);
        }
        check(
            None,
            r#"{"error":{"message":"","type":"server_error","code":"upstream_timeout"}}"#,
            "gateway_silent",
            Retry,
        );
        check(None, r#"{"error":"prompt too long, max 9 chars"}"#, "prompt_too_long", Shorten);
    }
}
