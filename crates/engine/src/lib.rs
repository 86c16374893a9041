//! A small real model behind Ollama's native HTTP interface, on a loopback port.
//!
//! Why here: a first answer must not depend on anything else being installed. The program runs this crate as a child
//! process of itself, so the gateway sees an ordinary Ollama and a fault in native code ends the child, not the gateway.
//!
//! Rooms: `weights` (which files are trusted, and how they are fetched), `model` (what any runner must be able to do),
//! `schedule` (one thread that serves many callers), `api` (Ollama's format), `serve` (listener), and behind the feature
//! `llama` the native runner. Imports run in that order, downwards only.
//!
//! Never here: keys, limits, other hosts than loopback, more than one model in memory.

#![cfg_attr(
    not(any(feature = "llama", test)),
    allow(
        dead_code,
        unused_imports,
        reason = "without the native library nothing but the tests runs a model"
    )
)]

mod api;
mod cpu;
#[cfg(feature = "llama")]
mod llama;
mod model;
mod options;
mod schedule;
#[cfg(test)]
mod scripted;
mod serve;
#[cfg(feature = "llama")]
mod template;
mod text;
pub mod weights;

pub use options::{EngineError, ServeOptions};
pub use serve::{serve, threads_by_default};

/// What `GET /api/version` answers: the release of Ollama whose behaviour is imitated, and who imitates it.
pub const VERSION: &str = "0.30.0-gatehouse";
