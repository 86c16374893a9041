//! The pull reader: asks for what it expects, checks everything it passes.
//!
//! Why strict: what we accept, an upstream's more generous reader must not understand otherwise. Lone surrogates, BOM,
//! control characters, invalid UTF-8, trailing bytes and nesting beyond the limit all end the reading.
//!
//! Never here: decoding of text, conversion of numbers.

use memchr::memchr2;

use super::DEPTH_CEILING;
use super::text::{Raw, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// Where and why the bytes are not the JSON that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: usize,
    pub(crate) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Utf8,
    Bom,
    TooDeep,
    Syntax(&'static str),
}

#[derive(Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], depth_max: usize) -> Result<Self, Broken> {
        let text =
            std::str::from_utf8(bytes).map_err(|error| Broken { at: error.valid_up_to(), why: Why::Utf8 })?;
        if text.starts_with('\u{feff}') {
            return Err(Broken { at: 0, why: Why::Bom });
        }
        Ok(Self::over(text, depth_max))
    }

    /// Over text that is already known to be UTF-8.
    pub(crate) fn over(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, depth: 0, depth_max: depth_max.min(DEPTH_CEILING) }
    }

    /// Where the next value begins.
    pub(crate) fn position(&mut self) -> usize {
        self.blank();
        self.at
    }

    /// Where the last value ended.
    pub(crate) fn passed(&self) -> usize {
        self.at
    }

    /// The source between two offsets.
    pub(crate) fn between(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    /// A value that was walked between two offsets, as written.
    pub(crate) fn walked(&self, start: usize, end: usize) -> Raw<'a> {
        Raw(self.between(start, end))
    }

    pub(crate) fn kind(&mut self) -> Result<Kind, Broken> {
        self.blank();
        match self.byte() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'"') => Ok(Kind::String),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            _ => Err(self.broken("a value is expected")),
        }
    }

    pub(crate) fn null(&mut self) -> Result<(), Broken> {
        self.blank();
        self.word("null")
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Broken> {
        self.blank();
        if self.byte() == Some(b't') {
            self.word("true").map(|()| true)
        } else {
            self.word("false").map(|()| false)
        }
    }

    /// A number as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a str, Broken> {
        self.blank();
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or("0"))
    }

    pub(crate) fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.blank();
        if !self.take(b'"') {
            return Err(self.broken("a string is expected"));
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            self.plain()?;
            if self.take(b'"') {
                let raw = self.text.get(start..self.at - 1).unwrap_or("");
                return Ok(Text { raw, escaped });
            }
            escaped = true;
            self.escape()?;
        }
    }

    /// Passes the inside of a string up to its end or to an escape.
    fn plain(&mut self) -> Result<(), Broken> {
        let rest = self.rest();
        // Most strings are short: eight bytes at once in a register beat the start of a vector search.
        let (words, _) = rest.as_chunks::<8>();
        let mut passed = 0;
        for word in words.iter().take(4) {
            match special(u64::from_le_bytes(*word)) {
                Some(offset) => {
                    passed += offset;
                    return self.stop_at(rest, passed);
                }
                None => passed += 8,
            }
        }
        let rest = rest.get(passed..).unwrap_or_default();
        let Some(stop) = memchr2(b'"', b'\\', rest) else {
            return Err(self.broken("a string is not closed"));
        };
        // A plain fold: it vectorises where a short-circuiting search does not.
        if rest.iter().take(stop).fold(false, |bad, byte| bad | (*byte < 0x20)) {
            return Err(self.broken("a control character stands unescaped in a string"));
        }
        self.at += passed + stop;
        Ok(())
    }

    fn stop_at(&mut self, rest: &[u8], offset: usize) -> Result<(), Broken> {
        self.at += offset;
        match rest.get(offset) {
            Some(b'"' | b'\\') => Ok(()),
            _ => Err(self.broken("a control character stands unescaped in a string")),
        }
    }

    /// Passes one value of any kind, checking all of it.
    pub(crate) fn skip(&mut self) -> Result<(), Broken> {
        match self.kind()? {
            Kind::Null => self.null(),
            Kind::Bool => self.boolean().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::String => self.string().map(drop),
            Kind::Array => self.array(|reader, _| reader.skip()),
            Kind::Object => self.object(|reader, _| reader.skip()),
        }
    }

    /// Passes one value and gives it back as written.
    pub(crate) fn raw(&mut self) -> Result<Raw<'a>, Broken> {
        let start = self.position();
        self.skip()?;
        Ok(Raw(self.text.get(start..self.at).unwrap_or("null")))
    }

    /// Walks an object; `member` must pass exactly the member's value.
    pub(crate) fn object<E: From<Broken>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut more = self.enter_object()?;
        while more {
            let key = self.key()?;
            member(self, key)?;
            more = self.next_member()?;
        }
        Ok(())
    }

    /// Walks an array; `element` must pass exactly the element.
    pub(crate) fn array<E: From<Broken>>(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut more = self.enter_array()?;
        let mut index = 0;
        while more {
            element(self, index)?;
            index += 1;
            more = self.next_element()?;
        }
        Ok(())
    }

    /// Opens an object and says whether it has members.
    pub(crate) fn enter_object(&mut self) -> Result<bool, Broken> {
        self.enter(b'{', b'}', "an object is expected")
    }

    pub(crate) fn enter_array(&mut self) -> Result<bool, Broken> {
        self.enter(b'[', b']', "an array is expected")
    }

    pub(crate) fn key(&mut self) -> Result<Text<'a>, Broken> {
        let key = self.string()?;
        self.blank();
        if self.take(b':') { Ok(key) } else { Err(self.broken("a colon is expected")) }
    }

    pub(crate) fn next_member(&mut self) -> Result<bool, Broken> {
        self.next(b'}')
    }

    pub(crate) fn next_element(&mut self) -> Result<bool, Broken> {
        self.next(b']')
    }

    /// Only blanks may follow.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        self.blank();
        if self.at == self.text.len() { Ok(()) } else { Err(self.broken("bytes follow the value")) }
    }

    fn enter(&mut self, open: u8, close: u8, otherwise: &'static str) -> Result<bool, Broken> {
        self.blank();
        if !self.take(open) {
            return Err(self.broken(otherwise));
        }
        if self.depth == self.depth_max {
            return Err(Broken { at: self.at, why: Why::TooDeep });
        }
        self.blank();
        if self.take(close) {
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    fn next(&mut self, close: u8) -> Result<bool, Broken> {
        self.blank();
        if self.take(b',') {
            return Ok(true);
        }
        if self.take(close) {
            self.depth -= 1;
            return Ok(false);
        }
        Err(self.broken("a comma or a closing bracket is expected"))
    }

    fn escape(&mut self) -> Result<(), Broken> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => self.unicode(),
            _ => Err(self.broken("an escape is not valid")),
        }
    }

    fn unicode(&mut self) -> Result<(), Broken> {
        match self.code_unit()? {
            0xd800..=0xdbff => {
                let low = if self.take(b'\\') && self.byte() == Some(b'u') { self.code_unit()? } else { 0 };
                if (0xdc00..0xe000).contains(&low) {
                    Ok(())
                } else {
                    Err(self.broken("a surrogate stands alone"))
                }
            }
            0xdc00..=0xdfff => Err(self.broken("a surrogate stands alone")),
            _ => Ok(()),
        }
    }

    /// The four digits after a `u`, which is the next byte.
    fn code_unit(&mut self) -> Result<u32, Broken> {
        let digits = self.rest().get(1..5).unwrap_or_default();
        let unit =
            digits.iter().try_fold(0u32, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?));
        match unit {
            Some(unit) if digits.len() == 4 => {
                self.at += 5;
                Ok(unit)
            }
            _ => Err(self.broken("four hexadecimal digits are expected")),
        }
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.broken("a digit is expected")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Broken> {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.broken("a value is expected"))
        }
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.byte() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn broken(&self, why: &'static str) -> Broken {
        Broken { at: self.at, why: Why::Syntax(why) }
    }
}

/// Offset of the first byte, in the order of memory, that is a quote, a backslash or a control character.
fn special(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    // A borrow can only disturb bytes behind the first hit, and only that one is asked for.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & TOPS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let hits = below(word, 0x20) | equal(b'"') | equal(b'\\');
    (hits != 0).then(|| usize::try_from(hits.trailing_zeros() / 8).unwrap_or(0))
}
