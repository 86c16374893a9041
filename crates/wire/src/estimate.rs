//! How many tokens a prompt is, without its model's tokenizer.
//!
//! Why not the tokenizer itself: every model has another, none is offered by the runtimes we serve, and a reservation has to
//! be made before the first byte leaves. Why two numbers: what is reserved must not be less than what is used; what is
//! refused as too long must surely be too long. The upstream's own count settles afterwards.
//!
//! The upper number adds up what a byte costs after the one before it, in eighths of a token, from a table. It was set so
//! that none of cl100k, o200k and tokenizers that give each digit a token make more of prose, code, JSON, digits, base64,
//! hexadecimal, Chinese, Japanese, Korean, Cyrillic, Arabic or emoji; typically it is half as much again for Chinese and
//! twice as much for English. Vowels stand apart because English has many: letters at random cost as much as they do in
//! truth, and English does not. Rare characters and languages a tokenizer was never trained on can cost more.
//!
//! Never here: a tokenizer, a model's name.

use crate::json::{Raw, Text};
use crate::request::{Arguments, Message, ModelRequest, Part, Role, Shape, Tool};

/// Bounds on the tokens of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Surely not above what the model will read.
    pub low: u64,
    /// Not below what common tokenizers make of it.
    pub high: u64,
}

// Around the texts, counted upward: what templates of common families write.
/// Default system text and channel rules.
const BASE_TOKENS: u64 = 96;
const MESSAGE_TOKENS: u64 = 8;
const CALL_TOKENS: u64 = 24;
/// How to call tools at all.
const TOOLS_TOKENS: u64 = 192;
const TOOL_TOKENS: u64 = 32;
/// As Ollama counts one.
const IMAGE_TOKENS: u64 = 768;
/// What a token has on average, where nobody may be promised more.
const TOKEN_BYTES: usize = 4;

impl ModelRequest<'_> {
    /// Tokens of the prompt: one pass over its text, about a nanosecond a byte, without allocating.
    pub fn prompt_tokens(&self) -> Estimate {
        let mut tally = Tally::default();
        for message in &self.messages {
            tally.message(message);
        }
        // A template may leave it out.
        tally.only_high_text(self.suffix.unwrap_or_default());
        for tool in &self.tools {
            tally.tool(tool);
        }
        if let Shape::Schema(schema) = self.shape {
            tally.only_high(schema.as_str());
        }
        let unheld = u64::try_from(self.unheld_bytes).unwrap_or(u64::MAX);
        Estimate {
            low: tally.low / PARTS,
            high: tally.high.div_ceil(PARTS).saturating_add(unheld).saturating_add(self.frame_tokens()),
        }
    }

    /// A bound above the estimate that costs nothing: no tokenizer makes more tokens of a text than it has bytes. Who has
    /// room for this much need not ask for the estimate.
    pub fn prompt_bytes(&self) -> u64 {
        u64::try_from(self.prompt_bytes).unwrap_or(u64::MAX).saturating_add(self.frame_tokens())
    }

    /// What a client is told that asks for a count: a quarter of the text's bytes, and what images cost. It bounds
    /// nothing: it is for what a client shows its user, not for reservations.
    pub fn counted_tokens(&self) -> u64 {
        let messages = self.messages.iter().map(|message| {
            let parts = message.parts.iter().map(|part| match part {
                Part::Text(text) => meant(*text),
                Part::Media(_) => 0,
            });
            let thinking = message.thinking.iter().map(|text| meant(*text));
            let calls = message.calls.iter().map(|call| meant(call.name) + call.arguments.source().len());
            parts.sum::<usize>() + thinking.sum::<usize>() + calls.sum::<usize>()
        });
        let tools = self.tools.iter().map(|tool| match tool {
            Tool::Function { name, description, parameters } => {
                meant(*name) + meant(description.unwrap_or_default()) + raw_bytes(*parameters)
            }
            Tool::Custom(definition) => raw_bytes(*definition),
        });
        let schema = if let Shape::Schema(schema) = self.shape { schema.as_str().len() } else { 0 };
        let bytes = messages.sum::<usize>() + tools.sum::<usize>() + schema + self.unheld_bytes;
        let tokens = u64::try_from(bytes / TOKEN_BYTES).unwrap_or(u64::MAX);
        let images = u64::try_from(self.images).unwrap_or(u64::MAX).saturating_mul(IMAGE_TOKENS);
        tokens.saturating_add(images).max(1)
    }

    /// What stands around the texts.
    fn frame_tokens(&self) -> u64 {
        let count = |count: usize, each: u64| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(each);
        let calls = self.messages.iter().map(|message| message.calls.len()).sum();
        let tools = if self.tools.is_empty() && self.extras.is_empty() { 0 } else { TOOLS_TOKENS };
        [
            count(self.messages.len(), MESSAGE_TOKENS),
            count(calls, CALL_TOKENS),
            tools,
            count(self.tools.len(), TOOL_TOKENS),
            count(self.images, IMAGE_TOKENS),
        ]
        .into_iter()
        .fold(BASE_TOKENS, u64::saturating_add)
    }
}

