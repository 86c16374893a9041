//! What a limit says to a caller: where it stands, or why it is refused.
//!
//! Why here: refusals travel as errors, and errors must not know who is charged; these are only numbers.
//!
//! Never here: deciding.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Counts;

/// What a caller is told of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub limit: u64,
    pub remaining: u64,
    /// Until the window is empty again, as OpenAI's header means it.
    pub reset: Duration,
}

/// The tightest rule of each kind that a request was charged for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    pub requests: Option<Standing>,
    pub tokens: Option<Standing>,
}

/// A request over a limit. It was not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the rule; `None`: the general rate.
    pub rule: Option<Arc<str>>,
    pub counts: Counts,
    pub limit: u64,
    /// What is left of the limit; less than what was asked for.
    pub remaining: u64,
    /// The least that the request would have needed.
    pub requested: u64,
    pub reset: Duration,
    /// Until the request would fit, as far as that is known.
    pub wait: Duration,
    /// For `retry-after`: 1..=60, or the whole window where the rule says so.
    pub retry_after_s: u64,
    pub remedy: Remedy,
    pub reason: Reason,
}

/// What helps against a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Time: it passes within the rule's window.
    Wait,
    /// Much time, or the operator: a window of a day or more is used up.
    Budget,
    /// Nothing but a smaller request: this one is larger than the whole limit.
    AskForLess,
}

/// What refused; a metric label, from a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    KeyRequests,
    UserRequests,
    ModelRequests,
    /// One counter for everybody that a rule selects.
    SharedRequests,
    KeyTokens,
    UserTokens,
    ModelTokens,
    SharedTokens,
    KeyConcurrency,
    UserConcurrency,
    ModelConcurrency,
    SharedConcurrency,
    Budget,
    /// Larger than the limit itself.
    TooLarge,
    /// The table holds as many users as it may, and all of them are busy.
    Users,
    /// The same for names of models.
    Models,
}

impl Refusal {
    pub fn standing(&self) -> Standing {
        Standing { limit: self.limit, remaining: self.remaining, reset: self.reset }
    }
}

impl Reason {
    pub const ALL: [Self; 16] = [
        Self::KeyRequests,
        Self::UserRequests,
        Self::ModelRequests,
        Self::SharedRequests,
        Self::KeyTokens,
        Self::UserTokens,
        Self::ModelTokens,
        Self::SharedTokens,
        Self::KeyConcurrency,
        Self::UserConcurrency,
        Self::ModelConcurrency,
        Self::SharedConcurrency,
        Self::Budget,
        Self::TooLarge,
        Self::Users,
        Self::Models,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyRequests => "key_requests",
            Self::UserRequests => "user_requests",
            Self::ModelRequests => "model_requests",
            Self::SharedRequests => "shared_requests",
            Self::KeyTokens => "key_tokens",
            Self::UserTokens => "user_tokens",
            Self::ModelTokens => "model_tokens",
            Self::SharedTokens => "shared_tokens",
            Self::KeyConcurrency => "key_concurrency",
            Self::UserConcurrency => "user_concurrency",
            Self::ModelConcurrency => "model_concurrency",
            Self::SharedConcurrency => "shared_concurrency",
            Self::Budget => "budget",
            Self::TooLarge => "too_large",
            Self::Users => "users",
            Self::Models => "models",
        }
    }
}
