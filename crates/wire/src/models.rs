//! Model lists and what an upstream says of a model.
//!
//! Never here: which models a key may see.

use crate::error::UpstreamFault;
use crate::format::Format;
use crate::{ollama, openai};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// The upstream's own name (Ollama: `model`, else `name`).
    pub name: String,
    /// Unix seconds; 0 when the upstream does not say.
    pub created: u64,
    /// An installed stub whose prompts would leave the machine (`remote_host`), or a cloud tag.
    pub remote: bool,
}

impl ModelEntry {
    pub(crate) fn new(name: &str, created: u64, is_stub: bool) -> Self {
        let remote = is_stub || name.ends_with(":cloud") || name.ends_with("-cloud");
        Self { name: name.to_owned(), created, remote }
    }

    /// The name shown to clients: without a registry host (`registry.internal/qwen3:32b` is `qwen3:32b`).
    pub fn public_name(&self) -> &str {
        match self.name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
            _ => &self.name,
        }
    }

    /// Namespace of the public name, or `library`.
    pub fn owner(&self) -> &str {
        self.public_name().rsplit_once('/').map_or("library", |(namespace, _)| namespace)
    }

    pub fn listed(&self) -> ListedModel<'_> {
        ListedModel { name: self.public_name(), created: self.created, owner: self.owner() }
    }
}

/// A model as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedModel<'a> {
    pub name: &'a str,
    pub created: u64,
    /// Namespace of the name, or `library`.
    pub owner: &'a str,
}

/// From `/api/show`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub thinking: bool,
    pub tools: bool,
    pub vision: bool,
}

pub fn read_models(upstream: Format, body: &[u8]) -> Result<Vec<ModelEntry>, UpstreamFault> {
    match upstream {
        Format::OpenAi => openai::models::read_list(body),
        Format::Ollama => ollama::models::read_list(body),
    }
}

/// From the answer to [`crate::Operation::RetrieveModel`] (`/api/show`; for the OpenAI format its own model object).
/// `name` is the upstream's own name.
pub fn read_model(upstream: Format, name: &str, body: &[u8]) -> Result<ModelEntry, UpstreamFault> {
    match upstream {
        Format::OpenAi => openai::models::read_one(name, body),
        Format::Ollama => ollama::models::read_one(name, body),
    }
}

/// `Ok(None)`: the upstream does not say (older than 0.6.4).
pub fn read_capabilities(body: &[u8]) -> Result<Option<Capabilities>, UpstreamFault> {
    ollama::models::read_capabilities(body)
}

/// Names of the models in memory, from `/api/ps`.
pub fn read_resident(body: &[u8]) -> Result<Vec<String>, UpstreamFault> {
    Ok(ollama::models::read_list(body)?.into_iter().map(|entry| entry.name).collect())
}

/// One model object under its public name.
pub fn write_model(client: Format, model: &ListedModel<'_>, out: &mut Vec<u8>) {
    match client {
        Format::OpenAi => openai::models::write_one(model, out),
        Format::Ollama => ollama::models::write_one(model, out),
    }
}

/// The list; an empty list is `[]`, never null.
pub fn write_models<'a>(client: Format, models: impl Iterator<Item = ListedModel<'a>>, out: &mut Vec<u8>) {
    match client {
        Format::OpenAi => openai::models::write_list(models, out),
        Format::Ollama => ollama::models::write_list(models, out),
    }
}

#[cfg(test)]
mod tests;
