//! Which schema goes into an operation and which comes out of it, by dialect.
//!
//! Why one table: that every route is described follows from one match, and a test walks the routes through it.
//!
//! Never here: refusals (`refusals`), what the schemas say (`schemas`).

use wire::{Format, Manage, Operation};

use super::parts::{Media, Reference, Schema};
use crate::routes::{Route, Verb};

/// What a caller sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Json(&'static str),
    Bytes,
}

impl Asked {
    /// Content type and schema.
    pub fn media(self) -> Option<(&'static str, Media)> {
        match self {
            Self::Nothing => None,
            Self::Json(name) => Some((JSON, media(Schema::any(&[name])))),
            Self::Bytes => Some(("application/octet-stream", media(Schema::Bytes {}))),
        }
    }
}

/// What a caller gets where all went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Json(&'static str),
    /// Whole, or event by event.
    JsonOrEvents {
        whole: &'static str,
        event: &'static str,
    },
    /// Whole, or line by line.
    JsonOrLines {
        whole: &'static str,
        line: &'static str,
    },
    Text,
    Empty,
    /// Nobody gets one.
    Never,
}

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";
pub(super) const LINES: &str = "application/x-ndjson";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bodies {
    pub asked: Asked,
    pub answered: Answered,
}

const fn both(asked: Asked, answered: Answered) -> Bodies {
    Bodies { asked, answered }
}

pub(super) fn of(route: &Route) -> Bodies {
    use Answered::{Json, JsonOrEvents, JsonOrLines, Never};
    use Format::{Anthropic, Ollama, OpenAi, Responses};
    use Operation::{Chat, Complete, CountTokens, Embed, EmbedOne};
    let events = |whole, event| JsonOrEvents { whole, event };
    let lines = |whole, line| JsonOrLines { whole, line };
    let post = |asked, answered| both(Asked::Json(asked), answered);
    let get = |answered| both(Asked::Nothing, answered);
    match (route.format, route.operation) {
        (OpenAi, Chat) => post("ChatCompletionRequest", events("ChatCompletion", "ChatCompletionEvent")),
        (OpenAi, Complete) => post("CompletionRequest", events("Completion", "CompletionEvent")),
        (OpenAi, Embed) => post("EmbeddingsRequest", Json("Embeddings")),
        (Responses, Chat) => post("ResponseRequest", events("Response", "ResponseEvent")),
        (Anthropic, Chat) => post("MessagesRequest", events("Message", "MessageEvent")),
        (Anthropic, CountTokens) => post("CountTokensRequest", Json("TokenCount")),
        (Anthropic, Operation::ListModels) => get(Json("AnthropicModelList")),
        (Anthropic, Operation::RetrieveModel) => get(Json("AnthropicModel")),
        (OpenAi, Operation::ListModels) => get(Json("OpenAiModelList")),
        (OpenAi, Operation::RetrieveModel) => get(Json("OpenAiModel")),
        (_, Operation::Usage) => get(Json("UsageReport")),
        (_, Operation::Describe) => get(Json("ApiDescription")),
        (Ollama, Chat) => post("OllamaChatRequest", lines("OllamaChatAnswer", "OllamaChatLine")),
        (Ollama, Complete) => {
            post("OllamaGenerateRequest", lines("OllamaGenerateAnswer", "OllamaGenerateLine"))
        }
        (Ollama, Embed) => post("OllamaEmbedRequest", Json("OllamaEmbeddings")),
        (Ollama, EmbedOne) => post("OllamaEmbeddingsRequest", Json("OllamaEmbedding")),
        (Ollama, Operation::ListModels) => get(Json("OllamaTags")),
        (Ollama, Operation::RetrieveModel) => post("OllamaShowRequest", Json("OllamaShown")),
        (Ollama, Operation::ListResident) => get(Json("OllamaResident")),
        (Ollama, Operation::Version) => get(Json("OllamaVersion")),
        (Ollama, Operation::Greet) if route.method == Verb::Head => get(Answered::Empty),
        (Ollama, Operation::Greet) => get(Answered::Text),
        (_, Operation::Manage(which)) => managed(which, route.method),
        // A pair that no route has: the test of the routes would show it.
        _ => get(Never),
    }
}

fn managed(which: Manage, method: Verb) -> Bodies {
    use Answered::{Empty, JsonOrLines, Never};
    let post = |asked, answered| both(Asked::Json(asked), answered);
    let progress = JsonOrLines { whole: "ManageProgress", line: "ManageLine" };
    match (which, method) {
        (Manage::Pull, _) => post("PullRequest", progress),
        (Manage::Push, _) => post("PushRequest", progress),
        (Manage::Create, _) => post("CreateRequest", progress),
        (Manage::Copy, _) => post("CopyRequest", Empty),
        (Manage::Delete, _) => post("DeleteRequest", Empty),
        (Manage::Blobs, Verb::Head) => both(Asked::Nothing, Empty),
        (Manage::Blobs, _) => both(Asked::Bytes, Empty),
        (Manage::Show | Manage::Other, _) => both(Asked::Nothing, Never),
    }
}

pub(super) fn media(schema: Schema) -> Media {
    Media { schema, item: None }
}

/// Content of answers: content type, schemas (one for each dialect that the operation speaks), and what a piece holds.
pub(super) fn content(answers: &[Answered]) -> Vec<(&'static str, Media)> {
    let [first, ..] = answers else { return Vec::new() };
    let whole: Vec<&'static str> = answers
        .iter()
        .filter_map(|answered| match answered {
            Answered::Json(whole)
            | Answered::JsonOrEvents { whole, .. }
            | Answered::JsonOrLines { whole, .. } => Some(*whole),
            Answered::Text | Answered::Empty | Answered::Never => None,
        })
        .collect();
    let pieces = |about, item| Media { schema: Schema::text(about), item: Some(Reference::schema(item)) };
    let mut content = Vec::new();
    if !whole.is_empty() {
        content.push((JSON, media(Schema::any(&whole))));
    }
    match first {
        Answered::JsonOrEvents { event, .. } => {
            content.push((EVENTS, pieces("Server-sent events, where `stream` asks for them.", event)));
        }
        Answered::JsonOrLines { line, .. } => {
            content.push((LINES, pieces("One JSON object a line, unless `stream` is false.", line)));
        }
        Answered::Text => content.push(("text/plain", media(Schema::text("That somebody is there.")))),
        Answered::Json(_) | Answered::Empty | Answered::Never => {}
    }
    content
}
