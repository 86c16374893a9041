//! What can go wrong in the store, grouped by who can act on it.
//!
//! Why here: a full disk, a lock and a stranger's id reach the same caller but ask for three different answers. The
//! grouping is made once, from the database's own codes, never from its texts.
//!
//! Never here: sentences for people; `Display` is for the log.

/// Who can do something about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The caller asked for something that is not there, not its own, or too much.
    Caller,
    /// Nobody needs to: the same call may pass in a moment.
    Wait,
    /// Whoever runs the machine: disk, permissions, damaged file, newer schema.
    Operator,
}

/// Which bound a caller ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Chats,
    Messages,
    /// The branch is larger than the caller allowed it to be read.
    Branch,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row, or it belongs to somebody else: deliberately the same.
    #[error("not found")]
    NotFound,
    /// An answer is being written in this chat.
    #[error("an answer is being written in this chat")]
    Occupied,
    #[error("limit reached: {0:?}")]
    Limit(Limit),
    #[error("the database is locked by another program")]
    Locked,
    #[error("the disk, or the room given to the database, is full")]
    Full,
    #[error("the database is damaged or not a database: {0}")]
    Corrupt(String),
    #[error("the database cannot be opened or written: {0}")]
    Unusable(String),
    #[error("the database has schema {found}, newer than {known} that this program knows")]
    Newer { found: i64, known: i64 },
    /// A row that the schema should have made impossible, or an error nobody foresaw.
    #[error("unexpected store error: {0}")]
    Unexpected(String),
}

impl StoreError {
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::NotFound | Self::Occupied | Self::Limit(_) => Actor::Caller,
            Self::Locked => Actor::Wait,
            Self::Full | Self::Corrupt(_) | Self::Unusable(_) | Self::Newer { .. } | Self::Unexpected(_) => {
                Actor::Operator
            }
        }
    }
}
