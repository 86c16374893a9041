//! What an upstream says of its models: the list, and who of them can think.
//!
//! Why here: public names hide registry hosts, so every request needs the list; it is fetched on the side and read without
//! waiting. What the runtime says decides, never a table of ours.
//!
//! Never here: which caller may use what.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;
use wire::{Capabilities, Format, ModelEntry, Operation};

use super::{Health, SendError, Upstream, read_body};
use crate::error::Error;
use crate::model_name::canonical;

/// A list of models is this large at most.
const LIST_BYTES_MAX: usize = 8 << 20;
/// Capabilities of a model may be this old.
const CAPABILITIES_AGE_MAX: Duration = Duration::from_secs(10);
/// Models whose capabilities are remembered.
const CAPABILITIES_MAX: usize = 1_024;
/// How long a side question to the upstream may take.
const ASK_TIME: Duration = Duration::from_secs(3);

#[derive(Default)]
pub struct Catalog {
    models: ArcSwap<Vec<ModelEntry>>,
    /// When the list was last asked for. Held while asking, so that many who want it ask once.
    asked: tokio::sync::Mutex<Option<Instant>>,
    capabilities: Mutex<HashMap<String, (Instant, Option<Capabilities>)>>,
}

/// What the catalogue knows of a public name.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// Installed here, under this internal name.
    Here(String),
    /// Installed as a stub whose prompts would leave the machine.
    Remote,
    /// Not in the last list; the upstream may still know it.
    Unknown,
}

impl Catalog {
    /// Looks a public name up in the last list, as Ollama would: a name without a tag means `latest`, and letters have no
    /// case.
    pub fn resolve(&self, public: &str) -> Known {
        let models = self.models.load();
        let named = |entry: &&ModelEntry| {
            let name = entry.public_name();
            name == public || name.strip_suffix(":latest") == Some(public)
        };
        let alike = |models: &[ModelEntry]| {
            let wanted = canonical(public);
            let is = |entry: &&ModelEntry| {
                canonical(&entry.name) == wanted || canonical(entry.public_name()) == wanted
            };
            models.iter().position(|entry| is(&entry))
        };
        // A model that carries the public name itself wins over one that only maps to it, and both over other spellings.
        let exact = models.iter().find(|entry| entry.name == public);
        let found = exact.or_else(|| models.iter().find(named));
        match found.or_else(|| models.get(alike(&models)?)) {
            Some(entry) if entry.remote => Known::Remote,
            Some(entry) => Known::Here(entry.name.clone()),
            None => Known::Unknown,
        }
    }

    pub fn models(&self) -> arc_swap::Guard<std::sync::Arc<Vec<ModelEntry>>> {
        self.models.load()
    }
}

impl Upstream {
    /// Fetches the list and remembers it, unless somebody did so no longer than `age` before this call.
    pub async fn refresh_models(&self, age: Duration) -> Result<(), Error> {
        let called = Instant::now();
        let mut asked = self.catalog.asked.lock().await;
        if asked.is_some_and(|at| at + age > called) {
            return Ok(());
        }
        let path = wire::upstream_path(self.format, Operation::ListModels);
        let answered = self.ask(self.pool.get(path)).await;
        // A failure counts as asked, too: those who queued behind it must not each wait for another.
        *asked = Some(Instant::now());
        let models = wire::read_models(self.format, &answered?)?;
        self.catalog.models.store(models.into());
        Ok(())
    }

    /// `Some(false)`: this model cannot think. `None`: the upstream does not say.
    pub async fn thinks(&self, model: &str) -> Option<bool> {
        if self.format != Format::Ollama {
            return None;
        }
        if let Some((at, known)) = self.capabilities().get(model)
            && at.elapsed() < CAPABILITIES_AGE_MAX
        {
            return known.as_ref().map(|c| c.thinking);
        }
        if self.health() != Health::Closed {
            return None;
        }
        // A failure is remembered, too: it would cost every such request its whole patience.
        let known = match self.show(model).await {
            Ok(body) => wire::read_capabilities(&body).ok().flatten(),
            Err(_) => None,
        };
        let thinks = known.as_ref().map(|c| c.thinking);
        let mut table = self.capabilities();
        if table.len() >= CAPABILITIES_MAX {
            table.clear();
        }
        table.insert(model.to_owned(), (Instant::now(), known));
        thinks
    }

    /// What the upstream tells about one model.
    pub async fn show(&self, model: &str) -> Result<Bytes, Error> {
        #[derive(Serialize)]
        struct Show<'a> {
            model: &'a str,
        }
        let body = serde_json::to_vec(&Show { model }).map_err(|_| Error::Internal)?;
        let path = wire::upstream_path(self.format, Operation::RetrieveModel);
        self.ask(self.pool.post(path, body.into())).await
    }

    /// Asks on the side: bounded in time and size, and a refusal is understood.
    pub(super) async fn ask(
        &self,
        question: impl Future<Output = Result<super::Answer, SendError>>,
    ) -> Result<Bytes, Error> {
        let answered = async {
            let answer = question.await.map_err(|_| Error::UpstreamDown)?;
            let status = answer.status.as_u16();
            let body = read_body(answer.body, LIST_BYTES_MAX).await.map_err(|_| Error::UpstreamDown)?;
            if status == 200 {
                Ok(body)
            } else {
                Err(wire::read_refusal(self.format, status, answer.content_type.as_deref(), &body).into())
            }
        };
        tokio::time::timeout(ASK_TIME, answered).await.unwrap_or(Err(Error::UpstreamDown))
    }

    fn capabilities(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Option<Capabilities>)>> {
        self.catalog.capabilities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
