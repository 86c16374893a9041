//! JSON into a byte buffer.
//!
//! Why by hand: the shapes are fixed, the buffer is reused, and most text is copied as it came. U+2028 and U+2029 are
//! always escaped, so that no reader takes them for line ends.
//!
//! Never here: a value that was not checked by the reader or is not ours.

use memchr::memchr;

use super::read::Reader;
use super::text::{Raw, Text};

/// A string of ours, with quotes.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// A string that came as JSON, with quotes.
pub(crate) fn text(out: &mut Vec<u8>, text: Text<'_>) {
    out.push(b'"');
    text_body(out, text);
    out.push(b'"');
}

/// A string that came as JSON, without quotes.
pub(crate) fn text_body(out: &mut Vec<u8>, text: Text<'_>) {
    let raw = text.raw();
    if memchr(0xe2, raw.as_bytes()).is_none() {
        out.extend_from_slice(raw.as_bytes());
        return;
    }
    for (at, piece) in raw.split('\u{2028}').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\\u2028");
        }
        for (at, piece) in piece.split('\u{2029}').enumerate() {
            if at > 0 {
                out.extend_from_slice(b"\\u2029");
            }
            out.extend_from_slice(piece.as_bytes());
        }
    }
}

/// A value as it came.
pub(crate) fn raw(out: &mut Vec<u8>, value: Raw<'_>) {
    out.extend_from_slice(value.as_str().as_bytes());
}

/// A value as it was read, without the blanks between its parts: it may go into a format whose records are lines.
pub(crate) fn compact(out: &mut Vec<u8>, value: &str) {
    let mut rest = value;
    while let Some(stop) = rest.find(['"', ' ', '\n', '\r', '\t']) {
        let (before, after) = rest.split_at(stop);
        out.extend_from_slice(before.as_bytes());
        let mut reader = Reader::over(after, 0);
        rest = match reader.string() {
            Ok(string) => {
                text(out, string);
                after.get(reader.passed()..).unwrap_or("")
            }
            Err(_) => after.get(1..).unwrap_or(""),
        };
    }
    out.extend_from_slice(rest.as_bytes());
}

pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `,` unless this is the first of its kind.
pub(crate) fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

/// Plain text as the inside of a JSON string, on its own.
pub(crate) fn escaped(text: &str) -> String {
    let mut json = Vec::with_capacity(text.len());
    escape(&mut json, text);
    String::from_utf8(json).unwrap_or_default()
}

/// Plain text as the inside of a JSON string.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(stop) = rest.bytes().position(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0xe2)) {
        let (before, after) = rest.split_at(stop);
        out.extend_from_slice(before.as_bytes());
        let mut characters = after.chars();
        if let Some(character) = characters.next() {
            escape_one(out, character);
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn escape_one(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{2028}' => out.extend_from_slice(b"\\u2028"),
        '\u{2029}' => out.extend_from_slice(b"\\u2029"),
        '\0'..='\u{1f}' => {
            let code = u32::from(character);
            out.extend_from_slice(if code < 0x10 { b"\\u000" } else { b"\\u001" });
            out.extend(
                char::from_digit(code % 16, 16)
                    .map_or(b'0', |digit| u8::try_from(digit).unwrap_or(b'0'))
                    .to_be_bytes(),
            );
        }
        other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
