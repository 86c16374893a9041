//! Where a request may run: the fleet of upstreams, and the pool of targets behind a model name.
//!
//! Why here: which upstreams serve a name, which of them are alive, and which names never pass (cloud models, path tricks)
//! is one decision, whose result, a [`Pool`], every later stage builds on. Which one of a pool it will be is known when a
//! slot is free, and decided there (`admit`).
//!
//! Never here: sending anything for a caller; waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::ModelEntry;

use crate::admit::{Choice, Hall, Runner as _};
use crate::auth::Principal;
use crate::config::{self, Models};
use crate::dial::Dial;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::routes::is_model_name;
use crate::upstream::{Health, Known, Upstream, outlier};

/// How often the lists of models are fetched on the side.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// The same until the first answer: an upstream that starts together with us is known as soon as it listens.
const FIRST_LIST_EVERY: Duration = Duration::from_millis(500);
/// An unknown name is looked for in lists no older than this.
const LIST_AGE_MAX: Duration = Duration::from_secs(1);

/// A model on one upstream, under that upstream's own name for it.
pub type Target = Choice<Upstream>;

/// A model's targets: where a request may run.
#[derive(Clone)]
pub struct Pool {
    /// The name the caller used; the only one it ever sees.
    pub public: Arc<str>,
    /// The name that limits go by: a list's own, whatever spelling the caller used.
    pub counted: Arc<str>,
    /// At least one of them was alive when they were looked up.
    pub targets: Vec<Target>,
    /// Requests that may wait for one of them.
    pub queue_max: usize,
    /// What the operator wants of the runtime.
    pub context_tokens: Option<u64>,
    pub keep_alive: Option<String>,
    /// A list says that the upstreams have it.
    listed: bool,
}

impl Pool {
    /// The context that a target runs with, where the operator or the runtime says.
    pub fn context_of(&self, target: &Target) -> Option<u64> {
        self.context_tokens.or_else(|| target.runner.context_tokens(&target.internal))
    }
}

/// All upstreams with their probes.
pub struct Fleet {
    members: Vec<Member>,
}

/// An upstream and the tasks that watch it; they end with the last holder.
#[derive(Clone)]
struct Member {
    upstream: Arc<Upstream>,
    liveness: config::Liveness,
    _tasks: Arc<[Task]>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fleet {
    /// Starts probes for every upstream; one that is configured as before is kept with its connections and queue.
    pub fn start(
        config: &config::Config,
        dial: &Arc<dyn Dial>,
        metrics: &Arc<Metrics>,
        hall: &Hall<Upstream>,
        previous: Option<&Self>,
    ) -> Self {
        if let Models::Listed(list) = &config.models {
            metrics.serve_models(list.iter().map(|model| model.public.as_str()));
        }
        let members = config
            .upstreams
            .iter()
            .map(|wanted| {
                let kept = previous.and_then(|fleet| {
                    let same = |member: &&Member| {
                        member.liveness == config.liveness && member.upstream.adopt(wanted)
                    };
                    fleet.members.iter().find(same).cloned()
                });
                kept.unwrap_or_else(|| {
                    Member::start(wanted, config.liveness, dial.clone(), metrics.clone(), hall.clone())
                })
            })
            .collect();
        Self { members }
    }

    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.members.iter().map(|member| &member.upstream)
    }

    /// The pool of a name. One that no list holds may have been installed since: then, and only then, the lists are
    /// asked for on the request's way.
    pub async fn find(&self, models: &Models, principal: &Principal, name: &str) -> Result<Pool, Error> {
        let pool = self.pick(models, principal, name)?;
        if pool.listed {
            return Ok(pool);
        }
        // Whether this works or not, the upstream itself has the last word on the name.
        drop(self.refresh(LIST_AGE_MAX).await);
        self.pick(models, principal, name)
    }

    /// The living targets of a name.
    fn pick(&self, models: &Models, principal: &Principal, name: &str) -> Result<Pool, Error> {
        let unknown = || Error::ModelNotFound { model: name.chars().take(256).collect() };
        if !is_model_name(name) || !principal.may_use(name) {
            return Err(unknown());
        }
        let (found, listed) = self.candidates(models, name);
        if found.is_empty() {
            return Err(unknown());
        }
        // Waiting is for slots; where nobody lives there is nothing to wait for.
        let targets = usable(found);
        if !targets.iter().any(|target| target.runner.takes()) {
            return Err(Error::UpstreamDown);
        }
        let rooms = targets.iter().map(|target| target.runner.settings().queue_max);
        let settings = match models {
            Models::Listed(list) => list.iter().find(|model| model.public == name),
            Models::Discovered => None,
        };
        let counted = match (models, targets.first()) {
            (Models::Discovered, Some(target)) => wire::public_name(&target.internal),
            _ => name,
        };
        Ok(Pool {
            public: name.into(),
            counted: counted.into(),
            queue_max: rooms.fold(0, usize::saturating_add),
            context_tokens: settings.and_then(|model| model.context_tokens),
            keep_alive: settings.and_then(|model| model.keep_alive.clone()),
            targets,
            listed,
        })
    }

