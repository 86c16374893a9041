//! The data plane: one pipeline that every request walks, from the accepted connection to the audit record.
//!
//! Why here: keys, limits, queueing, breaking, relaying and settling have to happen in one order for every dialect. The
//! order is the text of [`pipeline`]; each stage hands on a proof that the next one asks for.
//!
//! Never here: YAML, files other than the audit log, HTML, SQL, or a dialect's bytes (those are `wire`'s).

mod admin;
pub mod admit;
pub mod allow;
pub mod audit;
pub mod auth;
pub mod budget;
pub mod config;
pub mod dial;
pub mod error;
mod exchange;
pub mod filter;
mod guard;
pub mod http;
pub mod limit;
pub mod metrics;
mod model_name;
pub mod openapi;
mod pipeline;
mod progress;
mod rate_headers;
mod relay;
pub mod retry;
mod route;
pub mod routes;
mod snapshot;
pub mod standing;
mod stop;
pub mod upstream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::admit::Hall;
use crate::audit::AuditLog;
use crate::budget::Budget;
use crate::config::Config;
use crate::dial::{Dial, Tcp};
use crate::filter::FilterError;
/// For who stands in front of this rim with a rim of its own.
pub use crate::guard::HeadScan;
pub use crate::http::Entrance;
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::stop::{Announcer, Phase};
use crate::upstream::Upstream;

/// What lives as long as the process.
pub struct Core {
    snapshot: ArcSwap<Snapshot>,
    limiter: Limiter,
    hall: Hall<Upstream>,
    retries: retry::Budget,
    budget: Budget,
    audit: AuditLog,
    metrics: Arc<Metrics>,
    stop: Announcer,
    dial: Arc<dyn Dial>,
}

impl Core {
    /// A core without listeners: `http::serve` feeds it connections. `Gateway` is this with sockets.
    pub fn new(config: Config, dial: Arc<dyn Dial>) -> Result<Arc<Self>, StartError> {
        let audit = AuditLog::start(&config.audit).map_err(StartError::Audit)?;
        Self::with_audit(config, dial, audit)
    }

