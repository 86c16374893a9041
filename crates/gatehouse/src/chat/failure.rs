//! Every failure a person can meet, with its code, sentence and remedy.
//!
//! Why here: wording is decided once. Outside text (a gateway's message, a path, an address) never gets in; it goes to
//! the log under the request id.
//!
//! Never here: deciding when something failed.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use store::{Actor, Limit, StoreError};

use super::api::{ErrorBody, Failure, FailureAction};

/// A failure without a request behind it.
pub(super) fn failure(code: &'static str, message: &'static str, action: FailureAction) -> Failure {
    Failure { code: code.into(), message: message.into(), action, retry_after_s: None, request_id: None }
}

/// An answer of the API that is not what was asked for.
#[derive(Debug)]
pub(super) struct ApiError {
    pub status: StatusCode,
    pub failure: Failure,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: &'static str, action: FailureAction) -> Self {
        Self { status, failure: failure(code, message, action) }
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing here.", FailureAction::NewChat)
    }

    pub fn bad_request(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, FailureAction::Retry)
    }

    pub fn too_large(message: &'static str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, FailureAction::Shorten)
    }

    pub fn busy() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "busy",
            "An answer is being written in this chat. Wait for it or stop it.",
            FailureAction::Wait,
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.failure.retry_after_s;
        let mut response = (self.status, Json(ErrorBody { error: self.failure })).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let conflict = |code, message| Self::new(StatusCode::CONFLICT, code, message, FailureAction::NewChat);
        match &error {
            StoreError::NotFound => Self::not_found(),
            StoreError::Occupied => Self::busy(),
            StoreError::Limit(Limit::Chats) => {
                conflict("too_many_chats", "You have as many chats as can be kept. Delete some first.")
            }
            StoreError::Limit(Limit::Messages) => {
                conflict("too_many_messages", "This chat is full. Go on in a new one.")
            }
            StoreError::Limit(Limit::Branch) => conflict(
                "long_chat",
                "This chat has grown too long to be sent to a model. Go on in a new one.",
            ),
            _ => Self { status: StatusCode::SERVICE_UNAVAILABLE, failure: of_store(&error) },
        }
    }
}

/// What a failing store means for an answer that is being written.
pub(super) fn of_store(error: &StoreError) -> Failure {
    match (error, error.actor()) {
        (StoreError::Full, _) => failure(
            "storage_full",
            "The chat server has no room left to store conversations. What was stored before is kept.",
            FailureAction::Operator,
        ),
        (_, Actor::Operator) => {
            tracing::error!(%error, "conversation store");
            failure(
                "storage_unavailable",
                "The chat server cannot read or write its conversations. Its operator finds the reason in the log.",
                FailureAction::Operator,
            )
        }
        (_, Actor::Wait) => {
            failure("storage_unavailable", "The conversation store is busy. Try again.", FailureAction::Retry)
        }
        (_, Actor::Caller) => failure("not_found", "This chat was deleted.", FailureAction::NewChat),
    }
}

pub(super) fn no_key() -> Failure {
    failure(
        "no_key",
        "This chat server has no key for the gateway, so it cannot ask a model. Its operator must configure one.",
        FailureAction::Operator,
    )
}

/// A run that the process did not live to end.
pub(super) fn interrupted() -> Failure {
    failure(
        "interrupted",
        "The server was restarted while this was being written. What had arrived is kept.",
        FailureAction::Retry,
    )
}

pub(super) fn server_stopped() -> Failure {
    failure(
        "server_stopped",
        "The chat server was stopped while this was being written. What had arrived is kept.",
        FailureAction::Retry,
    )
}

pub(super) fn answer_too_long() -> Failure {
    failure(
        "answer_too_long",
        "The answer grew longer than this server keeps, so it was ended here.",
        FailureAction::Shorten,
    )
}

pub(super) fn unreachable() -> Failure {
    failure(
        "gateway_unreachable",
        "The gateway that leads to the models cannot be reached. Its operator can start it again.",
        FailureAction::Operator,
    )
}

pub(super) fn silent() -> Failure {
    failure("gateway_silent", "The gateway has not answered for too long.", FailureAction::Retry)
}

pub(super) fn stream_cut() -> Failure {
    failure(
        "stream_cut",
        "The connection broke before the answer was finished. What had arrived is kept.",
        FailureAction::Retry,
    )
}
