//! Chats: create, list, show, rename, move the head, delete.
//!
//! Why here: every statement that touches `chat` by itself, each with `owner = ?` in it.
//!
//! Never here: messages and runs beyond finding the head.

use sqlx::{Row, Sqlite, Transaction};

use super::rows::{number, summary};
use super::{SqliteStore, branch};
use crate::conversations::{ChatSummary, ChatView, NewChat, Page, RunMark};
use crate::{Limit, Result, StoreError};

pub(super) async fn create(store: &SqliteStore, chat: &NewChat<'_>) -> Result<ChatSummary> {
    let mut tx = store.writing().await?;
    let have: i64 = sqlx::query("SELECT count(*) FROM chat WHERE owner = ?")
        .bind(chat.owner)
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
    if number(have) >= chat.chats_max {
        return Err(StoreError::Limit(Limit::Chats));
    }
    sqlx::query(
        "INSERT INTO chat (id, owner, title, created_ms, updated_ms, rev) VALUES (?1, ?2, ?3, ?4, ?4, 0)",
    )
    .bind(chat.id)
    .bind(chat.owner)
    .bind(chat.title)
    .bind(chat.now_ms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(ChatSummary { id: chat.id.to_owned(), title: chat.title.to_owned(), updated_ms: chat.now_ms })
}

pub(super) async fn list(
    store: &SqliteStore,
    owner: &str,
    before: Option<&str>,
    chats_max: u32,
) -> Result<Vec<ChatSummary>> {
    let mut tx = store.reading().await?;
    let (updated_ms, id) = match before {
        None => (i64::MAX, String::new()),
        Some(id) => {
            let row = sqlx::query("SELECT updated_ms FROM chat WHERE id = ? AND owner = ?")
                .bind(id)
                .bind(owner)
                .fetch_one(&mut *tx)
                .await?;
            (row.try_get(0)?, id.to_owned())
        }
    };
    let rows = sqlx::query(
        "SELECT id, title, updated_ms FROM chat WHERE owner = ?1 AND (updated_ms, id) < (?2, ?3)
         ORDER BY updated_ms DESC, id DESC LIMIT ?4",
    )
    .bind(owner)
    .bind(updated_ms)
    .bind(id)
    .bind(chats_max)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(summary).collect()
}

pub(super) async fn view(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    page: Page<'_>,
) -> Result<ChatView> {
    let mut tx = store.reading().await?;
    let row = sqlx::query("SELECT id, title, updated_ms, head_id FROM chat WHERE id = ? AND owner = ?")
        .bind(chat_id)
        .bind(owner)
        .fetch_one(&mut *tx)
        .await?;
    let head_id: Option<String> = row.try_get("head_id")?;
    let run = sqlx::query(
        "SELECT r.id, r.message_id, r.seq FROM run r JOIN chat c ON c.id = r.chat_id
         WHERE c.id = ? AND c.owner = ? AND r.state = 'running'",
    )
    .bind(chat_id)
    .bind(owner)
    .fetch_optional(&mut *tx)
    .await?;
    let run = match run {
        Some(r) => Some(RunMark {
            id: r.try_get(0)?,
            message_id: r.try_get(1)?,
            seq: number(r.try_get::<i64, _>(2)?),
        }),
        None => None,
    };
    let branch = branch::page(&mut tx, owner, chat_id, head_id.as_deref(), page).await?;
    Ok(ChatView { summary: summary(&row)?, head_id, branch, run })
}

pub(super) async fn rename(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    title: &str,
    now_ms: i64,
) -> Result<ChatSummary> {
    let mut tx = store.writing().await?;
    let row = sqlx::query(
        "UPDATE chat SET title = ?3, updated_ms = ?4, rev = rev + 1 WHERE id = ?1 AND owner = ?2
         RETURNING id, title, updated_ms",
    )
    .bind(chat_id)
    .bind(owner)
    .bind(title)
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    summary(&row)
}

pub(super) async fn move_head(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    message_id: &str,
    now_ms: i64,
) -> Result<ChatSummary> {
    let mut tx = store.writing().await?;
    // The newest message at or below: positions grow with time, so it is a leaf of the newest line of descent.
    let leaf: Option<String> = sqlx::query(
        "WITH RECURSIVE below (id, position) AS (
           SELECT m.id, m.position FROM message m JOIN chat c ON c.id = m.chat_id
           WHERE m.id = ?3 AND c.id = ?2 AND c.owner = ?1
           UNION ALL
           SELECT m.id, m.position FROM below b JOIN message m ON m.chat_id = ?2 AND m.parent_id = b.id)
         SELECT id FROM below ORDER BY position DESC LIMIT 1",
    )
    .bind(owner)
    .bind(chat_id)
    .bind(message_id)
    .fetch_optional(&mut *tx)
    .await?
    .map(|row| row.try_get(0))
    .transpose()?;
    let leaf = leaf.ok_or(StoreError::NotFound)?;
    let row = set_head(&mut tx, owner, chat_id, &leaf, now_ms).await?;
    tx.commit().await?;
    Ok(row)
}

pub(super) async fn set_head(
    tx: &mut Transaction<'_, Sqlite>,
    owner: &str,
    chat_id: &str,
    head_id: &str,
    now_ms: i64,
) -> Result<ChatSummary> {
    let row = sqlx::query(
        "UPDATE chat SET head_id = ?3, updated_ms = ?4, rev = rev + 1 WHERE id = ?1 AND owner = ?2
         RETURNING id, title, updated_ms",
    )
    .bind(chat_id)
    .bind(owner)
    .bind(head_id)
    .bind(now_ms)
    .fetch_one(&mut **tx)
    .await?;
    summary(&row)
}

pub(super) async fn delete(store: &SqliteStore, owner: &str, chat_id: &str) -> Result<()> {
    let mut tx = store.writing().await?;
    let gone = sqlx::query("DELETE FROM chat WHERE id = ? AND owner = ?")
        .bind(chat_id)
        .bind(owner)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if gone == 0 {
        return Err(StoreError::NotFound);
    }
    // Pages that came free go back to the disk.
    sqlx::raw_sql("PRAGMA incremental_vacuum").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
