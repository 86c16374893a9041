//! A request, read from a client's body and written for an upstream.
//!
//! Never here: the fields of either.

use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::lanes::{Cell, Lane};
use crate::request::{Dropped, ModelRequest, Outbound, ReadLimits};
use crate::screen::{Screen, Verdict};
use crate::{anthropic, ollama, openai, prompt, responses};

/// Reads and checks a client's request. Everything that is the caller's fault in any upstream format is found here.
pub fn read_request<'a>(
    client: Format,
    operation: Operation,
    body: &'a [u8],
    limits: &ReadLimits,
) -> Result<ModelRequest<'a>, Fault> {
    let request = match (client, operation) {
        (Format::OpenAi, Operation::Chat) => openai::request::read(body, limits),
        (Format::OpenAi, Operation::Complete) => openai::completions::request::read(body, limits),
        (Format::OpenAi, Operation::Embed) => openai::embeddings::request::read(body, limits),
        (Format::Ollama, Operation::Chat) => ollama::client::chat::read(body, limits),
        (Format::Ollama, Operation::Complete) => ollama::client::generate::read(body, limits),
        (Format::Ollama, Operation::Embed) => ollama::client::embed::read(body, limits),
        (Format::Ollama, Operation::EmbedOne) => ollama::client::embed::read_one(body, limits),
        (Format::Anthropic, Operation::Chat | Operation::CountTokens) => {
            anthropic::request::read(operation, body, limits)
        }
        (Format::Responses, Operation::Chat) => responses::request::read(body, limits),
        _ => Err(unserved()),
    }?;
    // What is never written for an upstream would not be asked there: a misspelt `messages` must not load a model.
    if operation == Operation::CountTokens || request.is_load() {
        unambiguous(request.look_alike)?;
    }
    Ok(request)
}

/// An empty question in Ollama's dialect (`is_load`) that lets the model go.
pub fn unloads(request: &ModelRequest<'_>) -> bool {
    ollama::client::load::unloads(request)
}

impl ModelRequest<'_> {
    /// Shows every text that the model would read to a screen, each as a text of its own: messages, calls and results, tool
    /// descriptions, schemas. What the screen changes reaches the upstream changed, on both lanes. `Stop`: to be refused.
    pub fn screen(&mut self, screen: &mut dyn Screen) -> Verdict {
        match prompt::screen(self.client, self.operation, self.body, screen) {
            Ok((masks, verdict)) => {
                self.masks = masks;
                verdict
            }
            // The body was read before: this cannot be, and must not pass if it is.
            Err(_) => Verdict::Stop,
        }
    }
}

/// Writes the upstream's body. Fails with the caller's fault when that format cannot express what was asked (`n` > 1 for Ollama...).
pub fn write_request(
    cell: Cell,
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    unambiguous(request.look_alike)?;
    if request.operation == Operation::Complete {
        ollama::generate::may_instruct(request, to)?;
    }
    if cell.asked == Operation::Embed && cell.upstream == Format::OpenAi && request.messages.is_empty() {
        // Ollama answers this with no vectors; others call it a fault of ours.
        return Err(Fault::new("empty_array", "input", "There is no text to embed."));
    }
    match (cell.lane, cell.upstream, cell.asked) {
        (Lane::Relay, Format::OpenAi, _) => openai::splice::write(request, to, out),
        (Lane::Translate, Format::OpenAi, Operation::Chat) => openai::write::write(request, to, out),
        (Lane::Translate, Format::OpenAi, Operation::Embed) => {
            openai::embeddings::write::write(request, to, out)
        }
        (Lane::Translate, Format::Ollama, Operation::Chat) => ollama::request::write(request, to, out),
        (Lane::Translate, Format::Ollama, Operation::Complete) => ollama::generate::write(request, to, out),
        (Lane::Translate, Format::Ollama, Operation::Embed) => ollama::embed::write(request, to, out),
        _ => Err(unserved()),
    }
}

/// A key that is one of ours but for its case means one thing to us and another to a decoder that ignores case: a request has
/// one meaning, or none.
fn unambiguous(look_alike: Option<&'static str>) -> Result<(), Fault> {
    look_alike.map_or(Ok(()), |name| Err(Fault::look_alike(name)))
}

/// An operation that the client's format does not have; the gateway's routes ask for none.
fn unserved() -> Fault {
    Fault::whole("unsupported_format", "This API cannot be served for this model.")
}
