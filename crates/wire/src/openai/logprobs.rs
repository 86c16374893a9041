//! Reads lists of logprobs, and writes them as the schemas want them: `bytes` and `top_logprobs` are required there and often
//! left out upstream.
//!
//! Never here: how a token was chosen.

use crate::event::Logprobs;
use crate::json::{Broken, Kind, Raw, Reader, Text, write};

const DEPTH_MAX: usize = 8;

/// `null`, or the object. A list that is not one of tokens becomes `null`: the answer itself is unharmed.
pub(super) fn write(logprobs: Option<Logprobs<'_>>, out: &mut Vec<u8>) {
    let Some(Logprobs(list)) = logprobs else {
        out.extend_from_slice(b"null");
        return;
    };
    let mark = out.len();
    out.extend_from_slice(b"{\"content\":");
    if tokens(list, Spelling::AsGiven, true, out).is_ok() {
        out.extend_from_slice(b",\"refusal\":null}");
    } else {
        out.truncate(mark);
        out.extend_from_slice(b"null");
    }
}

/// What stands for the bytes of a token where an upstream leaves them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// `null`.
    AsGiven,
    /// The bytes of the token's text, where the schema allows no null.
    Always,
}

/// The tokens of a list, without its brackets, each with its bytes. Of a list that is not one of tokens nothing is written.
pub(crate) fn spelled(list: Logprobs<'_>, out: &mut Vec<u8>) {
    let mark = out.len();
    match tokens(list.0, Spelling::Always, true, out) {
        Ok(()) => {
            out.pop();
            out.remove(mark);
        }
        Err(_) => out.truncate(mark),
    }
}

fn tokens(list: Raw<'_>, spelling: Spelling, with_top: bool, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut first = true;
    out.push(b'[');
    each_token(list, |listed| {
        write::comma(out, &mut first);
        token(&listed, spelling, with_top, out)
    })?;
    out.push(b']');
    Ok(())
}

/// A token, or an alternative to one.
pub(super) struct Token<'a> {
    pub(super) text: Text<'a>,
    pub(super) logprob: &'a str,
    pub(super) bytes: Option<Raw<'a>>,
    pub(super) top: Option<Raw<'a>>,
}

pub(super) fn each_token<'a>(
    list: Raw<'a>,
    mut each: impl FnMut(Token<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    Reader::over(list.as_str(), DEPTH_MAX).array(|reader, _| {
        let mut token = Token { text: Text::default(), logprob: "0", bytes: None, top: None };
        reader.object(|reader, key| -> Result<(), Broken> {
            match (key.raw(), reader.kind()?) {
                ("token", Kind::String) => token.text = reader.string()?,
                ("logprob", Kind::Number) => token.logprob = reader.number()?,
                ("bytes", Kind::Array) => token.bytes = Some(reader.raw()?),
                ("top_logprobs", Kind::Array) => token.top = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        each(token)
    })
}

fn token(token: &Token<'_>, spelling: Spelling, with_top: bool, out: &mut Vec<u8>) -> Result<(), Broken> {
    out.extend_from_slice(b"{\"token\":");
    write::text(out, token.text);
    out.extend_from_slice(b",\"logprob\":");
    out.extend_from_slice(token.logprob.as_bytes());
    out.extend_from_slice(b",\"bytes\":");
    match token.bytes {
        Some(bytes) => byte_list(bytes, out)?,
        None if spelling == Spelling::Always => spell(token.text, out),
        None => out.extend_from_slice(b"null"),
    }
    if with_top {
        out.extend_from_slice(b",\"top_logprobs\":");
        match token.top {
            Some(top) => tokens(top, spelling, false, out)?,
            None => out.extend_from_slice(b"[]"),
        }
    }
    out.push(b'}');
    Ok(())
}

/// Numbers only, one by one: raw bytes of an upstream never pass.
fn byte_list(bytes: Raw<'_>, out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut reader = Reader::over(bytes.as_str(), DEPTH_MAX);
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

/// The bytes of a token's text.
fn spell(text: Text<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    out.push(b'[');
    text.pieces(|piece| {
        for byte in piece.bytes() {
            write::comma(out, &mut first);
            write::number(out, byte.into());
        }
    });
    out.push(b']');
}
