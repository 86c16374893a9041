//! What the engine is asked to serve, and why it does not.
//!
//! Why here: the listener and the model's thread both need these, and neither may need the other.
//! Never here: checks; they stand where the values are used.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What to serve, and how much of it at once.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    pub model_file: PathBuf,
    /// The name that clients use.
    pub model_name: String,
    /// Answers made at the same time, 1 to 64.
    pub slots: usize,
    /// Prompt and answer together, for each slot. At most what the model was trained for.
    pub context_per_slot: usize,
    pub threads: usize,
    /// Requests that may wait while all slots are taken; more are refused with 503.
    pub queue_max: usize,
}

/// Why the engine does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the engine listens on loopback addresses only, and {0} is none")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("{0}")]
    Setting(String),
    #[error(
        "this program was built without the engine; build it with the cargo feature `engine`, or use Ollama"
    )]
    NotBuilt,
    #[error("this processor lacks {0}, which the engine needs; use Ollama or another machine")]
    Processor(String),
    #[error("cannot read the model file {0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("cannot load the model {0}: {1}")]
    Load(PathBuf, String),
    #[error("the model's thread ended unexpectedly")]
    RunnerStopped,
}
