//! OpenAI's chat completions and models, as its SDKs speak them and as vLLM, llama.cpp and SGLang serve them.
//!
//! Rooms of their own: `completions` and `embeddings`. What is here is the chat's, and what they share with it: `fields`
//! (members of requests), `chunk` (frames), `logprobs`, and the relay lane.
//!
//! Client side: `request` (with `message`, `content`, `tools`), `answer`, `encode`. Upstream side: for clients of the same
//! dialect `splice` and `relay` (with `choice`, `outlet`, `screening`), for others `write` and `decode`. Both: `error`, `models`.
//! `responses`, a dialect of the same house, borrows what it reads and writes alike.
//!
//! Never here: another dialect.

pub(crate) mod answer;
mod choice;
mod chunk;
pub(crate) mod completions;
pub(crate) mod content;
pub(crate) mod decode;
pub(crate) mod embeddings;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod logprobs;
mod message;
pub(crate) mod models;
mod outlet;

pub(crate) mod relay;
pub(crate) mod request;
mod screening;
pub(crate) mod splice;
pub(crate) mod tools;
pub(crate) mod write;
