//! How many tokens a prompt is, without its model's tokenizer.
//!
//! Never here: a tokenizer, a model's name.

use crate::chat::ChatRequest;

/// Bounds on the tokens of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Surely not above what the model will read.
    pub low: u64,
    /// Not below what common tokenizers make of it.
    pub high: u64,
}

impl ChatRequest<'_> {
    /// Tokens of the prompt, estimated upward.
    pub fn prompt_tokens(&self) -> Estimate {
        Estimate { low: 0, high: self.prompt_bytes() }
    }

    /// A bound on the prompt's tokens that costs nothing: no tokenizer in use makes more tokens than bytes.
    pub fn prompt_bytes(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }
}
