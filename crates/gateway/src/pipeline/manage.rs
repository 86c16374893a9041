//! Work on the models of a runtime (pull, push, create, copy, delete, blobs), for keys that were allowed it by name.
//!
//! Why here: it walks the same way as every request, so it is charged, bounded and recorded like one; but no model answers,
//! so it takes no slot. Which of several runtimes is meant has to be said: a guess would change the wrong machine.
//!
//! Never here: who may (that was asked before a byte of the body was read); bodies and lines (`wire`).

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_LENGTH;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use wire::{AnswerStream, Fault, Format, Manage, Progress, Reply};

use super::{Known, head};
use crate::Core;
use crate::admit::Runner as _;
use crate::error::{Clock, Error};
use crate::exchange::Exchange;
use crate::relay::{Flow, Inflow, StreamClocks};
use crate::routes::{Route, Verb};
use crate::stop::Phase;
use crate::upstream::{Answer, SendError, Upstream, read_body};

/// Which upstream is meant, where there are several.
const UPSTREAM: HeaderName = HeaderName::from_static("x-gatehouse-upstream");
/// Answers that are no streams hold a word or two.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A line of progress.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What follows from the work.
pub(super) enum Done {
    Whole(Bytes),
    Streams(Box<Flow>),
}

/// The one runtime that is meant.
fn upstream(known: &Known) -> Result<Arc<Upstream>, Error> {
    let all = known.snapshot.fleet.upstreams().filter(|upstream| upstream.format == Format::Ollama);
    let all: Vec<&Arc<Upstream>> = all.collect();
    let asked = known.headers.get(UPSTREAM).map(|name| name.as_bytes());
    let found = match (asked, all.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), all) => all.iter().find(|upstream| upstream.name.as_bytes() == name),
    };
    let upstream = found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|upstream| &*upstream.name).collect();
        Error::Request(Fault {
            code: "invalid_value",
            param: None,
            message: match names.as_slice() {
                [] => "no model server here has models to manage".to_owned(),
                names => format!("name one model server in X-Gatehouse-Upstream: {}", names.join(", ")),
            },
        })
    })?;
    if !upstream.takes() {
        return Err(Error::UpstreamDown);
    }
    Ok(Arc::clone(upstream))
}

/// With a body of fields.
pub(super) async fn serve(
    core: &Arc<Core>,
    known: &Known,
    route: &Route,
    which: Manage,
    body: &[u8],
    exchange: &mut Exchange,
) -> Result<Done, Error> {
    let request = wire::read_manage(which, body, &known.snapshot.read_limits)?;
    let models: Vec<_> = request.models().collect();
    exchange.asked(&models.join(" "), 0, request.stream());
    // Whoever is kept to some models makes, changes and removes none but these.
    if !models.iter().all(|model| known.principal.may_use(model)) {
        return Err(Error::NotGranted);
    }
    if let Some(field) = request.dropped().first().filter(|_| known.principal.strict) {
        return Err(super::chat::unsupported(field).into());
    }
    let upstream = upstream(known)?;
    exchange.works_on(upstream.name.clone());
    known.charge_listing(core, exchange)?;
    let mut written = Vec::with_capacity(256);
    wire::write_manage(&request, &mut written);
    tracing::warn!(
        request_id = &**exchange.id(), key = &*known.principal.key_id, upstream = %upstream.name,
        operation = which.as_str(), models = models.join(" "), "models of a server are changed"
    );
    let clocks = &known.snapshot.config.clocks;
    let total_at = exchange.started() + clocks.total;
    let asked = upstream.pool.call(route.method.as_str(), route.path, Some(written.into()));
    let answer = answered(core, &upstream, total_at, asked).await?;
    if !request.stream() {
        let body = bounded(core, total_at, read_body(answer.body, ANSWER_BYTES_MAX)).await?;
        let mut out = Vec::with_capacity(64);
        wire::read_manage_answer(&body.map_err(|error| broken(&error))?, &mut out)?;
        changed(&upstream).await;
        return Ok(Done::Whole(out.into()));
    }
    let reply = Reply { line_bytes_max: LINE_BYTES_MAX, ..Reply::new(head::random_hex(), "") };
    let stream = AnswerStream::of_work(reply);
    let inflow = Inflow::new(upstream, answer.body, stream, core.budget.hold());
    // What takes a runtime hours is told line by line; between two lines the usual clock ticks.
    let clocks = StreamClocks { idle: clocks.idle, heartbeat: clocks.heartbeat, total_at };
    let (unsent, cut) = (core.budget.clone(), core.stop.listen().reached(Phase::Cut));
    let (client, first, progress) = (Format::Ollama, Vec::new(), Progress::Flowing);
    Ok(Done::Streams(Box::new(Flow { inflow, client, unsent, first, progress, permit: None, clocks, cut })))
}

