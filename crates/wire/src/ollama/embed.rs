//! Ollama's `/api/embed`, upstream side: texts to turn into vectors, and the vectors.
//!
//! Why `/api/embed` also where a client asks in the older way (`/api/embeddings`): that one takes one text, does not normalise
//! and says no counts.
//!
//! Never here: how a client wants its vectors written.

use super::error;
use super::line::{count, nanos, string};
use super::options::Asked;
use super::request::{options, runtime};
use crate::error::{Fault, UpstreamFault};
use crate::event::Timings;
use crate::json::{Kind, Reader, write};
use crate::request::{Dropped, ModelRequest, Outbound, Part};
use crate::vectors::{Vectors, numbers};

pub(crate) fn write(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    let mut dropped = request.dropped.clone();
    let asked = Asked::read(request, to, &mut dropped)?;
    out.extend_from_slice(b"{\"model\":");
    write::string(out, to.model);
    out.extend_from_slice(b",\"input\":");
    input(request, out);
    if let Some(dimensions) = request.embedding.dimensions {
        out.extend_from_slice(b",\"dimensions\":");
        write::number(out, dimensions);
    }
    runtime(&asked, to, out);
    // A cap on the answer is one on text.
    options(request, &asked, &Outbound { output_tokens_max: None, ..*to }, out);
    out.push(b'}');
    Ok(dropped)
}

/// A text that was given as a text stays one, but an empty one: that would be no text at all, and no vector.
fn input(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    let texts = request.messages.iter().flat_map(|message| &message.parts);
    let mut texts = texts.filter_map(|part| if let Part::Text(text) = part { Some(*text) } else { None });
    if request.embedding.single {
        let text = request.masks.shown(texts.next().unwrap_or_default());
        return match text.is_empty() {
            true => out.extend_from_slice(b"[\"\"]"),
            false => write::text(out, text),
        };
    }
    out.push(b'[');
    let mut first = true;
    for text in texts {
        write::comma(out, &mut first);
        write::text(out, request.masks.shown(text));
    }
    out.push(b']');
}

/// Vectors hold numbers.
const DEPTH_MAX: usize = 8;

pub(crate) fn read(body: &[u8]) -> Result<Vectors<'_>, UpstreamFault> {
    let mut list = None;
    let mut prompt_tokens = None;
    let mut timings = Timings::default();
    let mut failure = None;
    let mut reader = Reader::new(body, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), UpstreamFault> {
        match (key.raw(), reader.kind()?) {
            ("embeddings", Kind::Array) => {
                let mut vectors = Vec::new();
                reader.array(|reader, _| -> Result<(), UpstreamFault> {
                    vectors.push(numbers(reader)?);
                    Ok(())
                })?;
                list = Some(vectors);
            }
            ("total_duration", _) => timings.total = nanos(reader)?,
            ("load_duration", _) => timings.load = nanos(reader)?,
            ("prompt_eval_count", _) => prompt_tokens = count(reader)?,
            ("error", _) => failure = Some(string(reader)?.unwrap_or_default()),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    if let Some(text) = failure {
        return Err(error::in_stream(&text.decode()));
    }
    let list = list.ok_or_else(|| UpstreamFault::protocol("an answer without 'embeddings'"))?;
    Ok(Vectors { list, prompt_tokens, timings })
}
