//! Images and sound in a client's request: how many, how large, and whether they are base64 at all.
//!
//! Why one room for all formats: number and size are bounded over the whole request and before a byte is decoded, and what
//! is admitted here goes to upstreams as it is.
//!
//! Never here: how a format spells an image, what an image shows.

use crate::body::Path;
use crate::error::Fault;
use crate::request::ReadLimits;

/// Counts images and their bytes over the whole request.
pub(crate) struct Media<'l> {
    limits: &'l ReadLimits,
    count: usize,
    bytes: usize,
}

impl<'l> Media<'l> {
    pub(crate) fn new(limits: &'l ReadLimits) -> Self {
        Self { limits, count: 0, bytes: 0 }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes one more piece of base64, checking bounds before its letters.
    pub(crate) fn admit(&mut self, at: &Path<'_>, base64: &str) -> Result<(), Fault> {
        self.count += 1;
        if self.count > self.limits.images {
            let message = format!("The request has more than {} images.", self.limits.images);
            return Err(at.fault("too_many_images", message));
        }
        self.bytes = self.bytes.saturating_add(base64.len() / 4 * 3);
        if self.bytes > self.limits.image_bytes {
            let message = format!("The images are larger than {} bytes together.", self.limits.image_bytes);
            return Err(at.fault("image_too_large", message));
        }
        if is_base64(base64) {
            return Ok(());
        }
        Err(at.fault("invalid_base64_image", format!("Invalid value for '{at}': not valid base64.")))
    }
}

/// Standard alphabet with padding: what every upstream's decoder takes.
fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letters = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() | (*byte == b'+') | (*byte == b'/');
    !letters.is_empty()
        && bytes.len().is_multiple_of(4)
        && letters.iter().fold(true, |good, byte| good & in_alphabet(byte))
}
