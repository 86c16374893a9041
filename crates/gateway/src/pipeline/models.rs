//! The model list and single models, under their public names.
//!
//! Why here: what a key may see is what it may use, and the list comes from the upstreams as they are now.
//!
//! Never here: registry hosts, cloud stubs.

use std::time::Duration;

use bytes::Bytes;
use wire::{Format, ListedModel};

use super::Known;
use crate::admit::Runner as _;
use crate::config::Models;
use crate::error::Error;

pub(super) async fn list(known: &Known, format: Format) -> Result<Bytes, Error> {
    let snapshot = &known.snapshot;
    snapshot.fleet.refresh(Duration::ZERO).await?;
    let found = snapshot.fleet.list(&snapshot.config.models, &known.principal);
    let views = found.iter().map(|(name, entry)| ListedModel { name, ..entry.listed() });
    let mut out = Vec::with_capacity(128 * (found.len() + 1));
    wire::write_models(format, views, &mut out);
    Ok(out.into())
}

pub(super) async fn retrieve(known: &Known, format: Format, name: &str) -> Result<Bytes, Error> {
    let snapshot = &known.snapshot;
    let pool = snapshot.fleet.find(&snapshot.config.models, &known.principal, name).await?;
    let alive = pool.targets.iter().find(|target| target.runner.takes());
    let target = alive.ok_or(Error::UpstreamDown)?;
    let upstream = &target.runner;
    let entry = match upstream.format {
        Format::Ollama => {
            let body = upstream.show(&target.internal).await?;
            wire::read_model(upstream.format, &target.internal, &body)?
        }
        // Its list says all that it has to say of a model.
        _ => {
            upstream.refresh_models(Duration::ZERO).await?;
            let models = upstream.catalog.models();
            let found = models.iter().find(|entry| entry.name == *target.internal).cloned();
            found.ok_or_else(|| Error::ModelNotFound { model: name.to_owned() })?
        }
    };
    if entry.remote && !matches!(snapshot.config.models, Models::Listed(_)) {
        return Err(Error::ModelNotFound { model: name.to_owned() });
    }
    let mut out = Vec::with_capacity(128);
    wire::write_model(format, &ListedModel { name: &pool.public, ..entry.listed() }, &mut out);
    Ok(out.into())
}
