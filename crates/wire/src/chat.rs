//! CONTRACT STUB: the neutral chat request.

use crate::error::Fault;
use crate::format::{Format, Lane};

/// Bounds applied while reading, before anything large is decoded.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    pub depth: usize,
    pub messages: usize,
    pub tools: usize,
    pub images: usize,
    pub image_bytes: usize,
}

/// A chat request read from a client's body, borrowing from it.
#[derive(Debug)]
pub struct ChatRequest<'a> {
    _body: &'a [u8],
}

impl<'a> ChatRequest<'a> {
    pub fn model(&self) -> &str {
        todo!()
    }
    pub fn stream(&self) -> bool {
        todo!()
    }
    /// The client asked for the usage chunk at the end of a stream.
    pub fn include_usage(&self) -> bool {
        todo!()
    }
    /// Characters (Unicode scalar values) of everything the model will read as text: messages, tool calls and results, tool definitions, schema.
    pub fn prompt_chars(&self) -> usize {
        todo!()
    }
    /// Images in the request.
    pub fn images(&self) -> usize {
        todo!()
    }
    /// The caller chose a thinking effort (then, and only then, the upstream's capabilities matter).
    pub fn wants_thinking(&self) -> bool {
        todo!()
    }
    /// Cap on the answer, if the caller set one.
    pub fn max_output_tokens(&self) -> Option<u64> {
        todo!()
    }
}

/// What the gateway decides about the upstream request.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    /// The upstream's own name for the model.
    pub model: &'a str,
    /// `Some(false)`: the model cannot think, a requested effort is dropped. `None`: not known, send what was asked.
    pub thinks: Option<bool>,
    /// Send temperature and top_p 1.0 when the caller said nothing, as OpenAI's schema says (the default), or leave the model file's.
    pub openai_sampling_defaults: bool,
}

/// Names of request fields that a translation could not carry. For the audit record; a strict key gets a 400.
pub type Dropped = Vec<&'static str>;

/// Reads and checks a client's chat request. Everything that is the caller's fault in any upstream format is found here.
pub fn read_chat<'a>(client: Format, body: &'a [u8], limits: &ReadLimits) -> Result<ChatRequest<'a>, Fault> {
    todo!("{client:?} {body:?} {limits:?}")
}

/// Writes the upstream's body. Fails with the caller's fault when that format cannot express what was asked (`n` > 1 for Ollama...).
pub fn write_chat(
    lane: Lane,
    upstream: Format,
    request: &ChatRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    todo!("{lane:?} {upstream:?} {request:?} {to:?} {out:?}")
}
