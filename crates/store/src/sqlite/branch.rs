//! Branches: the line of messages from a tip up to the first question.
//!
//! Why here: messages form a tree; a page of chat and a model's history are both one walk along parents. The walk reads
//! ids and sizes only, a bound is applied, and the rest is fetched in a constant number of queries.
//!
//! Never here: writing.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::SqliteStore;
use super::rows::{kind, number, role, signed, status, usage};
use crate::conversations::{Branch, Image, Message, Page, PieceKind, Turn};
use crate::{Limit, Result, StoreError};

/// The walk: `?1` owner, `?2` chat, `?3` tip, `?4` how many messages at most.
macro_rules! walk {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE branch (id, parent_id, depth) AS (
               SELECT m.id, m.parent_id, 0 FROM message m JOIN chat c ON c.id = m.chat_id
               WHERE m.id = ?3 AND c.id = ?2 AND c.owner = ?1 AND ?4 > 0
               UNION ALL
               SELECT m.id, m.parent_id, b.depth + 1 FROM branch b
               JOIN message m ON m.chat_id = ?2 AND m.id = b.parent_id WHERE b.depth + 1 < ?4) ",
            $rest
        )
    };
}

const SIZES: &str = walk!(
    "SELECT b.depth, b.parent_id,
       coalesce((SELECT octet_length(t.text) + octet_length(t.thinking) FROM message_text t WHERE t.message_id = b.id), 0)
       + coalesce((SELECT sum(octet_length(i.bytes)) FROM message_image i WHERE i.message_id = b.id), 0) AS bytes
     FROM branch b ORDER BY b.depth"
);
const MESSAGES: &str = walk!(
    "SELECT m.*, t.text, t.thinking FROM branch b JOIN message m ON m.id = b.id
     JOIN message_text t ON t.message_id = b.id ORDER BY b.depth DESC"
);
const IMAGES: &str = walk!(
    "SELECT i.message_id, i.media_type, i.bytes FROM branch b JOIN message_image i ON i.message_id = b.id
     ORDER BY i.message_id, i.position"
);
const SIBLINGS: &str = walk!(
    "SELECT b.id, s.id AS sibling FROM branch b JOIN message s ON s.chat_id = ?2 AND s.parent_id IS b.parent_id
     ORDER BY b.id, s.position"
);
const PIECES: &str = walk!(
    "SELECT r.message_id, e.kind, e.body FROM branch b JOIN run r ON r.message_id = b.id AND r.state = 'running'
     JOIN run_event e ON e.run_id = r.id ORDER BY e.run_id, e.seq"
);

/// Where a walk begins and how far it goes.
struct Walk<'a> {
    owner: &'a str,
    chat_id: &'a str,
    tip: &'a str,
    messages_max: i64,
}

impl Walk<'_> {
    async fn rows(&self, tx: &mut Transaction<'_, Sqlite>, sql: &'static str) -> Result<Vec<SqliteRow>> {
        Ok(sqlx::query(sql)
            .bind(self.owner)
            .bind(self.chat_id)
            .bind(self.tip)
            .bind(self.messages_max)
            .fetch_all(&mut **tx)
            .await?)
    }

    /// How many messages fit the bounds (one at least), and whether there are more above them.
    async fn fit(&self, tx: &mut Transaction<'_, Sqlite>, bytes_max: u64) -> Result<(i64, bool)> {
        let rows = self.rows(tx, SIZES).await?;
        let (mut bytes, mut fit, mut above) = (0_u64, 0_i64, false);
        for row in &rows {
            bytes = bytes.saturating_add(number(row.try_get("bytes")?));
            if fit > 0 && bytes > bytes_max {
                return Ok((fit, true));
            }
            fit += 1;
            above = row.try_get::<Option<String>, _>("parent_id")?.is_some();
        }
        Ok((fit, above))
    }
}

/// One page of the branch above (and with) `head_id`, read in the caller's transaction.
pub(super) async fn page(
    tx: &mut Transaction<'_, Sqlite>,
    owner: &str,
    chat_id: &str,
    head_id: Option<&str>,
    page: Page<'_>,
) -> Result<Branch> {
    let tip = match page.before {
        Some(before) => parent(tx, owner, chat_id, before).await?,
        None => head_id.map(str::to_owned),
    };
    let Some(tip) = tip else {
        return Ok(Branch { messages: Vec::new(), older: false });
    };
    let mut walk = Walk { owner, chat_id, tip: &tip, messages_max: i64::from(page.messages_max.max(1)) };
    let (fit, older) = walk.fit(tx, page.bytes_max).await?;
    walk.messages_max = fit;
    Ok(Branch { messages: messages(tx, &walk).await?, older })
}

