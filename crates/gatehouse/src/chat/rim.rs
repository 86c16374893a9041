//! The small routes, and how a JSON body is read.
//!
//! Why here: page, files, health and setup need no chat; body reading is shared by every route that takes one.
//!
//! Never here: conversations.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::access::Owner;
use super::api::{FailureAction, Models, Setup};
use super::clock::fresh_id;
use super::failure::{ApiError, no_key};
use super::{Site, assets, bounds};

pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    let mut response = Response::new(Body::from(site.page.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::serve(&format!("assets/{name}"), &headers)
}

pub(super) async fn health() -> Response {
    let mut response = Response::new(Body::from(r#"{"status":"ok"}"#));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The page's first question, and where a new browser gets its cookie.
pub(super) async fn setup(State(site): State<Arc<Site>>, owner: Owner) -> Response {
    let setup: &Setup = &site.setup;
    with_cookie(Json(setup).into_response(), owner.set_cookie)
}

pub(super) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

pub(super) async fn models(State(site): State<Arc<Site>>) -> Result<Json<Models>, ApiError> {
    if !site.upstream.has_key() && !site.keyless {
        return Ok(Json(Models { models: Vec::new(), error: Some(no_key()) }));
    }
    let request_id = new_id()?;
    Ok(Json(match site.upstream.models(&request_id).await {
        Ok(models) => Models { models, error: None },
        Err(failure) => Models { models: Vec::new(), error: Some(failure) },
    }))
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This address does not do that.",
        FailureAction::Retry,
    )
}

pub(super) fn new_id() -> Result<String, ApiError> {
    fresh_id().ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_randomness",
            "The machine gives no random numbers, so nothing new can be named.",
            FailureAction::Operator,
        )
    })
}

/// Reads a body whole, within bytes and time. An empty one reads as `{}`.
pub(super) async fn read_json<T: DeserializeOwned>(
    request: Request,
    bytes_max: usize,
) -> Result<T, ApiError> {
    let read = Limited::new(request.into_body(), bytes_max).collect();
    let read = timeout(bounds::BODY_TIME, read).await.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow_body",
            "The request took too long to arrive.",
            FailureAction::Retry,
        )
    })?;
    let body: Bytes = read
        .map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                ApiError::too_large("This is larger than the chat accepts.")
            } else {
                ApiError::bad_request("The request broke off.")
            }
        })?
        .to_bytes();
    let json: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(json).map_err(|error| {
        tracing::debug!(%error, "request body");
        ApiError::bad_request("The request is not what this address takes.")
    })
}