/// Bytes that a text means, however its writer escaped it.
fn meant(text: Text<'_>) -> usize {
    if !text.is_escaped() {
        return text.raw().len();
    }
    let mut bytes = 0;
    text.pieces(|piece| bytes += piece.len());
    bytes
}

fn raw_bytes(value: Option<Raw<'_>>) -> usize {
    value.map_or(0, |raw| raw.as_str().len())
}

/// Sums in parts of a token.
#[derive(Default)]
struct Tally {
    high: u64,
    low: u64,
}

impl Tally {
    fn message(&mut self, message: &Message<'_>) {
        for part in &message.parts {
            let Part::Text(text) = part else { continue };
            // Templates of thinking models leave out what an assistant thought aloud in earlier turns.
            let thought = message.role == Role::Assistant && text.raw().contains("<think");
            if thought { self.only_high_text(*text) } else { self.text(*text) }
        }
        message.thinking.iter().for_each(|text| self.only_high_text(*text));
        for call in &message.calls {
            self.only_high_text(call.name);
            match call.arguments {
                Arguments::Text(text) => self.only_high_text(text),
                Arguments::Object(object) => self.only_high(object.as_str()),
            }
        }
    }

    /// A template may render tools in any way, or not at all.
    fn tool(&mut self, tool: &Tool<'_>) {
        match tool {
            Tool::Function { name, description, parameters } => {
                self.only_high_text(*name);
                self.only_high_text(description.unwrap_or_default());
                self.only_high(parameters.map_or("", |raw| raw.as_str()));
            }
            Tool::Custom(definition) => self.only_high(definition.map_or("", |raw| raw.as_str())),
        }
    }

    fn text(&mut self, text: Text<'_>) {
        let mut before = START;
        if text.is_escaped() {
            text.pieces(|piece| before = self.add(before, piece));
        } else {
            self.add(before, text.raw());
        }
    }

    fn only_high_text(&mut self, text: Text<'_>) {
        let low = self.low;
        self.text(text);
        self.low = low;
    }

    fn only_high(&mut self, text: &str) {
        let low = self.low;
        self.add(START, text);
        self.low = low;
    }

    /// Adds a piece of a text after a byte of class `before`, and says what its last class is.
    fn add(&mut self, before: u8, piece: &str) -> u8 {
        let mut before = before;
        // Both costs of a pair are below 2^5: so many of them do not run into each other.
        for part in piece.as_bytes().chunks(1 << 24) {
            let mut sum = 0;
            for byte in part {
                let class = CLASSES.get(usize::from(*byte)).copied().unwrap_or(START);
                sum += PAIRS.get(usize::from(before << 4 | class)).copied().unwrap_or(0);
                before = class;
            }
            self.high = self.high.saturating_add(sum & LOW_HALF);
            self.low = self.low.saturating_add(sum >> 32);
        }
        before
    }
}

/// Parts of a token.
const PARTS: u64 = 8;
const ONE: u8 = 8;