    /// Everything that serves a name, dead or alive, and whether a list says so. Upstreams that list it win over those
    /// that may know it.
    fn candidates(&self, models: &Models, name: &str) -> (Vec<Target>, bool) {
        let target = |upstream: &Arc<Upstream>, internal: &str| Target {
            runner: Arc::clone(upstream),
            internal: internal.into(),
        };
        match models {
            Models::Listed(list) => {
                let served =
                    list.iter().filter(|model| model.public == name).flat_map(|model| &model.served_by);
                let targets = served.filter_map(|by| {
                    let upstream = self.upstreams().find(|upstream| *upstream.name == *by.upstream)?;
                    Some(target(upstream, &by.internal))
                });
                (targets.collect(), true)
            }
            Models::Discovered => {
                let mut listed = Vec::new();
                let mut perhaps = Vec::new();
                for upstream in self.upstreams() {
                    match upstream.catalog.resolve(name) {
                        Known::Here(internal) => listed.push(target(upstream, &internal)),
                        // Prompts must not leave the machine because of a name.
                        Known::Unknown if !is_cloud(name) => perhaps.push(target(upstream, name)),
                        Known::Unknown | Known::Remote => {}
                    }
                }
                if listed.is_empty() { (perhaps, false) } else { (listed, true) }
            }
        }
    }

    /// Public name and entry of every model a principal may use, in the upstreams' order, each name once.
    pub fn list(&self, models: &Models, principal: &Principal) -> Vec<(String, ModelEntry)> {
        let mut found: Vec<(String, ModelEntry)> = Vec::new();
        let mut add = |public: &str, entry: &ModelEntry| {
            if principal.may_use(public) && !found.iter().any(|(name, _)| name == public) {
                found.push((public.to_owned(), entry.clone()));
            }
        };
        for upstream in self.upstreams() {
            for entry in upstream.catalog.models().iter().filter(|entry| !entry.remote) {
                match models {
                    Models::Discovered => add(entry.public_name(), entry),
                    Models::Listed(list) => list
                        .iter()
                        .filter(|m| m.runs(&upstream.name, &entry.name))
                        .for_each(|m| add(&m.public, entry)),
                }
            }
        }
        found
    }

    /// Fetches every living upstream's list that is older than `age`. An error only if nobody answered.
    pub async fn refresh(&self, age: Duration) -> Result<(), Error> {
        let mut outcome = Err(Error::UpstreamDown);
        for upstream in self.upstreams() {
            if upstream.health() != Health::Closed {
                continue;
            }
            match upstream.refresh_models(age).await {
                Ok(()) => outcome = Ok(()),
                Err(error) if outcome.is_err() => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
    }
}

impl Member {
    fn start(
        wanted: &config::Upstream,
        liveness: config::Liveness,
        dial: Arc<dyn Dial>,
        metrics: Arc<Metrics>,
        hall: Hall<Upstream>,
    ) -> Self {
        let upstream = Upstream::new(wanted.clone(), dial);
        let tasks = [
            Task(tokio::spawn(crate::upstream::run(upstream.clone(), liveness))),
            Task(tokio::spawn(keep_listed(upstream.clone(), metrics))),
            Task(tokio::spawn(keep_offered(upstream.clone(), hall))),
        ];
        Self { upstream, liveness, _tasks: Arc::new(tasks) }
    }
}

/// An upstream that is back has free slots for those who wait.
async fn keep_offered(upstream: Arc<Upstream>, hall: Hall<Upstream>) {
    let mut alive = upstream.watch();
    loop {
        alive.dead().await;
        alive.alive().await;
        hall.offer();
    }
}

/// Everything that may be asked: not drained, and not ejected for failing others, as far as that leaves enough. The dead
/// ones stay in: who waits takes whichever comes back.
fn usable(found: Vec<Target>) -> Vec<Target> {
    let staying = found.into_iter().filter(|target| !target.runner.settings().drain);
    let (mut alive, dead): (Vec<_>, Vec<_>) = staying.partition(|target| target.runner.takes());
    let now = Instant::now();
    outlier::usable(&mut alive, |target| target.runner.ejected_until(now));
    alive.extend(dead);
    alive
}

/// Keeps the list fresh off every request's path, and gives listed models series of their own.
async fn keep_listed(upstream: Arc<Upstream>, metrics: Arc<Metrics>) {
    let mut pause = FIRST_LIST_EVERY;
    loop {
        if upstream.health() == Health::Closed {
            match upstream.refresh_models(Duration::ZERO).await {
                Ok(()) => {
                    pause = LIST_EVERY;
                    let models = upstream.catalog.models();
                    metrics.serve_models(models.iter().map(ModelEntry::public_name));
                }
                Err(error) => {
                    tracing::debug!(upstream = %upstream.name, %error, "the list of models could not be read");
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Names that Ollama would send to its makers' servers without being asked to install anything.
fn is_cloud(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(":cloud") || name.ends_with("-cloud")
}

#[cfg(test)]
mod tests {
    use super::is_cloud;

    #[test]
    fn cloud_names_are_known_by_their_tag() {
        for (name, expected) in [
            ("gpt-oss:120b-cloud", true),
            ("kimi:CLOUD", true),
            ("qwen3:32b", false),
            ("cloud/qwen3:32b", false),
        ] {
            assert_eq!(is_cloud(name), expected, "{name}");
        }
    }
}
