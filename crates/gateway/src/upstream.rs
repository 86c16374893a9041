//!
//! Why here: these change together when a server comes, goes or restarts, and they outlive a reload of the configuration as
//! long as the upstream stays the same. All of it is kept by tasks on the side and read on a request's way without waiting.
//!
//! Never here: choosing between upstreams; a client's bytes.

mod catalog;
mod liveness;
mod load;
pub mod outlier;
mod pool;
mod residency;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tokio::time::Instant;
use wire::Format;

pub use catalog::{Catalog, Known};
pub use liveness::{Health, Watch};
pub use load::{LoadView, Loading};
pub use pool::{Answer, AnswerBody, Arrived, Pool, SendError, read_body, read_body_within};

use crate::admit::Runner;
use crate::config::{self, Liveness};
use crate::dial::Dial;
use load::Loads;
use outlier::Outlier;
use residency::Residency;

/// Watches an upstream until the process ends: its pulse, and what it has in memory.
pub async fn run(upstream: Arc<Upstream>, liveness: Liveness) {
    tokio::join!(liveness::run(&upstream, liveness), residency::run(&upstream));
}

/// Shared state of one upstream.
pub struct Upstream {
    id: u64,
    pub name: Arc<str>,
    pub format: Format,
    pub pool: Pool,
    pub catalog: Catalog,
    residency: Residency,
    loads: Loads,
    outlier: Outlier,
    health: watch::Sender<Health>,
    /// Milliseconds after `born` at which a byte of it was last seen: a flowing stream is a sign of life too.
    heard_ms: AtomicU64,
    born: Instant,
    /// The release that it says it is, where it says so.
    release: ArcSwapOption<String>,
    config: config::Upstream,
    settings: ArcSwap<Settings>,
}

/// What a reload may change on an upstream that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `None`: as many as come.
    pub slots: Option<usize>,
    pub queue_max: usize,
    pub drain: bool,
}

impl Settings {
    fn of(config: &config::Upstream) -> Self {
        Self { slots: config.slots, queue_max: config.queue_max, drain: config.drain }
    }
}

impl Upstream {
    pub fn new(config: config::Upstream, dial: Arc<dyn Dial>) -> Arc<Self> {
        let born = Instant::now();
        Arc::new(Self {
            id: id_of(&config),
            name: config.name.as_str().into(),
            format: config.format,
            pool: Pool::new(&config, dial),
            catalog: Catalog::default(),
            residency: Residency::default(),
            loads: Loads::default(),
            outlier: Outlier::new(born),
            health: watch::Sender::new(Health::Closed),
            heard_ms: AtomicU64::new(0),
            born,
            release: ArcSwapOption::empty(),
            settings: ArcSwap::from_pointee(Settings::of(&config)),
            config,
        })
    }

    /// The configuration it was made from; an equal one keeps it across a reload.
    pub fn config(&self) -> &config::Upstream {
        &self.config
    }

    pub fn settings(&self) -> Settings {
        **self.settings.load()
    }

    /// Takes the settings of a newer configuration over if that means this very server; `false` if it means another. What
    /// runs goes on and stays counted: a changed number of slots or a drain is no reason to forget who is inside.
    pub fn adopt(&self, wanted: &config::Upstream) -> bool {
        let Settings { slots, queue_max, drain } = Settings::of(&self.config);
        let same = self.config == config::Upstream { slots, queue_max, drain, ..wanted.clone() };
        if same {
            self.settings.store(Settings::of(wanted).into());
        }
        same
    }

    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// For requests without a byte: resolves when the upstream is judged dead.
    pub fn watch(&self) -> Watch {
        Watch::new(self.health.subscribe())
    }

    /// A byte arrived.
    pub fn heard(&self) {
        let elapsed = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.fetch_max(elapsed, Ordering::Relaxed);
    }

    pub fn release(&self) -> Option<Arc<String>> {
        self.release.load_full()
    }

    /// Whether it is of this release or a later one, or does not say.
    pub fn is_since(&self, release: &str) -> bool {
        self.release().is_none_or(|own| release_numbers(&own) >= release_numbers(release))
    }

    /// Kept while it does not change: probes are many.
    fn says_release(&self, release: Option<String>) {
        if self.release.load().as_deref() != release.as_ref() {
            self.release.store(release.map(Arc::new));
        }
    }

    fn last_heard(&self) -> Instant {
        self.born + std::time::Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }
}

impl Runner for Upstream {
    fn id(&self) -> u64 {
        self.id
    }

    fn slots(&self) -> Option<usize> {
        self.settings().slots
    }

    /// Alive, and not being taken out of service. Whether an ejected one can be spared is not for it to say: that depends on
    /// the pool ([`outlier::usable`]), and the last one is never spared.
    fn takes(&self) -> bool {
        self.health() == Health::Closed && !self.settings().drain
    }

    fn is_resident(&self, internal: &str) -> Option<bool> {
        self.resident(internal)
    }
}

/// Names the server, not its settings: one that has to be made anew for a reload keeps the slots that are taken on it.
fn id_of(config: &config::Upstream) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&config.name, config.authority.as_str(), &config.base_path, config.format as u8).hash(&mut hasher);
    hasher.finish()
}

/// Between 0 and 1. Without randomness in the middle: then nothing is spread, but nothing fails.
fn chance() -> f64 {
    let mut byte = [0u8; 1];
    getrandom::fill(&mut byte).map_or(0.5, |()| f64::from(byte[0]) / 255.0)
}

/// The numbers that a release begins with, to be compared.
pub fn release_numbers(release: &str) -> Vec<u64> {
    release.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
