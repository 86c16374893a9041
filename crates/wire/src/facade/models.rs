//! Model lists, read from an upstream and written for a client.
//!
//! Never here: which models a key may see.

use std::borrow::Cow;

use crate::error::{Fault, UpstreamFault};
use crate::format::Format;
use crate::models::{Capabilities, ListedModel, ModelEntry, Resident};
use crate::ollama::show::Shown;
use crate::request::ReadLimits;
use crate::{anthropic, ollama, openai};

pub fn read_models(upstream: Format, body: &[u8]) -> Result<Vec<ModelEntry>, UpstreamFault> {
    match upstream {
        Format::Ollama => ollama::models::read_list(body),
        _ => openai::models::read_list(body),
    }
}

/// From the answer to [`crate::Operation::RetrieveModel`] (`/api/show`; for the OpenAI format its own model object).
/// `name` is the upstream's own name.
pub fn read_model(upstream: Format, name: &str, body: &[u8]) -> Result<ModelEntry, UpstreamFault> {
    match upstream {
        Format::Ollama => ollama::models::read_one(name, body),
        _ => openai::models::read_one(name, body),
    }
}

/// `Ok(None)`: the upstream does not say (older than 0.6.4).
pub fn read_capabilities(body: &[u8]) -> Result<Option<Capabilities>, UpstreamFault> {
    ollama::models::read_capabilities(body)
}

/// The models in memory, from `/api/ps`.
pub fn read_resident(body: &[u8]) -> Result<Vec<Resident>, UpstreamFault> {
    ollama::models::read_resident(body)
}

/// Where a model is loaded without being asked anything (a POST). `None`: runtimes of this dialect load by themselves.
pub fn load_path(upstream: Format) -> Option<&'static str> {
    match upstream {
        Format::Ollama => Some("/api/generate"),
        _ => None,
    }
}

/// The body for [`load_path`]; nothing where there is none. `num_ctx` and `keep_alive` as requests will ask for them:
/// another context would load the model again.
pub fn write_load(
    upstream: Format,
    model: &str,
    keep_alive: Option<&str>,
    num_ctx: Option<u64>,
    out: &mut Vec<u8>,
) {
    if upstream == Format::Ollama {
        ollama::models::write_load(model, keep_alive, num_ctx, out);
    }
}

/// One model object under its public name.
pub fn write_model(client: Format, model: &ListedModel<'_>, out: &mut Vec<u8>) {
    match client {
        Format::OpenAi | Format::Responses => openai::models::write_one(model, out),
        Format::Anthropic => anthropic::models::write_one(model, out),
        Format::Ollama => ollama::models::write_one(model, out),
    }
}

/// The list; an empty list is `[]`, never null.
pub fn write_models<'a>(client: Format, models: impl Iterator<Item = ListedModel<'a>>, out: &mut Vec<u8>) {
    match client {
        Format::OpenAi | Format::Responses => openai::models::write_list(models, out),
        Format::Anthropic => anthropic::models::write_list(models, out),
        Format::Ollama => ollama::models::write_list(models, out),
    }
}

/// The models in memory, each under the name that the client knows.
pub fn write_resident<'a>(models: impl Iterator<Item = (&'a str, &'a Resident)>, out: &mut Vec<u8>) {
    ollama::models::write_resident(models, out);
}

/// Which model a client wants to be shown: the body of Ollama's [`crate::Operation::RetrieveModel`], a POST.
pub fn read_show_request<'a>(body: &'a [u8], limits: &ReadLimits) -> Result<Cow<'a, str>, Fault> {
    ollama::client::named::read(body, limits)
}

/// One model from the answer to [`crate::Operation::RetrieveModel`], with all that can be shown of it.
pub fn read_show<'a>(upstream: Format, name: &str, body: &'a [u8]) -> Result<Shown<'a>, UpstreamFault> {
    match upstream {
        Format::Ollama => ollama::show::read(name, body),
        _ => Ok(Shown::from(openai::models::read_one(name, body)?)),
    }
}

/// One model for a client. `with_texts`: also its system prompt, template, licence, parameters, modelfile and messages, where
/// the dialect has them.
pub fn write_show(client: Format, shown: &Shown<'_>, with_texts: bool, out: &mut Vec<u8>) {
    match client {
        Format::Ollama => ollama::show::write(shown, with_texts, out),
        client => write_model(client, &shown.entry.listed(), out),
    }
}

/// The release that an Ollama upstream says it is.
pub fn read_version(body: &[u8]) -> Option<String> {
    ollama::show::read_version(body)
}

/// The release of Ollama's API that is spoken.
pub fn write_version(version: &str, out: &mut Vec<u8>) {
    ollama::show::write_version(version, out);
}

#[cfg(test)]
mod tests;
