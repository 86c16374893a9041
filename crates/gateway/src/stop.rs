//! How the process stops: run, drain, cut.
//!
//! Why here: listeners, connections, waiting requests and streams all have to learn of it, in that order.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

/// The three phases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Phase {
    Run,
    /// No new connections or requests; what runs may end.
    Drain,
    /// What still runs is ended with an error.
    Cut,
}

/// Where the phase is announced.
#[derive(Debug)]
pub struct Announcer(watch::Sender<Phase>);

/// Where it is heard.
#[derive(Clone, Debug)]
pub struct Listener(watch::Receiver<Phase>);

/// Resolves when a phase is reached.
pub type Reached = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Announcer {
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Run))
    }

    pub fn announce(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Default for Announcer {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Resolves when the phase is reached, at once if it has been.
    pub fn reached(&self, phase: Phase) -> Reached {
        let mut receiver = self.0.clone();
        Box::pin(async move {
            // An announcer that is gone has stopped everything already.
            drop(receiver.wait_for(|current| *current >= phase).await);
        })
    }
}
