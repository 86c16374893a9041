//! What a limit says to a caller: where it stands, or why it is refused.
//!
//! Why here: refusals travel as errors, and errors must not know who is charged; these are only numbers.
//!
//! Never here: deciding.

use std::time::Duration;

/// What a caller is told of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub limit: u32,
    pub remaining: u32,
    /// Until the window is empty again, as OpenAI's header means it.
    pub reset: Duration,
}

/// A request over the limit. It was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub limit: u32,
    /// Always 0.
    pub remaining: u32,
    pub reset: Duration,
    /// For `retry-after`: 1..=60, or the whole window where the rule says so.
    pub retry_after_s: u64,
    pub reason: Reason,
}

/// Which rule refused; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    KeyRequests,
    UserRequests,
    /// The table holds as many users as it may, and all of them are busy.
    Users,
}

impl Refusal {
    pub fn standing(&self) -> Standing {
        Standing { limit: self.limit, remaining: self.remaining, reset: self.reset }
    }
}

impl Reason {
    pub const ALL: [Self; 3] = [Self::KeyRequests, Self::UserRequests, Self::Users];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyRequests => "key_requests",
            Self::UserRequests => "user_requests",
            Self::Users => "users",
        }
    }
}
