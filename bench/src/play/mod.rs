//! A process that plays Ollama: the format's routes with answers of any pace, and faults on demand.
//!
//! Why here: what a gateway does when its upstream stalls, lies, dies or is left alone can only be shown on an upstream
//! that does so on command, counts what reached it, and says when it was let go.
//!
//! Never here: a model, or a decision about what the gateway should have done. Tests decide; this plays and records.

pub mod answer;
pub mod control;
pub mod frames;
pub mod script;
pub mod server;
pub mod state;
pub mod vectors;
