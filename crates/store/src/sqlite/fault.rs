//! SQLite's result codes, turned into [`StoreError`] by who can act.
//!
//! Why here: sqlx hands on the extended code; its low byte is the class that the table below knows.
//!
//! Never here: matching on message texts.

use crate::StoreError;

// The primary result codes of sqlite3.h.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            // Every connection of the pool waited for the one that is stuck.
            sqlx::Error::PoolTimedOut => Self::Locked,
            sqlx::Error::PoolClosed => Self::Unusable("the store is closed".to_owned()),
            sqlx::Error::Io(io) => Self::Unusable(io.to_string()),
            sqlx::Error::Database(db) => from_code(db.code().and_then(|c| c.parse().ok()), db.message()),
            _ => Self::Unexpected(error.to_string()),
        }
    }
}

fn from_code(code: Option<u32>, message: &str) -> StoreError {
    match code.map(|c| c & 0xff) {
        Some(BUSY | LOCKED) => StoreError::Locked,
        Some(FULL) => StoreError::Full,
        Some(CORRUPT | NOTADB) => StoreError::Corrupt(message.to_owned()),
        Some(READONLY | IOERR | CANTOPEN) => StoreError::Unusable(message.to_owned()),
        _ => StoreError::Unexpected(message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Actor;

    #[test]
    fn codes_name_who_can_act() {
        let cases = [
            (5, Actor::Wait),
            (6, Actor::Wait),
            (261, Actor::Wait), // BUSY_RECOVERY
            (13, Actor::Operator),
            (11, Actor::Operator),
            (26, Actor::Operator),
            (14, Actor::Operator),
            (778, Actor::Operator), // IOERR_WRITE
            (1, Actor::Operator),
        ];
        for (code, actor) in cases {
            assert_eq!(from_code(Some(code), "x").actor(), actor, "code {code}");
        }
        assert!(matches!(from_code(Some(13), ""), StoreError::Full));
        assert!(matches!(from_code(Some(267), ""), StoreError::Corrupt(_)), "CORRUPT_VTAB is corrupt too");
    }
}
