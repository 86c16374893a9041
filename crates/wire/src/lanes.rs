//! The one table that says how a request travels between two formats, and as what an upstream is asked.
//!
//! A [`Cell`] is the proof that a pair is served: everything that reads or writes bytes for a request takes one, and only
//! this table makes them. Nothing else in the program decides between formats.
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

/// A pair of formats that is served for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    pub(crate) client: Format,
    pub(crate) operation: Operation,
    pub(crate) upstream: Format,
    pub(crate) lane: Lane,
    /// As what the upstream is asked: a prompt may become a chat.
    pub(crate) asked: Operation,
}

impl Cell {
    pub fn client(self) -> Format {
        self.client
    }

    pub fn upstream(self) -> Format {
        self.upstream
    }

    pub fn operation(self) -> Operation {
        self.operation
    }

    pub fn lane(self) -> Lane {
        self.lane
    }

    /// Where the upstream is asked, by POST.
    pub fn path(self) -> &'static str {
        upstream_path(self.upstream, self.asked)
    }
}

/// What stands in a place of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Relay,
    /// Asked as this.
    Translate(Operation),
    /// No cell, and why.
    Refused(&'static str),
}

/// Operations that an upstream works on, with the formats in which clients ask for them.
const TABLE: &[(Operation, Format, Format, Entry)] = {
    use Entry::{Relay, Translate};
    use Format::{Anthropic, Ollama, OpenAi, Responses};
    use Operation::{Chat, Complete, Embed, EmbedOne};
    &[
        (Chat, OpenAi, Ollama, Translate(Chat)),
        (Chat, OpenAi, OpenAi, Relay),
        (Chat, Responses, Ollama, Translate(Chat)),
        (Chat, Responses, OpenAi, Translate(Chat)),
        (Chat, Anthropic, Ollama, Translate(Chat)),
        (Chat, Anthropic, OpenAi, Translate(Chat)),
        // Ollama's decoder folds the case of keys and lets the last of two win: its bodies are always written anew, so equal
        // formats are no reason to relay.
        (Chat, Ollama, Ollama, Translate(Chat)),
        (Chat, Ollama, OpenAi, Translate(Chat)),
        (Complete, OpenAi, Ollama, Translate(Complete)),
        (Complete, OpenAi, OpenAi, Relay),
        (Complete, Ollama, Ollama, Translate(Complete)),
        // Both put the prompt into the model's chat template; a bare completion would not.
        (Complete, Ollama, OpenAi, Translate(Chat)),
        (Embed, OpenAi, Ollama, Translate(Embed)),
        (Embed, OpenAi, OpenAi, Translate(Embed)),
        (Embed, Ollama, Ollama, Translate(Embed)),
        (Embed, Ollama, OpenAi, Translate(Embed)),
        (EmbedOne, Ollama, Ollama, Translate(Embed)),
        (EmbedOne, Ollama, OpenAi, Translate(Embed)),
    ]
};

/// Formats that upstreams speak.
pub const UPSTREAMS: [Format; 2] = [Format::Ollama, Format::OpenAi];

/// The table's entry for any three.
pub fn entry(client: Format, upstream: Format, operation: Operation) -> Entry {
    let found = TABLE.iter().find(|(o, c, u, _)| (*o, *c, *u) == (operation, client, upstream));
    match (found, upstream) {
        (Some((.., entry)), _) => *entry,
        (None, Format::Responses | Format::Anthropic) => {
            Entry::Refused("no upstream is asked in this dialect")
        }
        (None, _) => Entry::Refused("this dialect has no such operation"),
    }
}

/// The cell of a request. `None`: this pair cannot be served (the gateway answers a clear 4xx).
pub fn cell(client: Format, upstream: Format, operation: Operation) -> Option<Cell> {
    let (lane, asked) = match entry(client, upstream, operation) {
        Entry::Relay => (Lane::Relay, operation),
        Entry::Translate(asked) => (Lane::Translate, asked),
        Entry::Refused(_) => return None,
    };
    Some(Cell { client, operation, upstream, lane, asked })
}

/// All cells.
pub fn cells() -> impl Iterator<Item = Cell> {
    TABLE.iter().filter_map(|(operation, client, upstream, _)| cell(*client, *upstream, *operation))
}

/// Path of an operation in a dialect, as an upstream serves it; empty where it does not. `RetrieveModel` is a POST of
/// `{"model"}` for Ollama and a GET of this path, a slash and the name for OpenAI; lists are a GET, the rest is a POST.
pub fn upstream_path(upstream: Format, operation: Operation) -> &'static str {
    match (upstream, operation) {
        (Format::OpenAi, Operation::Chat) => "/v1/chat/completions",
        (Format::OpenAi, Operation::Complete) => "/v1/completions",
        (Format::OpenAi, Operation::Embed) => "/v1/embeddings",
        (Format::OpenAi, Operation::ListModels | Operation::RetrieveModel) => "/v1/models",
        (Format::Ollama, Operation::Chat) => "/api/chat",
        (Format::Ollama, Operation::Complete) => "/api/generate",
        (Format::Ollama, Operation::Embed) => "/api/embed",
        (Format::Ollama, Operation::ListModels) => "/api/tags",
        (Format::Ollama, Operation::RetrieveModel) => "/api/show",
        (Format::Ollama, Operation::ListResident) => "/api/ps",
        (Format::Ollama, Operation::Version) => "/api/version",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
