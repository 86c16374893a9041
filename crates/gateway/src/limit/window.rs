//! The log behind one counter: what was spent, when, and when it leaves.
//!
//! Why here: a window is exact because it remembers instants, and bounded because it stops telling neighbours apart when
//! there are many. A merged entry bears the newest of its instants, so that what was merged leaves late by a known
//! fraction of the window, never early.
//!
//! Never here: the clock, the limit, or who is counted.

use std::collections::VecDeque;

/// Nanoseconds since the limiter's first instant.
pub(super) type Tick = u64;

/// One answer's tokens at most, whatever an upstream claims; keeps sums far from overflow.
const AMOUNT_MAX: u64 = 1 << 40;
/// A log below this size is not worth shrinking.
const SHRINK_ABOVE: usize = 64;

/// How closely a log remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fineness {
    /// Entries kept apart whatever their distance.
    pub exact: usize,
    /// Further ones are merged into so many parts of a window.
    pub grains: u64,
}

#[derive(Debug)]
struct Entry {
    /// The newest instant in it.
    at: Tick,
    amount: u64,
}

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Oldest first, each instant once.
    entries: VecDeque<Entry>,
    total: u64,
    /// The oldest instant in the newest entry.
    open_since: Tick,
    /// Everything up to here has left.
    gone: Option<Tick>,
}

impl Window {
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Drops what has left a window of this length.
    pub(super) fn forget(&mut self, length: Tick, now: Tick) {
        while let Some(first) = self.entries.front().filter(|first| left(first.at, length, now) == 0) {
            self.total -= first.amount;
            self.gone = Some(first.at);
            self.entries.pop_front();
        }
        if self.entries.capacity() > SHRINK_ABOVE && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Spends now.
    pub(super) fn add(&mut self, amount: u64, length: Tick, now: Tick, fineness: Fineness) {
        let amount = amount.min(AMOUNT_MAX);
        if amount == 0 {
            return;
        }
        let grain = if self.entries.len() < fineness.exact { 0 } else { length / fineness.grains.max(1) };
        self.total += amount;
        match self.entries.back_mut() {
            Some(newest) if newest.at == now || now - self.open_since <= grain => {
                newest.at = now;
                newest.amount += amount;
            }
            _ => {
                self.open_since = now;
                self.entries.push_back(Entry { at: now, amount });
            }
        }
    }

    /// Takes back what was spent at an instant, unless it has left already.
    pub(super) fn take_back(&mut self, amount: u64, at: Tick) {
        if self.gone.is_some_and(|gone| at <= gone) {
            return;
        }
        // The newest instant of an entry is at or after each of those merged into it, and before all of the next one's.
        let place = self.entries.partition_point(|entry| entry.at < at);
        let Some(entry) = self.entries.get_mut(place) else { return };
        let amount = amount.min(entry.amount);
        entry.amount -= amount;
        self.total -= amount;
        if entry.amount == 0 {
            self.entries.remove(place);
            if place == self.entries.len() {
                // Nothing may be merged into the entry before: its own oldest instant is not known any more.
                self.open_since = 0;
            }
        }
    }

    /// How long until so much has left; `None`: there is not so much in it.
    pub(super) fn wait(&self, surplus: u64, length: Tick, now: Tick) -> Option<Tick> {
        let mut leaving = 0;
        let last_to_leave = self.entries.iter().find(|entry| {
            leaving += entry.amount;
            leaving >= surplus
        });
        last_to_leave.map(|entry| left(entry.at, length, now))
    }

    /// How long until it is empty.
    pub(super) fn reset(&self, length: Tick, now: Tick) -> Tick {
        self.entries.back().map_or(0, |newest| left(newest.at, length, now))
    }
}

/// How long something spent stays in its window.
fn left(at: Tick, length: Tick, now: Tick) -> Tick {
    length.saturating_sub(now.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Fineness = Fineness { exact: 4, grains: 10 };

    /// Adds one at each tick to a window of 100, then tells the entries.
    fn filled(ticks: impl IntoIterator<Item = Tick>) -> Window {
        let mut window = Window::default();
        for tick in ticks {
            window.forget(100, tick);
            window.add(1, 100, tick, FINE);
        }
        window
    }

    fn entries(window: &Window) -> Vec<(Tick, u64)> {
        window.entries.iter().map(|entry| (entry.at, entry.amount)).collect()
    }

    #[test]
    fn few_are_kept_apart_and_many_merged_into_grains() {
        assert_eq!(entries(&filled([1, 2, 2, 3])), [(1, 1), (2, 2), (3, 1)]);
        // From the fifth on, whatever lies within a tenth of the window of an entry's first instant joins it.
        let ticks = [1, 2, 3, 4, 5, 14, 15, 16, 24, 26];
        assert_eq!(entries(&filled(ticks)), [(1, 1), (2, 1), (3, 1), (14, 3), (24, 3), (26, 1)]);
    }

    #[test]
    fn what_is_merged_leaves_late_and_never_early() {
        let mut window = filled([1, 2, 3, 4, 5, 14]);
        window.forget(100, 104);
        assert_eq!((window.total(), window.wait(1, 100, 104)), (3, Some(10)));
        window.forget(100, 113);
        assert_eq!(window.total(), 3);
        window.forget(100, 114);
        assert_eq!((window.total(), window.len(), window.reset(100, 114)), (0, 0, 0));
    }

    #[test]
    fn a_million_additions_keep_a_bounded_log() {
        let fine = Fineness { exact: 1_024, grains: 512 };
        let mut window = Window::default();
        let mut largest = 0;
        for tick in 0..1_000_000 {
            window.forget(100_000, tick);
            window.add(1, 100_000, tick, fine);
            largest = largest.max(window.len());
            assert!(window.total() >= 100_000.min(tick), "early at {tick}");
        }
        assert!(largest <= 1_024 + 513, "{largest}");
        assert!(window.total() <= 100_000 + 100_000 / 512 + 1, "{}", window.total());
        window.forget(100_000, 2_000_000);
        assert!(window.entries.capacity() <= SHRINK_ABOVE, "{}", window.entries.capacity());
    }

    #[test]
    fn only_what_is_still_inside_can_be_taken_back() {
        let mut window = filled([10, 20, 30]);
        window.take_back(1, 20);
        window.take_back(1, 40);
        assert_eq!((entries(&window), window.total()), (vec![(10, 1), (30, 1)], 2));
        window.forget(100, 110);
        // It left; the next entry is somebody else's.
        window.take_back(1, 10);
        assert_eq!(entries(&window), [(30, 1)]);
        let mut merged = filled([1, 2, 3, 4, 5, 14, 15]);
        merged.take_back(1, 5);
        assert_eq!(entries(&merged), [(1, 1), (2, 1), (3, 1), (14, 2), (15, 1)]);
    }

    /// Charging and taking back in turn must not carry an older entry along.
    #[test]
    fn what_is_taken_back_delays_nobody() {
        let mut window = filled([100, 200, 300, 400].map(|tick| tick / 100));
        for tick in 5..100 {
            window.add(1, 100, tick, FINE);
            window.take_back(1, tick);
        }
        let newest = entries(&window).last().copied();
        assert!(newest.is_some_and(|(at, amount)| at <= 4 + 10 && amount == 1), "{newest:?}");
    }

    #[test]
    fn sums_stay_far_from_overflow() {
        let mut window = Window::default();
        for _ in 0..1_000 {
            window.add(u64::MAX, 100, 1, FINE);
        }
        assert_eq!(window.total(), 1_000 << 40);
        window.forget(100, 101);
        assert_eq!(window.total(), 0);
    }
}
