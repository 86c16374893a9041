//! How much of a certificate's life is left, and from when on somebody should worry.
//!
//! Why here: a certificate lives 90 days today, 45 soon, and six where somebody likes it. A count of days that fits one is
//! wrong for the next; a part of its life fits all.
//!
//! Never here: clocks. The moment is given.

use jiff::{SignedDuration, Timestamp};

/// certbot renews when a third is left. A little earlier somebody may begin to look.
const WARN_PERCENT: i64 = 35;
const FAIL_PERCENT: i64 = 10;
/// Whoever has to ask a CA by hand needs some days, however short the life is.
const FAIL_SECONDS: i64 = 3 * 86_400;
/// But not most of its life.
const FAIL_PERCENT_MAX: i64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Begins later.
    NotYet(SignedDuration),
    Plenty(Left),
    /// It should have been renewed about now.
    Late(Left),
    /// Little time for a person.
    Short(Left),
    /// Since.
    Over(SignedDuration),
}

/// Of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub time: SignedDuration,
    pub percent: i64,
}

impl std::fmt::Display for Left {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} left, {} % of its life", span(self.time), self.percent)
    }
}

pub(crate) fn judge(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Life {
    if now < not_before {
        return Life::NotYet(not_before.duration_since(now));
    }
    if now >= not_after {
        return Life::Over(now.duration_since(not_after));
    }
    let (total, time) = (not_after.duration_since(not_before), not_after.duration_since(now));
    let percent = time.as_secs().saturating_mul(100) / total.as_secs().max(1);
    let left = Left { time, percent };
    let few_days = time.as_secs() < FAIL_SECONDS && percent < FAIL_PERCENT_MAX;
    match () {
        () if percent < FAIL_PERCENT || few_days => Life::Short(left),
        () if percent < WARN_PERCENT => Life::Late(left),
        () => Life::Plenty(left),
    }
}

/// A time as people say it.
pub(crate) fn span(time: SignedDuration) -> String {
    let seconds = time.as_secs().abs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn worry_begins_with_the_part_that_is_left() {
        for (life, left, expected) in [
            // days of life, hours left
            (90, 90 * 24, "plenty"),
            (90, 32 * 24, "plenty"),
            (90, 31 * 24, "late"),
            (90, 30 * 24, "late"),
            (90, 9 * 24 + 1, "late"),
            (90, 9 * 24 - 1, "short"),
            (45, 16 * 24, "plenty"),
            (45, 15 * 24, "late"),
            (45, 4 * 24, "short"),
            // Three days are less than a tenth of none of these.
            (20, 3 * 24 - 1, "short"),
            (20, 3 * 24 + 1, "late"),
            (6, 5 * 24, "plenty"),
            (6, 2 * 24, "late"),
            (6, 28, "short"),
            (1, 5, "late"),
            (1, 4, "short"),
            (90, 0, "over"),
        ] {
            let life = judge(at(0), at(life * DAY), at(life * DAY - left * 3_600));
            let word = match life {
                Life::NotYet(_) => "not yet",
                Life::Plenty(_) => "plenty",
                Life::Late(_) => "late",
                Life::Short(_) => "short",
                Life::Over(_) => "over",
            };
            assert_eq!(word, expected, "{left} h left: {life:?}");
        }
        assert_eq!(judge(at(60), at(DAY), at(0)), Life::NotYet(SignedDuration::from_secs(60)));
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        for (seconds, text) in [
            (1, "1 second"),
            (-90, "90 seconds"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (DAY * 31, "31 days"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
    }
}
