//! One upstream: its connections, its door, whether it lives, and which models it has.
//!
//! Why here: these four change together when a server comes, goes or restarts, and they outlive a reload of the
//! configuration as long as the upstream stays the same.
//!
//! Never here: choosing between upstreams; a client's bytes.

mod catalog;
mod liveness;
mod pool;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;
use wire::Format;

pub use catalog::{Catalog, Known};
pub use liveness::{Health, Watch, run};
pub use pool::{Answer, Pool, SendError, read_body};

use crate::admit::Door;
use crate::config;
use crate::dial::Dial;

/// Shared state of one upstream.
pub struct Upstream {
    pub name: Arc<str>,
    pub format: Format,
    pub door: Door,
    pub pool: Pool,
    pub catalog: Catalog,
    health: watch::Sender<Health>,
    /// Milliseconds after `born` at which a byte of it was last seen: a flowing stream is a sign of life too.
    heard_ms: AtomicU64,
    born: Instant,
    config: config::Upstream,
}

impl Upstream {
    pub fn new(config: config::Upstream, dial: Arc<dyn Dial>) -> Arc<Self> {
        Arc::new(Self {
            name: config.name.as_str().into(),
            format: config.format,
            door: Door::new(config.slots, config.queue_max),
            pool: Pool::new(&config, dial),
            catalog: Catalog::default(),
            health: watch::Sender::new(Health::Closed),
            heard_ms: AtomicU64::new(0),
            born: Instant::now(),
            config,
        })
    }

    /// The configuration it was made from; an equal one keeps it across a reload.
    pub fn config(&self) -> &config::Upstream {
        &self.config
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

    fn last_heard(&self) -> Instant {
        self.born + std::time::Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }
}
