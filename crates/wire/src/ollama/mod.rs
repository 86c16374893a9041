//! Ollama's native API. Upstream side: request writers, stream decoder, whole answers, refusals. Client side: `client`. Both:
//! errors, lists, what is told of one model.
//!
//! Never here: OpenAI's names, and any field of a client's body that is not written out by name.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod decode;
mod duration;
pub(crate) mod embed;
pub(crate) mod error;
mod facts;
pub(crate) mod generate;
mod line;
pub(crate) mod manage;
pub(crate) mod models;
mod options;
pub(crate) mod progress;
pub(crate) mod request;
pub(crate) mod show;
mod time;

pub use manage::ManageRequest;
pub use progress::ManageStream;
pub use show::Shown;
