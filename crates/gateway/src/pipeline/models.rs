//! The model list and single models, under their public names.
//!
//! Why here: what a key may see is what it may use, and the list comes from the upstreams as they are now.
//!
//! Never here: registry hosts, cloud stubs.

use std::time::Duration;

use bytes::Bytes;
use wire::{Format, ListedModel};

use super::Admitted;
use crate::config::Models;
use crate::error::Error;

pub(super) async fn list(admitted: &Admitted, format: Format) -> Result<Bytes, Error> {
    let snapshot = &admitted.snapshot;
    snapshot.fleet.refresh(Duration::ZERO).await?;
    let found = snapshot.fleet.list(&snapshot.config.models, &admitted.principal);
    let views = found.iter().map(|(name, entry)| ListedModel { name, ..entry.listed() });
    let mut out = Vec::with_capacity(128 * (found.len() + 1));
    wire::write_models(format, views, &mut out);
    Ok(out.into())
}

pub(super) async fn retrieve(admitted: &Admitted, format: Format, name: &str) -> Result<Bytes, Error> {
    let snapshot = &admitted.snapshot;
    let target = snapshot.fleet.find(&snapshot.config.models, &admitted.principal, name).await?;
    let upstream = &target.upstream;
    let entry = match upstream.format {
        Format::Ollama => {
            let body = upstream.show(&target.internal).await?;
            wire::read_model(upstream.format, &target.internal, &body)?
        }
        // Its list says all that it has to say of a model.
        Format::OpenAi => {
            upstream.refresh_models(Duration::ZERO).await?;
            let models = upstream.catalog.models();
            let found = models.iter().find(|entry| entry.name == target.internal).cloned();
            found.ok_or_else(|| Error::ModelNotFound { model: name.to_owned() })?
        }
    };
    if entry.remote && !matches!(snapshot.config.models, Models::Listed(_)) {
        return Err(Error::ModelNotFound { model: name.to_owned() });
    }
    let mut out = Vec::with_capacity(128);
    wire::write_model(format, &ListedModel { name: &target.public, ..entry.listed() }, &mut out);
    Ok(out.into())
}
