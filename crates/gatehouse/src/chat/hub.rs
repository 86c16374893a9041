//! Runs in progress, and who listens to them.
//!
//! Why here: a run belongs to the server, not to a tab. The hub knows which runs are alive, lets any number of readers
//! listen, carries the wish to stop, and bounds how many there are.
//!
//! Never here: text of answers. What a reader missed it reads from the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::{broadcast, watch};

use super::api::{Event, FailureAction};
use super::failure::ApiError;
use super::{bounds, failure};

/// Why a run is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Asked,
    ServerStops,
}

/// An event as it goes out, written once for all readers.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub seq: u64,
    pub kind: Kind,
    pub frame: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Where a waiting question stands; not numbered, only the latest matters.
    Status,
    Piece,
    Final,
}

impl Published {
    pub fn new(event: &Event) -> Self {
        let kind = match event {
            Event::Queued { .. } | Event::Loading { .. } | Event::Reading { .. } => Kind::Status,
            Event::Text { .. } | Event::Thinking { .. } | Event::Snapshot { .. } => Kind::Piece,
            Event::Done { .. } | Event::Error { .. } => Kind::Final,
        };
        let mut frame = BytesMut::with_capacity(128);
        frame.put_slice(b"id: ");
        frame.put_slice(event.seq().to_string().as_bytes());
        frame.put_slice(b"\ndata: ");
        // Plain records of strings and numbers always serialise; JSON holds no line break.
        frame.put_slice(&serde_json::to_vec(event).unwrap_or_default());
        frame.put_slice(b"\n\n");
        Self { seq: event.seq(), kind, frame: frame.freeze() }
    }
}

/// One run in progress.
#[derive(Debug)]
pub(super) struct LiveRun {
    pub id: String,
    pub owner: String,
    pub chat_id: String,
    pub message_id: String,
    events: broadcast::Sender<Published>,
    status: Mutex<Option<Published>>,
    stop: watch::Sender<Option<Stop>>,
    over: watch::Sender<bool>,
}

impl LiveRun {
    /// To be called after the store has what the event says.
    pub fn publish(&self, event: &Event) {
        let published = Published::new(event);
        let status = (published.kind == Kind::Status).then(|| published.clone());
        *lock(&self.status) = status;
        // Nobody listening is fine: the store has it.
        let _readers = self.events.send(published);
    }

    /// Where it stands while it waits, and everything from now on.
    pub fn listen(&self) -> (Option<Published>, broadcast::Receiver<Published>) {
        let status = lock(&self.status);
        (status.clone(), self.events.subscribe())
    }

    pub fn stopping(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.subscribe()
    }

    /// Asks the run to end; the first reason stays.
    pub fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|now| {
            let first = now.is_none();
            now.get_or_insert(why);
            first
        });
    }

    /// Returns when the run has ended and its request to the gateway is closed.
    pub async fn ended(&self) {
        let mut over = self.over.subscribe();
        // A dropped sender is an ended run too.
        let _ended = over.wait_for(|over| *over).await.map(|_| ());
    }
}

/// All runs of this process.
#[derive(Debug, Default)]
pub(super) struct Hub {
    live: Mutex<HashMap<String, Arc<LiveRun>>>,
    streams: Mutex<HashMap<String, usize>>,
    /// The server ends: no run begins any more. Changed under the lock of `live` only.
    closed: AtomicBool,
    /// Starting is one at a time: looking for a repeated send, checking bounds and writing are one step.
    pub starting: tokio::sync::Mutex<()>,
}

impl Hub {
    /// Registers a run before the store hears of it, so that a run in the store without one here is a leftover.
    pub fn register(self: &Arc<Self>, run: NewRun) -> Result<Registered, ApiError> {
        let mut live = lock(&self.live);
        if live.values().any(|r| r.chat_id == run.chat_id) {
            return Err(ApiError::busy());
        }
        if self.closed.load(Ordering::Relaxed) {
            let failure = failure::server_stopped();
            return Err(ApiError { status: StatusCode::SERVICE_UNAVAILABLE, failure });
        }
        let own = live.values().filter(|r| r.owner == run.owner).count();
        if live.len() >= bounds::RUNS || own >= bounds::RUNS_PER_OWNER {
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_runs",
                "Too many answers are being written at once. Wait for one to finish.",
                FailureAction::Wait,
            ));
        }
        let run = Arc::new(LiveRun {
            id: run.id,
            owner: run.owner,
            chat_id: run.chat_id,
            message_id: run.message_id,
            events: broadcast::channel(bounds::LAG_EVENTS).0,
            status: Mutex::new(None),
            stop: watch::Sender::new(None),
            over: watch::Sender::new(false),
        });
        live.insert(run.id.clone(), Arc::clone(&run));
        Ok(Registered { hub: Arc::clone(self), run })
    }

    pub fn find(&self, owner: &str, run_id: &str) -> Option<Arc<LiveRun>> {
        lock(&self.live).get(run_id).filter(|r| r.owner == owner).cloned()
    }

    pub fn in_chat(&self, owner: &str, chat_id: &str) -> Option<Arc<LiveRun>> {
        lock(&self.live).values().find(|r| r.chat_id == chat_id && r.owner == owner).cloned()
    }

    /// Ends every run because the server ends; returns when all have.
    pub async fn stop_all(&self) {
        let runs: Vec<_> = {
            let live = lock(&self.live);
            self.closed.store(true, Ordering::Relaxed);
            live.values().cloned().collect()
        };
        for run in &runs {
            run.stop(Stop::ServerStops);
        }
        for run in runs {
            run.ended().await;
        }
    }

    /// Room for one more event stream of this owner.
    pub fn open_stream(self: &Arc<Self>, owner: &str) -> Option<StreamSeat> {
        let mut streams = lock(&self.streams);
        let open = streams.entry(owner.to_owned()).or_default();
        if *open >= bounds::STREAMS_PER_OWNER {
            return None;
        }
        *open += 1;
        Some(StreamSeat { hub: Arc::clone(self), owner: owner.to_owned() })
    }
}

/// Ids of a run that is about to begin.
pub(super) struct NewRun {
    pub id: String,
    pub owner: String,
    pub chat_id: String,
    pub message_id: String,
}

/// A run's place in the hub; given back when dropped, also by a panic.
pub(super) struct Registered {
    hub: Arc<Hub>,
    pub run: Arc<LiveRun>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.hub.live).remove(&self.run.id);
        self.run.over.send_replace(true);
    }
}

/// One open event stream.
pub(super) struct StreamSeat {
    hub: Arc<Hub>,
    owner: String,
}

impl Drop for StreamSeat {
    fn drop(&mut self) {
        let mut streams = lock(&self.hub.streams);
        if let Some(open) = streams.get_mut(&self.owner) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                streams.remove(&self.owner);
            }
        }
    }
}

/// The maps are whole between any two statements that hold the lock, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
