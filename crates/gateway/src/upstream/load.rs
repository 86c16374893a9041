//! Bringing a model into memory: one request of the gateway's own for everybody who waits for it.
//!
//! Why here: a runtime aborts a load when the client that caused it leaves, and all others start over. So no client causes
//! one: the load is a task of its own that nobody who leaves takes along. How long it took is kept for those who come later.
//!
//! Never here: deciding that a model has to be loaded; holding a client's request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use wire::{UpstreamFault, UpstreamFaultKind};

use super::residency::bare;
use super::{SendError, Upstream, read_body};
use crate::error::{Clock, Error};

/// Models whose loads are remembered.
const MODELS_MAX: usize = 1_024;
/// The answer to a load holds no text.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Answered sooner, the model was in memory already: that says nothing of how long a load takes.
const LOAD_TIME_MIN: Duration = Duration::from_millis(50);

/// The loads of one upstream: those that run, and how long earlier ones took.
#[derive(Default)]
pub(super) struct Loads(Mutex<HashMap<Box<str>, Model>>);

#[derive(Default)]
struct Model {
    running: Option<Running>,
    /// Moving average over earlier loads.
    takes: Option<Duration>,
    loaded: Option<Instant>,
    /// Right after it was loaded, the list of models in memory did not hold it.
    unlisted: bool,
}

struct Running {
    since: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// How a load ended, for all who wait for it.
#[derive(Clone, Debug)]
enum Outcome {
    /// In memory, or as near to it as this upstream lets us bring it.
    Loaded,
    Refused(UpstreamFault),
    Down,
    Late,
    Busy,
}

/// A load that is under way. Dropping it does not end the load.
#[derive(Clone, Debug)]
pub struct Loading {
    pub since: Instant,
    /// How long earlier loads of this model took.
    pub estimate: Option<Duration>,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// A load as others may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadView {
    pub since: Instant,
    pub estimate: Option<Duration>,
}

impl Loading {
    /// Waits for the end. Cancel-safe.
    pub async fn done(&mut self) -> Result<(), Error> {
        match self.outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone().told(),
            // The task that loads is gone without a word: it has panicked, or the process ends.
            Ok(None) | Err(_) => Err(Error::Internal),
        }
    }

    fn ended(outcome: Outcome) -> Self {
        let (_, outcome) = watch::channel(Some(outcome));
        Self { since: Instant::now(), estimate: None, outcome }
    }
}

impl Outcome {
    fn told(self) -> Result<(), Error> {
        match self {
            Self::Loaded => Ok(()),
            Self::Refused(fault) => Err(fault.into()),
            Self::Down => Err(Error::UpstreamDown),
            Self::Late => Err(Error::Deadline(Clock::Load)),
            Self::Busy => Err(Error::Busy),
        }
    }
}

impl Upstream {
    /// Loads a model, or joins the load that is under way. `keep_alive` and `num_ctx` are those of who came first.
    pub fn load(
        self: &Arc<Self>,
        internal: &str,
        keep_alive: Option<&str>,
        num_ctx: Option<u64>,
        patience: Duration,
    ) -> Loading {
        let Some(path) = wire::load_path(self.format) else { return Loading::ended(Outcome::Loaded) };
        let mut models = self.loads.lock();
        let known = models.get(bare(internal));
        let estimate = known.and_then(|model| model.takes);
        if let Some(running) = known.and_then(Model::running) {
            return Loading { since: running.since, estimate, outcome: running.outcome.clone() };
        }
        let Some(model) = place(&mut models, bare(internal)) else { return Loading::ended(Outcome::Busy) };
        let (told, outcome) = watch::channel(None);
        let since = Instant::now();
        model.running = Some(Running { since, outcome: outcome.clone() });
        drop(models);
        let mut body = Vec::with_capacity(256);
        wire::write_load(self.format, internal, keep_alive, num_ctx, &mut body);
        let request = request(self.clone(), path, body.into());
        tokio::spawn(run(self.clone(), internal.into(), request, patience, told));
        Loading { since, estimate, outcome }
    }

