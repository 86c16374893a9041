//! Choosing where a request runs: the fleet of upstreams, and the target for a model name.
//!
//! Why here: which upstream serves a name, which of several is alive and least busy, and which names never pass (cloud
//! models, path tricks) is one decision, whose result, a [`Target`], every later stage builds on.
//!
//! Never here: sending anything for a caller; waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use wire::ModelEntry;

use crate::auth::Principal;
use crate::config::{self, Models};
use crate::dial::Dial;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::routes::is_model_name;
use crate::upstream::{Health, Known, Upstream};

/// How often the lists of models are fetched on the side.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// The same until the first answer: an upstream that starts together with us is known as soon as it listens.
const FIRST_LIST_EVERY: Duration = Duration::from_millis(500);
/// An unknown name is looked for in lists no older than this.
const LIST_AGE_MAX: Duration = Duration::from_secs(1);

/// A model on one upstream: where a request will run.
#[derive(Clone)]
pub struct Target {
    pub upstream: Arc<Upstream>,
    /// The upstream's own name for it.
    pub internal: String,
    /// The name the caller used; the only one it ever sees.
    pub public: String,
    /// A list says that the upstream has it.
    listed: bool,
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
                        member.upstream.config() == wanted && member.liveness == config.liveness
                    };
                    fleet.members.iter().find(same).cloned()
                });
                kept.unwrap_or_else(|| Member::start(wanted, config.liveness, dial.clone(), metrics.clone()))
            })
            .collect();
        Self { members }
    }

    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.members.iter().map(|member| &member.upstream)
    }

    /// The target for a name. One that no list holds may have been installed since: then, and only then, the lists are
    /// asked for on the request's way.
    pub async fn find(&self, models: &Models, principal: &Principal, name: &str) -> Result<Target, Error> {
        let target = self.pick(models, principal, name)?;
        if target.listed {
            return Ok(target);
        }
        // Whether this works or not, the upstream itself has the last word on the name.
        drop(self.refresh(LIST_AGE_MAX).await);
        self.pick(models, principal, name)
    }

    /// The target for a name, on the living upstream with the least work.
    fn pick(&self, models: &Models, principal: &Principal, name: &str) -> Result<Target, Error> {
        let unknown = || Error::ModelNotFound { model: name.chars().take(256).collect() };
        if !is_model_name(name) || !principal.may_use(name) {
            return Err(unknown());
        }
        let mut any = false;
        let mut best: Option<Target> = None;
        for (upstream, internal, listed) in self.candidates(models, name) {
            any = true;
            let load = |upstream: &Upstream| upstream.door.running() + upstream.door.waiting();
            let better = best.as_ref().is_none_or(|so_far| load(&upstream) < load(&so_far.upstream));
            if upstream.health() == Health::Closed && better {
                best = Some(Target { upstream, internal, public: name.to_owned(), listed });
            }
        }
        match best {
            Some(target) => Ok(target),
            None if any => Err(Error::UpstreamDown),
            None => Err(unknown()),
        }
    }

    /// Upstreams that serve a name, with their own name for it. Those that list it win over those that may know it.
    fn candidates(&self, models: &Models, name: &str) -> Vec<(Arc<Upstream>, String, bool)> {
        match models {
            Models::Listed(list) => list
                .iter()
                .filter(|model| model.public == name)
                .flat_map(|model| &model.served_by)
                .filter_map(|by| {
                    let upstream = self.upstreams().find(|upstream| *upstream.name == *by.upstream)?;
                    Some((upstream.clone(), by.internal.clone(), true))
                })
                .collect(),
            Models::Discovered => {
                let mut listed = Vec::new();
                let mut perhaps = Vec::new();
                for upstream in self.upstreams() {
                    match upstream.catalog.resolve(name) {
                        Known::Here(internal) => listed.push((upstream.clone(), internal, true)),
                        // Prompts must not leave the machine because of a name.
                        Known::Unknown if !is_cloud(name) => {
                            perhaps.push((upstream.clone(), name.to_owned(), false));
                        }
                        Known::Unknown | Known::Remote => {}
                    }
                }
                if listed.is_empty() { perhaps } else { listed }
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
    ) -> Self {
        let upstream = Upstream::new(wanted.clone(), dial);
        let probe = tokio::spawn(crate::upstream::run(upstream.clone(), liveness));
        let listing = tokio::spawn(keep_listed(upstream.clone(), metrics));
        Self { upstream, liveness, _tasks: Arc::new([Task(probe), Task(listing)]) }
    }
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
