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
    deltas: u64,
    bytes: u64,
}

impl Allowance {
    pub(crate) const UNBOUNDED: Self = Self { deltas: u64::MAX, bytes: u64::MAX };

    pub(crate) fn of(reply: &Reply) -> Self {
        Self {
            deltas: reply.output_tokens_max.unwrap_or(u64::MAX),
            bytes: reply.output_bytes_max.unwrap_or(u64::MAX),
        }
    }

    /// Takes one delta off. `false`: this one is beyond the cap, and the answer ends before it.
    pub(crate) fn admit(&mut self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match (self.deltas.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(deltas), Some(bytes)) => {
                *self = Self { deltas, bytes };
                true
            }
            _ => false,
        }
    }
}