async fn messages(tx: &mut Transaction<'_, Sqlite>, walk: &Walk<'_>) -> Result<Vec<Message>> {
    let mut images = images(tx, walk).await?;
    let mut siblings: HashMap<String, Vec<String>> = HashMap::new();
    for row in walk.rows(tx, SIBLINGS).await? {
        siblings.entry(row.try_get("id")?).or_default().push(row.try_get("sibling")?);
    }
    let rows = walk.rows(tx, MESSAGES).await?;
    let mut messages = rows.iter().map(message).collect::<Result<Vec<_>>>()?;
    for row in walk.rows(tx, PIECES).await? {
        let id: &str = row.try_get("message_id")?;
        if let Some(message) = messages.iter_mut().find(|m| m.id == id) {
            match kind(row.try_get("kind")?)? {
                PieceKind::Text => message.text.push_str(row.try_get("body")?),
                PieceKind::Thinking => message.thinking.push_str(row.try_get("body")?),
            }
        }
    }
    for message in &mut messages {
        message.images = images.remove(&message.id).unwrap_or_default();
        message.siblings = siblings.remove(&message.id).unwrap_or_default();
    }
    Ok(messages)
}

async fn images(tx: &mut Transaction<'_, Sqlite>, walk: &Walk<'_>) -> Result<HashMap<String, Vec<Image>>> {
    let mut images: HashMap<String, Vec<Image>> = HashMap::new();
    for row in walk.rows(tx, IMAGES).await? {
        let image = Image { media_type: row.try_get("media_type")?, bytes: row.try_get("bytes")? };
        images.entry(row.try_get("message_id")?).or_default().push(image);
    }
    Ok(images)
}

fn message(row: &SqliteRow) -> Result<Message> {
    Ok(Message {
        id: row.try_get("id")?,
        parent_id: row.try_get("parent_id")?,
        role: role(row.try_get("role")?)?,
        model: row.try_get("model")?,
        status: status(row.try_get("status")?)?,
        failure: row.try_get("failure")?,
        usage: usage(row)?,
        created_ms: row.try_get("created_ms")?,
        text: row.try_get("text")?,
        thinking: row.try_get("thinking")?,
        images: Vec::new(),
        siblings: Vec::new(),
    })
}

/// The parent of a message that must be in the chat.
async fn parent(
    tx: &mut Transaction<'_, Sqlite>,
    owner: &str,
    chat_id: &str,
    message_id: &str,
) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT m.parent_id FROM message m JOIN chat c ON c.id = m.chat_id
         WHERE m.id = ? AND c.id = ? AND c.owner = ?",
    )
    .bind(message_id)
    .bind(chat_id)
    .bind(owner)
    .fetch_one(&mut **tx)
    .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn history(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    message_id: &str,
    page: Page<'_>,
) -> Result<Vec<Turn>> {
    let mut tx = store.reading().await?;
    let mut walk =
        Walk { owner, chat_id, tip: message_id, messages_max: i64::from(page.messages_max.max(1)) };
    let (fit, older) = walk.fit(&mut tx, page.bytes_max).await?;
    if fit == 0 {
        return Err(StoreError::NotFound);
    }
    // A model that silently reads half a conversation answers another question.
    if older {
        return Err(StoreError::Limit(Limit::Branch));
    }
    walk.messages_max = fit;
    let mut images = images(&mut tx, &walk).await?;
    let mut turns = Vec::new();
    for row in walk.rows(&mut tx, MESSAGES).await? {
        let id: &str = row.try_get("id")?;
        turns.push(Turn {
            role: role(row.try_get("role")?)?,
            text: row.try_get("text")?,
            images: images.remove(id).unwrap_or_default(),
        });
    }
    Ok(turns)
}

/// Whether a message may carry children: it must be in the chat. Returns its role's word and its parent.
pub(super) async fn place(
    tx: &mut Transaction<'_, Sqlite>,
    chat_id: &str,
    message_id: &str,
) -> Result<(crate::Role, Option<String>)> {
    let row = sqlx::query("SELECT role, parent_id FROM message WHERE chat_id = ? AND id = ?")
        .bind(chat_id)
        .bind(message_id)
        .fetch_one(&mut **tx)
        .await?;
    Ok((role(row.try_get(0)?)?, row.try_get(1)?))
}

/// The next position in a chat, which is also how many messages it has.
pub(super) async fn next_position(
    tx: &mut Transaction<'_, Sqlite>,
    chat_id: &str,
    messages_max: u64,
) -> Result<i64> {
    let row = sqlx::query("SELECT coalesce(max(position) + 1, 0) FROM message WHERE chat_id = ?")
        .bind(chat_id)
        .fetch_one(&mut **tx)
        .await?;
    let next: i64 = row.try_get(0)?;
    if next.saturating_add(2) > signed(messages_max) {
        return Err(StoreError::Limit(Limit::Messages));
    }
    Ok(next)
}
