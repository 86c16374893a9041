//! What a filter found in one exchange: names of rules and how often, never a text.
//!
//! Why here: the audit record and the metrics are written when the exchange ends; the screens that count belong to its
//! body and its prompts. Counting is one addition without a lock.
//!
//! Never here: what was found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::FilterAction;

/// A rule as reports know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub name: Arc<str>,
    pub action: FilterAction,
}

/// Shared by whoever looks and whoever reports.
#[derive(Debug)]
pub struct Findings {
    labels: Arc<[Label]>,
    counts: Box<[AtomicU32]>,
}

impl Findings {
    pub(super) fn new(labels: Arc<[Label]>) -> Self {
        let counts = labels.iter().map(|_| AtomicU32::new(0)).collect();
        Self { labels, counts }
    }

    pub(super) fn add(&self, rule: u16) {
        if let Some(count) = self.counts.get(usize::from(rule)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Rules that matched, in the order of the configuration, each with the number of places.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, u32)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        self.labels.iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    pub fn names(&self) -> Vec<Arc<str>> {
        self.iter().map(|(label, _)| Arc::clone(&label.name)).collect()
    }
}
