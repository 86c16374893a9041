//! A chat request, read from a client's body and written for an upstream.
//!
//! Never here: the fields of either.

use crate::chat::{ChatRequest, Dropped, Outbound, ReadLimits};
use crate::error::Fault;
use crate::format::Format;
use crate::lanes::Lane;
use crate::screen::{Screen, Verdict};
use crate::{ollama, openai};

/// Reads and checks a client's chat request. Everything that is the caller's fault in any upstream format is found here.
pub fn read_chat<'a>(client: Format, body: &'a [u8], limits: &ReadLimits) -> Result<ChatRequest<'a>, Fault> {
    match client {
        Format::OpenAi => openai::request::read(body, limits),
        Format::Ollama => Err(unserved()),
    }
}

impl ChatRequest<'_> {
    /// Shows every text that the model would read to a screen, each as a text of its own: messages, calls and results, tool
    /// descriptions, schemas. What the screen changes reaches the upstream changed, on both lanes. `Stop`: to be refused.
    pub fn screen(&mut self, screen: &mut dyn Screen) -> Verdict {
        match openai::prompt::screen(self.body, screen) {
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
pub fn write_chat(
    lane: Lane,
    upstream: Format,
    request: &ChatRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    unambiguous(request)?;
    match (lane, upstream) {
        (Lane::Relay, Format::OpenAi) => openai::splice::write(request, to, out),
        (Lane::Translate, Format::Ollama) => ollama::request::write(request, to, out),
        (Lane::Relay, Format::Ollama) | (Lane::Translate, Format::OpenAi) => Err(unserved()),
    }
}

/// A key that is one of ours but for its case means one thing to us and another to a decoder that ignores case: a request has
/// one meaning, or none.
fn unambiguous(request: &ChatRequest<'_>) -> Result<(), Fault> {
    let Some(name) = request.look_alike else { return Ok(()) };
    let message = format!("A field differs from '{name}' by letter case only. Write it as '{name}'.");
    Err(Fault::new("ambiguous_parameter", name, message))
}

/// A cell of the lane table that is empty; the gateway asks the table first.
fn unserved() -> Fault {
    Fault::whole("unsupported_format", "This API cannot be served for this model.")
}
