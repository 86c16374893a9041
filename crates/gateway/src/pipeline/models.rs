//! The model list, single models, and the models in memory, under their public names.
//!
//! Why here: what a key may see is what it may use, and the lists come from the upstreams as they are now.
//!
//! Never here: registry hosts, cloud stubs.

use std::time::Duration;

use bytes::Bytes;
use wire::{Format, ListedModel, Manage, Resident};

use super::Known;
use crate::admit::Runner as _;
use crate::config::Models;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::model_name::canonical;
use crate::upstream::release_numbers;

/// What a runtime is taken for that does not say its release, where a client asks for one: the oldest whose API is spoken here.
const RELEASE: &str = "0.12.11";

pub(super) async fn list(known: &Known, format: Format) -> Result<Bytes, Error> {
    let snapshot = &known.snapshot;
    snapshot.fleet.refresh(Duration::ZERO).await?;
    let found = snapshot.fleet.list(&snapshot.config.models, &known.principal);
    let views = found.iter().map(|(name, entry)| ListedModel { name, ..entry.listed() });
    let mut out = Vec::with_capacity(128 * (found.len() + 1));
    wire::write_models(format, views, &mut out);
    Ok(out.into())
}

/// A name that stands in a body is asked for like one that stands in a path.
pub(super) async fn retrieve_named(
    known: &Known,
    format: Format,
    body: &[u8],
    exchange: &mut Exchange,
) -> Result<Bytes, Error> {
    let name = wire::read_show_request(body, &known.snapshot.read_limits)?;
    exchange.asked(&name, 0, false);
    retrieve(known, format, &name).await
}

pub(super) async fn retrieve(known: &Known, format: Format, name: &str) -> Result<Bytes, Error> {
    let snapshot = &known.snapshot;
    let pool = snapshot.fleet.find(&snapshot.config.models, &known.principal, name).await?;
    let alive = pool.targets.iter().find(|target| target.runner.takes());
    let target = alive.ok_or(Error::UpstreamDown)?;
    let upstream = &target.runner;
    let body;
    let shown = match upstream.format {
        Format::Ollama => {
            body = upstream.show(&target.internal).await?;
            wire::read_show(upstream.format, &target.internal, &body)?
        }
        // Its list says all that it has to say of a model.
        _ => {
            upstream.refresh_models(Duration::ZERO).await?;
            let models = upstream.catalog.models();
            let found = models.iter().find(|entry| entry.name == *target.internal).cloned();
            found.ok_or_else(|| Error::ModelNotFound { model: name.to_owned() })?.into()
        }
    };
    if shown.entry.remote && !matches!(snapshot.config.models, Models::Listed(_)) {
        return Err(Error::ModelNotFound { model: name.to_owned() });
    }
    let mut out = Vec::with_capacity(128);
    match format {
        Format::Ollama => {
            let with_texts = known.principal.may_manage(Manage::Show);
            wire::write_show(format, &shown, with_texts, &mut out);
        }
        _ => {
            let listed = ListedModel { name: &pool.public, ..shown.entry.listed() };
            wire::write_model(format, &listed, &mut out);
        }
    }
    Ok(out.into())
}

/// What is in memory of what the caller may use. An upstream that does not say has nothing.
pub(super) async fn list_resident(known: &Known) -> Result<Bytes, Error> {
    let snapshot = &known.snapshot;
    let found = snapshot.fleet.list(&snapshot.config.models, &known.principal);
    let mut held: Vec<Resident> = Vec::new();
    let upstreams: Vec<_> = snapshot.fleet.upstreams().cloned().collect();
    for upstream in upstreams {
        held.extend(upstream.resident_now().await.unwrap_or_default());
    }
    let named = held.iter().filter_map(|model| {
        let (public, _) = found.iter().find(|(_, entry)| same_model(&entry.name, &model.name))?;
        Some((public.as_str(), model))
    });
    let mut out = Vec::with_capacity(256 * (held.len() + 1));
    wire::write_resident(named, &mut out);
    Ok(out.into())
}

fn same_model(one: &str, other: &str) -> bool {
    one == other || canonical(one) == canonical(other)
}

/// The release of the oldest runtime: what it can do, all can.
pub(super) fn version(known: &Known) -> Bytes {
    let releases = known.snapshot.fleet.upstreams().filter_map(|upstream| upstream.release());
    let oldest = releases.min_by_key(|release| release_numbers(release));
    let mut out = Vec::with_capacity(32);
    wire::write_version(oldest.as_ref().map_or(RELEASE, |release| release.as_str()), &mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert!(same_model("m", "m:latest") && same_model("m:1b", "m:1b"));
        assert!(!same_model("m:1b", "m"));
    }
}
