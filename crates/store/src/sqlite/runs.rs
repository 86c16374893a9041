//! Runs: how an answer begins, grows and ends.
//!
//! Why here: question, empty answer and run are one transaction; so are the folding of the pieces and the run's end.
//! Nothing else writes an answer.
//!
//! Never here: deciding whether a run may begin for other reasons than the chat's own state.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::branch::{next_position, place};
use super::rows::{kind, kind_word, number, signed, status, status_word, usage};
use super::{SqliteStore, chats};
use crate::conversations::{
    Again, Ending, Exchange, Limits, Piece, PieceKind, Question, Role, RunMark, RunTail, Settled,
};
use crate::{Result, StoreError};

type Tx<'a> = Transaction<'a, Sqlite>;

pub(super) async fn exchange_of(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    client_id: &str,
) -> Result<Option<Exchange>> {
    // The first answer is the one that was begun with the question; later siblings are regenerations.
    let row = sqlx::query(
        "SELECT q.id, a.id, r.id FROM chat c
         JOIN message q ON q.chat_id = c.id AND q.client_id = ?3
         JOIN message a ON a.chat_id = c.id AND a.parent_id = q.id
         JOIN run r ON r.message_id = a.id
         WHERE c.id = ?2 AND c.owner = ?1 ORDER BY a.position LIMIT 1",
    )
    .bind(owner)
    .bind(chat_id)
    .bind(client_id)
    .fetch_optional(&store.read)
    .await?;
    row.map(|r| {
        Ok(Exchange { user_message_id: r.try_get(0)?, message_id: r.try_get(1)?, run_id: r.try_get(2)? })
    })
    .transpose()
}

pub(super) async fn begin_question(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    q: &Question<'_>,
    limits: Limits,
) -> Result<Exchange> {
    let mut tx = store.writing().await?;
    claim(&mut tx, owner, chat_id).await?;
    if let Some(parent) = q.parent_id {
        place(&mut tx, chat_id, parent).await?;
    }
    let position = next_position(&mut tx, chat_id, limits.messages_max).await?;
    let question = NewMessage {
        id: q.user_message_id,
        chat_id,
        position,
        parent_id: q.parent_id,
        client_id: Some(q.client_id),
        role: "user",
        model: None,
        status: "done",
        text: q.text,
        now_ms: q.now_ms,
    };
    question.insert(&mut tx).await?;
    for (position, image) in (0_i64..).zip(q.images) {
        sqlx::query(
            "INSERT INTO message_image (message_id, position, media_type, bytes) VALUES (?, ?, ?, ?)",
        )
        .bind(q.user_message_id)
        .bind(position)
        .bind(&image.media_type)
        .bind(&image.bytes)
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query("UPDATE chat SET title = ?3 WHERE id = ?1 AND owner = ?2 AND title = ''")
        .bind(chat_id)
        .bind(owner)
        .bind(q.title)
        .execute(&mut *tx)
        .await?;
    let answer = Answer {
        owner,
        chat_id,
        parent_id: q.user_message_id,
        message_id: q.message_id,
        run_id: q.run_id,
        model: q.model,
        position: position + 1,
        now_ms: q.now_ms,
    };
    answer.begin(tx).await
}

pub(super) async fn begin_again(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    again: &Again<'_>,
    limits: Limits,
) -> Result<Exchange> {
    let mut tx = store.writing().await?;
    claim(&mut tx, owner, chat_id).await?;
    let question = match place(&mut tx, chat_id, again.of).await? {
        (Role::User, _) => again.of.to_owned(),
        (Role::Assistant, parent) => parent.ok_or(StoreError::NotFound)?,
    };
    let position = next_position(&mut tx, chat_id, limits.messages_max).await?;
    let answer = Answer {
        owner,
        chat_id,
        parent_id: &question,
        message_id: again.message_id,
        run_id: again.run_id,
        model: again.model,
        position,
        now_ms: again.now_ms,
    };
    answer.begin(tx).await
}

/// The chat is the owner's and no answer is being written in it.
async fn claim(tx: &mut Tx<'_>, owner: &str, chat_id: &str) -> Result<()> {
    let running: i64 = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM run r WHERE r.chat_id = c.id AND r.state = 'running')
         FROM chat c WHERE c.id = ? AND c.owner = ?",
    )
    .bind(chat_id)
    .bind(owner)
    .fetch_one(&mut **tx)
    .await?
    .try_get(0)?;
    if running == 0 { Ok(()) } else { Err(StoreError::Occupied) }
}

