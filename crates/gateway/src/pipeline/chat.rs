//! Chat: from a counted request to a body that streams, or to a whole answer.
//!
//! Why here: this is the part of the pipeline that waits: for a slot, for the upstream's first event. While it waits it
//! listens to everything that can end the wait: the client (by being dropped), the breaker, the clocks, the stop signal.
//!
//! Never here: dialects' bytes (`wire`), what happens after the first event (`relay`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::time::{Instant, sleep, timeout_at};
use wire::{ChatStream, Fault, Format, Lane, Metered, Operation, Outbound, Progress, Reply};

use super::{Admitted, head};
use crate::Core;
use crate::admit::{Entry, Permit};
use crate::budget::Budget;
use crate::config::Clocks;
use crate::error::{Clock, Error};
use crate::exchange::Exchange;
use crate::progress::{self, Stage};
use crate::relay::{Body, Flow, Inflow, Opening, StreamClocks};
use crate::route::Target;
use crate::snapshot::Snapshot;
use crate::stop::{Listener, Phase};
use crate::upstream::{self, AnswerBody, SendError, Upstream};

/// A whole answer is this large at most.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A refusal of the upstream is read this far.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// One event of an upstream's stream is this large at most.
const LINE_BYTES_MAX: usize = 8 << 20;
/// How long a stream may be silent before its head is sent and comments keep it open: early failures keep their status,
/// and the shortest idle limits of proxies (30 s and more) are met.
const GRACE: Duration = Duration::from_secs(25);
/// How often the place in the queue and the loading of the model are looked at for who asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A request that is ready to be sent.
pub(super) struct Job {
    target: Target,
    lane: Lane,
    client: Format,
    body: Bytes,
    reply: Reply,
    stream: bool,
    stage: Option<Stage>,
    clocks: Clocks,
    stop: Listener,
    budget: Budget,
    /// Kept for the life of the request: what it runs on, and that it was counted.
    _admitted: Admitted,
}

/// Reads the caller's request and checks what needs no upstream.
pub(super) fn read<'a>(
    snapshot: &Snapshot,
    format: Format,
    body: &'a [u8],
    exchange: &mut Exchange,
) -> Result<wire::ChatRequest<'a>, Error> {
    let request = wire::read_chat(format, body, &snapshot.read_limits)?;
    let chars = request.prompt_chars();
    exchange.asked(request.model(), chars, request.stream());
    let max = snapshot.config.input.prompt_chars_max;
    if chars > max {
        return Err(Error::PromptTooLong { max });
    }
    Ok(request)
}

/// Picks the target and writes the upstream's request.
pub(super) async fn prepare(
    core: &Core,
    admitted: Admitted,
    client: Format,
    request: wire::ChatRequest<'_>,
    exchange: &mut Exchange,
) -> Result<Job, Error> {
    let config = &admitted.snapshot.config;
    let fleet = &admitted.snapshot.fleet;
    let target = fleet.find(&config.models, &admitted.principal, request.model()).await?;
    let format = target.upstream.format;
    let lane = wire::lane(client, format, Operation::Chat).ok_or_else(|| unsupported("model"))?;
    let thinks = if request.wants_thinking() { target.upstream.thinks(&target.internal).await } else { None };
    let to = Outbound {
        thinks,
        openai_sampling_defaults: !config.answer.model_sampling_defaults,
        ..Outbound::to(&target.internal)
    };
    let mut body = Vec::with_capacity(1 << 10);
    let dropped = wire::write_chat(lane, format, &request, &to, &mut body)?;
    if let Some(field) = dropped.first().filter(|_| admitted.principal.strict) {
        return Err(unsupported(field));
    }
    exchange.targeted(&target, dropped);
    let reply = Reply {
        id: head::random_hex(),
        model: target.public.clone(),
        include_usage: request.include_usage(),
        strip: config.answer.strip,
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()),
        reasoning_alias: config.answer.reasoning_alias,
        line_bytes_max: LINE_BYTES_MAX,
        output_tokens_max: None,
        output_bytes_max: None,
    };
    let asks_stage = request.stream() && admitted.headers.contains_key(progress::HEADER);
    Ok(Job {
        lane,
        client,
        body: body.into(),
        reply,
        stream: request.stream(),
        stage: asks_stage.then(Stage::new),
        clocks: config.clocks,
        stop: core.stop.listen(),
        budget: core.budget.clone(),
        target,
        _admitted: admitted,
    })
}

