//! Borrowed JSON text: strings as they stand between their quotes, and whole values as written.
//!
//! Why: text that only passes through is copied, escapes and all, so that a token costs no allocation and no decoding.
//!
//! Never here: validation. A [`Text`] or [`Raw`] is made by the reader, which has checked it.

use std::borrow::Cow;

use memchr::memchr;

/// A JSON string without its quotes, escapes untouched and known to be valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// Text that was escaped by the writer.
    pub(crate) fn of_json(raw: &'a str) -> Self {
        Self { raw, escaped: true }
    }

    pub(crate) fn raw(self) -> &'a str {
        self.raw
    }

    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The characters that the string means.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Gives out the characters that the string means, piece by piece, without allocating.
    pub(crate) fn pieces(self, mut each: impl FnMut(&str)) {
        let mut rest = self.raw;
        while let Some((before, after)) = at_backslash(rest) {
            each(before);
            let (character, tail) = one_escape(after);
            each(character.encode_utf8(&mut [0; 4]));
            rest = tail;
        }
        each(rest);
    }

    pub(crate) fn is_escaped(self) -> bool {
        self.escaped
    }

    /// Number of Unicode scalar values, without decoding.
    pub(crate) fn chars(self) -> usize {
        let scalars = scalars(self.raw);
        if !self.escaped {
            return scalars;
        }
        let mut rest = self.raw;
        let mut surplus = 0;
        while let Some((_, after)) = at_backslash(rest) {
            let (length, tail) = escape_length(after);
            surplus += length;
            rest = tail;
        }
        scalars - surplus
    }
}

/// A whole JSON value as it stood in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw<'a>(pub(super) &'a str);

impl<'a> Raw<'a> {
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    pub(crate) fn chars(self) -> usize {
        scalars(self.0)
    }

    /// An object or an array without members.
    pub(crate) fn is_hollow(self) -> bool {
        let inside = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or("");
        self.0.starts_with(['{', '[']) && inside.trim_ascii().is_empty()
    }
}

/// Scalars in UTF-8 are the bytes that continue nothing; a plain sum, so that it vectorises.
pub(crate) fn scalars(text: &str) -> usize {
    text.bytes().map(|byte| usize::from((byte & 0xc0) != 0x80)).sum()
}

/// Source characters of one escape beyond the single character that it means, given what follows its backslash.
fn escape_length(after: &str) -> (usize, &str) {
    if !after.starts_with('u') {
        return (1, after.get(1..).unwrap_or(""));
    }
    let pair = after.get(5..7) == Some("\\u")
        && unit(after.get(1..5)).is_some_and(|u| (0xd800..0xdc00).contains(&u));
    if pair { (11, after.get(11..).unwrap_or("")) } else { (5, after.get(5..).unwrap_or("")) }
}

fn unit(hex: Option<&str>) -> Option<u32> {
    hex.and_then(|digits| u32::from_str_radix(digits, 16).ok())
}

/// What stands before and behind the next backslash.
fn at_backslash(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_at(memchr(b'\\', text.as_bytes())?);
    Some((before, after.get(1..).unwrap_or("")))
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = at_backslash(rest) {
        out.push_str(before);
        let (character, tail) = one_escape(after);
        out.push(character);
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn one_escape(after: &str) -> (char, &str) {
    let plain = match after.as_bytes().first() {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode_escape(after),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (plain, after.get(1..).unwrap_or(""))
}

fn unicode_escape(after: &str) -> (char, &str) {
    let (surplus, tail) = escape_length(after);
    let first = unit(after.get(1..5)).unwrap_or(0xfffd);
    let scalar = if surplus == 11 {
        let second = unit(after.get(7..11)).unwrap_or(0xdc00);
        0x10000 + ((first - 0xd800) << 10) + second.saturating_sub(0xdc00)
    } else {
        first
    };
    (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), tail)
}
