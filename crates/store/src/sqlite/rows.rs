//! Rows and columns to records and back.
//!
//! Why here: the words that stand in `CHECK` constraints are written in one place, and SQLite's signed numbers are
//! turned into ours where their meaning is known.
//!
//! Never here: queries.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::conversations::{ChatSummary, PieceKind, Role, Status, Usage};
use crate::{Result, StoreError};

pub(super) fn summary(row: &SqliteRow) -> Result<ChatSummary> {
    Ok(ChatSummary {
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

pub(super) fn role(word: &str) -> Result<Role> {
    match word {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        other => Err(impossible("role", other)),
    }
}

pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Done => "done",
        Status::Stopped => "stopped",
        Status::Cut => "cut",
        Status::Failed => "failed",
    }
}

pub(super) fn status(word: &str) -> Result<Status> {
    match word {
        "running" => Ok(Status::Running),
        "done" => Ok(Status::Done),
        "stopped" => Ok(Status::Stopped),
        "cut" => Ok(Status::Cut),
        "failed" => Ok(Status::Failed),
        other => Err(impossible("status", other)),
    }
}

pub(super) fn kind_word(kind: PieceKind) -> &'static str {
    match kind {
        PieceKind::Text => "text",
        PieceKind::Thinking => "thinking",
    }
}

pub(super) fn kind(word: &str) -> Result<PieceKind> {
    match word {
        "text" => Ok(PieceKind::Text),
        "thinking" => Ok(PieceKind::Thinking),
        other => Err(impossible("kind", other)),
    }
}

/// `None` when any of the four is missing: they are written together.
pub(super) fn usage(row: &SqliteRow) -> Result<Option<Usage>> {
    let prompt: Option<i64> = row.try_get("prompt_tokens")?;
    let output: Option<i64> = row.try_get("output_tokens")?;
    let seconds: Option<f64> = row.try_get("seconds")?;
    let speed: Option<f64> = row.try_get("tokens_per_second")?;
    let (Some(prompt), Some(output), Some(seconds), Some(tokens_per_second)) =
        (prompt, output, seconds, speed)
    else {
        return Ok(None);
    };
    Ok(Some(Usage {
        prompt_tokens: number(prompt),
        output_tokens: number(output),
        seconds,
        tokens_per_second,
    }))
}

/// A count or sequence number; the program writes none below zero.
pub(super) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Back to SQLite's signed integer; nothing counted here comes near its end.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn impossible(column: &str, word: &str) -> StoreError {
    StoreError::Unexpected(format!("column {column} holds {word:?}"))
}
