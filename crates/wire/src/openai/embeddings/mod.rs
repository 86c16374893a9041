//! `/v1/embeddings`: texts, and a vector for each.
//!
//! Client side: `request`, `answer`. Upstream side, for clients of any dialect: `write`, `read`.
//!
//! Never here: text that a model says.

pub(crate) mod answer;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod write;
