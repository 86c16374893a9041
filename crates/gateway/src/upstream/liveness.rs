//! The breaker: is this upstream alive?
//!
//! Why here: a slow prompt and a dead server look the same to the request that waits. A cheap probe on the side tells them
//! apart: the upstream that has not answered its probe (nor sent a byte to anybody) for `dead_after` is dead, however
//! quiet or busy its streams are. Closed lets traffic pass; open refuses at once; half-open is the one probe that decides.
//!
//! Never here: counting failed requests. A failed request may bring the next probe forward, no more.

use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use wire::Format;

use super::{Upstream, chance};
use crate::config::Liveness;

/// How long a single question for a pulse may take.
const PULSE_TIME: Duration = Duration::from_millis(1_500);

/// State of the breaker, in the field's terms: closed is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Closed,
    HalfOpen,
    Open,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }

    /// Gauge value: 0 closed, 1 half-open, 2 open.
    pub fn code(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// A view on the breaker for one waiting request.
pub struct Watch(watch::Receiver<Health>);

impl Watch {
    pub(super) fn new(receiver: watch::Receiver<Health>) -> Self {
        Self(receiver)
    }

    /// Resolves when the upstream is dead; never if its probe task has ended (the process is stopping).
    pub async fn dead(&mut self) {
        if self.0.wait_for(|health| *health != Health::Closed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the upstream is alive; never if its probe task has ended.
    pub async fn alive(&mut self) {
        if self.0.wait_for(|health| *health == Health::Closed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Probes an upstream until the process ends. One method per state: the state machine is the control flow.
pub(super) async fn run(upstream: &Upstream, liveness: Liveness) {
    loop {
        closed(upstream, liveness).await;
        tracing::warn!(
            upstream = %upstream.name,
            silent_ms = millis(liveness.dead_after),
            "breaker open: the upstream does not answer its probe{}",
            wall(upstream.pool.is_here(), std::env::var_os("INVOCATION_ID").is_some()),
        );
        open(upstream, liveness).await;
        // It has been away, perhaps restarted: what it failed before says nothing of it now.
        upstream.outlier.pardon();
        tracing::info!(upstream = %upstream.name, "breaker closed: the upstream answers again");
    }
}

/// A unit may be walled in, and a packet to another machine is then lost without a word.
fn wall(here: bool, in_unit: bool) -> &'static str {
    if in_unit && !here {
        "; it is another machine, and the packaged unit reaches none that `IPAddressAllow` does not name"
    } else {
        ""
    }
}

/// Traffic passes. Returns when nothing was heard for `dead_after`.
async fn closed(upstream: &Upstream, liveness: Liveness) {
    upstream.heard();
    upstream.health.send_replace(Health::Closed);
    // A probe that hangs on a broken connection must leave time for another on a fresh one.
    let patience = liveness.dead_after / 2;
    loop {
        let deadline = upstream.last_heard() + liveness.dead_after;
        let started = Instant::now();
        if started >= deadline {
            return;
        }
        if timeout_at(deadline.min(started + patience), probe(upstream)).await.unwrap_or(false) {
            upstream.heard();
        }
        let next = started + liveness.probe_every;
        sleep_until(next.min(upstream.last_heard() + liveness.dead_after)).await;
    }
}

/// Nothing passes. Probes with growing pauses; the first answer closes the breaker.
async fn open(upstream: &Upstream, liveness: Liveness) {
    let mut pause = liveness.probe_every;
    loop {
        upstream.health.send_replace(Health::Open);
        sleep(jittered(pause)).await;
        upstream.health.send_replace(Health::HalfOpen);
        let deadline = Instant::now() + liveness.dead_after / 2;
        if timeout_at(deadline, probe(upstream)).await.unwrap_or(false) {
            return;
        }
        pause = (pause * 2).min(liveness.dead_after);
    }
}

impl Upstream {
    /// Asks once whether it is there at all. The breaker judges by itself; this tells a request's failure from the server's.
    pub async fn has_pulse(&self) -> bool {
        timeout(PULSE_TIME, probe(self)).await.unwrap_or(false)
    }
}

/// Any answer is a sign of life, whatever its status: this asks for a pulse, not for health.
async fn probe(upstream: &Upstream) -> bool {
    let path = match upstream.format {
        Format::Ollama => "/api/version",
        _ => "/health",
    };
    match upstream.pool.get(path).await {
        Ok(answer) => {
            // The body is read so that the connection can be used again; a huge one is cut.
            let body = super::read_body(answer.body, 4 << 10).await;
            if upstream.format == Format::Ollama && answer.status == StatusCode::OK {
                upstream.says_release(body.ok().and_then(|body| wire::read_version(&body)));
            }
            true
        }
        Err(_) => false,
    }
}

/// 75 % to 125 %, so that many gateways do not knock at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + chance() / 2.0)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::wall;

    #[test]
    fn a_wall_is_thought_of_where_there_may_be_one() {
        assert!(wall(false, true).contains("IPAddressAllow"));
        assert_eq!((wall(true, true), wall(false, false)), ("", ""));
    }
}
