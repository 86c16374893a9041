//! Sending: a permit, a warm model, a request, its first bytes; and another upstream where that failed.
//!
//! Why here: a request may be sent again only while nobody has seen a byte of an answer, only for a client that is still
//! there (a dropped future sends nothing), and only within the retry budget. That is decided in [`Tries`] and nowhere else.
//!
//! Never here: what happens after the first event (`relay`).

use tokio::time::Instant;
use wire::{AnswerStream, Metered, Progress, Screen, UpstreamFaultKind};

use super::job::{Job, Way};
use super::wait::{self, Permit};
use crate::admit::Runner as _;
use crate::budget::Held;
use crate::error::{Clock, Error};
use crate::exchange::Exchange;
use crate::relay::{Flow, Inflow, StreamClocks};
use crate::stop::Phase;
use crate::upstream::{self, Answer, SendError, Upstream, outlier};

/// A whole answer is this large at most.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A refusal of the upstream is read this far.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A whole answer, its counts, and what it takes of the memory for buffers.
pub(super) struct Answered {
    pub bytes: Vec<u8>,
    pub memory: Held,
    pub metered: Metered,
}

pub(super) async fn whole(job: &Job, exchange: &mut Exchange) -> Result<Answered, Error> {
    let total_at = exchange.started() + job.clocks.total;
    let mut tries = Tries::default();
    loop {
        let (way, permit) = tries.begin(job, exchange).await?;
        let mut screen = job.screen(exchange);
        exchange.sent();
        let answered = async {
            let answer = dispatch(way, &permit).await?;
            let mut memory = job.core.budget.hold();
            let body = upstream::read_body_within(answer.body, ANSWER_BYTES_MAX, &mut memory).await;
            Ok((body.map_err(|error| broken(&error))?, memory))
        };
        let answered = wait::unless_ended(job, answered, total_at, Clock::Total, wait::dead(way)).await;
        let answered = answered.and_then(|(body, mut memory)| {
            let mut out = Vec::with_capacity(body.len() + 256);
            let screen: Option<&mut dyn Screen> = match &mut screen {
                Some(screen) => Some(&mut **screen),
                None => None,
            };
            let metered = wire::read_answer(way.cell, &job.reply, screen, &body, &mut out)?;
            // Both lie here for a moment; then only what the client has not taken.
            memory.own_up_to(body.len() + out.len());
            drop(body);
            memory.shrink_to(out.len());
            Ok(Answered { bytes: out, memory, metered })
        });
        match tries.judge(job, way, answered, exchange) {
            Judged::Final(Ok(answered)) => {
                way.target.runner.succeeded();
                permit.served();
                return Ok(answered);
            }
            Judged::Final(failed) => return failed,
            Judged::Again => drop(permit),
        }
    }
}

/// A stream whose first event has arrived.
pub(super) async fn stream(job: &Job, exchange: &mut Exchange) -> Result<Flow, Error> {
    let mut tries = Tries::default();
    loop {
        let (way, permit) = tries.begin(job, exchange).await?;
        let total_at = exchange.started() + job.clocks.total;
        let first_at = total_at.min(Instant::now() + job.clocks.first_byte);
        exchange.sent();
        let screen = job.screen(exchange);
        let begun = async {
            let answer = dispatch(way, &permit).await?;
            begin(job, way, answer, screen).await
        };
        let begun = wait::unless_ended(job, begun, first_at, Clock::FirstByte, wait::dead(way)).await;
        match tries.judge(job, way, begun, exchange) {
            Judged::Final(outcome) => return Ok(flow(job, outcome?, permit, exchange)),
            Judged::Again => drop(permit),
        }
    }
}

/// The attempts of one request so far.
#[derive(Default)]
struct Tries {
    /// Upstreams that failed it.
    failed: Vec<u64>,
    asked: bool,
}

/// What follows from an attempt.
enum Judged<T> {
    Final(Result<T, Error>),
    /// Another target is to be asked.
    Again,
}