    /// Lets a model go. Runtimes that load by themselves let go by themselves.
    pub async fn unload(&self, internal: &str) -> Result<(), Error> {
        let Some(path) = wire::load_path(self.format) else { return Ok(()) };
        let mut body = Vec::with_capacity(128);
        wire::write_load(self.format, internal, Some("0"), None, &mut body);
        self.ask(self.pool.post(path, body.into())).await?;
        self.residency.changed();
        Ok(())
    }

    /// Every load that is under way, with its model's name.
    pub fn all_loading(&self) -> Vec<(String, LoadView)> {
        let models = self.loads.lock();
        let running =
            models.iter().filter_map(|(name, model)| Some((name, model.running()?.since, model.takes)));
        running.map(|(name, since, estimate)| (name.to_string(), LoadView { since, estimate })).collect()
    }

    /// The load of a model, if one is under way.
    pub fn loading(&self, internal: &str) -> Option<LoadView> {
        let models = self.loads.lock();
        let model = models.get(bare(internal))?;
        Some(LoadView { since: model.running()?.since, estimate: model.takes })
    }
}

/// The task. It holds the upstream, so a reload that removes it does not end what somebody may still wait for.
async fn run(
    upstream: Arc<Upstream>,
    internal: Box<str>,
    request: impl Future<Output = Outcome>,
    patience: Duration,
    told: watch::Sender<Option<Outcome>>,
) {
    let since = Instant::now();
    let mut watch = upstream.watch();
    let outcome = tokio::select! {
        biased;
        outcome = timeout(patience, request) => outcome.unwrap_or(Outcome::Late),
        () = watch.dead() => Outcome::Down,
    };
    let elapsed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    if matches!(outcome, Outcome::Loaded) {
        tracing::info!(upstream = %upstream.name, model = %internal, elapsed_ms, "a model was loaded");
    } else {
        tracing::warn!(upstream = %upstream.name, model = %internal, elapsed_ms, ?outcome, "a load failed");
    }
    upstream.loads.ended(&internal, since, &outcome);
    upstream.residency.changed();
    told.send_replace(Some(outcome));
}

async fn request(upstream: Arc<Upstream>, path: &'static str, body: Bytes) -> Outcome {
    let answered = async {
        let answer = upstream.pool.post(path, body).await?;
        upstream.heard();
        let status = answer.status.as_u16();
        let body = read_body(answer.body, ANSWER_BYTES_MAX).await?;
        Ok((status, answer.content_type, body))
    };
    match answered.await {
        Ok((200, ..)) => Outcome::Loaded,
        Ok((status, content_type, body)) => {
            refused(status, wire::read_refusal(upstream.format, status, content_type.as_deref(), &body))
        }
        Err(SendError::Broken(detail)) if upstream.has_pulse().await => Outcome::Refused(UpstreamFault {
            kind: UpstreamFaultKind::Broken,
            message: "the model server closed the connection while it loaded the model".into(),
            detail,
        }),
        Err(_) => Outcome::Down,
    }
}

/// A server that knows no such request, or not for this model (embedding models), or does not let us send it, has said nothing
/// of the chat that waits: that one decides for itself.
fn refused(status: u16, fault: UpstreamFault) -> Outcome {
    let decides = matches!(fault.kind, UpstreamFaultKind::ModelNotFound) || status == 429 || status >= 500;
    if decides && status != 501 { Outcome::Refused(fault) } else { Outcome::Loaded }
}

/// Asked for so soon after a load, a list that is true holds the model.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

impl Loads {
    /// Compares what was loaded just before with what a list of that moment holds.
    pub(super) fn compare(&self, asked: Instant, is_listed: impl Fn(&str) -> bool) {
        for (name, model) in self.lock().iter_mut() {
            let fresh = |loaded: Instant| loaded < asked && asked < loaded + LISTED_WITHIN;
            if is_listed(name) {
                model.unlisted = false;
            } else if model.loaded.is_some_and(fresh) {
                model.unlisted = true;
            }
        }
    }

