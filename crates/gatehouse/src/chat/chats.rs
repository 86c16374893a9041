//! Chats: list, make, show, change, delete.
//!
//! Why here: thin handlers between the page's shape and the store. The owner goes into every call.
//!
//! Never here: asking a model.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::access::Owner;
use super::api::{ChangeChat, Chat, ChatSummary, Chats, NewChat};
use super::clock::now_ms;
use super::failure::ApiError;
use super::hub::Stop;
use super::rim::{new_id, read_json, with_cookie};
use super::{Site, bounds, records};

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<String>,
}

pub(super) async fn list(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Query(page): Query<Before>,
) -> Result<Json<Chats>, ApiError> {
    let chats = site.store.list_chats(&owner.id, page.before.as_deref(), bounds::CHATS_LISTED).await?;
    Ok(Json(Chats { chats: chats.into_iter().map(records::summary).collect() }))
}

pub(super) async fn create(
    State(site): State<Arc<Site>>,
    owner: Owner,
    request: Request,
) -> Result<Response, ApiError> {
    let new: NewChat = read_json(request, bounds::BODY_BYTES).await?;
    let title = new.title.as_deref().map(clean_title).unwrap_or_default();
    let chat = store::NewChat {
        id: &new_id()?,
        owner: &owner.id,
        title: &title,
        now_ms: now_ms(),
        chats_max: bounds::CHATS_PER_OWNER,
    };
    let made = site.store.create_chat(&chat).await?;
    Ok(with_cookie((StatusCode::CREATED, Json(records::summary(made))).into_response(), owner.set_cookie))
}

pub(super) async fn show(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(chat_id): Path<String>,
    Query(page): Query<Before>,
) -> Result<Json<Chat>, ApiError> {
    let page = store::Page {
        before: page.before.as_deref(),
        messages_max: bounds::PAGE_MESSAGES,
        bytes_max: bounds::PAGE_BYTES,
    };
    let mut view = site.store.chat(&owner.id, &chat_id, page).await?;
    // A run that nobody writes is told as what it is, not as one that will go on.
    if let Some(run) = view.run.as_ref().filter(|r| site.hub.find(&owner.id, &r.id).is_none()) {
        site.close_leftover(&owner.id, &run.id).await?;
        view = site.store.chat(&owner.id, &chat_id, page).await?;
    }
    Ok(Json(records::chat(view)))
}

pub(super) async fn change(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(chat_id): Path<String>,
    request: Request,
) -> Result<Json<ChatSummary>, ApiError> {
    let change: ChangeChat = read_json(request, bounds::BODY_BYTES).await?;
    let mut changed = None;
    if let Some(head_id) = &change.head_id {
        changed = Some(site.store.move_head(&owner.id, &chat_id, head_id, now_ms()).await?);
    }
    if let Some(title) = &change.title {
        let title = clean_title(title);
        if title.is_empty() {
            return Err(ApiError::bad_request("A title needs at least one character."));
        }
        changed = Some(site.store.rename_chat(&owner.id, &chat_id, &title, now_ms()).await?);
    }
    let changed = changed.ok_or_else(|| ApiError::bad_request("Nothing to change was given."))?;
    Ok(Json(records::summary(changed)))
}

/// A running answer is stopped first: nobody is left to read it.
pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    owner: Owner,
    Path(chat_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    // No run can begin between the stop and the deletion.
    let _starting = site.hub.starting.lock().await;
    if let Some(run) = site.hub.in_chat(&owner.id, &chat_id) {
        run.stop(Stop::Asked);
        run.ended().await;
    }
    site.store.delete_chat(&owner.id, &chat_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One line, without control characters, bounded.
pub(super) fn clean_title(text: &str) -> String {
    let words = text.split_whitespace().map(|w| w.chars().filter(|c| !c.is_control()).collect::<String>());
    let line = words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(bounds::TITLE_CHARS).collect()
}

/// A chat's first title: the first words of its first question.
pub(super) fn title_of(question: &str) -> String {
    const CHARS: usize = 48;
    let line = clean_title(question);
    if line.chars().count() <= CHARS {
        return line;
    }
    let short: String = line.chars().take(CHARS).collect();
    // At a word's end where the language has word ends; Chinese has none and is cut where it is.
    let end = short.rfind(' ').filter(|at| *at > short.len() / 2).unwrap_or(short.len());
    format!("{}…", short.split_at(end).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_first_words() {
        for (question, title) in
            [("  Hello\n\tworld ", "Hello world"), ("你好", "你好"), ("\u{0}\u{7}", ""), ("", "")]
        {
            assert_eq!(title_of(question), title);
        }
        let long = title_of(&"word ".repeat(40));
        assert!(long.ends_with("word…") && long.chars().count() <= 49, "{long}");
        assert_eq!(title_of(&"字".repeat(100)).chars().count(), 49);
        assert!(clean_title(&"x".repeat(9_999)).len() <= bounds::TITLE_CHARS);
    }
}
