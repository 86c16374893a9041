//! What Gatehouse remembers: conversations today; keys, usage and audit later.
//!
//! Why here: this is the only crate that knows SQL. Callers see the [`Conversations`] trait, plain records and a
//! [`StoreError`] that says who can act; which database answers is decided where the store is opened. One contract
//! suite (`tests/conversations.rs`) runs against every implementation.
//!
//! Never here: clocks, randomness, HTTP, wording for people. Whoever calls brings ids and times.

mod conversations;
mod error;
mod sqlite;

pub use conversations::{
    Again, Branch, ChatSummary, ChatView, Conversations, Ending, Exchange, Image, Limits, Message, NewChat,
    Page, Piece, PieceKind, Question, Role, RunMark, RunTail, Settled, Status, Turn, Usage,
};
pub use error::{Actor, Limit, StoreError};
pub use sqlite::{SqliteOptions, SqliteStore};

/// What every call of this crate answers.
pub type Result<T> = std::result::Result<T, StoreError>;
