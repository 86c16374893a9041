//! What Ollama tells of a model in every list and when it is shown: details, digest, capabilities.
//!
//! Why word by word: these go to clients, and what a runtime says may hold where it keeps its files. Only short words of
//! letters, digits and a few signs pass; `parent_model` is read past.
//!
//! Never here: what a client may see.

use crate::json::{Broken, Kind, Reader, Text, write};
use crate::models::Details;

/// Longer words are none.
const WORD_BYTES_MAX: usize = 128;
/// Families, capabilities: more are no list that anybody reads.
const WORDS_MAX: usize = 32;

/// A word that may be shown, or nothing.
pub(super) fn word(text: Text<'_>) -> String {
    let word = text.decode();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ':');
    if word.len() <= WORD_BYTES_MAX && word.chars().all(plain) { word.into_owned() } else { String::new() }
}

/// Words of a list; what is none is left out.
pub(super) fn words(reader: &mut Reader<'_>) -> Result<Vec<String>, Broken> {
    let mut words = Vec::new();
    reader.array(|reader, _| -> Result<(), Broken> {
        if reader.kind()? != Kind::String {
            return reader.skip();
        }
        let word = word(reader.string()?);
        if !word.is_empty() && words.len() < WORDS_MAX {
            words.push(word);
        }
        Ok(())
    })?;
    Ok(words)
}

pub(super) fn details(reader: &mut Reader<'_>) -> Result<Details, Broken> {
    let mut details = Details::default();
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("format", Kind::String) => details.format = word(reader.string()?),
            ("family", Kind::String) => details.family = word(reader.string()?),
            ("families", Kind::Array) => details.families = words(reader)?,
            ("parameter_size", Kind::String) => details.parameter_size = word(reader.string()?),
            ("quantization_level", Kind::String) => details.quantization_level = word(reader.string()?),
            ("context_length", Kind::Number) => details.context_tokens = positive(reader.number()?),
            ("embedding_length", Kind::Number) => details.embedding_length = positive(reader.number()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(details)
}

/// Zero is how a runtime says that it does not know.
pub(super) fn positive(number: &str) -> Option<u64> {
    number.parse().ok().filter(|number| *number > 0)
}

/// `"details":{…}`
pub(super) fn write_details(details: &Details, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"details\":{\"format\":");
    write::string(out, &details.format);
    out.extend_from_slice(b",\"family\":");
    write::string(out, &details.family);
    out.extend_from_slice(b",\"families\":");
    write_words(&details.families, out);
    out.extend_from_slice(b",\"parameter_size\":");
    write::string(out, &details.parameter_size);
    out.extend_from_slice(b",\"quantization_level\":");
    write::string(out, &details.quantization_level);
    write_number(b",\"context_length\":", details.context_tokens, out);
    write_number(b",\"embedding_length\":", details.embedding_length, out);
    out.push(b'}');
}

pub(super) fn write_words(words: &[String], out: &mut Vec<u8>) {
    let mut first = true;
    out.push(b'[');
    for word in words {
        write::comma(out, &mut first);
        write::string(out, word);
    }
    out.push(b']');
}

/// A member where it is known.
pub(super) fn write_number(name: &[u8], number: Option<u64>, out: &mut Vec<u8>) {
    if let Some(number) = number {
        out.extend_from_slice(name);
        write::number(out, number);
    }
}
