//! Framing: where records begin and end in a stream of bytes that may be cut anywhere.
//!
//! Never here: what a record means.

pub mod ndjson;
pub mod sse;

/// A line or an event grew beyond the size that the reader was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is longer than {bytes_max} bytes")]
pub struct Oversize {
    pub bytes_max: usize,
}

const BOM: &[u8] = b"\xef\xbb\xbf";
