//! Formats and operations: the closed lists everything else is indexed by.
//!
//! A format is a dialect, never a host or a vendor.
//!
//! Never here: what a format does with an operation (`lanes`).

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
    /// What a caller has used of its limits: answered by the gateway itself.
    Usage,
}
