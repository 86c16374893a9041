//! Time and randomness of the chat server.
//!
//! Why here: the store takes both from its caller, and tests read ids, so the two sources have one door.
//!
//! Never here: monotonic time; waits use tokio's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// 130 random bits in 26 URL-safe characters. `None`: the system has no randomness, and nothing may be made up instead.
pub(super) fn fresh_id() -> Option<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0_u8; 26];
    getrandom::fill(&mut bytes).ok()?;
    let letter = |b: u8| ALPHABET.get(usize::from(b & 31)).copied().map_or('a', char::from);
    Some(bytes.into_iter().map(letter).collect())
}
