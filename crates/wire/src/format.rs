//! Formats, operations, and the one table that says which lane a request takes.
//!
//! A format is a dialect, never a host or a vendor. Nothing else in the program decides between formats.

/// A wire dialect. Closed: a new server is configuration, a new dialect is code here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenAI's HTTP API as its SDKs speak it (`/v1/chat/completions`), also vLLM, llama.cpp and SGLang as upstreams.
    OpenAi,
    /// Ollama's native API (`/api/chat`).
    Ollama,
}

/// What a request asks for, whatever the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Chat,
    ListModels,
    RetrieveModel,
}

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
    todo!("{client:?} {upstream:?} {operation:?}")
}

/// Method and path of an operation in a dialect, as an upstream serves it.
pub fn upstream_path(upstream: Format, operation: Operation) -> &'static str {
    todo!("{upstream:?} {operation:?}")
}