struct NewMessage<'a> {
    id: &'a str,
    chat_id: &'a str,
    position: i64,
    parent_id: Option<&'a str>,
    client_id: Option<&'a str>,
    role: &'static str,
    model: Option<&'a str>,
    status: &'static str,
    text: &'a str,
    now_ms: i64,
}

impl NewMessage<'_> {
    async fn insert(&self, tx: &mut Tx<'_>) -> Result<()> {
        sqlx::query(
            "INSERT INTO message (id, chat_id, position, parent_id, client_id, role, model, status, created_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(self.id)
        .bind(self.chat_id)
        .bind(self.position)
        .bind(self.parent_id)
        .bind(self.client_id)
        .bind(self.role)
        .bind(self.model)
        .bind(self.status)
        .bind(self.now_ms)
        .execute(&mut **tx)
        .await?;
        sqlx::query("INSERT INTO message_text (message_id, text, thinking) VALUES (?, ?, '')")
            .bind(self.id)
            .bind(self.text)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// An empty answer, its run, and the head moved onto it.
struct Answer<'a> {
    owner: &'a str,
    chat_id: &'a str,
    parent_id: &'a str,
    message_id: &'a str,
    run_id: &'a str,
    model: &'a str,
    position: i64,
    now_ms: i64,
}

impl Answer<'_> {
    async fn begin(&self, mut tx: Tx<'_>) -> Result<Exchange> {
        let message = NewMessage {
            id: self.message_id,
            chat_id: self.chat_id,
            position: self.position,
            parent_id: Some(self.parent_id),
            client_id: None,
            role: "assistant",
            model: Some(self.model),
            status: "running",
            text: "",
            now_ms: self.now_ms,
        };
        message.insert(&mut tx).await?;
        sqlx::query("INSERT INTO run (id, chat_id, message_id, state, seq) VALUES (?, ?, ?, 'running', 0)")
            .bind(self.run_id)
            .bind(self.chat_id)
            .bind(self.message_id)
            .execute(&mut *tx)
            .await?;
        chats::set_head(&mut tx, self.owner, self.chat_id, self.message_id, self.now_ms).await?;
        tx.commit().await?;
        Ok(Exchange {
            user_message_id: self.parent_id.to_owned(),
            message_id: self.message_id.to_owned(),
            run_id: self.run_id.to_owned(),
        })
    }
}