    fn with_audit(config: Config, dial: Arc<dyn Dial>, audit: AuditLog) -> Result<Arc<Self>, StartError> {
        let metrics = Arc::new(Metrics::new());
        let hall = Hall::new();
        let budget = Budget::new(config.memory.buffer_bytes_max);
        let snapshot = Snapshot::new(config, &dial, &metrics, &hall, None)?;
        Ok(Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            limiter: Limiter::new(),
            hall,
            retries: retry::Budget::new(),
            budget,
            audit,
            metrics,
            stop: Announcer::new(),
            dial,
        }))
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Swaps the whole configuration, or keeps the one in force; running requests keep the one they began with.
    pub fn reload(&self, config: Config) -> Result<(), FilterError> {
        let previous = self.snapshot();
        let next = Snapshot::new(config, &self.dial, &self.metrics, &self.hall, Some(&previous))?;
        let stays = |name: &Arc<str>| next.fleet.upstreams().any(|upstream| upstream.name == *name);
        for gone in previous.fleet.upstreams().filter(|upstream| !stays(&upstream.name)) {
            self.metrics.upstream_gone(&gone.name);
        }
        self.budget.set_max(next.config.memory.buffer_bytes_max);
        self.snapshot.store(Arc::new(next));
        self.hall.renew(self.snapshot().fleet.upstreams());
        self.metrics.reloaded(true);
        Ok(())
    }

    /// Everything that is measured, as the admin listener shows it.
    pub fn metrics_text(&self) -> String {
        admin::metrics_text(self)
    }

    /// Writes what is queued for the audit log and closes it. Requests that come later are refused.
    pub async fn close_audit(&self) {
        self.audit.close().await;
    }

    /// Stops: no new requests, then after `patience` an error for what still runs.
    pub async fn drain(&self, patience: Duration, finished: impl Future<Output = ()>) {
        self.stop.announce(Phase::Drain);
        let mut finished = std::pin::pin!(finished);
        if tokio::time::timeout(patience, finished.as_mut()).await.is_err() {
            self.stop.announce(Phase::Cut);
            finished.await;
        }
        self.stop.announce(Phase::Cut);
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot use an open socket")]
    Adopt(#[source] io::Error),
    #[error("cannot open the audit log")]
    Audit(#[source] io::Error),
    #[error("cannot compile the filter")]
    Filter(#[from] FilterError),
}

/// Why a new configuration was not taken; the old one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("'{0}' cannot change while running: restart to apply it")]
    Fixed(&'static str),
    #[error("cannot compile the filter")]
    Filter(#[from] FilterError),
}

/// Sockets that are open already.
#[derive(Debug)]
pub struct Listeners {
    pub api: Vec<std::net::TcpListener>,
    pub admin: Option<std::net::TcpListener>,
    /// The process before this one still runs on them and drains: the audit log is its own until it has ended.
    pub succeeds: bool,
}

/// A running gateway with its sockets.
pub struct Gateway {
    core: Arc<Core>,
    api: Vec<(SocketAddr, JoinHandle<()>)>,
    within: Vec<JoinHandle<()>>,
    admin: Option<(SocketAddr, JoinHandle<()>)>,
}

impl Gateway {
    /// Binds every listener, then starts probes, audit writer and accept loops.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let api = config.listen.iter().map(|address| bind(*address)).collect::<Result<_, _>>()?;
        let admin = config.admin_listen.map(bind).transpose()?;
        Self::start_on(config, Listeners { api, admin, succeeds: false }).await
    }

    /// Starts on sockets that are open already: of a service manager, or of the process before this one.
    pub async fn start_on(config: Config, listeners: Listeners) -> Result<Self, StartError> {
        let api = listeners.api.into_iter().map(adopt).collect::<Result<Vec<_>, _>>()?;
        let admin = listeners.admin.map(adopt).transpose()?;
        let audit = if listeners.succeeds { AuditLog::take_over } else { AuditLog::start };
        let audit = audit(&config.audit).map_err(StartError::Audit)?;
        let dial = Arc::new(Tcp { connect: config.clocks.connect });
        let core = Core::with_audit(config, dial, audit)?;
        let api = api
            .into_iter()
            .map(|(address, listener)| (address, tokio::spawn(http::accept(core.clone(), listener))))
            .collect();
        let admin =
            admin.map(|(address, listener)| (address, tokio::spawn(admin::run(core.clone(), listener))));
        Ok(Self { core, api, within: Vec::new(), admin })
    }

    /// A way in for who stands in front in the same process.
    pub fn entrance(&mut self) -> Entrance {
        let (entrance, within) = Entrance::new();
        self.within.push(tokio::spawn(http::accept(self.core.clone(), within)));
        entrance
    }

    pub fn api_addresses(&self) -> Vec<SocketAddr> {
        self.api.iter().map(|(address, _)| *address).collect()
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(address, _)| *address)
    }

    /// Takes a new configuration whole, or refuses it whole.
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let snapshot = self.core.snapshot();
        let running = &snapshot.config;
        let fixed = [
            ("listen", running.listen != config.listen),
            ("admin_listen", running.admin_listen != config.admin_listen),
            ("audit", running.audit != config.audit),
        ];
        if let Some((name, _)) = fixed.into_iter().find(|(_, changed)| *changed) {
            self.core.metrics.reloaded(false);
            return Err(ReloadError::Fixed(name));
        }
        self.core.reload(config).inspect_err(|_| self.core.metrics.reloaded(false))?;
        Ok(())
    }

    /// The configuration could not even be read: tells the metrics.
    pub fn reload_failed(&self) {
        self.core.metrics.reloaded(false);
    }

    /// Opens the audit log anew, after its file was moved away.
    pub fn reopen_audit(&self) {
        self.core.audit.reopen();
    }

    /// Waits until the process before this one, if there was one, has let go of the audit log. Before that no successor may
    /// be started: two would wait for the log, and the later one could come first.
    pub async fn settled(&self) {
        self.core.audit.opened().await;
    }

    /// As [`Gateway::drain`], with a successor on the same sockets: health and metrics are its to tell from now on.
    pub async fn hand_over(mut self) {
        if let Some((_, serving)) = self.admin.take() {
            serving.abort();
        }
        self.drain().await;
    }

    /// Stops accepting, lets streams run for the configured drain, ends the rest with an error event, writes the audit.
    pub async fn drain(self) {
        let patience = self.core.snapshot().config.clocks.drain;
        let Self { core, api, within, admin } = self;
        let finished = async {
            for accepting in api.into_iter().map(|(_, accepting)| accepting).chain(within) {
                drop(accepting.await);
            }
        };
        core.drain(patience, finished).await;
        if let Some((_, serving)) = admin {
            drop(serving.await);
        }
        core.close_audit().await;
    }
}

/// A listening socket as [`Gateway::start`] opens it.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bound = http::bind(address).and_then(TcpListener::into_std);
    bound.map_err(|source| StartError::Bind { address, source })
}

fn adopt(listener: std::net::TcpListener) -> Result<(SocketAddr, TcpListener), StartError> {
    let adopted = || {
        // Whoever opened it may have left it blocking, which would stop a whole worker.
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, TcpListener::from_std(listener)?))
    };
    adopted().map_err(StartError::Adopt)
}
