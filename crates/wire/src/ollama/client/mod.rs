//! Ollama's native API, client side: requests read, answers and streams written.
//!
//! Requests: `chat` (with `message` and `tools`), `generate` and `embed`, and what they have in common in `wishes` and
//! `options`; `named`, who is to be shown. Answers: `encode` (streams) and `answer` (whole), both made of `line`'s pieces
//! and of `logprobs`; `vectors`; `load`, where nothing was asked.
//!
//! Why below `ollama` and not beside it: both sides share the table of options and the writing of times; what is upstream's
//! never imports what is here.
//!
//! Never here: what an upstream is sent.

pub(crate) mod answer;
pub(crate) mod chat;
pub(crate) mod embed;
pub(crate) mod encode;
pub(crate) mod generate;
mod line;
pub(crate) mod load;
mod logprobs;
mod message;
pub(crate) mod named;
mod options;
mod tools;
pub(crate) mod vectors;
mod wishes;

#[cfg(test)]
mod tests;
