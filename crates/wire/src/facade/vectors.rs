//! Vectors, from an upstream's bytes to a client's.
//!
//! Never here: a screen: vectors are no text.

use crate::error::UpstreamFault;
use crate::format::{Format, Operation};
use crate::lanes::Cell;
use crate::reply::{Metered, Reply, StopReason, Usage};
use crate::vectors::Vectors;
use crate::{ollama, openai};

pub(super) fn answer(
    cell: Cell,
    reply: &Reply,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Metered, UpstreamFault> {
    let vectors = match cell.upstream {
        Format::Ollama => ollama::embed::read(body)?,
        _ => openai::embeddings::read::read(body)?,
    };
    // By its place alone a client knows whose vector is whose.
    if reply.manner.vectors.is_some_and(|texts| texts != vectors.list.len()) {
        return Err(UpstreamFault::protocol("not as many vectors as texts"));
    }
    let mark = out.len();
    write(cell, &vectors, reply, out).inspect_err(|_| out.truncate(mark))?;
    let usage = vectors.prompt_tokens.map(|prompt_tokens| Usage { prompt_tokens, output_tokens: 0 });
    Ok(Metered { usage, stop: Some(StopReason::Stop), ..Metered::default() })
}

/// In the client's format.
fn write(cell: Cell, vectors: &Vectors<'_>, reply: &Reply, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
    match (cell.client, cell.operation) {
        (Format::OpenAi, _) => openai::embeddings::answer::write(vectors, reply, out)?,
        (Format::Ollama, Operation::EmbedOne) => ollama::client::vectors::write_one(vectors, out),
        (Format::Ollama, _) => ollama::client::vectors::write(vectors, reply, out),
        _ => return Err(unserved()),
    }
    Ok(())
}

/// The table has a cell that no code is behind.
fn unserved() -> UpstreamFault {
    UpstreamFault::protocol("vectors of a dialect that is not served")
}
