//! SQLite behind the store's traits: opening, pools, the shared transaction rules.
//!
//! Why here: one file on disk, compiled in, is all that one machine needs. One connection writes (so that no two
//! writers of this process ever meet a lock), a few read beside it; the write-ahead log keeps them apart.
//!
//! Never here: another database's SQL. PostgreSQL gets a folder of its own beside this one.
//!
//! Durability: `synchronous = NORMAL` in WAL mode survives a crash of the process whole; a power cut may lose the last
//! moments, never the file. A disk flush for every batch of tokens would cost more than those moments are worth.

mod branch;
mod chats;
mod fault;
mod migrate;
mod rows;
mod runs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Sqlite, SqlitePool, Transaction};

use crate::conversations::{
    Again, ChatSummary, ChatView, Conversations, Ending, Exchange, Limits, NewChat, Page, Piece, Question,
    RunTail, Turn,
};
use crate::{Result, StoreError};

/// How to open a database file.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Created with its schema if it is not there; its folder must be.
    pub path: PathBuf,
    /// How long a call waits for another program's lock.
    pub busy_wait: Duration,
    /// Largest size of the file; `None`: as large as the disk allows.
    pub bytes_max: Option<u64>,
    pub readers: u32,
}

impl SqliteOptions {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), busy_wait: Duration::from_secs(5), bytes_max: None, readers: 4 }
    }
}

const PAGE_BYTES: u64 = 4096;

/// Conversations in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    read: SqlitePool,
    write: SqlitePool,
}

impl SqliteStore {
    /// Opens the file and brings its schema up to date, or says what is wrong with it.
    pub async fn open(options: &SqliteOptions) -> Result<Self> {
        prepare_file(&options.path)?;
        let write = pool(connect_options(options), 1).await?;
        migrate::run(&write).await?;
        let read = pool(connect_options(options).pragma("query_only", "ON"), options.readers.max(1)).await?;
        Ok(Self { read, write })
    }

    /// A consistent view: everything read inside is one moment.
    async fn reading(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.read.begin().await?)
    }

    /// Takes the write lock at once: a transaction that reads first and asks for the lock later can fail halfway.
    async fn writing(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn connect_options(options: &SqliteOptions) -> SqliteConnectOptions {
    let open = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .page_size(u32::try_from(PAGE_BYTES).unwrap_or(4096))
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        // What somebody deletes is overwritten, not only unlinked.
        .pragma("secure_delete", "ON")
        .busy_timeout(options.busy_wait);
    match options.bytes_max {
        Some(bytes) => open.pragma("max_page_count", (bytes / PAGE_BYTES).max(1).to_string()),
        None => open,
    }
}

async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool> {
    Ok(PoolOptions::<Sqlite>::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(30))
        // SQLite ends a transaction by itself when the disk is full; sqlx then still counts it as open, and no other could
        // begin on that connection. Such a connection is replaced. (The ping waits for the rollback that precedes it.)
        .test_before_acquire(true)
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await?)
}

/// Conversations are private: the file is made for its owner alone before SQLite sees it, and SQLite gives the
/// write-ahead log the same mode.
fn prepare_file(path: &Path) -> Result<()> {
    let mut open = std::fs::OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    open.open(path).map(drop).map_err(|e| StoreError::Unusable(format!("{}: {e}", path.display())))
}

#[async_trait]
impl Conversations for SqliteStore {
    async fn create_chat(&self, chat: &NewChat<'_>) -> Result<ChatSummary> {
        chats::create(self, chat).await
    }

    async fn list_chats(
        &self,
        owner: &str,
        before: Option<&str>,
        chats_max: u32,
    ) -> Result<Vec<ChatSummary>> {
        chats::list(self, owner, before, chats_max).await
    }

    async fn chat(&self, owner: &str, chat_id: &str, page: Page<'_>) -> Result<ChatView> {
        chats::view(self, owner, chat_id, page).await
    }

    async fn rename_chat(&self, owner: &str, chat_id: &str, title: &str, now_ms: i64) -> Result<ChatSummary> {
        chats::rename(self, owner, chat_id, title, now_ms).await
    }

    async fn move_head(
        &self,
        owner: &str,
        chat_id: &str,
        message_id: &str,
        now_ms: i64,
    ) -> Result<ChatSummary> {
        chats::move_head(self, owner, chat_id, message_id, now_ms).await
    }

    async fn delete_chat(&self, owner: &str, chat_id: &str) -> Result<()> {
        chats::delete(self, owner, chat_id).await
    }

    async fn exchange_of(&self, owner: &str, chat_id: &str, client_id: &str) -> Result<Option<Exchange>> {
        runs::exchange_of(self, owner, chat_id, client_id).await
    }

    async fn begin_question(
        &self,
        owner: &str,
        chat_id: &str,
        q: &Question<'_>,
        limits: Limits,
    ) -> Result<Exchange> {
        runs::begin_question(self, owner, chat_id, q, limits).await
    }

    async fn begin_again(
        &self,
        owner: &str,
        chat_id: &str,
        again: &Again<'_>,
        limits: Limits,
    ) -> Result<Exchange> {
        runs::begin_again(self, owner, chat_id, again, limits).await
    }

    async fn history(
        &self,
        owner: &str,
        chat_id: &str,
        message_id: &str,
        page: Page<'_>,
    ) -> Result<Vec<Turn>> {
        branch::history(self, owner, chat_id, message_id, page).await
    }

    async fn append(&self, owner: &str, run_id: &str, piece: &Piece) -> Result<()> {
        runs::append(self, owner, run_id, piece).await
    }

    async fn finish(&self, owner: &str, run_id: &str, ending: &Ending<'_>) -> Result<u64> {
        runs::finish(self, owner, run_id, ending).await
    }

    async fn tail(&self, owner: &str, run_id: &str, after: u64, pieces_max: u32) -> Result<RunTail> {
        runs::tail(self, owner, run_id, after, pieces_max).await
    }

    async fn run_of(&self, owner: &str, chat_id: &str, run_id: Option<&str>) -> Result<Option<String>> {
        runs::run_of(self, owner, chat_id, run_id).await
    }

    async fn fail_interrupted(&self, failure: &str, now_ms: i64) -> Result<u64> {
        runs::fail_interrupted(self, failure, now_ms).await
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