pub(super) async fn append(store: &SqliteStore, owner: &str, run_id: &str, piece: &Piece) -> Result<()> {
    let mut tx = store.writing().await?;
    // The number must be the next one: a repeated or skipped piece would be shown to everybody who resumes.
    let moved = sqlx::query(
        "UPDATE run SET seq = ?3 WHERE id = ?2 AND state = 'running' AND seq = ?3 - 1
         AND chat_id IN (SELECT id FROM chat WHERE owner = ?1)",
    )
    .bind(owner)
    .bind(run_id)
    .bind(signed(piece.seq))
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if moved == 0 {
        return Err(StoreError::NotFound);
    }
    sqlx::query("INSERT INTO run_event (run_id, seq, kind, body) VALUES (?, ?, ?, ?)")
        .bind(run_id)
        .bind(signed(piece.seq))
        .bind(kind_word(piece.kind))
        .bind(&piece.text)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn finish(
    store: &SqliteStore,
    owner: &str,
    run_id: &str,
    ending: &Ending<'_>,
) -> Result<u64> {
    let mut tx = store.writing().await?;
    let row = sqlx::query(
        "SELECT r.chat_id, r.message_id, r.seq, r.state FROM run r JOIN chat c ON c.id = r.chat_id
         WHERE r.id = ? AND c.owner = ?",
    )
    .bind(run_id)
    .bind(owner)
    .fetch_one(&mut *tx)
    .await?;
    let seq = number(row.try_get("seq")?);
    if row.try_get::<&str, _>("state")? != "running" {
        return Ok(seq);
    }
    settle(&mut tx, run_id, row.try_get("chat_id")?, row.try_get("message_id")?, ending).await?;
    tx.commit().await?;
    Ok(seq + 1)
}

/// Folds the pieces into the message and closes the run, inside the caller's transaction.
async fn settle(
    tx: &mut Tx<'_>,
    run_id: &str,
    chat_id: &str,
    message_id: &str,
    ending: &Ending<'_>,
) -> Result<()> {
    let (mut text, mut thinking) = (String::new(), String::new());
    let pieces =
        sqlx::query("SELECT seq, kind, body FROM run_event WHERE run_id = ? ORDER BY seq").bind(run_id);
    for row in pieces.fetch_all(&mut **tx).await? {
        let piece = piece(&row)?;
        match piece.kind {
            PieceKind::Text => text.push_str(&piece.text),
            PieceKind::Thinking => thinking.push_str(&piece.text),
        }
    }
    sqlx::query("UPDATE message_text SET text = ?, thinking = ? WHERE message_id = ?")
        .bind(text)
        .bind(thinking)
        .bind(message_id)
        .execute(&mut **tx)
        .await?;
    let usage = ending.usage;
    sqlx::query(
        "UPDATE message SET status = ?, failure = ?, prompt_tokens = ?, output_tokens = ?, seconds = ?,
         tokens_per_second = ? WHERE id = ?",
    )
    .bind(status_word(ending.status))
    .bind(ending.failure)
    .bind(usage.map(|u| signed(u.prompt_tokens)))
    .bind(usage.map(|u| signed(u.output_tokens)))
    .bind(usage.map(|u| u.seconds))
    .bind(usage.map(|u| u.tokens_per_second))
    .bind(message_id)
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE run SET state = 'ended', seq = seq + 1 WHERE id = ?")
        .bind(run_id)
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM run_event WHERE run_id = ?").bind(run_id).execute(&mut **tx).await?;
    sqlx::query("UPDATE chat SET updated_ms = max(updated_ms, ?), rev = rev + 1 WHERE id = ?")
        .bind(ending.now_ms)
        .bind(chat_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn piece(row: &SqliteRow) -> Result<Piece> {
    Ok(Piece {
        seq: number(row.try_get("seq")?),
        kind: kind(row.try_get("kind")?)?,
        text: row.try_get("body")?,
    })
}

pub(super) async fn tail(
    store: &SqliteStore,
    owner: &str,
    run_id: &str,
    after: u64,
    pieces_max: u32,
) -> Result<RunTail> {
    let mut tx = store.reading().await?;
    let row = sqlx::query(
        "SELECT r.id, r.chat_id, r.message_id, r.seq, r.state, m.status, m.failure, m.prompt_tokens,
                m.output_tokens, m.seconds, m.tokens_per_second, t.text, t.thinking
         FROM run r JOIN chat c ON c.id = r.chat_id JOIN message m ON m.id = r.message_id
         JOIN message_text t ON t.message_id = m.id
         WHERE r.id = ? AND c.owner = ?",
    )
    .bind(run_id)
    .bind(owner)
    .fetch_one(&mut *tx)
    .await?;
    let run = RunMark {
        id: row.try_get("id")?,
        message_id: row.try_get("message_id")?,
        seq: number(row.try_get("seq")?),
    };
    let chat_id = row.try_get("chat_id")?;
    if row.try_get::<&str, _>("state")? == "ended" {
        let settled = Settled {
            status: status(row.try_get("status")?)?,
            failure: row.try_get("failure")?,
            usage: usage(&row)?,
            text: row.try_get("text")?,
            thinking: row.try_get("thinking")?,
        };
        return Ok(RunTail { run, chat_id, pieces: Vec::new(), settled: Some(settled) });
    }
    let rows = sqlx::query(
        "SELECT seq, kind, body FROM run_event WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?",
    )
    .bind(run_id)
    .bind(signed(after))
    .bind(pieces_max)
    .fetch_all(&mut *tx)
    .await?;
    let pieces = rows.iter().map(piece).collect::<Result<Vec<_>>>()?;
    Ok(RunTail { run, chat_id, pieces, settled: None })
}

pub(super) async fn run_of(
    store: &SqliteStore,
    owner: &str,
    chat_id: &str,
    run_id: Option<&str>,
) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT c.id, (SELECT r.id FROM run r JOIN message m ON m.id = r.message_id
                       WHERE r.chat_id = c.id AND (?3 IS NULL OR r.id = ?3) ORDER BY m.position DESC LIMIT 1)
         FROM chat c WHERE c.id = ?2 AND c.owner = ?1",
    )
    .bind(owner)
    .bind(chat_id)
    .bind(run_id)
    .fetch_one(&store.read)
    .await?;
    let found: Option<String> = row.try_get(1)?;
    if run_id.is_some() && found.is_none() { Err(StoreError::NotFound) } else { Ok(found) }
}

pub(super) async fn fail_interrupted(store: &SqliteStore, failure: &str, now_ms: i64) -> Result<u64> {
    let mut tx = store.writing().await?;
    let rows = sqlx::query("SELECT id, chat_id, message_id FROM run WHERE state = 'running'")
        .fetch_all(&mut *tx)
        .await?;
    let ending = Ending { status: crate::Status::Failed, failure: Some(failure), usage: None, now_ms };
    for row in &rows {
        settle(&mut tx, row.try_get("id")?, row.try_get("chat_id")?, row.try_get("message_id")?, &ending)
            .await?;
    }
    tx.commit().await?;
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}
