//! The retry budget: how many second attempts the upstreams can be asked to bear.
//!
//! Why here: a retry helps when one upstream of several has failed, and makes an outage worse when all have. Every first
//! attempt pays a fifth of a retry in, every retry takes a whole one out, nothing is lent: whatever happens, in whatever
//! order, attempts are at most 1.2 times the requests.
//!
//! Never here: deciding whether a request may be repeated at all (no byte sent, client still there), or where.

use std::sync::atomic::{AtomicU32, Ordering};

/// First attempts that pay for one retry.
const FIRST_ATTEMPTS_PER_RETRY: u32 = 5;
/// Retries that may be saved up, so that a good hour does not pay for a storm.
const SAVED_RETRIES_MAX: u32 = 10;
const PAID_MAX: u32 = SAVED_RETRIES_MAX * FIRST_ATTEMPTS_PER_RETRY;

/// Shared by all requests; starts empty.
#[derive(Debug, Default)]
pub struct Budget {
    /// First attempts not yet spent on a retry. A count, not a fraction: sums of 0.2 would drift.
    paid: AtomicU32,
}

impl Budget {
    pub const fn new() -> Self {
        Self { paid: AtomicU32::new(0) }
    }

    /// A request is sent to an upstream for the first time.
    pub fn first_attempt(&self) {
        // Most of the time the budget is full: then nothing is written to memory that all threads share.
        if self.paid.load(Ordering::Relaxed) < PAID_MAX {
            self.update(|paid| (paid < PAID_MAX).then_some(paid + 1));
        }
    }

    /// Pays for one more attempt of a request; `false`: there is none to be had, the failure stands.
    #[must_use]
    pub fn take_retry(&self) -> bool {
        self.update(|paid| paid.checked_sub(FIRST_ATTEMPTS_PER_RETRY))
    }

    /// Retries that could be paid for now.
    pub fn saved_retries(&self) -> u32 {
        self.paid.load(Ordering::Relaxed) / FIRST_ATTEMPTS_PER_RETRY
    }

    // One counter that orders nothing else: relaxed is enough, the exchange keeps it exact.
    fn update(&self, change: impl FnMut(u32) -> Option<u32>) -> bool {
        self.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small and repeatable; a failing seed can be run again.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % sides
        }
    }

    #[test]
    fn it_starts_empty_and_five_requests_pay_for_one() {
        let budget = Budget::new();
        assert!(!budget.take_retry());
        for _ in 0..4 {
            budget.first_attempt();
            assert!(!budget.take_retry());
        }
        budget.first_attempt();
        assert!(budget.take_retry());
        assert!(!budget.take_retry());
    }

    #[test]
    fn a_good_hour_does_not_pay_for_a_storm() {
        let budget = Budget::new();
        (0..100_000).for_each(|_| budget.first_attempt());
        assert_eq!(budget.saved_retries(), SAVED_RETRIES_MAX);
        let retries = (0..100).filter(|_| budget.take_retry()).count();
        assert_eq!(retries, 10);
    }

    #[test]
    fn in_any_order_attempts_stay_within_six_fifths_of_the_requests() {
        for seed in 1..=256 {
            let mut dice = Dice(seed);
            let budget = Budget::new();
            // From a quiet day to an outage in which every attempt fails and wants another.
            let wish_per_cent = seed % 101;
            let (mut requests, mut attempts) = (0u64, 0u64);
            for _ in 0..2_000 {
                requests += 1;
                attempts += 1;
                budget.first_attempt();
                while dice.roll(100) < wish_per_cent && budget.take_retry() {
                    attempts += 1;
                }
                assert!(
                    attempts * 5 <= requests * 6,
                    "seed {seed}: {attempts} attempts, {requests} requests"
                );
            }
            if wish_per_cent == 100 {
                assert_eq!(attempts, 2_400, "seed {seed}: what was paid for is given");
            }
        }
    }

    #[test]
    fn threads_do_not_pay_twice_for_one() {
        const THREADS: usize = 8;
        const REQUESTS: usize = 5_000;
        let budget = Budget::new();
        let storm = || {
            (0..REQUESTS)
                .filter(|_| {
                    budget.first_attempt();
                    budget.take_retry()
                })
                .count()
        };
        let retries: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(storm)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(retries * FIRST_ATTEMPTS_PER_RETRY as usize <= THREADS * REQUESTS);
        // Everybody wants one, so hardly anything is left over.
        assert!(retries * 10 >= THREADS * REQUESTS, "{retries}");
    }
}
