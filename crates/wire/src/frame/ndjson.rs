//! NDJSON: one record a line, split at LF and nothing else.
//!
//! Lenient where Ollama or a proxy may be careless: CR before LF, blank lines, a leading BOM, a last record without LF.
//! A line that is whole in the chunk is lent from the chunk; only the tail that waits for more bytes is copied.
//!
//! Never here: JSON.

use memchr::memchr;

use super::{BOM, Oversize};

#[derive(Debug)]
pub struct Decoder {
    tail: Vec<u8>,
    /// The tail was lent out as a line and is to be emptied.
    spent: bool,
    begun: bool,
    bytes_max: usize,
}

impl Decoder {
    pub fn new(bytes_max: usize) -> Self {
        Self { tail: Vec::new(), spent: false, begun: false, bytes_max }
    }

    /// The next record, taken off the front of `bytes`. `None`: all of `bytes` is used up.
    pub fn next<'s, 'b: 's>(&'s mut self, bytes: &mut &'b [u8]) -> Option<Result<&'s [u8], Oversize>> {
        self.settle();
        loop {
            let Some(stop) = memchr(b'\n', bytes) else {
                return self.keep(bytes);
            };
            let (line, rest) = bytes.split_at(stop);
            *bytes = rest.get(1..).unwrap_or_default();
            if self.tail.len() + line.len() > self.bytes_max {
                return Some(Err(self.oversize()));
            }
            let first = !std::mem::replace(&mut self.begun, true);
            if self.tail.is_empty() {
                if let Some(record) = record(line, first) {
                    return Some(Ok(record));
                }
                continue;
            }
            self.tail.extend_from_slice(line);
            if record(&self.tail, first).is_some() {
                self.spent = true;
                return record(&self.tail, first).map(Ok);
            }
            self.tail.clear();
        }
    }

    /// The last record, if the stream ended without LF.
    pub fn end(&mut self) -> Option<&[u8]> {
        self.settle();
        self.spent = true;
        record(&self.tail, !self.begun)
    }

    fn keep(&mut self, bytes: &mut &[u8]) -> Option<Result<&'static [u8], Oversize>> {
        if self.tail.len() + bytes.len() > self.bytes_max {
            return Some(Err(self.oversize()));
        }
        self.tail.extend_from_slice(std::mem::take(bytes));
        None
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.spent) {
            self.tail.clear();
        }
    }

    fn oversize(&self) -> Oversize {
        Oversize { bytes_max: self.bytes_max }
    }
}

fn record(line: &[u8], first: bool) -> Option<&[u8]> {
    let line = if first { line.strip_prefix(BOM).unwrap_or(line) } else { line };
    let line = line.trim_ascii();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests;
