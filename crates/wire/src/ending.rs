//! Where an answer ends although its model has not ended it: a cap on deltas or bytes was reached, or a screen said stop.
//!
//! Why here and not in the gateway: such an end must look like any other proper end of the client's dialect, and it must
//! fall on the same delta however the upstream's bytes were cut.
//!
//! Never here: bytes of any dialect.

use crate::reply::Reply;

/// How far a push came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    More,
    /// The upstream's own proper end.
    End,
    /// An end of ours: the upstream goes on talking to nobody.
    Cut,
}

/// What may still leave. A delta leaves whole or not at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    tokens: u64,
    bytes: u64,
}

impl Allowance {
    pub(crate) const UNBOUNDED: Self = Self { tokens: u64::MAX, bytes: u64::MAX };

    pub(crate) fn of(reply: &Reply) -> Self {
        Self {
            tokens: reply.output_tokens_max.unwrap_or(u64::MAX),
            bytes: reply.output_bytes_max.unwrap_or(u64::MAX),
        }
    }

    /// Takes one delta off. `false`: this one is beyond the cap, and the answer ends before it.
    pub(crate) fn admit(&mut self, tokens: u64, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match (self.tokens.checked_sub(tokens), self.bytes.checked_sub(bytes)) {
            (Some(tokens), Some(bytes)) => {
                *self = Self { tokens, bytes };
                true
            }
            _ => false,
        }
    }
}

/// Few tokens are longer; a longer delta holds several.
const DELTA_TOKEN_BYTES: usize = 16;
/// What a token of JSON and prose has on average, rounded up.
const TOKEN_BYTES: usize = 5;

/// Our own count of a streamed delta: usually one token, more where it is too long for that.
pub(crate) fn tokens_in_delta(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(DELTA_TOKEN_BYTES).max(1)).unwrap_or(u64::MAX)
}

/// Our own count of a text that came whole: a call of a tool, an answer that was not streamed.
pub(crate) fn tokens_in_whole(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(TOKEN_BYTES)).unwrap_or(u64::MAX)
}
