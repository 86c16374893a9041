//! Waiting: for a slot, and for a cold model.
//!
//! Why here: while a request waits it listens to everything that can end the wait: the client (by being dropped), the
//! breakers of its targets, the clocks, the stop signal; and whoever asked is told where he stands.
//!
//! Never here: the order of the queue (`admit`), sending (`attempt`).

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::job::{Job, Seat, Way};
use crate::admit::{self, Entry, Runner as _};
use crate::error::{Clock, Error};
use crate::exchange::Exchange;
use crate::stop::Phase;
use crate::upstream::Upstream;

/// How often the place in the queue and the loading of the model are looked at for who asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked at whether there still is somebody to wait for.
const LEFT_EVERY: Duration = Duration::from_secs(1);

pub(super) type Permit = admit::Permit<Upstream>;

/// Waits for the right to run on one of the targets that were not tried yet.
pub(super) async fn permit(job: &Job, tried: &[u64], exchange: &mut Exchange) -> Result<Permit, Error> {
    let permit = match job.core.hall.enter(ask(job, tried))? {
        Entry::Now(permit) => permit,
        Entry::Wait(mut place) => {
            let queue_at = exchange.started() + job.clocks.queue;
            let waited = async {
                loop {
                    if let Some(stage) = &job.stage {
                        let standing = place.standing();
                        stage.queued(standing.position, standing.wait);
                    }
                    tokio::select! {
                        biased;
                        permit = place.ready() => return permit,
                        () = sleep(LOOK_EVERY), if job.stage.is_some() => {}
                    }
                }
            };
            let dead = all_dead(job, tried);
            unless_ended(job, waited, queue_at, Clock::Queue, dead).await?
        }
    };
    // Slots become free when the stop ends who holds them: that is no moment to begin.
    if job.stop.phase() >= Phase::Cut {
        return Err(Error::Draining);
    }
    if let Some(stage) = &job.stage {
        stage.reading();
    }
    Ok(permit)
}

fn ask(job: &Job, tried: &[u64]) -> admit::Ask<Upstream> {
    let Seat { model, work, affinity, queue_max, .. } = &job.seat;
    let principal = &job.known.principal;
    let admission = job.known.snapshot.config.admission;
    let fresh = |way: &&Way| !tried.contains(&way.target.runner.id());
    admit::Ask {
        model: model.clone(),
        choices: job.ways.iter().filter(fresh).map(|way| way.target.clone()).collect(),
        flow: admit::Flow { key: principal.key_id.clone(), user: principal.user.clone() },
        priority: principal.priority,
        weight: principal.weight,
        work: *work,
        queue_max: *queue_max,
        in_flight_max: admission.in_flight_per_user,
        affinity: *affinity,
        returning: !tried.is_empty(),
        ageing: admission.ageing,
    }
}

/// A model that is not in memory is loaded by a request of the gateway's own, which nobody who leaves takes with him.
pub(super) async fn loaded(job: &Job, way: &Way) -> Result<(), Error> {
    let upstream = &way.target.runner;
    if upstream.resident(&way.target.internal) != Some(false) {
        return Ok(());
    }
    let Seat { keep_alive, context_tokens, .. } = &job.seat;
    let mut loading =
        upstream.load(&way.target.internal, keep_alive.as_deref(), *context_tokens, job.clocks.load);
    let done = async {
        loop {
            if let Some(stage) = &job.stage {
                stage.loading(loading.since, loading.estimate);
            }
            tokio::select! {
                biased;
                done = loading.done() => return done,
                () = sleep(LOOK_EVERY), if job.stage.is_some() => {}
            }
        }
    };
    let load_at = Instant::now() + job.clocks.load;
    unless_ended(job, done, load_at, Clock::Load, dead(way)).await?;
    if let Some(stage) = &job.stage {
        stage.reading();
    }
    Ok(())
}

/// A wait without a byte ends with its clock, the life of whom it waits for, or the process.
pub(super) async fn unless_ended<T>(
    job: &Job,
    wait: impl Future<Output = Result<T, Error>>,
    deadline: Instant,
    clock: Clock,
    dead: impl Future<Output = ()>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        outcome = timeout_at(deadline, wait) => outcome.unwrap_or(Err(Error::Deadline(clock))),
        () = dead => Err(Error::UpstreamDown),
        () = job.stop.reached(Phase::Cut) => Err(Error::Draining),
    }
}

/// Resolves when the target's upstream is judged dead.
pub(super) async fn dead(way: &Way) {
    way.target.runner.watch().dead().await;
}

/// Resolves when none of the targets is left to wait for: dead, tried, or on its way out of service.
async fn all_dead(job: &Job, tried: &[u64]) {
    let left = |way: &&Way| !tried.contains(&way.target.runner.id()) && way.target.runner.takes();
    while let Some(way) = job.ways.iter().find(left) {
        // A reload that drains it tells nobody here.
        drop(timeout(LEFT_EVERY, dead(way)).await);
    }
}
