//! The way in: a bounded number of places, a job, and the events that come back.
//!
//! Why here: a request must be refused when it arrives, not after its prompt was tokenized. So a place is taken first and
//! travels with the job; dropping the job, however it ends, gives the place back.
//!
//! Never here: the order of service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Fault, Sampling, Token};

/// The right to be in the house, waiting or running.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// One answer to be made.
#[derive(Debug)]
pub(crate) struct Job {
    /// Never empty and shorter than `context`: the API checks both.
    pub(crate) prompt: Vec<Token>,
    pub(crate) sampling: Sampling,
    pub(crate) stops: Vec<String>,
    pub(crate) max_tokens: Option<usize>,
    /// Tokens of prompt and answer together.
    pub(crate) context: usize,
    pub(crate) out: mpsc::Sender<Event>,
    pub(crate) arrived: Instant,
    pub(crate) place: Place,
}

impl Job {
    /// The channel holds as many events as an answer can have, so it is never full: a client that reads slowly holds up
    /// nobody, and what it holds is bounded by the context.
    pub(crate) fn channel(context: usize) -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
        mpsc::channel(context + 2)
    }

    pub(crate) fn send(&self, event: Event) {
        // A receiver that is gone is noticed before the next step.
        let _ = self.out.try_send(event);
    }

    /// The last event. The place is free before it is seen, so that one request after the other never meets a full house.
    pub(crate) fn end(self, event: Event) {
        let Self { out, place, .. } = self;
        drop(place);
        // As in `send`.
        let _ = out.try_send(event);
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Text(String),
    Done(Outcome),
    Failed(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The model ended, or a stop string came.
    Stop,
    /// The caller's limit or the end of the context.
    Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) reason: Reason,
    /// With those that were still known from an earlier turn.
    pub(crate) prompt_tokens: usize,
    pub(crate) tokens: usize,
    /// From arrival until a slot was free.
    pub(crate) waited: Duration,
    pub(crate) reading: Duration,
    pub(crate) writing: Duration,
}

/// Where callers hand jobs in.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
}

/// A queue with room for `slots` running and `waiting_max` waiting jobs.
pub(crate) fn queue(slots: usize, waiting_max: usize) -> (Queue, mpsc::Receiver<Job>) {
    let places = (slots + waiting_max).clamp(1, Semaphore::MAX_PERMITS);
    let (jobs, receiver) = mpsc::channel(places);
    (Queue { jobs, places: Arc::new(Semaphore::new(places)) }, receiver)
}

impl Queue {
    pub(crate) fn enter(&self) -> Result<Place, Fault> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Fault {
            status: StatusCode::SERVICE_UNAVAILABLE,
            text: "server busy, please try again.  maximum pending requests exceeded".into(),
        })?;
        Ok(Place { _permit: permit })
    }

    /// There is room for every job that holds a place; a refusal means that the model's thread is gone.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Fault> {
        self.jobs.try_send(job).map_err(|_| Fault::ours("model runner has unexpectedly stopped"))
    }

    /// Done when the model's thread is gone.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let jobs = self.jobs.clone();
        async move { jobs.closed().await }
    }
}
