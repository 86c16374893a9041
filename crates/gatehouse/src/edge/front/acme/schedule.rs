//! When a certificate is asked for: early enough before its end, and ever more rarely while it fails.
//!
//! Why here: pure arithmetic, so that years of it are tested in a moment. CAs count failures (five an hour for a name at the
//! largest of them) and shut out who asks too often.
//!
//! Never here: clocks, files, the CA.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::edge::front::pair::Life;

/// After the first failure; doubled by each further one. Five attempts take three quarters of an hour.
const PAUSE_MIN: Duration = Duration::from_secs(180);
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3_600);
/// Added at random, so that machines that failed together do not come back together.
const JITTER: f64 = 0.25;
/// After a certificate came, however much the CA or the clock would like another.
const REST: Duration = Duration::from_secs(3_600);

/// What has been tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// In a row.
    pub(super) failures: u32,
    /// Seconds since 1970 before which nothing is asked.
    pub(super) not_before: u64,
}

impl Attempts {
    /// One more has begun. `random`: 0 to 1.
    pub(super) fn begun(self, now: SystemTime, random: f64) -> Self {
        let failures = self.failures.saturating_add(1);
        Self { failures, not_before: seconds(now + pause(failures, random)) }
    }

    pub(super) fn succeeded(now: SystemTime) -> Self {
        Self { failures: 0, not_before: seconds(now + REST) }
    }

    /// The CA has had enough.
    pub(super) fn put_off(self, now: SystemTime) -> Self {
        Self { not_before: seconds(now + PAUSE_MAX), ..self }
    }
}

/// When to ask. Without a certificate that is now, but never before the last attempt's pause is over.
pub(super) fn due(
    now: SystemTime,
    life: Option<Life>,
    suggested: Option<SystemTime>,
    attempts: &Attempts,
) -> SystemTime {
    let wanted = match (life, suggested) {
        (None, _) => now,
        (Some(life), None) => life.renew_at(),
        // Earlier than ours when the CA knows better; never later.
        (Some(life), Some(suggested)) => life.renew_at().min(suggested),
    };
    // No pause is longer than this: what says so was written under another clock.
    let latest = now + PAUSE_MAX.mul_f64(1.0 + JITTER);
    let not_before = UNIX_EPOCH + Duration::from_secs(attempts.not_before);
    wanted.max(not_before.min(latest))
}

fn pause(failures: u32, random: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(PAUSE_MAX).mul_f64(JITTER.mul_add(random.clamp(0.0, 1.0), 1.0))
}

/// A moment of a window.
pub(super) fn within(from: SystemTime, until: SystemTime, random: f64) -> SystemTime {
    from + until.duration_since(from).unwrap_or_default().mul_f64(random.clamp(0.0, 1.0))
}

/// 0 to 1; without randomness 0.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_or(0.0, |()| f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX))
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// For people.
pub(super) fn words(wait: Duration) -> String {
    match wait.as_secs() {
        0..=119 => format!("{} seconds", wait.as_secs()),
        120..=7_199 => format!("{} minutes", wait.as_secs().div_ceil(60)),
        7_200..=172_799 => format!("{} hours", wait.as_secs() / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn start() -> SystemTime {
        UNIX_EPOCH + DAY * 20_000
    }

    fn life(days: u32) -> Life {
        Life { from: start(), until: start() + DAY * days }
    }

    #[test]
    fn a_third_before_the_end_or_when_the_ca_says_so() {
        let now = start() + DAY;
        let none = Attempts::default();
        assert_eq!(due(now, None, None, &none), now);
        assert_eq!(due(now, Some(life(90)), None, &none), start() + DAY * 60);
        assert_eq!(due(now, Some(life(6)), None, &none), start() + DAY * 4);
        let early = start() + DAY * 30;
        assert_eq!(due(now, Some(life(90)), Some(early), &none), early);
        let late = start() + DAY * 80;
        assert_eq!(due(now, Some(life(90)), Some(late), &none), start() + DAY * 60);
    }

    #[test]
    fn a_ca_that_always_wants_another_gets_one_an_hour() {
        let now = start() + DAY;
        let attempts = Attempts::succeeded(now);
        assert_eq!(due(now, Some(life(90)), Some(start()), &attempts), now + HOUR);
    }

    /// Attempts that all fail, from a machine that does nothing else.
    fn failing(random: f64, within: Duration) -> u32 {
        let (mut now, mut attempts, mut count) = (start(), Attempts::default(), 0);
        while now < start() + within {
            now = now.max(due(now, None, None, &attempts));
            attempts = attempts.begun(now, random);
            count += 1;
        }
        count
    }

    #[test]
    fn failures_stay_below_what_cas_count() {
        for random in [0.0, 0.5, 1.0] {
            assert!(failing(random, HOUR) <= 6, "{}", failing(random, HOUR));
            assert!(failing(random, DAY) <= 14, "{}", failing(random, DAY));
            assert!(failing(random, DAY * 30) <= 30 * 4 + 10);
        }
        let five: Duration = (1..=4).map(|n| pause(n, 0.0)).sum();
        assert!(five > Duration::from_secs(44 * 60), "five attempts in {five:?}");
    }

    #[test]
    fn a_pause_is_bounded_whatever_is_written() {
        assert!(pause(u32::MAX, 9.0) <= PAUSE_MAX.mul_f64(1.25));
        let now = start();
        let broken = Attempts { failures: 3, not_before: 40_000_000_000 };
        assert!(due(now, None, None, &broken) <= now + PAUSE_MAX.mul_f64(1.25));
        let limited = Attempts::default().begun(now, 0.0).put_off(now);
        assert_eq!(due(now, None, None, &limited), now + PAUSE_MAX);
    }

    #[test]
    fn windows_and_words() {
        let (from, until) = (start(), start() + DAY);
        assert_eq!(within(from, until, 0.5), from + DAY / 2);
        assert_eq!(within(until, from, 0.5), until, "a window that ends before it begins");
        assert!((0.0..=1.0).contains(&random()));
        for (seconds, wanted) in
            [(5, "5 seconds"), (121, "3 minutes"), (7_300, "2 hours"), (200_000, "2 days")]
        {
            assert_eq!(words(Duration::from_secs(seconds)), wanted);
        }
    }
}
