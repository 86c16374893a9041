//! The memory that all traffic together may take: bodies, lines, unsent answers.
//!
//! Why here: each of them is bounded alone, and a thousand legal ones at once still end a process. Whoever wants to buffer
//! takes the bytes from here first; what is not there is refused with a retry, or has to wait.
//!
//! A part is kept for those who hold little: a few large bodies may fill their share, and a short chat is still served.
//!
//! Never here: locks, waiting, allocation itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who holds no more than this may use the whole budget.
const SMALL_BYTES: u64 = 64 << 10;
/// The part of the budget, as a divisor, that is kept for those.
const KEPT_FOR_SMALL: u64 = 8;

/// A number of bytes, shared by all who buffer.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    max: AtomicU64,
    used: AtomicU64,
}

/// Not so many bytes are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all memory for buffers is in use")]
pub struct Full;

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Counters { max: AtomicU64::new(bytes_max), used: AtomicU64::new(0) }))
    }

    /// A new bound, from now on: what is held beyond it is given back in its own time.
    pub fn set_max(&self, bytes_max: u64) {
        self.0.max.store(bytes_max, Ordering::Relaxed);
    }

    /// Bytes that are held now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Holds nothing yet.
    pub fn hold(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    pub fn take(&self, bytes: usize) -> Result<Held, Full> {
        let mut held = self.hold();
        held.grow(bytes)?;
        Ok(held)
    }
}

impl Held {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes so many bytes more, or none.
    pub fn grow(&mut self, by_bytes: usize) -> Result<(), Full> {
        let by = by_bytes as u64;
        let all = self.bytes.saturating_add(by);
        let max = self.budget.0.max.load(Ordering::Relaxed);
        let bound = if all <= SMALL_BYTES { max } else { max - max / KEPT_FOR_SMALL };
        let add = |used: u64| used.checked_add(by).filter(|used| *used <= bound);
        let taken = self.budget.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.map_err(|_| Full)?;
        self.bytes = all;
        Ok(())
    }

    /// Holds exactly so many bytes afterwards, or as many as before.
    pub fn fit(&mut self, bytes: usize) -> Result<(), Full> {
        match (bytes as u64).checked_sub(self.bytes) {
            Some(0) => Ok(()),
            Some(more) => self.grow(usize::try_from(more).unwrap_or(usize::MAX)),
            None => {
                self.shrink_to(bytes);
                Ok(())
            }
        }
    }

    /// For bytes that exist already: counted, whatever the bound.
    pub fn own_up_to(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.budget.0.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: usize) {
        let bytes = self.bytes.min(bytes as u64);
        let back = self.bytes - bytes;
        if back > 0 {
            self.budget.0.used.fetch_sub(back, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(1 << 20);
        let mut held = budget.take(100 * KIB).unwrap();
        held.grow(KIB).unwrap();
        assert_eq!((held.bytes(), budget.used()), (101 << 10, 101 << 10));
        held.shrink_to(10 * KIB);
        held.shrink_to(50 * KIB);
        assert_eq!(budget.used(), 10 << 10);
        held.fit(20 * KIB).unwrap();
        held.fit(5 * KIB).unwrap();
        assert_eq!(budget.used(), 5 << 10);
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn nobody_gets_more_than_there_is() {
        let budget = Budget::new(1 << 20);
        let mut large = budget.take(896 * KIB).unwrap();
        assert_eq!(large.grow(1), Err(Full));
        assert_eq!(large.fit(usize::MAX), Err(Full));
        assert_eq!(budget.used(), 896 << 10, "a refusal takes nothing");
        assert!(budget.take(65 * KIB).is_err(), "the rest is not for large ones");
        let small: Vec<Held> = std::iter::from_fn(|| budget.take(64 * KIB).ok()).collect();
        assert_eq!((small.len(), budget.used()), (2, 1 << 20));
        assert!(budget.take(1).is_err());
        drop(small);
        drop(large);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn bytes_that_exist_are_counted_beyond_the_bound() {
        let budget = Budget::new(10);
        let mut held = budget.hold();
        held.own_up_to(50);
        held.own_up_to(20);
        assert_eq!(budget.used(), 50);
        assert!(budget.take(1).is_err());
        drop(held);
        assert_eq!(budget.used(), 0);
        budget.set_max(0);
        assert!(budget.take(1).is_err());
    }

    #[test]
    fn many_at_once_never_exceed_it() {
        let budget = Budget::new(1 << 20);
        std::thread::scope(|scope| {
            for thread in 1..=4_usize {
                let budget = budget.clone();
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let mut held = budget.hold();
                        while held.grow(KIB * thread * (1 + round % 7)).is_ok() && held.bytes() < 1 << 19 {}
                        assert!(budget.used() <= 1 << 20);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
