//! Server-sent events, read and written. Read: LF, CRLF or CR; comments; several data lines; a last event without its blank line.
//!
//! An event that lies whole in the chunk with one data line is lent from the chunk; anything else is gathered in a buffer
//! that is kept from event to event.
//!
//! Never here: what the data means. `id` and `retry` are passed over: nobody here reconnects by them.

use memchr::memchr2;

use super::{BOM, Oversize};

/// One thing that a stream said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An event with data; `event` is its name when one was given in UTF-8.
    Data { event: Option<&'a str>, data: &'a [u8] },
    /// A comment line, without the colon and one blank.
    Comment(&'a [u8]),
}

#[derive(Debug)]
pub struct Decoder {
    /// A line that waits for its end.
    line: Vec<u8>,
    /// Data of the event so far, lines joined by LF.
    data: Vec<u8>,
    has_data: bool,
    event: Vec<u8>,
    /// What was lent out last, to be emptied on the next call.
    spent_event: bool,
    spent_line: bool,
    after_cr: bool,
    begun: bool,
    bytes_max: usize,
}

impl Decoder {
    /// `bytes_max` bounds one event: its lines together.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            event: Vec::new(),
            spent_event: false,
            spent_line: false,
            after_cr: false,
            begun: false,
            bytes_max,
        }
    }

    /// The next item, taken off the front of `bytes`. `None`: all of `bytes` is used up.
    pub fn next<'s, 'b: 's>(&'s mut self, bytes: &mut &'b [u8]) -> Option<Result<Item<'s>, Oversize>> {
        self.settle();
        // Data seen in this chunk and not copied yet.
        let mut held: Option<&'b [u8]> = None;
        loop {
            if let (true, Some(byte)) = (self.after_cr, bytes.first()) {
                // The LF of a CRLF, which may come with the next push only.
                self.after_cr = false;
                *bytes = bytes.get(usize::from(*byte == b'\n')..).unwrap_or_default();
            }
            let Some(stop) = memchr2(b'\n', b'\r', bytes) else {
                self.hold(held);
                return self.keep(bytes).map(Err);
            };
            let (piece, rest) = bytes.split_at(stop);
            self.after_cr = rest.first() == Some(&b'\r');
            *bytes = rest.get(1..).unwrap_or_default();
            if self.weight() + held.map_or(0, <[u8]>::len) + piece.len() > self.bytes_max {
                return Some(Err(self.oversize()));
            }
            let first = !std::mem::replace(&mut self.begun, true);
            let joined = !self.line.is_empty();
            if joined {
                self.line.extend_from_slice(piece);
                self.spent_line = true;
            }
            let line = if joined { self.line.as_slice() } else { piece };
            match field(if first { line.strip_prefix(BOM).unwrap_or(line) } else { line }) {
                Field::Blank if self.has_data || held.is_some() => {
                    self.spent_event = true;
                    let data = held.unwrap_or(&self.data);
                    return Some(Ok(Item::Data { event: name(&self.event), data }));
                }
                Field::Blank => self.event.clear(),
                Field::Data(value) if joined || self.has_data || held.is_some() => {
                    // Both are copied: `value` may lie in the line buffer, which the next line needs.
                    append(&mut self.data, &mut self.has_data, held.take());
                    append(&mut self.data, &mut self.has_data, Some(value));
                }
                Field::Data(_) => held = Some(data_of(piece, first)),
                Field::Event(value) => {
                    self.event.clear();
                    self.event.extend_from_slice(value);
                }
                Field::Comment(_) => {
                    self.hold(held);
                    let line = if joined { self.line.as_slice() } else { piece };
                    return Some(Ok(Item::Comment(comment_of(line, first))));
                }
                Field::Other => {}
            }
            if std::mem::take(&mut self.spent_line) {
                self.line.clear();
            }
        }
    }

    /// The stream closed: the last event, if its blank line (or even its line end) is missing.
    pub fn end(&mut self) -> Option<Item<'_>> {
        self.settle();
        let first = !self.begun;
        if let Field::Data(value) = field(if first { strip_bom(&self.line) } else { &self.line }) {
            append(&mut self.data, &mut self.has_data, Some(value));
        }
        self.line.clear();
        self.spent_event = true;
        self.has_data.then(|| Item::Data { event: name(&self.event), data: &self.data })
    }

    fn keep(&mut self, bytes: &mut &[u8]) -> Option<Oversize> {
        if self.weight() + bytes.len() > self.bytes_max {
            return Some(self.oversize());
        }
        self.line.extend_from_slice(std::mem::take(bytes));
        None
    }

    fn hold(&mut self, held: Option<&[u8]>) {
        append(&mut self.data, &mut self.has_data, held);
    }

    fn weight(&self) -> usize {
        self.line.len() + self.data.len() + self.event.len()
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.spent_line) {
            self.line.clear();
        }
        if std::mem::take(&mut self.spent_event) {
            self.data.clear();
            self.has_data = false;
            self.event.clear();
        }
    }

    fn oversize(&self) -> Oversize {
        Oversize { bytes_max: self.bytes_max }
    }
}

enum Field<'a> {
    Blank,
    Data(&'a [u8]),
    Event(&'a [u8]),
    Comment(&'a [u8]),
    Other,
}

fn field(line: &[u8]) -> Field<'_> {
    if line.is_empty() {
        return Field::Blank;
    }
    let (name, value) = match line.iter().position(|byte| *byte == b':') {
        Some(colon) => (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default()),
        None => (line, &[][..]),
    };
    let value = value.strip_prefix(b" ").unwrap_or(value);
    match name {
        b"" => Field::Comment(value),
        b"data" => Field::Data(value),
        b"event" => Field::Event(value),
        _ => Field::Other,
    }
}

fn strip_bom(line: &[u8]) -> &[u8] {
    line.strip_prefix(BOM).unwrap_or(line)
}

fn data_of(line: &[u8], first: bool) -> &[u8] {
    match field(if first { strip_bom(line) } else { line }) {
        Field::Data(value) => value,
        _ => &[],
    }
}

fn comment_of(line: &[u8], first: bool) -> &[u8] {
    match field(if first { strip_bom(line) } else { line }) {
        Field::Comment(value) => value,
        _ => &[],
    }
}

fn append(data: &mut Vec<u8>, has_data: &mut bool, value: Option<&[u8]>) {
    if let Some(value) = value {
        if std::mem::replace(has_data, true) {
            data.push(b'\n');
        }
        data.extend_from_slice(value);
    }
}

fn name(event: &[u8]) -> Option<&str> {
    std::str::from_utf8(event).ok().filter(|name| !name.is_empty())
}

/// Writes a comment, a block of its own. Line ends inside the text become blanks.
pub(crate) fn comment(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b": ");
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
