//! From the text as written to the symbols that rules look at: one per character, escapes read, widths folded.
//!
//! Why here: a rule must not be walked around by writing `１` or `\u0031` for `1`, or by hiding an invisible character
//! inside. Folding once, before any rule, spares every rule that care; the unit keeps the length of its source, so that
//! what leaves is the text as it was written.
//!
//! Never here: a rule, or a copy of the text.

/// Invisible characters in a row that a match survives. More of them end every match: what is held back stays bounded.
pub(super) const HIDDEN_RUN_MAX: u8 = 16;

/// A piece of source text that stands or falls as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Number of its symbol, from 1; an invisible one has the number of the symbol before it.
    pub number: u64,
    pub source_bytes: u8,
    pub hidden: bool,
    pub place: Place,
}

/// What may stand there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Plain text, or inside a string of JSON: anything.
    Text,
    /// JSON outside of strings: only what keeps it JSON.
    Digit,
    Structure,
}

/// What one character of the source completed: its symbol, or `None` for an invisible one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub symbol: Option<char>,
    pub source_bytes: u8,
    pub place: Place,
}

/// Reads plain text or the source of a JSON value.
#[derive(Debug)]
pub(super) struct Reader {
    json: bool,
    in_string: bool,
    /// The beginning of an escape; at most twelve bytes.
    escape: String,
    hidden_run: u8,
}

impl Reader {
    pub fn new(json: bool) -> Self {
        Self { json, in_string: false, escape: String::new(), hidden_run: 0 }
    }

    /// Takes the next character of the source and tells what it completes.
    pub fn push(&mut self, c: char, each: &mut impl FnMut(Read)) {
        if !self.json || (self.escape.is_empty() && c != '\\') {
            return self.plain(c, each);
        }
        self.escape.push(c);
        self.settle(false, each);
    }

    /// The source is over: an escape that was never completed is text like any other.
    pub fn finish(&mut self, each: &mut impl FnMut(Read)) {
        self.settle(true, each);
        self.hidden_run = 0;
    }

    fn settle(&mut self, over: bool, each: &mut impl FnMut(Read)) {
        while self.escape.starts_with('\\') {
            let taken = match escape(&self.escape) {
                Escape::Unfinished if !over => return,
                Escape::Is(c, bytes) => {
                    let place = if self.in_string { Place::Text } else { Place::Structure };
                    let read = Read { symbol: self.fold(c), source_bytes: bytes, place };
                    each(read);
                    usize::from(bytes)
                }
                Escape::Unfinished | Escape::None => {
                    self.plain('\\', each);
                    1
                }
            };
            self.escape.drain(..taken);
            self.pass_plain(each);
        }
    }

    /// What follows a broken escape, up to the next backslash.
    fn pass_plain(&mut self, each: &mut impl FnMut(Read)) {
        let end = self.escape.find('\\').unwrap_or(self.escape.len());
        let plain: String = self.escape.drain(..end).collect();
        for c in plain.chars() {
            self.plain(c, each);
        }
    }

    fn plain(&mut self, c: char, each: &mut impl FnMut(Read)) {
        let quote = self.json && c == '"';
        let place = match c {
            _ if !self.json || (self.in_string && !quote) => Place::Text,
            '0'..='9' => Place::Digit,
            _ => Place::Structure,
        };
        self.in_string ^= quote;
        // At most four: a character in UTF-8.
        let source_bytes = u8::try_from(c.len_utf8()).unwrap_or(4);
        each(Read { symbol: self.fold(c), source_bytes, place });
    }

    fn fold(&mut self, c: char) -> Option<char> {
        let folded = fold(c);
        if folded.is_some() {
            self.hidden_run = 0;
        } else if self.hidden_run < HIDDEN_RUN_MAX {
            self.hidden_run += 1;
        } else {
            return Some(c);
        }
        folded
    }
}

enum Escape {
    Is(char, u8),
    Unfinished,
    None,
}

/// Reads the escape that `text` begins with.
fn escape(text: &str) -> Escape {
    let simple = match text.as_bytes().get(1) {
        None => return Escape::Unfinished,
        Some(b'u') => return escape_hex(text),
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(_) => return Escape::None,
    };
    Escape::Is(simple, 2)
}

fn escape_hex(text: &str) -> Escape {
    let high = match hex(text, 2) {
        Hex::Is(value) => value,
        Hex::Unfinished => return Escape::Unfinished,
        Hex::None => return Escape::None,
    };
    if !(0xd800..0xdc00).contains(&high) {
        // The other half of a pair, alone, is no character.
        return Escape::Is(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    let alone = Escape::Is(char::REPLACEMENT_CHARACTER, 6);
    let rest = text.as_bytes().get(6..).unwrap_or_default();
    if !rest.starts_with(b"\\u") {
        return if b"\\u".starts_with(rest) { Escape::Unfinished } else { alone };
    }
    match hex(text, 8) {
        Hex::Is(low) if (0xdc00..0xe000).contains(&low) => {
            let value = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            Escape::Is(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        Hex::Unfinished => Escape::Unfinished,
        Hex::Is(_) | Hex::None => alone,
    }
}

enum Hex {
    Is(u32),
    Unfinished,
    None,
}

fn hex(text: &str, from: usize) -> Hex {
    let digits = text.get(from..).unwrap_or_default();
    let digits = digits.get(..4).unwrap_or(digits);
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Hex::None;
    }
    match digits.len() {
        4 => u32::from_str_radix(digits, 16).map_or(Hex::None, Hex::Is),
        _ => Hex::Unfinished,
    }
}

/// The character that rules see for this one; `None` where a reader would see nothing, or only a mark on the last one.
pub(super) fn fold(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    let code = u32::from(c);
    Some(match code {
        0xad | 0x34f | 0x61c | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f => {
            return None;
        }
        0x300..=0x36f | 0x20d0..=0x20ff => return None,
        0xfe00..=0xfe0f | 0xfeff | 0xe_0000..=0xe_0fff => return None,
        0xa0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3000 => ' ',
        0x2010..=0x2015 | 0x2212 | 0xfe58 | 0xfe63 => '-',
        0xff01..=0xff5e => char::from_u32(code - 0xfee0).unwrap_or(c),
        // Mathematical letters and digits: the same alphabet in thirteen, the digits in five typefaces.
        0x1_d400..=0x1_d6a3 => letter((code - 0x1_d400) % 52).unwrap_or(c),
        0x1_d7ce..=0x1_d7ff => char::from_digit((code - 0x1_d7ce) % 10, 10).unwrap_or(c),
        _ => c,
    })
}

fn letter(place: u32) -> Option<char> {
    char::from_u32(if place < 26 { u32::from('A') + place } else { u32::from('a') + place - 26 })
}

/// The character without its case, where that is one character.
pub(super) fn lower(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    // No script between these has cases, and most of what is read here is one of them.
    if ('\u{2e80}'..='\u{a63f}').contains(&c) {
        return c;
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}
