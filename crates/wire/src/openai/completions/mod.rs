//! `/v1/completions`, the older operation of this format: a prompt, and the text that goes on behind it.
//!
//! Client side: `request`, `answer`, `encode`. For both lanes: `choice` and `logprobs`, which know how this operation tells
//! what a chat tells otherwise; the machinery of streams and of the relay lane is the chat's.
//!
//! Never here: a chat.

pub(crate) mod answer;
pub(super) mod choice;
pub(crate) mod encode;
pub(super) mod logprobs;
pub(crate) mod request;