impl Tries {
    /// Waits for a slot and for the model there.
    async fn begin<'j>(&mut self, job: &'j Job, exchange: &mut Exchange) -> Result<(&'j Way, Permit), Error> {
        loop {
            let permit = wait::permit(job, &self.failed, exchange).await?;
            let id = permit.choice().runner.id();
            let Some(way) = job.ways.iter().find(|way| way.target.runner.id() == id) else {
                return Err(Error::Internal);
            };
            if !std::mem::replace(&mut self.asked, true) {
                job.core.retries.first_attempt();
            }
            if self.is_better_left(job, way) {
                continue;
            }
            exchange.admitted(&way.target, &way.dropped);
            // One failed load is told to everybody who waits for it: it says nothing about how often a server fails.
            match wait::loaded(job, way).await {
                Ok(()) => return Ok((way, permit)),
                Err(error) => match self.next(job, way, error, exchange) {
                    Judged::Final(failed) => return failed,
                    Judged::Again => {}
                },
            }
        }
    }

    /// Ejected while this request waited, and not needed: a server that fails fast must not drain the queue.
    fn is_better_left(&mut self, job: &Job, way: &Way) -> bool {
        let now = Instant::now();
        let upstream = &way.target.runner;
        if !upstream.is_ejected(now) {
            return false;
        }
        let alive = |way: &&Way| !self.failed.contains(&way.target.runner.id()) && way.target.runner.takes();
        let mut living: Vec<&Way> = job.ways.iter().filter(alive).collect();
        outlier::usable(&mut living, |way| way.target.runner.ejected_until(now));
        let left = !living.is_empty() && living.iter().all(|way| way.target.runner.id() != upstream.id());
        if left {
            self.failed.push(upstream.id());
        }
        left
    }

    /// Tells the upstream's record how it did, and decides whether another is asked.
    fn judge<T>(
        &mut self,
        job: &Job,
        way: &Way,
        outcome: Result<T, Error>,
        exchange: &mut Exchange,
    ) -> Judged<T> {
        let upstream = &way.target.runner;
        let error = match outcome {
            // Whether it ends well is seen by who reads it to its end.
            Ok(value) => return Judged::Final(Ok(value)),
            Err(error) => error,
        };
        match &error {
            Error::Upstream(fault) if is_full(fault.kind) => upstream.full(),
            error if outlier::is_failure(error) => upstream.failed(),
            _ => {}
        }
        self.next(job, way, error, exchange)
    }

    /// Whether another target is asked after this failure.
    fn next<T>(&mut self, job: &Job, way: &Way, error: Error, exchange: &mut Exchange) -> Judged<T> {
        self.failed.push(way.target.runner.id());
        let another = |way: &Way| !self.failed.contains(&way.target.runner.id()) && way.target.runner.takes();
        if !may_fare_better(&error) || !job.ways.iter().any(another) || !job.core.retries.take_retry() {
            return Judged::Final(Err(error));
        }
        exchange.log(&error);
        exchange.retried();
        Judged::Again
    }
}

/// A refusal for want of room.
fn is_full(kind: UpstreamFaultKind) -> bool {
    matches!(kind, UpstreamFaultKind::Overloaded | UpstreamFaultKind::RateLimited)
}

/// Whether another server may answer what this one did not.
fn may_fare_better(error: &Error) -> bool {
    match error {
        Error::UpstreamDown => true,
        Error::Upstream(fault) => !matches!(fault.kind, UpstreamFaultKind::InvalidRequest { .. }),
        // A clock that ran out has run out for the caller, too.
        _ => false,
    }
}

/// Sends the request; only who holds a permit may. A refusal is read and understood here.
async fn dispatch(way: &Way, _permit: &Permit) -> Result<Answer, Error> {
    let upstream = &way.target.runner;
    let answer = match upstream.pool.post(way.cell.path(), way.body.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Err(unanswered(upstream, error).await),
    };
    upstream.heard();
    let status = answer.status.as_u16();
    if status == 200 && !is_page(answer.content_type.as_deref()) {
        return Ok(answer);
    }
    let body = upstream::read_body(answer.body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    Err(wire::read_refusal(upstream.format, status, answer.content_type.as_deref(), &body).into())
}

/// A page for a browser is no answer, however it begins: a proxy or another service speaks.
fn is_page(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
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
    if matches!(error, SendError::NoMemory(_)) {
        // Ours, not the upstream's: elsewhere the same answer would find no more room.
        return Error::Crowded;
    }
    Error::Upstream(wire::UpstreamFault {
        kind: UpstreamFaultKind::Broken,
        message: "the model server closed the connection before it answered".into(),
        detail: error.to_string(),
    })
}

/// A stream that has written its first event.
struct Begun {
    inflow: Inflow,
    first: Vec<u8>,
    progress: Progress,
}

/// Reads until the stream's first event has been written.
async fn begin(
    job: &Job,
    way: &Way,
    answer: Answer,
    screen: Option<Box<dyn Screen>>,
) -> Result<Begun, Error> {
    let upstream = &way.target.runner;
    let stream = AnswerStream::new(way.cell, job.reply.clone(), screen);
    let mut inflow = Inflow::new(upstream.clone(), answer.body, stream, job.core.budget.hold());
    let mut first = Vec::with_capacity(512);
    loop {
        match inflow.next(&mut first).await {
            Progress::Waiting => {}
            // What came before the fault is the caller's, and his status with it, however the bytes were cut.
            Progress::Failed(fault) if first.is_empty() => return Err(fault.into()),
            progress => return Ok(Begun { inflow, first, progress }),
        }
    }
}

fn flow(job: &Job, begun: Begun, permit: Permit, exchange: &Exchange) -> Flow {
    let clocks = StreamClocks {
        idle: job.clocks.idle,
        heartbeat: job.clocks.heartbeat,
        total_at: exchange.started() + job.clocks.total,
    };
    let Begun { inflow, first, progress } = begun;
    let (unsent, cut) = (job.core.budget.clone(), job.stop.reached(Phase::Cut));
    let permit = Some(permit);
    Flow { inflow, client: job.client, unsent, first, progress, permit, clocks, cut }
}
