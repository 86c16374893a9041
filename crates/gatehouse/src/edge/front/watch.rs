//! The clock of one client connection: how long it may be silent, slow, or idle.
//!
//! Why here: the HTTP library has one clock for a head and none for an idle HTTP/2 connection. This one is told what
//! happens (bytes, requests, answers) and says when the connection has to end; whoever drives the connection waits for it. What was
//! found out about the head that has just come is kept beside it.
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
    sound: Sound,
}

/// Whether the bytes of a head have one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    /// Frames of HTTP/2 have lengths.
    Always,
    /// With so many lines.
    Lines(usize),
    No,
}

/// What bytes of HTTP/1 belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    NewHead,
    Head,
    /// To a request that is being served, or they come before their turn.
    Other,
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
    pub(super) fn new(http2: bool) -> Arc<Self> {
        let sound = if http2 { Sound::Always } else { Sound::No };
        let state = State { phase: Phase::Fresh, since: Instant::now(), active: 0, sound };
        Arc::new(Self { state: Mutex::new(state), sooner: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come. The clock of a head starts with its first and is not reset by those that follow.
    pub(super) fn heard(&self) -> Part {
        let mut state = self.state();
        match (state.active, state.phase) {
            (0, Phase::Fresh) => {
                state.phase = Phase::Head;
                Part::NewHead
            }
            (0, Phase::Kept) => {
                (state.phase, state.since) = (Phase::Head, Instant::now());
                drop(state);
                self.sooner.notify_one();
                Part::NewHead
            }
            (0, Phase::Head) => Part::Head,
            _ => Part::Other,
        }
    }

    /// What the bytes of the head say so far: how many lines, if they are whole and have one meaning.
    pub(super) fn judged(&self, lines: Option<usize>) {
        self.state().sound = lines.map_or(Sound::No, Sound::Lines);
    }

    /// Whether the head that was just parsed, with so many lines, is one that was seen and has one meaning.
    pub(super) fn is_sound(&self, lines: usize) -> bool {
        match self.state().sound {
            Sound::Always => true,
            Sound::Lines(seen) => seen == lines,
            Sound::No => false,
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
            if state.sound != Sound::Always {
                state.sound = Sound::No;
            }
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
        let watch = Watch::new(false);
        assert!(!expires_within(&watch, bounds::HEAD - SECOND).await);
        watch.heard();
        assert!(expires_within(&watch, SECOND + SECOND).await, "a byte does not buy time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_sound_once() {
        let watch = Watch::new(false);
        assert!(!watch.is_sound(0), "nothing was seen");
        assert_eq!((watch.heard(), watch.heard()), (Part::NewHead, Part::Head));
        watch.judged(Some(3));
        assert!(watch.is_sound(3) && !watch.is_sound(4));
        let serving = watch.serve();
        assert!(watch.is_sound(3));
        assert_eq!(watch.heard(), Part::Other);
        drop(serving);
        assert!(!watch.is_sound(3), "what came meanwhile was not looked at");
        assert_eq!(watch.heard(), Part::NewHead);
        let http2 = Watch::new(true);
        drop(http2.serve());
        assert!(http2.is_sound(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_clocks_of_its_own() {
        let watch = Watch::new(false);
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
        let watch = Watch::new(false);
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
