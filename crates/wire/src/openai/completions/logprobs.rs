//! Writes logprobs as completions have them: four lists side by side, where a chat has one list of objects.
//!
//! Why the offsets are counted here: they say where a token begins in the choice's text, and no upstream that lists tokens
//! says so. They add up the characters of the tokens that came before, whatever pieces the text came in.
//!
//! Never here: bytes of an upstream that were not read as what they should be.

use crate::event::Logprobs;
use crate::json::{Broken, Kind, Raw, Reader, Text, write};
use crate::openai::logprobs::{Token, each_token};

const DEPTH_MAX: usize = 8;
/// Alternatives of one token that are kept.
const TOP_MAX: usize = 20;

/// What an upstream said of its tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Spelt<'a> {
    #[default]
    Nothing,
    /// As a chat has it.
    Tokens(Logprobs<'a>),
    /// The object of an upstream's completion: mostly the four lists, but llama.cpp puts a chat's list into it.
    Object(Raw<'a>),
}

impl Spelt<'_> {
    /// `null`, or the object. What is not of its form becomes `null`: the text itself is unharmed.
    pub(crate) fn write(self, offset: &mut u64, out: &mut Vec<u8>) {
        let mark = out.len();
        let written = match self {
            Self::Nothing => Ok(false),
            Self::Tokens(Logprobs(list)) => tokens(list, offset, out).map(|()| true),
            Self::Object(object) => lists(object, offset, out),
        };
        if written != Ok(true) {
            out.truncate(mark);
            out.extend_from_slice(b"null");
        }
    }
}

/// Makes the four lists of one.
fn tokens(list: Raw<'_>, offset: &mut u64, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut has_top = false;
    let mut first = true;
    out.extend_from_slice(b"{\"tokens\":[");
    each_token(list, |token| {
        has_top |= token.top.is_some_and(|top| !top.is_hollow());
        write::comma(out, &mut first);
        write::text(out, token.text);
        Ok(())
    })?;
    let mut first = true;
    out.extend_from_slice(b"],\"token_logprobs\":[");
    each_token(list, |token| {
        write::comma(out, &mut first);
        out.extend_from_slice(token.logprob.as_bytes());
        Ok(())
    })?;
    out.extend_from_slice(b"],\"top_logprobs\":");
    if has_top {
        let mut first = true;
        out.push(b'[');
        each_token(list, |token| {
            write::comma(out, &mut first);
            top(&token, out)
        })?;
        out.push(b']');
    } else {
        out.extend_from_slice(b"null");
    }
    let mut first = true;
    out.extend_from_slice(b",\"text_offset\":[");
    each_token(list, |token| {
        write::comma(out, &mut first);
        write::number(out, *offset);
        *offset = offset.saturating_add(u64::try_from(token.text.chars()).unwrap_or(u64::MAX));
        Ok(())
    })?;
    out.extend_from_slice(b"]}");
    Ok(())
}

/// A map of the alternatives. The token that was taken is among them, as this operation promises; of two that read alike
/// (halves of a character) the likelier one, which comes first, stays: a map has no two equal keys.
fn top(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut seen = [Text::default(); TOP_MAX];
    let mut count = 0;
    let mut entry = |text: Text<'_>, logprob: &str, first: bool| {
        out.push(if first { b'{' } else { b',' });
        write::text(out, text);
        out.push(b':');
        out.extend_from_slice(logprob.as_bytes());
    };
    if let Some(list) = token.top {
        each_token(list, |other| {
            let known = seen.iter().take(count).any(|known| known.decode() == other.text.decode());
            if let Some(place) = seen.get_mut(count).filter(|_| !known) {
                *place = other.text;
                entry(other.text, other.logprob, count == 0);
                count += 1;
            }
            Ok(())
        })?;
    }
    if !seen.iter().take(count).any(|known| known.decode() == token.text.decode()) {
        entry(token.text, token.logprob, count == 0);
    }
    out.push(b'}');
    Ok(())
}

/// Writes what is known of an upstream's object; whether there was anything.
fn lists(object: Raw<'_>, offset: &mut u64, out: &mut Vec<u8>) -> Result<bool, Broken> {
    let [mut texts, mut logprobs, mut alternatives, mut offsets, mut list] = [None; 5];
    Reader::over(object.as_str(), DEPTH_MAX).object(|reader, key| -> Result<(), Broken> {
        let slot = match (key.raw(), reader.kind()?) {
            ("tokens", Kind::Array) => &mut texts,
            ("token_logprobs", Kind::Array) => &mut logprobs,
            ("top_logprobs", Kind::Array) => &mut alternatives,
            ("text_offset", Kind::Array) => &mut offsets,
            ("content", Kind::Array) => &mut list,
            _ => return reader.skip(),
        };
        *slot = Some(reader.raw()?);
        Ok(())
    })?;
    match (texts, list) {
        (None, None) => return Ok(false),
        (None, Some(list)) => return tokens(list, offset, out).map(|()| true),
        _ => {}
    }
    out.extend_from_slice(b"{\"tokens\":");
    array(texts, out, string)?;
    out.extend_from_slice(b",\"token_logprobs\":");
    array(logprobs, out, number)?;
    out.extend_from_slice(b",\"top_logprobs\":");
    array(alternatives, out, map)?;
    out.extend_from_slice(b",\"text_offset\":");
    array(offsets, out, number)?;
    out.push(b'}');
    Ok(true)
}

type Element = fn(&mut Reader<'_>, &mut Vec<u8>) -> Result<(), Broken>;

/// Each element as what it should be, or null: the first token of an echoed prompt has no logprob.
fn array(list: Option<Raw<'_>>, out: &mut Vec<u8>, element: Element) -> Result<(), Broken> {
    let Some(list) = list else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let mut first = true;
    out.push(b'[');
    Reader::over(list.as_str(), DEPTH_MAX).array(|reader, _| -> Result<(), Broken> {
        write::comma(out, &mut first);
        if reader.kind()? == Kind::Null {
            out.extend_from_slice(b"null");
            return reader.null();
        }
        element(reader, out)
    })?;
    out.push(b']');
    Ok(())
}

fn string(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Broken> {
    write::text(out, reader.string()?);
    Ok(())
}

fn number(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Broken> {
    out.extend_from_slice(reader.number()?.as_bytes());
    Ok(())
}

fn map(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut first = true;
    out.push(b'{');
    reader.object(|reader, key| -> Result<(), Broken> {
        write::comma(out, &mut first);
        write::text(out, key);
        out.push(b':');
        number(reader, out)
    })?;
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests;
