//! Anthropic's Messages API, as its SDKs and the programs built on them speak it.
//!
//! Client side only: `request` (with `message`, `block`, `tools`), `answer`, `encode` (with `frame`, which both share),
//! `error`, `models`.
//!
//! Never here: an upstream's dialect, another client's.

pub(crate) mod answer;
mod block;
pub(crate) mod encode;
pub(crate) mod error;
mod frame;
mod message;
pub(crate) mod models;
pub(crate) mod request;
mod tools;
