//! Which models an upstream has in memory, and with how much context.
//!
//! Why here: choosing a warm upstream and knowing that a load is due are decisions on every request's way, and no request may
//! wait for a question to the runtime. So the question is asked on the side, one at a time, as often as somebody looks, and
//! the last answer is read without waiting.
//!
//! Never here: loading anything; refusing service because nobody can say.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use wire::Format;

use super::{Health, Upstream};
use crate::error::Error;

/// Pause between two questions while somebody looks at the answers.
const PAUSE: Duration = Duration::from_secs(2);
/// The same while nobody does, or where the upstream has refused to say.
const IDLE_PAUSE: Duration = Duration::from_secs(10);
/// An answer older than this says nothing any more. A runtime that unloads a model can stall its answers for seconds.
const AGE_MAX: Duration = Duration::from_secs(20);
/// Models of one answer that are remembered.
const MODELS_MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct Residency {
    /// `None`: nobody can say.
    view: ArcSwapOption<View>,
    /// Somebody has read the view since the last question.
    looked: AtomicBool,
    look: Notify,
    changed: Notify,
}

struct View {
    /// When the question was sent: what happened later is not in the answer.
    asked: Instant,
    models: Vec<Model>,
}

struct Model {
    name: String,
    context_tokens: Option<u64>,
}

impl Residency {
    /// A model came into memory, and others may have had to leave it: the last answer is out of date.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    fn view(&self) -> arc_swap::Guard<Option<std::sync::Arc<View>>> {
        // Read first: a flag that is written by every request would be fought over by all threads.
        if !self.looked.load(Ordering::Relaxed) && !self.looked.swap(true, Ordering::Relaxed) {
            self.look.notify_one();
        }
        self.view.load()
    }

    fn forget(&self) {
        self.view.store(None);
    }

    /// Until the next question is due.
    async fn pause(&self) {
        let looked = async {
            sleep(PAUSE).await;
            if !self.looked.load(Ordering::Relaxed) {
                self.look.notified().await;
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = looked => {}
            () = sleep(IDLE_PAUSE) => {}
        }
    }
}

impl View {
    fn find(&self, internal: &str) -> Option<&Model> {
        let wanted = bare(internal);
        self.models.iter().find(|model| bare(&model.name) == wanted)
    }
}

/// The runtime takes a name without a tag for `latest`, and lists it with the tag.
pub(super) fn bare(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// Keeps the view fresh until the process ends.
pub(super) async fn run(upstream: &Upstream) {
    if upstream.format != Format::Ollama {
        // No other runtime tells.
        return std::future::pending().await;
    }
    let mut health = upstream.health.subscribe();
    while health.wait_for(|health| *health == Health::Closed).await.is_ok() {
        let mut watch = upstream.watch();
        tokio::select! {
            biased;
            () = watch.dead() => {}
            never = keep(upstream) => match never {},
        }
        // It may come back as another process, with nothing in memory.
        upstream.residency.forget();
    }
}

async fn keep(upstream: &Upstream) -> Infallible {
    loop {
        upstream.residency.looked.store(false, Ordering::Relaxed);
        if upstream.refresh_residency().await {
            upstream.residency.pause().await;
        } else {
            sleep(IDLE_PAUSE).await;
        }
    }
}

impl Upstream {
    /// Whether a model is in memory, as far as is known; `None` when nobody can say.
    pub fn resident(&self, internal: &str) -> Option<bool> {
        let view = self.residency.view();
        let view = view.as_ref()?;
        if view.find(internal).is_some() || self.loads.has_loaded_since(internal, view.asked) {
            return Some(true);
        }
        // Its list does not tell of this model, or it would be loaded again for every request.
        (!self.loads.is_unlisted(internal)).then_some(false)
    }

    /// The context that a model in memory really runs with.
    pub fn context_tokens(&self, internal: &str) -> Option<u64> {
        self.residency.view().as_ref()?.find(internal)?.context_tokens
    }

    /// Asks once; `false` if the upstream refuses to say.
    async fn refresh_residency(&self) -> bool {
        let asked = Instant::now();
        match self.resident_models().await {
            Ok(models) => {
                let view = View { asked, models };
                self.loads.compare(asked, |name| view.find(name).is_some());
                self.residency.view.store(Some(view.into()));
                true
            }
            // Silence is for the breaker to judge. Until then the last answer is better than none.
            Err(Error::UpstreamDown) => {
                if self.residency.view.load().as_ref().is_some_and(|view| view.asked.elapsed() > AGE_MAX) {
                    self.residency.forget();
                }
                true
            }
            Err(error) => {
                tracing::debug!(upstream = %self.name, %error, "nobody can say which models are in memory");
                self.residency.forget();
                false
            }
        }
    }

    async fn resident_models(&self) -> Result<Vec<Model>, Error> {
        let model = |held: wire::Resident| Model { name: held.name, context_tokens: held.context_tokens };
        Ok(self.resident_now().await?.into_iter().map(model).collect())
    }

    /// Asks what is in memory, with everything that the runtime tells. Other runtimes than Ollama do not.
    pub async fn resident_now(&self) -> Result<Vec<wire::Resident>, Error> {
        if self.format != Format::Ollama || self.health() != Health::Closed {
            return Ok(Vec::new());
        }
        let answer = self.ask(self.pool.get("/api/ps")).await?;
        let mut models = wire::read_resident(&answer)?;
        models.truncate(MODELS_MAX);
        Ok(models)
    }
}