    pub(super) fn is_unlisted(&self, internal: &str) -> bool {
        self.lock().get(bare(internal)).is_some_and(|model| model.unlisted)
    }

    /// Whether a load has ended well since then.
    pub(super) fn has_loaded_since(&self, internal: &str, since: Instant) -> bool {
        let models = self.lock();
        models.get(bare(internal)).and_then(|model| model.loaded).is_some_and(|loaded| loaded >= since)
    }

    fn ended(&self, internal: &str, since: Instant, outcome: &Outcome) {
        let mut models = self.lock();
        let Some(model) = models.get_mut(bare(internal)) else { return };
        model.running = None;
        if matches!(outcome, Outcome::Loaded) {
            model.loaded = Some(Instant::now());
            model.learn(since.elapsed());
        } else if model.loaded.is_none() {
            // Names that do not exist must not push out those that do.
            models.remove(bare(internal));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Model>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    fn running(&self) -> Option<&Running> {
        // A sender that is gone without an outcome has left a load that nobody will end.
        self.running.as_ref().filter(|running| !running.outcome.is_closed())
    }

    fn learn(&mut self, took: Duration) {
        if took >= LOAD_TIME_MIN {
            self.takes = Some(self.takes.map_or(took, |before| (before * 7 + took * 3) / 10));
        }
    }
}

/// The model's entry; in a full table it takes the place of the one that was loaded longest ago. `None` if all are loading.
fn place<'a>(models: &'a mut HashMap<Box<str>, Model>, name: &str) -> Option<&'a mut Model> {
    if models.len() >= MODELS_MAX && !models.contains_key(name) {
        let idle = models.iter().filter(|(_, model)| model.running().is_none());
        let oldest = idle.min_by_key(|(_, model)| model.loaded).map(|(name, _)| name.clone())?;
        models.remove(&oldest);
    }
    Some(models.entry(name.into()).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(loads: &Loads, name: &str, outcome: &Outcome) {
        assert!(place(&mut loads.lock(), name).is_some());
        loads.ended(name, Instant::now(), outcome);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_drops_what_was_loaded_longest_ago() {
        let loads = Loads::default();
        let start = Instant::now();
        for index in 0..MODELS_MAX + 2 {
            end(&loads, &format!("m{index}"), &Outcome::Loaded);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(loads.lock().len(), MODELS_MAX);
        let known = |name| loads.has_loaded_since(name, start);
        assert_eq!((known("m0"), known("m1"), known("m2"), known("m1025")), (false, false, true, true));
    }

    #[test]
    fn names_that_cannot_be_loaded_leave_no_trace() {
        let loads = Loads::default();
        end(&loads, "real", &Outcome::Loaded);
        for index in 0..10 * MODELS_MAX {
            end(&loads, &format!("m{index}"), &Outcome::Down);
        }
        end(&loads, "real", &Outcome::Down);
        let models = loads.lock();
        assert_eq!(models.keys().map(|name| &**name).collect::<Vec<_>>(), ["real"]);
    }

    #[test]
    fn who_is_loading_is_never_dropped() {
        let loads = Loads::default();
        let (_told, outcome) = watch::channel(None);
        for index in 0..MODELS_MAX {
            let mut models = loads.lock();
            let model = place(&mut models, &format!("m{index}")).unwrap();
            model.running = Some(Running { since: Instant::now(), outcome: outcome.clone() });
        }
        assert!(place(&mut loads.lock(), "one more").is_none());
        assert!(place(&mut loads.lock(), "m7").is_some());
    }

    #[test]
    fn a_load_that_vanished_is_none() {
        let (told, outcome) = watch::channel(None);
        let model = Model { running: Some(Running { since: Instant::now(), outcome }), ..Model::default() };
        assert!(model.running().is_some());
        drop(told);
        assert!(model.running().is_none());
    }
}
