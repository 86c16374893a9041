//! OpenAI's chat completions and models, as its SDKs speak them and as vLLM, llama.cpp and SGLang serve them.
//!
//! Client side: `request` (with `message`, `content`, `tools`), `prompt`, `answer`, `encode`. Upstream side: `splice`, `relay` (with `choice`, `outlet`, `screening`). Both: `error`, `models`.
//!
//! Never here: another dialect.

pub(crate) mod answer;
mod choice;
mod chunk;
mod content;
pub(crate) mod encode;
pub(crate) mod error;
mod logprobs;
mod message;
pub(crate) mod models;
mod outlet;
pub(crate) mod prompt;
pub(crate) mod relay;
pub(crate) mod request;
mod screening;
pub(crate) mod splice;
mod tools;
