//! CONTRACT STUB: model lists and what an upstream says of a model.

use crate::error::UpstreamFault;
use crate::format::Format;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// The upstream's own name (Ollama: `model`, else `name`).
    pub name: String,
    pub created: u64,
    /// An installed stub whose prompts would leave the machine (`remote_host`), or a cloud tag.
    pub remote: bool,
}

impl ModelEntry {
    /// The name shown to clients: without a registry host (`registry.internal/qwen3:32b` is `qwen3:32b`).
    pub fn public_name(&self) -> &str {
        todo!()
    }
    /// Namespace of the public name, or `library`.
    pub fn owner(&self) -> &str {
        todo!()
    }
    pub fn listed(&self) -> ListedModel<'_> {
        ListedModel { name: self.public_name(), created: self.created, owner: self.owner() }
    }
}

/// From `/api/show`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub thinking: bool,
    pub tools: bool,
    pub vision: bool,
}

pub fn read_models(upstream: Format, body: &[u8]) -> Result<Vec<ModelEntry>, UpstreamFault> {
    todo!("{upstream:?} {body:?}")
}

/// `Ok(None)`: the upstream does not say (older than 0.6.4).
pub fn read_capabilities(body: &[u8]) -> Result<Option<Capabilities>, UpstreamFault> {
    todo!("{body:?}")
}

/// Names of the models in memory, from `/api/ps`.
pub fn read_resident(body: &[u8]) -> Result<Vec<String>, UpstreamFault> {
    todo!("{body:?}")
}

/// A model as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedModel<'a> {
    pub name: &'a str,
    pub created: u64,
    /// Namespace of the name, or `library`.
    pub owner: &'a str,
}

/// From the answer to [`crate::Operation::RetrieveModel`] (`/api/show`; for the OpenAI format its own model object). `name` is the upstream's own name.
pub fn read_model(upstream: Format, name: &str, body: &[u8]) -> Result<ModelEntry, UpstreamFault> {
    todo!("{upstream:?} {name} {body:?}")
}

/// One model object under its public name.
pub fn write_model(client: Format, model: &ListedModel<'_>, out: &mut Vec<u8>) {
    todo!("{client:?} {model:?} {out:?}")
}

/// The list; an empty list is `[]`, never null.
pub fn write_models<'a>(client: Format, models: impl Iterator<Item = ListedModel<'a>>, out: &mut Vec<u8>) {
    let _ = models;
    todo!("{client:?} {out:?}")
}
