//! What operators see of queues and upstreams: the JSON of `/queue` and `/upstreams`.
//!
//! Why here: names and units of these bodies are a promise to dashboards and scripts; inside, the types stay free to change.
//!
//! Never here: prompts, addresses of callers, keys other than their public ids.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::Core;
use crate::admit::{self, Runner as _};
use crate::config::Priority;
use crate::upstream::{LoadView, Upstream};

#[derive(Serialize)]
pub(super) struct Queue {
    model: String,
    running: usize,
    /// Seconds that one more would wait, where earlier requests tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate_s: Option<f64>,
    waiting: Vec<Waiter>,
}

#[derive(Serialize)]
struct Waiter {
    position: usize,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    priority: &'static str,
    waited_s: f64,
    /// Estimated tokens of prompt and answer.
    work_tokens: u64,
}

/// Every queue with somebody in it.
pub(super) fn queues(core: &Core) -> Vec<Queue> {
    core.hall.view().into_iter().map(queue).collect()
}

fn queue(view: admit::QueueView) -> Queue {
    let waiter = |waiter: admit::WaiterView| Waiter {
        position: waiter.position,
        key: waiter.flow.key.to_string(),
        user: waiter.flow.user.as_deref().map(str::to_owned),
        priority: match waiter.priority {
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        },
        waited_s: seconds(waiter.waited),
        work_tokens: waiter.work,
    };
    Queue {
        model: view.model.to_string(),
        running: view.running,
        estimate_s: view.wait.map(seconds),
        waiting: view.waiting.into_iter().map(waiter).collect(),
    }
}

#[derive(Serialize)]
pub(super) struct UpstreamState {
    name: String,
    breaker: &'static str,
    ejected: bool,
    draining: bool,
    running: usize,
    loading: Vec<Loading>,
}

#[derive(Serialize)]
struct Loading {
    model: String,
    elapsed_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate_s: Option<f64>,
}

pub(super) fn upstreams(core: &Core) -> Vec<UpstreamState> {
    let now = Instant::now();
    let state = |upstream: &Arc<Upstream>| UpstreamState {
        name: upstream.name.to_string(),
        breaker: upstream.health().as_str(),
        ejected: upstream.is_ejected(now),
        draining: upstream.settings().drain,
        running: core.hall.load(upstream.id()).running,
        loading: upstream.all_loading().into_iter().map(loading).collect(),
    };
    core.snapshot().fleet.upstreams().map(state).collect()
}

fn loading((model, view): (String, LoadView)) -> Loading {
    Loading { model, elapsed_s: seconds(view.since.elapsed()), estimate_s: view.estimate.map(seconds) }
}

/// Tenths are enough for people.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
