//! A whole answer, from an upstream's bytes to a client's.
//!
//! Never here: streams.

use crate::error::UpstreamFault;
use crate::format::Format;
use crate::lanes::Lane;
use crate::reply::{Metered, Reply};
use crate::{ollama, openai};

/// Turns a whole (non-stream) upstream answer into the client's.
pub fn read_answer(
    lane: Lane,
    client: Format,
    upstream: Format,
    reply: &Reply,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Metered, UpstreamFault> {
    match (lane, client, upstream) {
        (Lane::Translate, Format::OpenAi, Format::Ollama) => {
            let answer = ollama::answer::read(body)?;
            openai::answer::write(&answer, reply, out);
            let texts = [!answer.text.is_empty(), answer.thinking.is_some()];
            let deltas = answer.calls.len() + texts.iter().filter(|there| **there).count();
            let deltas = u64::try_from(deltas).unwrap_or(u64::MAX);
            Ok(Metered { usage: answer.usage, deltas, stop: Some(answer.stop) })
        }
        (Lane::Relay, Format::OpenAi, Format::OpenAi) => openai::relay::whole(reply, body, out),
        _ => Err(UpstreamFault::protocol("no translation between these formats")),
    }
}
