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
use wire::{Estimate, Format, Metered};

use crate::audit;
use crate::auth::Principal;
use crate::config::FilterAction;
use crate::error::{Blame, Error, ErrorRender};
use crate::filter::{Filter, Findings};
use crate::limit::Charge;
use crate::metrics::Metrics;
use crate::rate_headers::{Rated, rate_headers};
use crate::route::Target;
use crate::routes::{NO_ROUTE, Route};
use crate::standing::Standings;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer was complete.
    Complete,
    /// The client left before it was.
    ClientGone,
    /// The upstream's answer broke off after its first byte.
    UpstreamCut,
    /// A rule of the content filter ended it.
    Filtered,
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
            Self::Filtered => "filtered",
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
    admitted: bool,
    /// When it was sent to the upstream that has it now.
    sent_at: Option<Instant>,
    /// What was taken from the caller's limits; given back or settled at the end.
    charge: Option<Charge>,
    /// What the prompt is taken for until the upstream has counted it.
    prompt: Estimate,
    findings: Option<Arc<Findings>>,
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
            admitted: false,
            sent_at: None,
            charge: None,
            prompt: Estimate::default(),
            findings: None,
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

    pub fn routed(&mut self, route: &'static Route) {
        self.route = route.path;
        self.record.route = route.path;
        self.errors.operation = route.operation;
    }

    /// The caller's dialect, for errors; one that the configuration wants on every route stays.
    pub fn speaks(&mut self, format: Format, error_format: Option<Format>) {
        if error_format.is_none() {
            self.errors.format = format;
        }
    }

    /// What the caller and the operator know this request by.
    pub fn id(&self) -> &Arc<str> {
        &self.id
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

    /// What the prompt will cost, as far as that can be known before a model has read it.
    pub fn estimated(&mut self, prompt: Estimate) {
        self.prompt = prompt;
    }

    pub fn charged(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }

    /// Where rules that look at this request's texts note what they find; recorded at the end.
    pub fn findings(&mut self, filter: &Filter) -> Arc<Findings> {
        self.findings.get_or_insert_with(|| filter.findings()).clone()
    }

    /// The wait for a slot is over. Called again for each further attempt.
    pub fn admitted(&mut self, target: &Target, dropped: &[&'static str]) {
        if !std::mem::replace(&mut self.admitted, true) {
            let queued = self.started.elapsed();
            self.record.ms_queued = Some(millis(queued));
            self.metrics.queued_for(queued);
        }
        self.record.upstream = Some(target.runner.name.clone());
        self.record.dropped = dropped.to_vec();
    }

    /// Asked of an upstream without a slot: no model works on it.
    pub fn works_on(&mut self, upstream: Arc<str>) {
        self.admitted = true;
        self.record.upstream = Some(upstream);
    }

    /// From now on a model works on it.
    pub fn sent(&mut self) {
        self.sent_at = Some(Instant::now());
    }

    /// The upstream failed without a byte, and another one is asked.
    pub fn retried(&mut self) {
        self.sent_at = None;
        self.record.retries += 1;
        self.metrics.retried();
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
        if let Some(charge) = &self.charge {
            let Standings { requests, tokens } = charge.standings();
            if let Some(standing) = requests {
                rate_headers(self.errors.format, &standing, Rated::Requests, headers);
            }
            if let Some(standing) = tokens {
                rate_headers(self.errors.format, &standing, Rated::Tokens, headers);
            }
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
        let verdict = self.errors.verdict(error);
        self.record.status = verdict.status.as_u16();
        self.metrics.refused(error);
        let label = error.label();
        let end = if self.admitted { End::Failed(label) } else { End::Refused(label) };
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
        let stopped =
            |findings: &Arc<Findings>| findings.iter().any(|(label, _)| label.action == FilterAction::Stop);
        let end = match end {
            End::Complete if self.findings.as_ref().is_some_and(stopped) => End::Filtered,
            end => end,
        };
        let record = &mut self.record;
        record.ms_total = millis(elapsed);
        record.end = end.as_str();
        record.error = match end {
            End::Refused(label) | End::Failed(label) => Some(label),
            _ => self.error_label,
        };
        let spent = Spent::of(&metered, self.prompt);
        if metered.usage.is_some() || metered.deltas > 0 {
            record.prompt_tokens = spent.prompt_read;
            record.output_tokens = Some(spent.output);
        }
        if spent.truncated {
            record.truncated = true;
            tracing::warn!(request_id = &*self.id, "the runtime read less than the prompt holds: it was cut");
        }
        if let Some(findings) = self.findings.take() {
            for (label, times) in findings.iter() {
                self.metrics.filtered(&label.name, label.action, times);
                record.filtered.push(label.name.to_string());
            }
        }
        if let Some(charge) = self.charge.take() {
            // Whoever got nothing pays nothing; who left after the model had begun pays for its work.
            match end {
                End::Refused(_) | End::Failed(_) => charge.refund(),
                End::ClientGone => match self.sent_at {
                    None => charge.refund(),
                    // Nothing of a whole answer has passed that could be counted.
                    Some(sent_at) if metered.deltas == 0 && !self.record.stream => {
                        let most = tokens_written_in(sent_at.elapsed());
                        let output = charge.output_max().map_or(most, |max| max.min(most));
                        charge.settle(spent.prompt, output);
                    }
                    Some(_) => charge.settle(spent.prompt, spent.output),
                },
                _ => charge.settle(spent.prompt, spent.output),
            }
        }
        self.metrics.request_ended(self.route, &self.record, elapsed);
        if let Some(slot) = self.slot.take() {
            slot.write(std::mem::take(&mut self.record));
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // A panic drops it, too.
        let end =
            if std::thread::panicking() { End::Failed(Error::Internal.label()) } else { End::ClientGone };
        self.close(end, Metered::default());
    }
}

/// What a request has cost.
struct Spent {
    prompt: u64,
    /// As the upstream counted it.
    prompt_read: Option<u64>,
    output: u64,
    /// The upstream read less than the prompt holds.
    truncated: bool,
}

/// Tokens that a runtime may count beside those that are seen: ends of turns, an empty thought.
const UNSEEN_TOKENS: u64 = 64;
/// A model's own system prompt is read, too, and nobody here has seen it.
const HIDDEN_PROMPT_TOKENS: u64 = 65_536;

/// Whoever leaves before a whole answer came pays for no more than a fast machine has written by then.
const TOKENS_PER_S: u64 = 100;

fn tokens_written_in(time: Duration) -> u64 {
    millis(time).saturating_mul(TOKENS_PER_S) / 1_000
}

impl Spent {
    /// The upstream's counts where they can be true, our own where they cannot: a token has a byte at least, and a prompt
    /// does not shrink.
    fn of(metered: &Metered, estimate: Estimate) -> Self {
        let usage = metered.usage;
        let believable = |prompt: u64| {
            prompt > 0 && prompt <= estimate.high.saturating_mul(4).saturating_add(HIDDEN_PROMPT_TOKENS)
        };
        let prompt_read = usage.map(|usage| usage.prompt_tokens);
        let output_seen = |output: u64| {
            (metered.deltas == 0 || output > 0)
                && output <= metered.upstream_bytes.saturating_add(UNSEEN_TOKENS)
        };
        let output = usage.map(|usage| usage.output_tokens).filter(|output| output_seen(*output));
        Self {
            prompt: prompt_read
                .filter(|prompt| believable(*prompt))
                .unwrap_or(estimate.high)
                .max(estimate.low),
            prompt_read,
            output: output.unwrap_or(metered.deltas),
            truncated: prompt_read.is_some_and(|prompt| prompt > 0 && prompt < estimate.low),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