fn unsupported(field: &str) -> Error {
    Error::Request(Fault {
        code: "unsupported_parameter",
        param: Some(field.to_owned().into()),
        message: format!("'{field}' is not supported by this model's server"),
    })
}

/// Runs the job. A dropped future is a client that left: the exchange and the permit go with it.
pub(super) async fn serve(job: Job, mut exchange: Exchange) -> Response<Body> {
    if job.stream {
        return stream(job, exchange).await;
    }
    match whole(&job, &mut exchange).await {
        Ok((bytes, metered)) => head::answered(bytes.into(), exchange, metered),
        Err(error) => head::refusal(&error, exchange),
    }
}

async fn whole(job: &Job, exchange: &mut Exchange) -> Result<(Vec<u8>, Metered), Error> {
    let permit = permit(job, exchange).await?;
    let total_at = exchange.started() + job.clocks.total;
    let answered = async {
        let answer = dispatch(job, &permit).await?;
        let mut memory = job.budget.hold();
        let body = upstream::read_body_within(answer.body, ANSWER_BYTES_MAX, &mut memory)
            .await
            .map_err(|error| broken(&error))?;
        let mut out = Vec::with_capacity(body.len() + 256);
        let format = job.target.upstream.format;
        let metered = wire::read_answer(job.lane, job.client, format, &job.reply, None, &body, &mut out)?;
        Ok((out, metered))
    };
    unless_ended(job, answered, total_at, Clock::Total).await
}

/// Streams: the head goes out with the first event, or before it if the caller asked to be told, or the wait grows long.
async fn stream(job: Job, exchange: Exchange) -> Response<Body> {
    let mut headers = HeaderMap::new();
    exchange.headers(&mut headers);
    let (bare, heartbeat, stage) = (exchange.errors().bare, job.clocks.heartbeat, job.stage.clone());
    let client = job.client;
    let mut opening: Opening = Box::pin(open(job, exchange));
    if stage.is_none() {
        tokio::select! {
            biased;
            (opened, exchange) = &mut opening => return match opened {
                Ok(flow) => head::stream(headers, Body::flowing(flow, exchange)),
                Err(error) => head::refusal(&error, exchange),
            },
            () = sleep(GRACE) => {}
        }
    }
    head::stream(headers, Body::opening(opening, stage, client, bare, heartbeat))
}

async fn open(job: Job, mut exchange: Exchange) -> (Result<Flow, Error>, Exchange) {
    let opened = first_event(job, &mut exchange).await;
    (opened, exchange)
}

/// Waits for a slot and for the first event.
async fn first_event(job: Job, exchange: &mut Exchange) -> Result<Flow, Error> {
    let permit = permit(&job, exchange).await?;
    let first_at = Instant::now() + job.clocks.first_byte;
    let begun = async {
        let answer = dispatch(&job, &permit).await?;
        begin(&job, answer.body).await
    };
    let watched = async {
        tokio::select! {
            biased;
            begun = begun => begun,
            never = look(&job) => match never {},
        }
    };
    let (inflow, first, complete) = unless_ended(&job, watched, first_at, Clock::FirstByte).await?;
    let clocks = StreamClocks {
        idle: job.clocks.idle,
        heartbeat: job.clocks.heartbeat,
        total_at: exchange.started() + job.clocks.total,
    };
    let cut = job.stop.reached(Phase::Cut);
    Ok(Flow { inflow, unsent: job.budget, first, complete, permit, clocks, cut })
}

type Begun = (Inflow, Vec<u8>, bool);

