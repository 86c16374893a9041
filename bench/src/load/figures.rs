//! Times taken, and what is said of them.
//!
//! Why here: one definition of a percentile for every figure in the table.
//!
//! Never here: comparing targets.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Microseconds; a run takes far fewer than `u32` holds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    micros: Vec<u32>,
}

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.micros.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
    }

    pub fn len(&self) -> usize {
        self.micros.len()
    }

    pub fn is_empty(&self) -> bool {
        self.micros.is_empty()
    }

    /// The value in microseconds that so many of a thousand do not exceed.
    pub fn permille(&mut self, share: usize) -> f64 {
        self.micros.sort_unstable();
        let last = self.micros.len().saturating_sub(1);
        let at = (last * share + 500) / 1_000;
        self.micros.get(at).copied().map_or(0.0, f64::from)
    }
}

/// Of one stream or of many.
#[derive(Clone, Debug, Default)]
pub struct StreamTimes {
    pub to_first: Times,
    pub gaps: Times,
    /// Gets a permit when the first token is there.
    pub begun: Option<Rc<Semaphore>>,
}

impl StreamTimes {
    pub fn first(&mut self, time: Duration) {
        self.to_first.push(time);
        if let Some(begun) = &self.begun {
            begun.add_permits(1);
        }
    }

    /// Tokens that came together: the first had a gap, the rest had none.
    pub fn gap(&mut self, time: Duration, tokens: usize) {
        self.gaps.push(time);
        for _ in 1..tokens {
            self.gaps.push(Duration::ZERO);
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.to_first.merge(other.to_first);
        self.gaps.merge(other.gaps);
    }
}

/// The middle of several rounds; rounds differ more than the things compared do.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = values.len() / 2;
    let upper = values.get(at).copied().unwrap_or(0.0);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = at.checked_sub(1).and_then(|at| values.get(at)).copied().unwrap_or(upper);
    (lower + upper) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians() {
        let mut times = Times::default();
        for micros in (1..=101).rev() {
            times.push(Duration::from_micros(micros));
        }
        assert_eq!((times.permille(500), times.permille(990), times.permille(1_000)), (51.0, 100.0, 101.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }
}
