//! The gateway's metrics: names and labels, and what each stage has to say to count itself.
//!
//! Why here: names follow Prometheus and are a promise to dashboards, so they stand in one table. A stage says what
//! happened; which series that touches is decided here. Labels are drawn from closed sets: routes, reasons, phases, the
//! names of configured upstreams and of served models. A caller's own words are never one.
//!
//! Never here: anything that can block or grow with the number of callers; no key, user or address.

mod labels;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::audit::Record;
use crate::config::FilterAction;
use crate::error::{Clock, Error};
use crate::routes::{NO_ROUTE, ROUTES};
use crate::standing::Reason;
use labels::{
    Build, ByModel, ByPhase, ByReason, ByRoute, ByUpstream, DirectionModel, Phase, PhaseKind, RouteCode,
    RuleAction, UpstreamErrorKind,
};

/// What [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Models with series of their own; further ones are counted together.
const MODELS_MAX: usize = 256;
const OTHER_MODEL: &str = "other";

const QUEUE_SECONDS: [f64; 12] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
const FIRST_TOKEN_SECONDS: [f64; 15] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0];
const REQUEST_SECONDS: [f64; 16] =
    [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0, 3_600.0];

const AUTH_REASONS: [&str; 3] = ["bad_key", "two_credentials", "address"];
const SHED_REASONS: [&str; 3] = ["queue_full", "queue_timeout", "overloaded"];

/// Token counters of one model, found without building labels.
#[derive(Clone, Debug)]
struct Tokens {
    prompt: Counter,
    output: Counter,
}

/// A gauge that counts what is open; the drop takes it off again.
#[derive(Debug)]
#[must_use = "dropped at once, it counts nothing"]
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

type RouteHistograms = Family<ByRoute, Histogram>;

/// Every series, and the registry that writes them out.
pub struct Metrics {
    registry: Registry,
    requests: Family<RouteCode, Counter>,
    in_flight: Gauge,
    connections: Gauge,
    connections_accepted: Counter,
    queue_depth: Family<ByModel, Gauge>,
    queue_wait: Histogram,
    first_token: Histogram,
    duration: RouteHistograms,
    tokens: Family<DirectionModel, Counter>,
    tokens_of: RwLock<HashMap<Arc<str>, Tokens>>,
    tokens_of_others: Tokens,
    limit_rejections: Family<ByReason, Counter>,
    auth_failures: Family<ByReason, Counter>,
    upstream_errors: Family<PhaseKind, Counter>,
    breaker_state: Family<ByUpstream, Gauge>,
    retries: Counter,
    filter_actions: Family<RuleAction, Counter>,
    buffered: Gauge,
    truncated: Counter,
    cancelled: Family<ByPhase, Counter>,
    panics: Counter,
    audit_records: Counter,
    audit_errors: Counter,
    audit_lost: Counter,
    reload_ok: Gauge,
    reload_at: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series that are known beforehand, at 0: a rate over a series that appears with its first event misses it.
    pub fn new() -> Self {
        let tokens = Family::default();
        let metrics = Self {
            registry: Registry::with_prefix("gatehouse"),
            requests: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            queue_depth: Family::default(),
            queue_wait: Histogram::new(QUEUE_SECONDS),
            first_token: Histogram::new(FIRST_TOKEN_SECONDS),
            duration: RouteHistograms::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            tokens_of: RwLock::new(HashMap::new()),
            tokens_of_others: tokens_of(&tokens, &Arc::from(OTHER_MODEL)),
            tokens,
            limit_rejections: Family::default(),
            auth_failures: Family::default(),
            upstream_errors: Family::default(),
            breaker_state: Family::default(),
            retries: Counter::default(),
            filter_actions: Family::default(),
            buffered: Gauge::default(),
            truncated: Counter::default(),
            cancelled: Family::default(),
            panics: Counter::default(),
            audit_records: Counter::default(),
            audit_errors: Counter::default(),
            audit_lost: Counter::default(),
            reload_ok: Gauge::default(),
            reload_at: Gauge::default(),
        };
        metrics.begin_at_zero();
        metrics.reloaded(true);
        metrics.registered()
    }

