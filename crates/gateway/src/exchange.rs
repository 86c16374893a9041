//! One request from its first byte to its audit record, moved along the pipeline and settled exactly once.
//!
//! Why here: what is learned on the way (who, what, how long, how much) has one owner. Whoever drops an exchange without
//! settling it has lost its client: the drop settles it so, and no path can forget to.
//!
//! Never here: decisions; prompt or answer text.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use wire::{Format, Metered};

use crate::audit;
use crate::auth::Principal;
use crate::error::{Blame, Error, ErrorRender};
use crate::limit::Charge;
use crate::metrics::Metrics;
use crate::route::Target;
use crate::routes::{NO_ROUTE, Route};
use crate::standing::Standing;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer was complete.
    Complete,
    /// The client left before it was.
    ClientGone,
    /// The upstream's answer broke off after its first byte.
    UpstreamCut,
    /// A clock ran out after the first byte.
    Deadline,
    /// The process stopped.
    Drained,
    /// Refused before it reached an upstream, with this label.
    Refused(&'static str),
    /// Failed at or behind an upstream, with this label.
    Failed(&'static str),
}

impl End {
    /// The word in the audit record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamCut => "upstream_cut",
            Self::Deadline => "deadline",
            Self::Drained => "drained",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

/// Everything known of one request.
pub struct Exchange {
    id: Arc<str>,
    started: Instant,
    metrics: Arc<Metrics>,
    slot: Option<audit::Slot>,
    record: audit::Record,
    route: &'static str,
    errors: ErrorRender,
    error_label: Option<&'static str>,
    dispatched: bool,
    charge: Option<Charge>,
    settled: bool,
}

impl Exchange {
    pub fn begin(id: Arc<str>, metrics: Arc<Metrics>, slot: audit::Slot, errors: ErrorRender) -> Self {
        metrics.request_began();
        let record = audit::Record::of(id.clone());
        Self {
            id,
            started: Instant::now(),
            metrics,
            slot: Some(slot),
            record,
            route: NO_ROUTE,
            errors,
            error_label: None,
            dispatched: false,
            charge: None,
            settled: false,
        }
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// How errors are written for this caller.
    pub fn errors(&self) -> ErrorRender {
        self.errors
    }

    /// What came in, before anything is decided about it.
    pub fn arrived(&mut self, client: std::net::IpAddr, method: &http::Method, headers: &HeaderMap) {
        self.record.client = Some(client);
        self.record.set_method(method.as_str());
        if let Some(agent) = headers.get(http::header::USER_AGENT) {
            self.record.set_user_agent(agent.as_bytes());
        }
    }

    pub fn routed(&mut self, route: &'static Route, error_format: Option<Format>) {
        self.route = route.path;
        self.record.route = route.path;
        if error_format.is_none() {
            self.errors.format = route.format;
        }
    }

    pub fn identified(&mut self, principal: &Principal) {
        self.record.key_id = Some(principal.key_id.clone());
        self.record.user_id = principal.user.clone();
    }

    pub fn asked(&mut self, model: &str, prompt_chars: usize, stream: bool) {
        self.record.set_model(model);
        self.record.prompt_chars = Some(prompt_chars as u64);
        self.record.stream = stream;
    }

    pub fn charged(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }

    pub fn targeted(&mut self, target: &Target, dropped: Vec<&'static str>) {
        self.record.upstream = Some(target.upstream.name.clone());
        self.record.dropped = dropped;
    }

    /// The wait for a slot is over.
    pub fn dispatched(&mut self) {
        self.dispatched = true;
        let queued = self.started.elapsed();
        self.record.ms_queued = Some(millis(queued));
        self.metrics.queued_for(queued);
    }

    pub fn first_byte(&mut self) {
        let elapsed = self.started.elapsed();
        self.record.ms_first_byte = Some(millis(elapsed));
        self.metrics.first_byte_after(elapsed);
        self.record.status = 200;
    }

    /// Response headers that every answer of this exchange carries.
    pub fn headers(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(X_REQUEST_ID, id.clone());
            headers.insert(REQUEST_ID, id);
        }
        if let Some(standing) = self.charge.as_ref().and_then(|charge| charge.standings().requests) {
            rate_headers(&standing, headers);
        }
    }

    /// Writes the reason to the log at the level its blame asks for; details stay there.
    pub fn log(&self, error: &Error) {
        let (request_id, code) = (&*self.id, error.label());
        match error.verdict().blame {
            Blame::Caller => tracing::debug!(request_id, code, %error, "refused"),
            Blame::Nobody => tracing::info!(request_id, code, %error, "not served"),
            Blame::Upstream => tracing::warn!(request_id, code, %error, "upstream failed"),
            Blame::Operator => tracing::error!(request_id, code, %error, "needs the operator"),
        }
    }

    /// Ends with an error that the caller is told by this status.
    pub fn refuse(mut self, error: &Error) {
        self.log(error);
        let verdict = error.verdict();
        self.record.status = verdict.status.as_u16();
        self.metrics.refused(error);
        let label = error.label();
        let end = if self.dispatched { End::Failed(label) } else { End::Refused(label) };
        self.settle(end, Metered::default());
    }

    /// Ends. Counts, records, and gives nothing further to do.
    pub fn settle(mut self, end: End, metered: Metered) {
        self.close(end, metered);
    }

    /// Ends mid-stream because of an error that the caller was told in the stream.
    pub fn settle_failed(mut self, end: End, error: &Error, metered: Metered) {
        self.error_label = Some(error.label());
        self.close(end, metered);
    }

    /// Ends with an error before the first event of a stream whose head had to go out earlier.
    pub fn settle_unanswered(mut self, error: &Error) {
        self.log(error);
        // What the caller saw; the error stands beside it.
        self.record.status = 200;
        self.metrics.refused(error);
        self.close(End::Failed(error.label()), Metered::default());
    }

    fn close(&mut self, end: End, metered: Metered) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let elapsed = self.started.elapsed();
        let record = &mut self.record;
        record.ms_total = millis(elapsed);
        record.end = end.as_str();
        record.error = match end {
            End::Refused(label) | End::Failed(label) => Some(label),
            _ => self.error_label,
        };
        match metered.usage {
            Some(usage) => {
                record.prompt_tokens = Some(usage.prompt_tokens);
                record.output_tokens = Some(usage.output_tokens);
            }
            // The upstream's counts come last; without them the pieces that passed are what is known.
            None if metered.deltas > 0 => record.output_tokens = Some(metered.deltas),
            None => {}
        }
        self.metrics.request_ended(self.route, &self.record, elapsed);
        if let Some(slot) = self.slot.take() {
            slot.write(std::mem::take(&mut self.record));
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.close(End::ClientGone, Metered::default());
    }
}

/// `x-ratelimit-*` in OpenAI's names.
pub fn rate_headers(standing: &Standing, headers: &mut HeaderMap) {
    headers.insert(LIMIT, HeaderValue::from(standing.limit));
    headers.insert(REMAINING, HeaderValue::from(standing.remaining));
    if let Ok(reset) = HeaderValue::try_from(reset_text(standing.reset)) {
        headers.insert(RESET, reset);
    }
}

/// Durations as OpenAI writes them: `17ms`, `1s`, `6m0s`.
fn reset_text(reset: Duration) -> String {
    let seconds = reset.as_secs();
    match seconds {
        0 => format!("{}ms", reset.subsec_millis()),
        1..=59 => format!("{seconds}s"),
        _ => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_read_like_openai_s() {
        for (ms, expected) in [(17, "17ms"), (1_000, "1s"), (59_900, "59s"), (360_000, "6m0s")] {
            assert_eq!(reset_text(Duration::from_millis(ms)), expected);
        }
    }
}
