//! Every wire format Gatehouse speaks: bytes in, bytes out.
//!
//! Why here: what a byte on the wire means is decided once, away from sockets and clocks, so that it can be fuzzed, cut
//! at every position and compared with golden files. The gateway asks this crate four things: read a client's request,
//! write the upstream's, turn the upstream's answer into the client's, and say what an upstream's refusal means.
//!
//! Never here: I/O, time, randomness, async, logging. Whoever calls brings ids and clocks.

mod body;
pub mod chat;
mod ending;
pub mod error;
mod estimate;
mod event;
mod facade;
pub mod format;
pub mod frame;
#[doc(hidden)]
pub mod json;
pub mod lanes;
mod masks;
pub mod models;
mod ollama;
mod openai;
mod refusal;
pub mod reply;
pub mod screen;
mod screened;

pub use chat::{ChatRequest, Dropped, Outbound, ReadLimits};
pub use error::{ErrorBody, ErrorType, Fault, UpstreamFault, UpstreamFaultKind};
pub use estimate::Estimate;
pub use facade::{
    ChatStream, load_path, read_answer, read_capabilities, read_chat, read_model, read_models, read_refusal,
    read_resident, write_chat, write_comment, write_error, write_error_event, write_heartbeat, write_load,
    write_model, write_models,
};
pub use format::{Format, Operation};
pub use lanes::{Lane, lane, upstream_path};
pub use models::{Capabilities, ListedModel, ModelEntry, Resident};
pub use reply::{Metered, Progress, Reply, StopReason, Strip, Usage};
pub use screen::{Channel, Screen, Verdict};
