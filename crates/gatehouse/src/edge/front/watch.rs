//! The clock of one client connection: how long it may be silent, slow, or idle.
//!
//! Why here: the HTTP library has one clock for a head and none for an idle HTTP/2 connection. This one is told what
//! happens (bytes, requests, answers) and says when the connection has to end; whoever drives the connection waits for it.
//!
//! Never here: requests in flight. Their clocks are the gateway's and the upstream hop's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::bounds;

#[derive(Debug)]
pub(super) struct Watch {
    state: Mutex<State>,
    sooner: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    since: Instant,
    active: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request yet.
    Fresh,
    /// Part of a head.
    Head,
    /// Answered; waiting for the next request.
    Kept,
}

impl State {
    fn deadline(&self) -> Option<Instant> {
        let patience = match self.phase {
            Phase::Fresh | Phase::Head => bounds::HEAD,
            Phase::Kept => bounds::KEPT,
        };
        (self.active == 0).then(|| self.since + patience)
    }
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        let state = State { phase: Phase::Fresh, since: Instant::now(), active: 0 };
        Arc::new(Self { state: Mutex::new(state), sooner: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a next request have come. Its clock starts with the first and is not reset by those that follow.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.active == 0 && state.phase == Phase::Kept {
            *state = State { phase: Phase::Head, since: Instant::now(), active: 0 };
            drop(state);
            self.sooner.notify_one();
        }
    }

    /// A request is served until the value is dropped.
    pub(super) fn serve(self: &Arc<Self>) -> Serving {
        self.state().active += 1;
        Serving { watch: Arc::clone(self) }
    }

    /// Resolves when the connection's time is over.
    pub(super) async fn expired(&self) {
        loop {
            let sooner = self.sooner.notified();
            let deadline = self.state().deadline();
            match deadline {
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => tokio::select! {
                    () = sleep_until(deadline) => {}
                    () = sooner => {}
                },
                None => sooner.await,
            }
        }
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Serving {
    watch: Arc<Watch>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.watch.state();
        state.active = state.active.saturating_sub(1);
        if state.active == 0 {
            (state.phase, state.since) = (Phase::Kept, Instant::now());
        }
        drop(state);
        self.watch.sooner.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Duration, advance, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    async fn expires_within(watch: &Watch, patience: Duration) -> bool {
        timeout(patience, watch.expired()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_or_dribbles_ends() {
        let watch = Watch::new();
        assert!(!expires_within(&watch, bounds::HEAD - SECOND).await);
        watch.heard();
        assert!(expires_within(&watch, SECOND + SECOND).await, "a byte does not buy time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_clocks_of_its_own() {
        let watch = Watch::new();
        let one = watch.serve();
        let two = watch.serve();
        assert!(!expires_within(&watch, bounds::KEPT * 100).await);
        drop(one);
        assert!(!expires_within(&watch, bounds::KEPT * 100).await);
        drop(two);
        assert!(!expires_within(&watch, bounds::KEPT - SECOND).await);
        assert!(expires_within(&watch, SECOND + SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_head_has_the_time_of_a_head() {
        let watch = Watch::new();
        drop(watch.serve());
        let waiting = tokio::spawn({
            let watch = Arc::clone(&watch);
            async move { watch.expired().await }
        });
        advance(SECOND).await;
        watch.heard();
        assert!(timeout(bounds::HEAD + SECOND, waiting).await.is_ok(), "the shorter clock is noticed");
    }
}