// Classes of bytes; the first byte of a character stands for all of it.
const START: u8 = 0;
const CONSONANT: u8 = 1;
const VOWEL: u8 = 2;
const UPPER: u8 = 3;
const DIGIT: u8 = 4;
const BLANK: u8 = 5;
const LINE: u8 = 6;
const SIGN: u8 = 7;
const CONTINUED: u8 = 8;
/// Two bytes: Latin with accents, Greek, Cyrillic, Hebrew, Arabic.
const SHORT: u8 = 9;
/// Chinese and kana.
const HAN: u8 = 10;
const HANGUL: u8 = 11;
/// Typography and symbols, full-width forms.
const SYMBOL: u8 = 12;
/// Indic and South-East Asian scripts.
const INDIC: u8 = 13;
/// Four bytes: emoji, rare characters.
const LONG: u8 = 14;

static CLASSES: [u8; 256] = classes();
/// Upper cost in the lower half, lower cost in the upper half: one addition serves both.
static PAIRS: [u64; 256] = pairs();
const LOW_HALF: u64 = (1 << 32) - 1;

const fn class(byte: u8) -> u8 {
    match byte {
        b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => VOWEL,
        b'a'..=b'z' => CONSONANT,
        b'A'..=b'Z' => UPPER,
        b'0'..=b'9' => DIGIT,
        b' ' => BLANK,
        0..=0x1f | 0x7f => LINE,
        0x21..=0x7e => SIGN,
        0x80..=0xbf => CONTINUED,
        0xc0..=0xdf => SHORT,
        0xe0..=0xe1 => INDIC,
        0xe2 | 0xef => SYMBOL,
        0xe3..=0xe9 => HAN,
        0xea..=0xee => HANGUL,
        0xf0..=0xff => LONG,
    }
}

/// What a byte costs at most after a byte of another class, in parts of a token.
const fn high(before: u8, class: u8) -> u8 {
    match (before, class) {
        (CONSONANT, CONSONANT) => 6,
        (CONSONANT, VOWEL) | (VOWEL, CONSONANT) => 2,
        (VOWEL, VOWEL) => 5,
        (UPPER, CONSONANT | VOWEL) => 4,
        (_, CONSONANT | VOWEL) => 7,
        (UPPER, UPPER) => 6,
        (_, UPPER | DIGIT) => ONE,
        // One blank belongs to the word behind it; runs of blanks are few tokens.
        (BLANK, BLANK) | (LINE, BLANK) => 2,
        (_, BLANK) | (_, CONTINUED) => 0,
        (LINE, LINE) => 4,
        (_, LINE) => ONE,
        (SIGN, SIGN) => 7,
        (_, SIGN) => ONE,
        (_, SHORT) => 9,
        (_, HAN) => 13,
        (_, HANGUL) => 16,
        (_, SYMBOL) => 18,
        (_, INDIC) => 20,
        (_, _) => 28,
    }
}

/// What it costs at least: no token reaches over a blank into the next word, and the longest ones hold four characters
/// of Chinese, slogans apart.
const fn low(before: u8, class: u8) -> u8 {
    match (before, class) {
        (_, BLANK | LINE | CONTINUED) => 0,
        (START | BLANK | LINE, _) => ONE,
        (_, HAN) => 2,
        (_, _) => 0,
    }
}

const fn classes() -> [u8; 256] {
    let mut table = [START; 256];
    let mut rest: &mut [u8] = &mut table;
    let mut byte = 0u8;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = class(byte);
        byte = byte.wrapping_add(1);
        rest = others;
    }
    table
}

const fn pairs() -> [u64; 256] {
    let mut table = [0; 256];
    let mut rest: &mut [u64] = &mut table;
    let mut pair = 0u8;
    while let Some((first, others)) = rest.split_first_mut() {
        let (before, class) = (pair >> 4, pair & 15);
        *first = (high(before, class) as u64) | (low(before, class) as u64) << 32;
        pair = pair.wrapping_add(1);
        rest = others;
    }
    table
}

#[cfg(test)]
mod tests;
