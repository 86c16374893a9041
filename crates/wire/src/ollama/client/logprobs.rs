//! Writes logprobs as Ollama does: what is empty is left out.
//!
//! Never here: how a token was chosen.

use crate::event::Logprobs;
use crate::json::{Broken, Kind, Raw, Reader, Text, write};

const DEPTH_MAX: usize = 8;

/// `,"logprobs":[…]`. Nothing for a list that is not one of tokens: the answer itself is unharmed.
pub(super) fn write(logprobs: Option<Logprobs<'_>>, out: &mut Vec<u8>) {
    let Some(Logprobs(list)) = logprobs else { return };
    let mark = out.len();
    out.extend_from_slice(b",\"logprobs\":");
    if tokens(list, true, out).is_err() {
        out.truncate(mark);
    }
}

fn tokens(list: Raw<'_>, with_top: bool, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut reader = Reader::over(list.as_str(), DEPTH_MAX);
    let mut first = true;
    out.push(b'[');
    reader.array(|reader, _| -> Result<(), Broken> {
        write::comma(out, &mut first);
        token(reader, with_top, out)
    })?;
    out.push(b']');
    Ok(())
}

fn token(reader: &mut Reader<'_>, with_top: bool, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut text = Text::default();
    let mut logprob = "0";
    let mut bytes = None;
    let mut top = None;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("token", Kind::String) => text = reader.string()?,
            ("logprob", Kind::Number) => logprob = reader.number()?,
            ("bytes", Kind::Array) => bytes = Some(reader.raw()?).filter(|list| !list.is_hollow()),
            ("top_logprobs", Kind::Array) => top = Some(reader.raw()?).filter(|list| !list.is_hollow()),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    out.extend_from_slice(b"{\"token\":");
    write::text(out, text);
    out.extend_from_slice(b",\"logprob\":");
    out.extend_from_slice(logprob.as_bytes());
    if let Some(bytes) = bytes {
        out.extend_from_slice(b",\"bytes\":");
        numbers(bytes, out)?;
    }
    if let Some(top) = top.filter(|_| with_top) {
        out.extend_from_slice(b",\"top_logprobs\":");
        tokens(top, false, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// One by one: raw bytes of an upstream never pass.
fn numbers(list: Raw<'_>, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut reader = Reader::over(list.as_str(), DEPTH_MAX);
    let mut first = true;
    out.push(b'[');
    reader.array(|reader, _| -> Result<(), Broken> {
        write::comma(out, &mut first);
        out.extend_from_slice(reader.number()?.as_bytes());
        Ok(())
    })?;
    out.push(b']');
    Ok(())
}
