//! Every wire format Gatehouse speaks: bytes in, bytes out.
//!
//! Why here: what a byte on the wire means is decided once, away from sockets and clocks, so that it can be fuzzed, cut
//! at every position and compared with golden files. The gateway asks this crate four things: read a client's request,
//! write the upstream's, turn the upstream's answer into the client's, and say what an upstream's refusal means.
//!
//! Never here: I/O, time, randomness, async, logging. Whoever calls brings ids and clocks.

mod anthropic;
mod body;
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
mod media;
pub mod models;
mod ollama;
mod openai;
mod prompt;
mod refusal;
pub mod reply;
pub mod request;
mod responses;
pub mod screen;
mod screened;
mod vectors;

pub use error::{ErrorBody, ErrorType, Fault, UpstreamFault, UpstreamFaultKind};
pub use estimate::Estimate;
pub use facade::{
    AnswerStream, Opening, load_path, read_answer, read_capabilities, read_manage, read_manage_answer,
    read_model, read_models, read_refusal, read_request, read_resident, read_show, read_show_request,
    read_version, unloads, write_error, write_load, write_loaded, write_manage, write_model, write_models,
    write_request, write_resident, write_show, write_token_count, write_version,
};
pub use format::{Format, Manage, Operation};
pub use lanes::{Cell, Lane, cell, upstream_path};
pub use models::{Capabilities, Details, Facts, ListedModel, ModelEntry, Resident, public_name};
pub use ollama::{ManageRequest, Shown};
pub use reply::{Manner, Metered, Progress, Reply, StopReason, Strip, Usage};
pub use request::{Dropped, ModelRequest, Outbound, ReadLimits};
pub use screen::{Channel, Screen, Verdict};
