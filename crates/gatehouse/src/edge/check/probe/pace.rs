//! How fast the check itself may ask.
//!
//! Why here: the site bounds requests by address, and the check comes from one. It must not run into that bound, nor use
//! up what real users behind the same address have.
//!
//! Never here: measuring the bound; that is a fact of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::config::edge::Rates;

/// Connections of the check at once.
const AT_ONCE_MAX: usize = 16;

/// Half of the burst and of the connections that the site allows one address, and four fifths of its rate.
pub(super) struct Pace {
    at_once: Semaphore,
    between: Duration,
    ahead: Duration,
    /// When the next one would go if all were evenly spaced.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rates: &Rates) -> Self {
        let half = |number: u64| usize::try_from(number / 2).unwrap_or(usize::MAX).max(1);
        let rate = u32::try_from(rates.requests_per_second.max(1)).unwrap_or(u32::MAX);
        let between = Duration::from_millis(1_250) / rate;
        Self {
            at_once: Semaphore::new(half(rates.connections).min(AT_ONCE_MAX)),
            between,
            ahead: between.saturating_mul(u32::try_from(half(rates.burst)).unwrap_or(u32::MAX)),
            next: Mutex::new(Instant::now()),
        }
    }

    /// A place for one connection.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.at_once.acquire().await.ok()
    }

    /// Waits until it is time for one more request.
    pub(super) async fn time(&self) {
        let due = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let mine = (*next).max(now);
            *next = mine + self.between;
            // A burst may go ahead of its time.
            mine.checked_sub(self.ahead).unwrap_or(now)
        };
        tokio::time::sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_evenly() {
        let pace = Pace::new(&Rates { requests_per_second: 2, burst: 8, connections: 100 });
        let began = Instant::now();
        for _ in 0..4 {
            pace.time().await;
        }
        assert!(began.elapsed() < Duration::from_millis(10));
        for _ in 0..4 {
            pace.time().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(1_875), "{:?}", began.elapsed());
    }
}
