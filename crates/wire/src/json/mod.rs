//! JSON as this crate needs it: a strict pull reader over borrowed text, and a writer into a byte buffer.
//!
//! Why here and not a derive: a request has to be read once, with exact depth, duplicate keys seen, every fault named
//! by its path and byte ranges kept for splicing; a stream event has to be read without allocating, escapes included.
//! The fuzz target `json` holds the reader to the verdicts of `serde_json`, byte for byte.
//!
//! Never here: a tree of untyped values, and any knowledge of a format.

mod read;
mod text;
pub(crate) mod write;

pub(crate) use read::{Broken, Kind, Reader, Why};
pub(crate) use text::{Raw, Text};

/// Nesting that no setting can exceed: skipping recurses once per level.
pub(crate) const DEPTH_CEILING: usize = 128;

/// Nesting allowed inside a call's arguments, which come as text.
const ARGUMENTS_DEPTH_MAX: usize = 64;

/// Text that should hold a JSON object, as it is written; nothing stands for an empty one.
pub(crate) fn object_text(text: &str) -> Option<&str> {
    if text.trim_ascii().is_empty() {
        return Some("{}");
    }
    let mut reader = Reader::over(text, ARGUMENTS_DEPTH_MAX);
    if reader.kind() != Ok(Kind::Object) {
        return None;
    }
    let object = reader.raw().ok()?;
    reader.finish().is_ok().then_some(object.as_str())
}

#[cfg(test)]
mod tests;

/// Whether `bytes` are one JSON value and nothing else, nested at most `depth` deep. For tests and fuzzing from outside.
pub fn accepts(bytes: &[u8], depth: usize) -> bool {
    let read = |bytes| -> Result<(), Broken> {
        let mut reader = Reader::new(bytes, depth)?;
        reader.skip()?;
        reader.finish()
    };
    read(bytes).is_ok()
}