/// Bytes by their digest: asked for, or sent as they come. They are not held, so no bound on bodies applies to them, but the
/// clock for the whole does.
pub(super) async fn blob(
    core: &Arc<Core>,
    known: &Known,
    route: &Route,
    digest: &str,
    body: &mut Option<Incoming>,
    exchange: &mut Exchange,
) -> Result<Bytes, Error> {
    let upstream = upstream(known)?;
    exchange.asked(digest, 0, false);
    exchange.works_on(upstream.name.clone());
    known.charge_listing(core, exchange)?;
    let path = format!("/api/blobs/{digest}");
    let total_at = exchange.started() + known.snapshot.config.clocks.total;
    let answer = if route.method == Verb::Head {
        answered(core, &upstream, total_at, upstream.pool.call("HEAD", &path, None)).await?
    } else {
        let length = known.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.ok_or_else(|| fault("invalid_request", "a blob is sent with its length"))?;
        let sent = upstream.pool.upload(&path, length, body.take());
        answered(core, &upstream, total_at, sent).await?
    };
    drop(answer);
    Ok(Bytes::new())
}

/// Waits for an answer that says yes.
async fn answered(
    core: &Core,
    upstream: &Upstream,
    total_at: Instant,
    asked: impl Future<Output = Result<Answer, SendError>>,
) -> Result<Answer, Error> {
    let answer = bounded(core, total_at, asked).await?.map_err(|error| match error {
        SendError::Connect(_) => Error::UpstreamDown,
        error => broken(&error),
    })?;
    upstream.heard();
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return Ok(answer);
    }
    let kind = answer.content_type.clone();
    let body = bounded(core, total_at, read_body(answer.body, ANSWER_BYTES_MAX)).await?.unwrap_or_default();
    if status == 404 && body.is_empty() {
        // A blob that is not there: nothing is said of why.
        return Err(Error::ModelNotFound { model: "blob".to_owned() });
    }
    Err(wire::read_refusal(upstream.format, status, kind.as_deref(), &body).into())
}

/// Not beyond the last clock, nor beyond the life of the process.
async fn bounded<T>(core: &Core, total_at: Instant, work: impl Future<Output = T>) -> Result<T, Error> {
    let stop = core.stop.listen();
    tokio::select! {
        biased;
        done = timeout_at(total_at, work) => done.map_err(|_| Error::Deadline(Clock::Total)),
        () = stop.reached(Phase::Cut) => Err(Error::Draining),
    }
}

/// Lists are read anew, so that what was just made is there.
async fn changed(upstream: &Upstream) {
    drop(upstream.refresh_models(std::time::Duration::ZERO).await);
}

fn broken(error: &SendError) -> Error {
    Error::Upstream(wire::UpstreamFault {
        kind: wire::UpstreamFaultKind::Broken,
        message: "the model server closed the connection before it answered".into(),
        detail: error.to_string(),
    })
}

fn fault(code: &'static str, message: impl Into<String>) -> Error {
    Error::Request(Fault { code, param: None, message: message.into() })
}
