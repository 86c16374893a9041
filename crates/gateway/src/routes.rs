//! The closed route table: which method and path is which operation in which dialect, and who may call it.
//!
//! Why here: the router, metric labels, the API's description and the list of paths an edge may pass are all made from this
//! one table. A path is compared byte for byte: nothing is normalised, so nothing can be smuggled past a check by spelling
//! it differently.
//!
//! Never here: handlers.

use std::borrow::Cow;

use http::{HeaderMap, Method};
use wire::{Format, Manage, Operation};

use crate::error::Error;

/// One row: what a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Label in metrics and audit; also the path itself, a name in braces standing for one name at its end.
    pub path: &'static str,
    pub method: Verb,
    pub format: Format,
    pub operation: Operation,
    pub access: Access,
    /// Only for requests with this header: one path may speak two dialects.
    pub header: Option<&'static str>,
}

/// The methods the table uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Head,
    Post,
    Delete,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever may connect: it says nothing about this installation.
    Open,
    Key,
    /// Keys that were allowed this operation by name.
    Granted,
}

const fn key(path: &'static str, method: Verb, format: Format, operation: Operation) -> Route {
    Route { path, method, format, operation, access: Access::Key, header: None }
}

const fn manage(path: &'static str, method: Verb, which: Manage) -> Route {
    let operation = Operation::Manage(which);
    Route { path, method, format: Format::Ollama, operation, access: Access::Granted, header: None }
}

/// On every request of Anthropic's SDKs, whose paths for models are those of OpenAI's.
const ANTHROPIC_VERSION: &str = "anthropic-version";

const fn anthropic_models(path: &'static str, operation: Operation) -> Route {
    let header = Some(ANTHROPIC_VERSION);
    Route { path, method: Verb::Get, format: Format::Anthropic, operation, access: Access::Key, header }
}

/// Every route of the API listener.
pub const ROUTES: &[Route] = {
    use Format::{Anthropic, Ollama, OpenAi, Responses};
    use Operation::{
        Chat, Complete, CountTokens, Describe, Embed, EmbedOne, Greet, ListModels, ListResident,
        RetrieveModel, Usage, Version,
    };
    use Verb::{Delete, Get, Head, Post};
    &[
        key("/v1/chat/completions", Post, OpenAi, Chat),
        key("/v1/completions", Post, OpenAi, Complete),
        key("/v1/embeddings", Post, OpenAi, Embed),
        key("/v1/responses", Post, Responses, Chat),
        key("/v1/messages", Post, Anthropic, Chat),
        key("/v1/messages/count_tokens", Post, Anthropic, CountTokens),
        anthropic_models("/v1/models", ListModels),
        anthropic_models("/v1/models/{model}", RetrieveModel),
        key("/v1/models", Get, OpenAi, ListModels),
        key("/v1/models/{model}", Get, OpenAi, RetrieveModel),
        key("/v1/usage", Get, OpenAi, Usage),
        key("/api/chat", Post, Ollama, Chat),
        key("/api/generate", Post, Ollama, Complete),
        key("/api/embed", Post, Ollama, Embed),
        key("/api/embeddings", Post, Ollama, EmbedOne),
        key("/api/tags", Get, Ollama, ListModels),
        key("/api/show", Post, Ollama, RetrieveModel),
        key("/api/ps", Get, Ollama, ListResident),
        key("/api/version", Get, Ollama, Version),
        key("/", Get, Ollama, Greet),
        key("/", Head, Ollama, Greet),
        manage("/api/pull", Post, Manage::Pull),
        manage("/api/push", Post, Manage::Push),
        manage("/api/create", Post, Manage::Create),
        manage("/api/copy", Post, Manage::Copy),
        manage("/api/delete", Delete, Manage::Delete),
        manage("/api/blobs/{digest}", Head, Manage::Blobs),
        manage("/api/blobs/{digest}", Post, Manage::Blobs),
        manage("/api/me", Post, Manage::Other),
        manage("/api/signout", Post, Manage::Other),
        manage("/api/user/keys/{name}", Delete, Manage::Other),
        manage("/api/status", Get, Manage::Other),
        manage("/api/experimental/web_search", Post, Manage::Other),
        manage("/api/experimental/web_fetch", Post, Manage::Other),
        manage("/api/experimental/model-recommendations", Get, Manage::Other),
        Route {
            path: "/openapi.json",
            method: Get,
            format: OpenAi,
            operation: Describe,
            access: Access::Open,
            header: None,
        },
    ]
};

/// Label of requests that match no route.
pub const NO_ROUTE: &str = "none";

/// A matched route, with what its path names at the end, if it does.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'p> {
    pub route: &'static Route,
    pub name: Option<Cow<'p, str>>,
}

/// Finds the route of a request.
pub fn find<'p>(method: &Method, path: &'p str, headers: &HeaderMap) -> Result<Match<'p>, Error> {
    let mut allow = String::new();
    for route in ROUTES {
        let Some(name) = matches(route.path, path) else { continue };
        if route.header.is_some_and(|header| !headers.contains_key(header)) {
            continue;
        }
        if route.method.as_str() == method.as_str() {
            return Ok(Match { route, name });
        }
        if !allow.split(", ").any(|known| known == route.method.as_str()) {
            allow.push_str(if allow.is_empty() { "" } else { ", " });
            allow.push_str(route.method.as_str());
        }
    }
    Err(if allow.is_empty() { Error::NoRoute } else { Error::WrongMethod { allow } })
}

/// The dialect of an error before anything is known of who asks: what the beginning of a path suggests, served or not, so
/// that nobody without a key learns which paths exist.
pub fn dialect(path: &str, headers: &HeaderMap) -> Format {
    match path {
        "/" => Format::Ollama,
        _ if path.starts_with("/api/") => Format::Ollama,
        _ if path.starts_with("/v1/messages") => Format::Anthropic,
        _ if path.starts_with("/v1/models") && headers.contains_key(ANTHROPIC_VERSION) => Format::Anthropic,
        _ => Format::OpenAi,
    }
}

/// `Some(None)`: the fixed path. `Some(Some(name))`: the pattern, with its decoded name.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<Option<Cow<'p, str>>> {
    let Some((prefix, kind)) = pattern.split_once('{') else { return (pattern == path).then_some(None) };
    let raw = path.strip_prefix(prefix)?;
    match kind {
        "model}" => model_name(raw),
        "digest}" => is_digest(raw).then_some(Cow::Borrowed(raw)),
        _ => is_model_name(raw).then_some(Cow::Borrowed(raw)),
    }
    .map(Some)
}

/// SDKs send the slash of `namespace/model` encoded and leave the colon; both spellings of the slash are the same name.
/// Nothing else may be encoded, so there is one spelling of every name.
fn model_name(raw: &str) -> Option<Cow<'_, str>> {
    let name: Cow<'_, str> = if raw.contains('%') {
        Cow::Owned(raw.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":").replace("%3a", ":"))
    } else {
        Cow::Borrowed(raw)
    };
    is_model_name(&name).then_some(name)
}

/// Whether text can be a model name at all: what registries accept, no path tricks, bounded.
pub fn is_model_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/@+".contains(&b))
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && !name.contains("..")
}

/// `sha256:` and 64 hexadecimal digits, as a blob is named.
fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha256-"));
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
