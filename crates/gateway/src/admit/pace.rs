//! How long work takes, learned per model from the permits that were held.
//!
//! Why here: a wait can be told only in terms of what a model did before on this hardware.
//!
//! Never here: promises. A pace is an average that forgets, and it is unknown until something was seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Models remembered; with more, the one that was seen least recently is forgotten. Callers can make names up.
const MODELS_MAX: usize = 1_024;
/// What an older observation keeps of its weight with every newer one: the last ten or so count.
const KEEPS: f64 = 0.9;

#[derive(Debug, Default)]
pub(super) struct Paces {
    by_model: HashMap<Arc<str>, Pace>,
    seen: u64,
}

/// Sums rather than an average of ratios: a request of three tokens says little about the pace.
#[derive(Debug, Default)]
struct Pace {
    held_s: f64,
    work: f64,
    seen: u64,
}

impl Paces {
    pub(super) fn learn(&mut self, model: &Arc<str>, work: u64, held: Duration) {
        self.seen += 1;
        if !self.by_model.contains_key(model) && self.by_model.len() >= MODELS_MAX {
            let oldest = self.by_model.iter().min_by_key(|(_, pace)| pace.seen).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                self.by_model.remove(&oldest);
            }
        }
        let pace = self.by_model.entry(model.clone()).or_default();
        pace.held_s = pace.held_s * KEEPS + held.as_secs_f64();
        pace.work = pace.work * KEEPS + float(work);
        pace.seen = self.seen;
    }

    /// How long one slot is busy with that much work. `None`: nothing was learned of this model.
    pub(super) fn time_for(&self, model: &str, work: f64) -> Option<Duration> {
        let pace = self.by_model.get(model).filter(|pace| pace.work > 0.0)?;
        Duration::try_from_secs_f64(work * pace.held_s / pace.work).ok()
    }
}

/// Exact up to 2^53, far above any sum of work.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn float(work: u64) -> f64 {
    work as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_until_something_was_seen() {
        let mut paces = Paces::default();
        let model: Arc<str> = "m".into();
        assert_eq!(paces.time_for("m", 100.0), None);
        paces.learn(&model, 100, Duration::from_secs(10));
        assert_eq!(paces.time_for("m", 50.0), Some(Duration::from_secs(5)));
        assert_eq!(paces.time_for("other", 50.0), None);
    }

    #[test]
    fn newer_times_outweigh_older_ones_and_large_requests_small_ones() {
        let mut paces = Paces::default();
        let model: Arc<str> = "m".into();
        (0..10).for_each(|_| paces.learn(&model, 100, Duration::from_secs(10)));
        (0..40).for_each(|_| paces.learn(&model, 100, Duration::from_secs(1)));
        let one = paces.time_for("m", 100.0).unwrap().as_secs_f64();
        assert!((1.0..1.2).contains(&one), "{one}");
        paces.learn(&model, 1, Duration::from_secs(1));
        let still = paces.time_for("m", 100.0).unwrap().as_secs_f64();
        assert!(still < 1.3, "{still}");
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_was_not_seen_for_longest() {
        let mut paces = Paces::default();
        let held = Duration::from_secs(1);
        let used: Arc<str> = "used".into();
        for number in 0..3 * MODELS_MAX {
            paces.learn(&used, 1, held);
            paces.learn(&format!("made-up-{number}").into(), 1, held);
        }
        assert_eq!(paces.by_model.len(), MODELS_MAX);
        assert!(paces.time_for("used", 1.0).is_some());
        assert!(paces.time_for("made-up-0", 1.0).is_none());
    }
}
