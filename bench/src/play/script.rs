//! What a test may order: literal answers, generated ones, and the pace of the latter.
//!
//! Why here: the control endpoint reads these and the server plays them; nothing else knows the JSON.
//!
//! Never here: playing.

use serde::{Deserialize, Serialize};

/// An answer to one request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// Played before the status line.
    pub before: Vec<Step>,
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    /// The body. Each text is one write, and one chunk when chunked.
    pub steps: Vec<Step>,
    /// Instead of status, headers and steps: the route's own answer at this pace.
    pub generate: Option<Pace>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    #[default]
    Chunked,
    /// The texts of `steps`, counted beforehand.
    Length,
    /// Until the connection closes.
    Close,
    /// Nothing is added: status line and headers are in `steps` too.
    Raw,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    Text(String),
    Bytes(Vec<u8>),
    Repeat {
        text: String,
        times: usize,
    },
    SleepMs(u64),
    /// Waits until a test opens the gate of this name.
    Gate(String),
    /// Nothing more, connection open, until the peer leaves.
    Hang,
    /// Closes without ending the body.
    Cut,
    /// Closes with RST.
    Reset,
}

/// How a generated answer comes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    pub tokens: usize,
    /// 0: as fast as the reader takes them.
    pub tokens_per_s: f64,
    pub first_delay_ms: u64,
    /// Frames handed to the socket at once when unpaced. A real runtime flushes each, and the kernel gathers them.
    pub frames_per_write: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tokens: 8, tokens_per_s: 0.0, first_delay_ms: 0, frames_per_write: 1 }
    }
}

/// `POST /script`: answers for the next requests on a path, or for those of them that fit `when`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub path: String,
    #[serde(default)]
    pub when: When,
    pub answers: Vec<Answer>,
    /// The last answer stays in force.
    #[serde(default)]
    pub sticky: bool,
}

/// What a request must ask for; absent means anything. The order that says more goes first, the model before the stream: many
/// programs can then talk to one player at the same time, each about a model of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    pub model: Option<String>,
    pub stream: Option<bool>,
}

/// `POST /listen`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub mode: Listening,
    /// Also close what is open.
    #[serde(default)]
    pub drop_connections: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listening {
    Open,
    /// The port refuses.
    Closed,
    /// The kernel takes connections and nobody ever reads them.
    Deaf,
}

/// `POST /wait`: returns when all named conditions hold, or after the time.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wait {
    pub timeout_ms: u64,
    pub generations_at_least: Option<u64>,
    pub completed_at_least: Option<u64>,
    pub aborted_at_least: Option<u64>,
    pub in_flight_at_most: Option<u64>,
    pub in_flight_at_least: Option<u64>,
    pub probes_at_least: Option<u64>,
}
