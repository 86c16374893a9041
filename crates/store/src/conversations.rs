//! The contract of conversation storage: records and the calls every database answers alike.
//!
//! Why here: the chat server is written against this trait, so that a second database joins behind it without a line of
//! the server changing.
//!
//! Invariants, held by every implementation and proved by the contract suite:
//! - The owner is part of every query. Somebody else's row is [`StoreError::NotFound`](crate::StoreError::NotFound), like no row.
//! - Nested ids are resolved through their chat only: a message of another chat does not exist.
//! - Text and sequence number of a running answer are read together: what [`Conversations::chat`] shows plus
//!   [`Conversations::tail`] after its `seq` is the whole answer, once.
//! - An answer is written by one run; a chat has at most one run at a time.

use async_trait::async_trait;

use crate::Result;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    Done,
    /// Stopped on request; the text so far is kept.
    Stopped,
    /// Ended by a length limit.
    Cut,
    Failed,
}

/// What a piece of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    Text,
    Thinking,
}

/// Token counts and speed of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    pub seconds: f64,
    pub tokens_per_second: f64,
}

/// An image of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub struct NewChat<'a> {
    pub id: &'a str,
    pub owner: &'a str,
    pub title: &'a str,
    pub now_ms: i64,
    /// Chats this owner may have.
    pub chats_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatSummary {
    pub id: String,
    pub title: String,
    pub updated_ms: i64,
}

/// Which part of a branch to read, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Only messages above this one; `None`: from the head.
    pub before: Option<&'a str>,
    pub messages_max: u32,
    /// Sum of text and image bytes; at least one message is always given.
    pub bytes_max: u64,
}

/// A page of one branch, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    pub messages: Vec<Message>,
    /// There is more above the first of them.
    pub older: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: String,
    pub parent_id: Option<String>,
    pub role: Role,
    pub model: Option<String>,
    pub status: Status,
    /// What the writer of [`Ending`] put there; not read by the store.
    pub failure: Option<String>,
    pub usage: Option<Usage>,
    pub created_ms: i64,
    pub text: String,
    pub thinking: String,
    pub images: Vec<Image>,
    /// Every message with the same parent, itself included, oldest first.
    pub siblings: Vec<String>,
}

/// A run in progress, with the sequence number that belongs to the text read beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMark {
    pub id: String,
    pub message_id: String,
    pub seq: u64,
}

/// A chat as one moment saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatView {
    pub summary: ChatSummary,
    pub head_id: Option<String>,
    pub branch: Branch,
    pub run: Option<RunMark>,
}

/// Bounds on what one chat may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub messages_max: u64,
}

/// A question and the empty answer under it, written together.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub user_message_id: &'a str,
    pub message_id: &'a str,
    pub run_id: &'a str,
    /// Unique within the chat: the same send twice is one question.
    pub client_id: &'a str,
    pub parent_id: Option<&'a str>,
    pub text: &'a str,
    pub images: &'a [Image],
    pub model: &'a str,
    /// Given to a chat whose title is empty.
    pub title: &'a str,
    pub now_ms: i64,
}

/// Another answer to a question that is there.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// The question, or an answer to it.
    pub of: &'a str,
    pub message_id: &'a str,
    pub run_id: &'a str,
    pub model: &'a str,
    pub now_ms: i64,
}

/// Ids of a question, its answer, and the run that writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub user_message_id: String,
    pub message_id: String,
    pub run_id: String,
}

/// One message as a model is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub text: String,
    pub images: Vec<Image>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub seq: u64,
    pub kind: PieceKind,
    pub text: String,
}

/// How a run ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    pub status: Status,
    pub failure: Option<&'a str>,
    pub usage: Option<Usage>,
    pub now_ms: i64,
}

/// A run that has ended: the pieces are folded into the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    pub status: Status,
    pub failure: Option<String>,
    pub usage: Option<Usage>,
    pub text: String,
    pub thinking: String,
}

/// What follows a sequence number in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTail {
    pub run: RunMark,
    pub chat_id: String,
    /// Pieces after the number asked for; empty once the run has ended.
    pub pieces: Vec<Piece>,
    pub settled: Option<Settled>,
}

/// Conversations of many owners.
#[async_trait]
pub trait Conversations: Send + Sync {
    async fn create_chat(&self, chat: &NewChat<'_>) -> Result<ChatSummary>;
    /// Newest first; `before` continues below a chat that was listed.
    async fn list_chats(&self, owner: &str, before: Option<&str>, chats_max: u32)
    -> Result<Vec<ChatSummary>>;
    async fn chat(&self, owner: &str, chat_id: &str, page: Page<'_>) -> Result<ChatView>;
    async fn rename_chat(&self, owner: &str, chat_id: &str, title: &str, now_ms: i64) -> Result<ChatSummary>;
    /// Shows the branch through `message_id`, down to its newest leaf.
    async fn move_head(
        &self,
        owner: &str,
        chat_id: &str,
        message_id: &str,
        now_ms: i64,
    ) -> Result<ChatSummary>;
    async fn delete_chat(&self, owner: &str, chat_id: &str) -> Result<()>;

    /// The exchange that `client_id` began earlier, if it did.
    async fn exchange_of(&self, owner: &str, chat_id: &str, client_id: &str) -> Result<Option<Exchange>>;
    async fn begin_question(
        &self,
        owner: &str,
        chat_id: &str,
        q: &Question<'_>,
        limits: Limits,
    ) -> Result<Exchange>;
    async fn begin_again(
        &self,
        owner: &str,
        chat_id: &str,
        again: &Again<'_>,
        limits: Limits,
    ) -> Result<Exchange>;
    /// The branch that ends in `message_id`, whole, oldest first; larger than the page allows is [`crate::Limit::Branch`].
    async fn history(
        &self,
        owner: &str,
        chat_id: &str,
        message_id: &str,
        page: Page<'_>,
    ) -> Result<Vec<Turn>>;

    /// Appends a piece to a running answer. Sequence numbers start at 1 and leave no gap.
    async fn append(&self, owner: &str, run_id: &str, piece: &Piece) -> Result<()>;
    /// Folds the pieces into the message and ends the run. Returns the sequence number of the ending. A run that has ended stays as it is.
    async fn finish(&self, owner: &str, run_id: &str, ending: &Ending<'_>) -> Result<u64>;
    /// Pieces after `after`, or how the run ended.
    async fn tail(&self, owner: &str, run_id: &str, after: u64, pieces_max: u32) -> Result<RunTail>;
    /// The newest run of a chat, or the named one if it belongs to the chat.
    async fn run_of(&self, owner: &str, chat_id: &str, run_id: Option<&str>) -> Result<Option<String>>;

    /// Ends every run that a crash left open, keeping its text. To be called before the first run of a process. Returns how many.
    async fn fail_interrupted(&self, failure: &str, now_ms: i64) -> Result<u64>;
    async fn close(&self);
}
