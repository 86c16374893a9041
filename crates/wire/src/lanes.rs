//! The one table that says how a request travels between two formats, and where an upstream serves an operation.
//!
//! Nothing else in the program decides between formats.
//!
//! Never here: the translations themselves.

use crate::format::{Format, Operation};

/// How a request's bytes reach the upstream and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Same dialect on both sides: the client's bytes with the model name spliced, events re-emitted from allow-listed fields.
    Relay,
    /// Through the neutral request and the neutral events.
    Translate,
}

/// The lane table. `None`: this pair cannot be served (the gateway answers a clear 4xx).
pub fn lane(client: Format, upstream: Format, operation: Operation) -> Option<Lane> {
    use Operation::{Chat, ListModels, RetrieveModel, Usage};
    match (client, upstream, operation) {
        (Format::OpenAi, Format::OpenAi, Chat) => Some(Lane::Relay),
        (Format::OpenAi, Format::Ollama, Chat) => Some(Lane::Translate),
        // Lists are always read into entries and written anew: names are filtered and renamed on the way.
        (Format::OpenAi, Format::OpenAi | Format::Ollama, ListModels | RetrieveModel) => {
            Some(Lane::Translate)
        }
        (Format::Ollama, _, _) | (_, _, Usage) => None,
    }
}

/// Path of an operation in a dialect, as an upstream serves it. `RetrieveModel` is a POST of `{"model"}` for Ollama and
/// a GET of this path, a slash and the name for OpenAI; `ListModels` is a GET and `Chat` a POST everywhere.
pub fn upstream_path(upstream: Format, operation: Operation) -> &'static str {
    match (upstream, operation) {
        (Format::OpenAi, Operation::Chat) => "/v1/chat/completions",
        (Format::OpenAi, Operation::ListModels | Operation::RetrieveModel) => "/v1/models",
        (Format::Ollama, Operation::Chat) => "/api/chat",
        (Format::Ollama, Operation::ListModels) => "/api/tags",
        (Format::Ollama, Operation::RetrieveModel) => "/api/show",
        // No upstream knows it.
        (_, Operation::Usage) => "",
    }
}

#[cfg(test)]
mod tests;
