//! How many tokens a request would be, for clients that ask before they send it.
//!
//! Never here: the counting (`estimate`).

use crate::anthropic;
use crate::format::Format;

/// The answer to [`crate::Operation::CountTokens`]; nothing for formats without such an operation.
pub fn write_token_count(client: Format, tokens: u64, out: &mut Vec<u8>) {
    match client {
        Format::Anthropic => anthropic::answer::write_count(tokens, out),
        Format::OpenAi | Format::Responses | Format::Ollama => {}
    }
}
