//! What of Ollama's own fields goes into a request's body.
//!
//! Never here: who may ask for what.

use crate::json::write;

/// A duration as Ollama writes it, or a bare number: seconds, negative for ever.
pub(super) fn keep_alive(keep_alive: Option<&str>, out: &mut Vec<u8>) {
    let Some(time) = keep_alive else { return };
    out.extend_from_slice(b",\"keep_alive\":");
    match time.parse::<i64>() {
        Ok(seconds) => out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes()),
        Err(_) => write::string(out, time),
    }
}
