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
    /// OpenAI's Responses API (`/v1/responses`), without state on the server.
    Responses,
    /// Anthropic's Messages API (`/v1/messages`).
    Anthropic,
    /// Ollama's native API (`/api/chat`).
    Ollama,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Responses, Self::Anthropic, Self::Ollama];

    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Responses => "OpenAI Responses",
            Self::Anthropic => "Anthropic",
            Self::Ollama => "Ollama",
        }
    }
}

/// What a request asks for, whatever the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Chat,
    /// One prompt, one text: legacy completions, Ollama's generate.
    Complete,
    Embed,
    /// The older form of one prompt and one vector.
    EmbedOne,
    /// How many tokens a chat would be: answered by the gateway itself.
    CountTokens,
    ListModels,
    RetrieveModel,
    /// The models in memory.
    ListResident,
    /// The release of Ollama's API that is spoken.
    Version,
    /// Whether somebody is there.
    Greet,
    /// What a caller has used of its limits: answered by the gateway itself.
    Usage,
    /// The description of this API.
    Describe,
    /// Changes what a runtime has, or tells what nobody needs to know.
    Manage(Manage),
}

/// Ollama's routes for whoever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manage {
    Pull,
    Push,
    Create,
    Copy,
    Delete,
    Blobs,
    /// Templates, system prompts and licences of models.
    Show,
    /// Accounts, web search, the runtime's own affairs: for nobody.
    Other,
}

impl Manage {
    /// What a key can be allowed.
    pub const GRANTED: [Self; 7] =
        [Self::Pull, Self::Push, Self::Create, Self::Copy, Self::Delete, Self::Blobs, Self::Show];

    /// The word in the configuration and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Create => "create",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::Blobs => "blobs",
            Self::Show => "show",
            Self::Other => "other",
        }
    }
}

impl Operation {
    /// The word in documents and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Complete => "complete",
            Self::Embed => "embed",
            Self::EmbedOne => "embed one",
            Self::CountTokens => "count tokens",
            Self::ListModels => "list models",
            Self::RetrieveModel => "retrieve model",
            Self::ListResident => "list resident models",
            Self::Version => "version",
            Self::Greet => "greet",
            Self::Usage => "usage",
            Self::Describe => "describe",
            Self::Manage(which) => which.as_str(),
        }
    }
}
