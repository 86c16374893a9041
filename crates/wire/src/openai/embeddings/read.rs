//! Reads the embeddings list of an OpenAI-compatible server.
//!
//! Never here: how a client wants its vectors written.

use crate::error::UpstreamFault;
use crate::event::Timings;
use crate::json::{Kind, Raw, Reader};
use crate::openai::error;
use crate::reply;
use crate::vectors::{Vectors, numbers};

/// Vectors hold numbers.
const DEPTH_MAX: usize = 16;

pub(crate) fn read(body: &[u8]) -> Result<Vectors<'_>, UpstreamFault> {
    let mut list = None;
    let mut prompt_tokens = None;
    let mut is_error = false;
    let mut reader = Reader::new(body, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), UpstreamFault> {
        match (key.raw(), reader.kind()?) {
            ("data", Kind::Array) => list = Some(entries(reader)?),
            ("usage", Kind::Object) => prompt_tokens = used(reader)?,
            ("error", Kind::Object | Kind::String) => {
                is_error = true;
                reader.skip()?;
            }
            ("object", Kind::String) => is_error |= reader.string()?.raw() == "error",
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    if is_error {
        return Err(error::in_stream(body).unwrap_or_else(|| UpstreamFault::protocol("an error object")));
    }
    let list = list.ok_or_else(|| UpstreamFault::protocol("an answer without 'data'"))?;
    Ok(Vectors { list: in_order(list)?, prompt_tokens, timings: Timings::default() })
}

/// Vectors with the place that each says it has.
fn entries<'a>(reader: &mut Reader<'a>) -> Result<Vec<(usize, Raw<'a>)>, UpstreamFault> {
    let mut list = Vec::new();
    reader.array(|reader, position| -> Result<(), UpstreamFault> {
        let mut index = position;
        let mut vector = None;
        reader.object(|reader, key| -> Result<(), UpstreamFault> {
            match (key.raw(), reader.kind()?) {
                ("index", Kind::Number) => index = reader.number()?.parse().unwrap_or(usize::MAX),
                ("embedding", _) => vector = Some(numbers(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let vector = vector.ok_or_else(|| UpstreamFault::protocol("an entry without 'embedding'"))?;
        list.push((index, vector));
        Ok(())
    })?;
    Ok(list)
}

/// Whose vector is whose is said by the index alone.
fn in_order(mut list: Vec<(usize, Raw<'_>)>) -> Result<Vec<Raw<'_>>, UpstreamFault> {
    list.sort_by_key(|(index, _)| *index);
    if list.iter().enumerate().any(|(place, (index, _))| place != *index) {
        return Err(UpstreamFault::protocol("the places of vectors have gaps or repeat"));
    }
    Ok(list.into_iter().map(|(_, vector)| vector).collect())
}

fn used(reader: &mut Reader<'_>) -> Result<Option<u64>, UpstreamFault> {
    let mut tokens = None;
    reader.object(|reader, key| -> Result<(), UpstreamFault> {
        if key.raw() == "prompt_tokens" && reader.kind()? == Kind::Number {
            tokens = reply::count(reader.number()?);
            return Ok(());
        }
        Ok(reader.skip()?)
    })?;
    Ok(tokens)
}

#[cfg(test)]
mod tests;
