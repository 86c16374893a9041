//! Ollama's native API, upstream side: request writer, stream decoder, whole answers, refusals, model lists.
//!
//! Never here: OpenAI's names, and any field of a client's body that is not written out by name.

pub(crate) mod answer;
pub(crate) mod decode;
mod duration;
pub(crate) mod embed;
pub(crate) mod error;
pub(crate) mod generate;
mod line;
pub(crate) mod models;
mod options;
pub(crate) mod request;
