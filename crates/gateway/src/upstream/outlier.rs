//! Outliers: an upstream that answers its probe but fails what it is given is left alone for a while.
//!
//! Why here, beside the breaker: the probe sees dead servers, not broken ones. A server that refuses within a millisecond
//! always looks idle and would draw the whole queue to itself. Failures in a row send it out, each time for longer.
//!
//! Never here: opening the breaker; a caller's own faults; a prompt that is merely slow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wire::UpstreamFaultKind;

use super::{Upstream, chance};
use crate::error::Error;

/// Failures in a row that send an upstream out.
const FAILURES_MAX: u32 = 5;
/// The first ejection; the next ones last a multiple.
const EJECTION_TIME: Duration = Duration::from_secs(30);
const EJECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// So long a time without an ejection takes one off the multiple.
const FORGET_TIME: Duration = Duration::from_secs(60);
/// Share of an ejection that jitter may take off, so that what failed together does not come back together.
const JITTER: f64 = 0.2;

/// How long one that had no room is left alone where others serve the model, too.
const FULL_TIME: Duration = Duration::from_secs(1);

/// Whether an error is the upstream's own failure.
pub fn is_failure(error: &Error) -> bool {
    match error {
        // A full queue and a rate limit pass by themselves; the other kinds are about one request or one model.
        Error::Upstream(fault) => {
            matches!(fault.kind, UpstreamFaultKind::Broken | UpstreamFaultKind::Protocol)
        }
        Error::UpstreamDown => true,
        _ => false,
    }
}

/// Leaves in a pool what may be used: those in it that are not ejected, and always at least half of it. Of too many, those
/// whose ejection ends first are taken back.
///
/// `pool` holds the upstreams that are alive and serve the model: who is gone anyway is not counted as spared.
pub fn usable<T>(pool: &mut Vec<T>, ejected_until: impl Fn(&T) -> Option<Instant>) {
    let until = |(index, one)| ejected_until(one).map(|until| (until, index));
    let mut out: Vec<(Instant, usize)> = pool.iter().enumerate().filter_map(until).collect();
    if out.is_empty() {
        return;
    }
    out.sort_unstable_by(|one, other| other.cmp(one));
    out.truncate(pool.len() / 2);
    let mut index = 0;
    pool.retain(|_| {
        let stays = out.iter().all(|(_, gone)| *gone != index);
        index += 1;
        stays
    });
}

/// What is known of one upstream's failures. Time and chance come from outside.
#[derive(Debug, Default)]
struct Record {
    in_a_row: u32,
    /// Multiple of the last ejection.
    times: u32,
    until: Option<Instant>,
}

impl Record {
    /// How long it is sent out for, if this was one failure too many. `chance` is 0 to 1.
    fn failed(&mut self, now: Instant, chance: f64) -> Option<Duration> {
        if self.is_ejected(now) {
            // Stragglers of what it was sent out for.
            return None;
        }
        self.in_a_row += 1;
        if self.in_a_row < FAILURES_MAX {
            return None;
        }
        self.in_a_row = 0;
        let behaved = self.until.map_or(Duration::ZERO, |until| now - until);
        let forgotten = u32::try_from(behaved.as_secs() / FORGET_TIME.as_secs()).unwrap_or(u32::MAX);
        self.times = self.times.saturating_sub(forgotten).saturating_add(1);
        let whole = EJECTION_TIME.saturating_mul(self.times).min(EJECTION_TIME_MAX);
        let ejection = whole.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0));
        self.until = Some(now + ejection);
        Some(ejection)
    }

    fn is_ejected(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Ends an ejection; how often it was sent out before is not forgotten with it.
    fn pardon(&mut self, now: Instant) {
        self.in_a_row = 0;
        self.until = self.until.map(|until| until.min(now));
    }
}

/// The record as requests read it: without a lock unless something has failed.
#[derive(Debug)]
pub(super) struct Outlier {
    record: Mutex<Record>,
    /// A failure was counted that no success has wiped out.
    suspect: AtomicBool,
    /// Milliseconds after `born` at which the last ejection ends.
    until_ms: AtomicU64,
    /// Milliseconds after `born` until which it has no room, by its own word.
    full_ms: AtomicU64,
    born: Instant,
}

impl Outlier {
    pub(super) fn new(born: Instant) -> Self {
        Self {
            record: Mutex::default(),
            suspect: AtomicBool::new(false),
            until_ms: AtomicU64::new(0),
            full_ms: AtomicU64::new(0),
            born,
        }
    }

    pub(super) fn pardon(&self) {
        let mut record = self.lock();
        record.pardon(Instant::now());
        self.publish(&record);
    }

    fn failed(&self, now: Instant, chance: f64) -> Option<Duration> {
        let mut record = self.lock();
        let ejection = record.failed(now, chance);
        self.publish(&record);
        ejection
    }

    fn succeeded(&self) {
        if self.suspect.load(Ordering::Relaxed) {
            let mut record = self.lock();
            record.in_a_row = 0;
            self.publish(&record);
        }
    }

    fn is_ejected(&self, now: Instant) -> bool {
        now < self.born + Duration::from_millis(self.until_ms.load(Ordering::Relaxed))
    }

    /// Also for one that only has no room at the moment.
    fn ejected_until(&self, now: Instant) -> Option<Instant> {
        let latest = self.until_ms.load(Ordering::Relaxed).max(self.full_ms.load(Ordering::Relaxed));
        let until = self.born + Duration::from_millis(latest);
        (now < until).then_some(until)
    }

    /// Under the record's lock, so that what is read outside is never older than an earlier change.
    fn publish(&self, record: &Record) {
        let until = record.until.map_or(Duration::ZERO, |until| until - self.born);
        self.suspect.store(record.in_a_row > 0, Ordering::Relaxed);
        self.until_ms.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// A request ended in a failure of the upstream's own; see [`is_failure`].
    pub fn failed(&self) {
        if let Some(ejection) = self.outlier.failed(Instant::now(), chance()) {
            tracing::warn!(
                upstream = %self.name,
                seconds = ejection.as_secs(),
                "ejected: {FAILURES_MAX} failures in a row"
            );
        }
    }

    /// It refused for want of room: for a moment others are asked first. That is no failure and is not counted as one.
    pub fn full(&self) {
        let until = self.outlier.born.elapsed() + FULL_TIME;
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.outlier.full_ms.fetch_max(until_ms, Ordering::Relaxed);
    }

    /// A request ended well.
    pub fn succeeded(&self) {
        self.outlier.succeeded();
    }

    pub fn is_ejected(&self, now: Instant) -> bool {
        self.outlier.is_ejected(now)
    }

    /// Until when others are asked first; `None`: it is as good as they are.
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.outlier.ejected_until(now)
    }
}

#[cfg(test)]
mod tests;
