//! Questions: send, regenerate, follow, stop.
//!
//! Why here: a question is checked, stored with its empty answer, and handed to a task of the server; what the browser
//! does afterwards no longer matters to it.
//!
//! Never here: talking to the gateway.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use store::{Exchange, Limits, StoreError};

use super::access::Owner;
use super::api::{FailureAction, Regenerate, Regenerated, Send, Sent};
use super::chats::title_of;
use super::clock::now_ms;
use super::drive::drive;
use super::failure::{ApiError, no_key};
use super::follow::{self, Reader};
use super::hub::{NewRun, Registered, Stop};
use super::rim::{new_id, read_json};
use super::{Site, bounds, image};

const LIMITS: Limits = Limits { messages_max: bounds::MESSAGES_PER_CHAT };

pub(super) async fn send(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(chat_id): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Sent>), ApiError> {
    let send: Send = read_json(request, bounds::QUESTION_BODY_BYTES).await?;
    check_name(&send.client_id, "client_id must have 1 to 256 bytes.")?;
    check_name(&send.model, "Choose a model.")?;
    if send.text.trim().is_empty() && send.images.is_empty() {
        return Err(ApiError::bad_request("The question is empty."));
    }
    if send.text.chars().count() > bounds::TEXT_CHARS {
        return Err(ApiError::too_large("A question may have at most 200000 characters."));
    }
    if send.images.len() > bounds::IMAGES {
        return Err(ApiError::too_large("A question may have at most 4 images."));
    }
    let images = send.images.iter().map(|url| image::read(url)).collect::<Result<Vec<_>, _>>()?;
    let new = NewIds::make()?;
    let title = title_of(&send.text);
    let question = store::Question {
        user_message_id: &new.user_message_id,
        message_id: &new.message_id,
        run_id: &new.run_id,
        client_id: &send.client_id,
        parent_id: send.parent_id.as_deref(),
        text: &send.text,
        images: &images,
        model: &send.model,
        title: &title,
        now_ms: now_ms(),
    };
    let _starting = site.hub.starting.lock().await;
    if let Some(earlier) = site.store.exchange_of(&owner.id, &chat_id, &send.client_id).await? {
        return Ok((StatusCode::ACCEPTED, Json(sent(earlier))));
    }
    let registered = ready(&site, &owner.id, &chat_id, &new).await?;
    let exchange = site.store.begin_question(&owner.id, &chat_id, &question, LIMITS).await?;
    start(&site, registered, send.model);
    Ok((StatusCode::ACCEPTED, Json(sent(exchange))))
}

fn sent(e: Exchange) -> Sent {
    Sent { user_message_id: e.user_message_id, message_id: e.message_id, run_id: e.run_id }
}

pub(super) async fn regenerate(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(chat_id): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Regenerated>), ApiError> {
    let again: Regenerate = read_json(request, bounds::BODY_BYTES).await?;
    check_name(&again.model, "Choose a model.")?;
    let new = NewIds::make()?;
    let plan = store::Again {
        of: &again.message_id,
        message_id: &new.message_id,
        run_id: &new.run_id,
        model: &again.model,
        now_ms: now_ms(),
    };
    let _starting = site.hub.starting.lock().await;
    let registered = ready(&site, &owner.id, &chat_id, &new).await?;
    let exchange = site.store.begin_again(&owner.id, &chat_id, &plan, LIMITS).await?;
    start(&site, registered, again.model);
    let body = Regenerated { message_id: exchange.message_id, run_id: exchange.run_id };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Ids of an exchange that may begin.
struct NewIds {
    user_message_id: String,
    message_id: String,
    run_id: String,
}

impl NewIds {
    fn make() -> Result<Self, ApiError> {
        Ok(Self { user_message_id: new_id()?, message_id: new_id()?, run_id: new_id()? })
    }
}

fn check_name(name: &str, message: &'static str) -> Result<(), ApiError> {
    let fits = !name.is_empty() && name.len() <= bounds::NAME_BYTES && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(ApiError::bad_request(message)) }
}

/// Everything that must hold before the store is written: the chat is there, no run is in it, bounds, a key.
async fn ready(site: &Arc<Site>, owner: &str, chat_id: &str, new: &NewIds) -> Result<Registered, ApiError> {
    let newest = site.store.run_of(owner, chat_id, None).await?;
    if !site.upstream.has_key() && !site.keyless {
        return Err(ApiError { status: StatusCode::SERVICE_UNAVAILABLE, failure: no_key() });
    }
    if let Some(run_id) = newest
        && site.store.tail(owner, &run_id, u64::MAX, 0).await?.settled.is_none()
    {
        site.close_leftover(owner, &run_id).await?;
    }
    site.hub.register(NewRun {
        id: new.run_id.clone(),
        owner: owner.to_owned(),
        chat_id: chat_id.to_owned(),
        message_id: new.message_id.clone(),
    })
}

fn start(site: &Arc<Site>, registered: Registered, model: String) {
    tokio::spawn(drive(Arc::clone(site), registered, model));
}

#[derive(Deserialize)]
pub(super) struct From {
    #[serde(default)]
    after: Option<u64>,
    run: Option<String>,
}

pub(super) async fn events(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(chat_id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = site.store.run_of(&owner.id, &chat_id, from.run.as_deref()).await?;
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let after = resumed.or(from.after).unwrap_or(0);
    let body = match run {
        None => follow::nothing(),
        Some(run_id) => {
            let seat = site.hub.open_stream(&owner.id).ok_or_else(|| {
                ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_streams",
                    "This chat is open in too many places. Close some.",
                    FailureAction::Wait,
                )
            })?;
            follow::stream(Arc::clone(&site), Reader { owner: owner.id, run_id, after, _seat: seat })
        }
    };
    let mut response = Response::new(body);
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // nginx gathers answers unless told not to.
    out.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Returns when the request to the gateway is closed; stopping what has ended is fine.
pub(super) async fn stop(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(run_id): Path<String>,
) -> Result<Json<Stopped>, ApiError> {
    match site.hub.find(&owner.id, &run_id) {
        Some(run) => {
            run.stop(Stop::Asked);
            run.ended().await;
        }
        None => match site.store.tail(&owner.id, &run_id, u64::MAX, 0).await? {
            tail if tail.settled.is_some() => {}
            _ => site.close_leftover(&owner.id, &run_id).await.map_err(|e: StoreError| ApiError::from(e))?,
        },
    }
    Ok(Json(Stopped {}))
}

#[derive(serde::Serialize)]
pub(super) struct Stopped {}
