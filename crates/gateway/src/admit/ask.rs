//! What a request brings to the queue, and what the queue wants to know of a runner.
//!
//! Why here: the rules of the queue are proved against made-up runners; all that they know of the real ones is [`Runner`].
//!
//! Never here: deciding.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Priority;

/// One server that runs requests. Every answer is read under the queue's lock: it must come at once, from memory, and
/// neither it nor dropping the runner may touch the queue.
pub trait Runner: Send + Sync + 'static {
    /// The same for the same server across reloads, so that what runs there keeps its slots.
    fn id(&self) -> u64;
    /// Requests it runs at once, over all its models. `None`: not limited.
    fn slots(&self) -> Option<usize>;
    /// Alive, not ejected and not being drained.
    fn takes(&self) -> bool;
    /// Whether a model, by the runner's own name, is in its memory. `None`: nobody can say.
    fn is_resident(&self, internal: &str) -> Option<bool>;
}

/// A runner that may serve a request, with its own name for the model.
#[derive(Debug)]
pub struct Choice<R> {
    pub runner: Arc<R>,
    pub internal: Arc<str>,
}

// By hand: a runner need not be clonable for that.
impl<R> Clone for Choice<R> {
    fn clone(&self) -> Self {
        Self { runner: self.runner.clone(), internal: self.internal.clone() }
    }
}

/// Whose share of the queue a request takes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Id of the key.
    pub key: Arc<str>,
    /// The user it speaks for.
    pub user: Option<Arc<str>>,
}

/// A request for a permit.
#[derive(Debug)]
pub struct Ask<R> {
    /// Public name; each has a queue.
    pub model: Arc<str>,
    /// Where it may run; never empty.
    pub choices: Vec<Choice<R>>,
    pub flow: Flow,
    pub priority: Priority,
    /// Share beside other flows of the same band; 0 counts as 1.
    pub weight: u32,
    /// Estimated tokens of prompt and answer; 0 counts as 1.
    pub work: u64,
    /// Waiters of this model at most.
    pub queue_max: usize,
    /// Running requests of this flow at most, over all models.
    pub in_flight_max: Option<usize>,
    /// Hash of the conversation's beginning: equal ones like the same runner, which still holds what it read.
    pub affinity: Option<u64>,
    /// It had a permit and its runner failed: it goes to the front of its band, and a full queue does not refuse it.
    pub returning: bool,
    /// After so long a wait it rises by one band.
    pub ageing: Duration,
}
