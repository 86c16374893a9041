//! OpenAI's Responses API for clients, without state: every request holds its whole conversation, nothing is kept for the
//! next one.
//!
//! Reading: `request` (with `input`, `content`, `tools`, `echo`). Answers: `answer` and `encode`, both of `item`s in an
//! `object`. Errors: `error`.
//!
//! Never here: an upstream's dialect; no upstream is asked in this one.

pub(crate) mod answer;
mod content;
mod echo;
pub(crate) mod encode;
pub(crate) mod error;
mod input;
mod item;
mod object;
pub(crate) mod request;
mod tools;