/// Reads until the stream's first event has been written.
async fn begin(job: &Job, body: AnswerBody) -> Result<Begun, Error> {
    let upstream = &job.target.upstream;
    let stream = ChatStream::new(job.lane, job.client, upstream.format, job.reply.clone(), None);
    let mut inflow = Inflow::new(upstream.clone(), body, stream, job.budget.hold());
    let mut out = Vec::with_capacity(512);
    loop {
        match inflow.next(&mut out).await {
            Progress::Waiting => {}
            Progress::Flowing => return Ok((inflow, out, false)),
            Progress::Complete => return Ok((inflow, out, true)),
            Progress::Failed(fault) => return Err(fault.into()),
        }
    }
}

/// Waits for the right to run.
async fn permit(job: &Job, exchange: &mut Exchange) -> Result<Permit, Error> {
    let upstream = &job.target.upstream;
    let permit = match upstream.door.enter()? {
        Entry::Now(permit) => permit,
        Entry::Wait(mut place) => {
            let queue_at = Instant::now() + job.clocks.queue;
            let waited = async {
                loop {
                    if let Some(stage) = &job.stage {
                        stage.queued(place.position());
                    }
                    tokio::select! {
                        biased;
                        permit = place.ready() => return permit,
                        () = sleep(LOOK_EVERY), if job.stage.is_some() => {}
                    }
                }
            };
            unless_ended(job, waited, queue_at, Clock::Queue).await?
        }
    };
    // Slots become free when the stop ends who holds them: that is no moment to begin.
    if job.stop.phase() >= Phase::Cut {
        return Err(Error::Draining);
    }
    if let Some(stage) = &job.stage {
        stage.reading();
    }
    exchange.dispatched();
    Ok(permit)
}

/// Sends the request; only who holds a permit may. A refusal is read and understood here.
async fn dispatch(job: &Job, _permit: &Permit) -> Result<upstream::Answer, Error> {
    let upstream = &job.target.upstream;
    let path = wire::upstream_path(upstream.format, Operation::Chat);
    let answer = match upstream.pool.post(path, job.body.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Err(unanswered(upstream, error).await),
    };
    upstream.heard();
    let status = answer.status.as_u16();
    if status == 200 {
        return Ok(answer);
    }
    let body = upstream::read_body(answer.body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    Err(wire::read_refusal(upstream.format, status, answer.content_type.as_deref(), &body).into())
}

/// No connection means that the server is away. One that broke means that it failed at this request, or that it has just
/// gone: then who waited hears what everybody hears who comes now.
async fn unanswered(upstream: &Upstream, error: SendError) -> Error {
    match error {
        SendError::Broken(_) if upstream.has_pulse().await => broken(&error),
        gone => {
            tracing::warn!(upstream = %upstream.name, error = %gone, "the upstream is not there");
            Error::UpstreamDown
        }
    }
}

fn broken(error: &SendError) -> Error {
    let (kind, message) = match error {
        SendError::NoMemory(_) => {
            (wire::UpstreamFaultKind::Overloaded, "the gateway has no memory left for an answer of this size")
        }
        _ => (wire::UpstreamFaultKind::Broken, "the model server closed the connection before it answered"),
    };
    Error::Upstream(wire::UpstreamFault { kind, message: message.into(), detail: error.to_string() })
}

/// For a caller that asked: is the model still being loaded?
async fn look(job: &Job) -> std::convert::Infallible {
    let Some(stage) = &job.stage else { return std::future::pending().await };
    loop {
        match job.target.upstream.is_resident(&job.target.internal).await {
            Some(false) => stage.loading(),
            Some(true) | None => stage.reading(),
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A wait without a byte ends with the upstream's life, its clock, or the process.
async fn unless_ended<T>(
    job: &Job,
    wait: impl Future<Output = Result<T, Error>>,
    deadline: Instant,
    clock: Clock,
) -> Result<T, Error> {
    let mut alive = job.target.upstream.watch();
    tokio::select! {
        biased;
        outcome = timeout_at(deadline, wait) => outcome.unwrap_or(Err(Error::Deadline(clock))),
        () = alive.dead() => Err(Error::UpstreamDown),
        () = job.stop.reached(Phase::Cut) => Err(Error::Draining),
    }
}