    fn begin_at_zero(&self) {
        for route in ROUTES.iter().map(|route| route.path).chain([NO_ROUTE]) {
            drop(self.requests.get_or_create(&RouteCode { route, code: 200 }));
            drop(self.duration.get_or_create(&ByRoute { route }));
        }
        for reason in Reason::ALL.map(Reason::as_str).into_iter().chain(SHED_REASONS) {
            drop(self.limit_rejections.get_or_create(&ByReason { reason }));
        }
        for reason in AUTH_REASONS {
            drop(self.auth_failures.get_or_create(&ByReason { reason }));
        }
        for phase in Phase::ALL {
            drop(self.cancelled.get_or_create(&ByPhase { phase }));
            for kind in UpstreamErrorKind::ALL {
                drop(self.upstream_errors.get_or_create(&PhaseKind { phase, kind }));
            }
        }
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("http_requests", "Requests answered, by route and status", self.requests.clone());
        r.register("requests_in_flight", "Requests that are being served", self.in_flight.clone());
        r.register("connections_open", "Client connections", self.connections.clone());
        r.register("connections", "Client connections accepted", self.connections_accepted.clone());
        r.register("queue_depth", "Requests waiting for a slot", self.queue_depth.clone());
        r.register("queue_wait_seconds", "From arrival to the upstream", self.queue_wait.clone());
        r.register(
            "time_to_first_token_seconds",
            "From arrival to the first token",
            self.first_token.clone(),
        );
        r.register("request_duration_seconds", "From arrival to the last byte", self.duration.clone());
        r.register("tokens", "Tokens read and written by models", self.tokens.clone());
        r.register("limit_rejections", "Requests refused by a limit", self.limit_rejections.clone());
        r.register("auth_failures", "Requests without a right to be here", self.auth_failures.clone());
        r.register("upstream_errors", "Requests that an upstream failed", self.upstream_errors.clone());
        r.register("breaker_state", "0 closed, 1 half-open, 2 open", self.breaker_state.clone());
        r.register("retries", "Requests sent to another upstream after one failed", self.retries.clone());
        r.register("filter_actions", "Texts that a rule of the filter found", self.filter_actions.clone());
        r.register("buffered_bytes", "Bodies, lines and unsent answers in memory", self.buffered.clone());
        r.register("truncated", "Prompts that a runtime has cut", self.truncated.clone());
        r.register("cancelled", "Requests whose client left first", self.cancelled.clone());
        r.register("panics", "Requests ended by a defect of the gateway", self.panics.clone());
        r.register("audit_records", "Audit records written", self.audit_records.clone());
        r.register("audit_errors", "Failed attempts to write the audit log", self.audit_errors.clone());
        r.register("audit_lost", "Audit records that could not be kept", self.audit_lost.clone());
        r.register(
            "config_last_reload_successful",
            "1 if the newest one is in force",
            self.reload_ok.clone(),
        );
        let at = "config_last_reload_success_timestamp_seconds";
        r.register(at, "When the configuration in force was taken", self.reload_at.clone());
        let build = Family::<Build, ConstGauge<i64>, _>::new_with_constructor(|| ConstGauge::new(1));
        drop(build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }));
        r.register("build_info", "The running version", build);
        self
    }

    pub fn connection_opened(&self) -> Open {
        self.connections.inc();
        self.connections_accepted.inc();
        Open(self.connections.clone())
    }

    /// A connection closed at accept because of its address.
    pub fn address_refused(&self) {
        self.auth_failed("address");
    }

    pub fn request_began(&self) {
        self.in_flight.inc();
    }

    pub fn queued_for(&self, wait: Duration) {
        self.queue_wait.observe(wait.as_secs_f64());
    }

    pub fn first_byte_after(&self, elapsed: Duration) {
        self.first_token.observe(elapsed.as_secs_f64());
    }

    /// A request that is answered with this error before its first byte.
    pub fn refused(&self, error: &Error) {
        match error {
            Error::RateLimited(refusal) => self.limited(refusal.reason.as_str()),
            Error::Busy => self.limited("queue_full"),
            Error::Crowded => self.limited("overloaded"),
            Error::Deadline(Clock::Queue) => self.limited("queue_timeout"),
            Error::BadKey => self.auth_failed("bad_key"),
            Error::TwoCredentials => self.auth_failed("two_credentials"),
            Error::AddressRefused => self.auth_failed("address"),
            other => {
                if let Some(kind) = UpstreamErrorKind::of(other) {
                    self.upstream_failed(Phase::FirstByte, kind);
                }
            }
        }
    }

    /// A request that ended, however it did; every one that began ends here once.
    pub fn request_ended(&self, route: &'static str, record: &Record, elapsed: Duration) {
        self.in_flight.dec();
        self.requests.get_or_create(&RouteCode { route, code: record.status }).inc();
        self.duration.get_or_create(&ByRoute { route }).observe(elapsed.as_secs_f64());
        let phase = Phase::of(record);
        match record.end {
            "client_gone" => {
                self.cancelled.get_or_create(&ByPhase { phase }).inc();
            }
            "upstream_cut" => self.upstream_failed(Phase::Stream, UpstreamErrorKind::Cut),
            "deadline" => self.upstream_failed(Phase::Stream, UpstreamErrorKind::Timeout),
            _ => {}
        }
        if record.truncated {
            self.truncated.inc();
        }
        if record.prompt_tokens.is_some() || record.output_tokens.is_some() {
            self.spent(record);
        }
    }

    fn spent(&self, record: &Record) {
        let known = self.tokens_of.read().unwrap_or_else(PoisonError::into_inner);
        let model = record.model.as_deref().and_then(|model| known.get(model));
        let tokens = model.unwrap_or(&self.tokens_of_others);
        tokens.prompt.inc_by(record.prompt_tokens.unwrap_or(0));
        tokens.output.inc_by(record.output_tokens.unwrap_or(0));
    }

    /// Gives models series of their own. A name stays when its model goes: a counter must not restart.
    pub fn serve_models<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut known = self.tokens_of.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if known.len() < MODELS_MAX && !known.contains_key(name) {
                let name: Arc<str> = Arc::from(name);
                known.insert(Arc::clone(&name), tokens_of(&self.tokens, &name));
            }
        }
    }

    fn limited(&self, reason: &'static str) {
        self.limit_rejections.get_or_create(&ByReason { reason }).inc();
    }

    fn auth_failed(&self, reason: &'static str) {
        self.auth_failures.get_or_create(&ByReason { reason }).inc();
    }

    fn upstream_failed(&self, phase: Phase, kind: UpstreamErrorKind) {
        self.upstream_errors.get_or_create(&PhaseKind { phase, kind }).inc();
    }

    /// A request that another upstream is asked for.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// What a rule of the content filter has found in one request.
    pub fn filtered(&self, rule: &Arc<str>, action: FilterAction, times: u32) {
        let action = match action {
            FilterAction::Log => "log",
            FilterAction::Mask => "mask",
            FilterAction::Stop => "stop",
        };
        self.filter_actions
            .get_or_create(&RuleAction { rule: Arc::clone(rule), action })
            .inc_by(u64::from(times));
    }

    /// A request that a defect of ours ended.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// How an upstream stands at the time of a scrape.
    pub fn upstream_state(&self, upstream: &Arc<str>, breaker: i64) {
        let label = ByUpstream { upstream: Arc::clone(upstream) };
        self.breaker_state.get_or_create(&label).set(breaker);
    }

    /// Who waits for which model at the time of a scrape. A model without series of its own counts with the others.
    pub fn queues<'a>(&self, waiting: impl Iterator<Item = (&'a Arc<str>, usize)>) {
        let mut depths: HashMap<Arc<str>, i64> = HashMap::new();
        {
            let known = self.tokens_of.read().unwrap_or_else(PoisonError::into_inner);
            depths.extend(known.keys().map(|model| (Arc::clone(model), 0)));
            depths.insert(Arc::from(OTHER_MODEL), 0);
        }
        for (model, count) in waiting {
            let model = if depths.contains_key(model) { Arc::clone(model) } else { Arc::from(OTHER_MODEL) };
            *depths.entry(model).or_default() += i64::try_from(count).unwrap_or(i64::MAX);
        }
        for (model, depth) in depths {
            self.queue_depth.get_or_create(&ByModel { model }).set(depth);
        }
    }

    /// What buffers hold at the time of a scrape.
    pub fn buffered(&self, bytes: u64) {
        self.buffered.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An upstream that a reload has removed.
    pub fn upstream_gone(&self, upstream: &Arc<str>) {
        let label = ByUpstream { upstream: Arc::clone(upstream) };
        self.breaker_state.remove(&label);
    }

    /// What the audit log has counted by itself, taken over at a scrape.
    pub fn audit_state(&self, audit: &crate::audit::AuditLog) {
        self.audit_records.inner().store(audit.written(), Ordering::Relaxed);
        self.audit_errors.inner().store(audit.errors(), Ordering::Relaxed);
        self.audit_lost.inner().store(audit.lost(), Ordering::Relaxed);
    }

    /// A reload took the new configuration, or kept the old one.
    pub fn reloaded(&self, successful: bool) {
        self.reload_ok.set(i64::from(successful));
        if successful {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.reload_at.set(since_epoch.map_or(0.0, |elapsed| elapsed.as_secs_f64()));
        }
    }

    /// Writes all series in the OpenMetrics text format.
    pub fn encode(&self, out: &mut String) {
        // Writing to a string cannot fail, and no metric here refuses to be written.
        let _ = encode(out, &self.registry);
    }
}

fn tokens_of(family: &Family<DirectionModel, Counter>, model: &Arc<str>) -> Tokens {
    let counter =
        |direction| family.get_or_create_owned(&DirectionModel { direction, model: Arc::clone(model) });
    Tokens { prompt: counter("prompt"), output: counter("output") }
}

#[cfg(test)]
mod tests;
