//! What the gateway decides about an answer, and what it learns from one.
//!
//! Never here: bytes of any dialect.

use std::sync::Arc;

use crate::error::UpstreamFault;

/// Fields an operator may strip from answers on top of the allow-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strip {
    pub model: bool,
    pub created: bool,
}

/// How a request wants its answer told; read from it, and of no meaning to anybody but the writer of its format.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Members of the request that the format repeats in its answers, as JSON without the braces.
    pub(crate) echo: Option<Arc<str>>,
    /// Tools that the upstream knows by a longer name than the client.
    pub(crate) spaced: Option<Arc<[Spaced]>>,
    /// Thinking is also sent in the form that the client sends back.
    pub(crate) sealed_reasoning: bool,
    /// Vectors as base64 of little-endian floats.
    pub(crate) base64: bool,
    /// Texts that each get a vector.
    pub(crate) vectors: Option<usize>,
}

/// A tool of a namespace: the name in full, and where in it the tool's own begins, after one character between the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spaced {
    pub(crate) full: String,
    pub(crate) own: usize,
}

impl Manner {
    /// The namespace and the name by which the client knows a tool.
    pub(crate) fn own_name<'n>(&self, full: &'n str) -> (Option<&'n str>, &'n str) {
        let spaced = self.spaced.iter().flat_map(|list| list.iter()).find(|spaced| spaced.full == full);
        let split =
            spaced.and_then(|spaced| full.get(..spaced.own.saturating_sub(1)).zip(full.get(spaced.own..)));
        split.map_or((None, full), |(space, own)| (Some(space), own))
    }
}

/// What the gateway decides about an answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Random part of our ids (at least 96 bits, URL-safe): the answer's id is `chatcmpl-` or `cmpl-` plus this, tool call ids are made from it.
    pub id: String,
    /// The name the client asked for.
    pub model: String,
    pub include_usage: bool,
    pub manner: Manner,
    /// What the prompt is taken for until the upstream has counted it.
    pub prompt_tokens: u64,
    pub strip: Strip,
    /// Unix seconds, used when the upstream states no time.
    pub created: u64,
    /// Also send `reasoning_content` beside `reasoning`.
    pub reasoning_alias: bool,
    /// Longest line or event accepted from the upstream.
    pub line_bytes_max: usize,
    /// Deltas (about a token each) that may leave in a stream. The first one beyond is not sent: the answer ends before it,
    /// properly, with `length`. A stream that ends by itself at the cap keeps its own end and its upstream's counts.
    pub output_tokens_max: Option<u64>,
    /// The same for the bytes of all text, as written in JSON.
    pub output_bytes_max: Option<u64>,
}

impl Reply {
    /// An answer about which nothing is decided but its id and the model's name.
    pub fn new(id: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            model: model.into(),
            include_usage: false,
            manner: Manner::default(),
            prompt_tokens: 0,
            strip: Strip::default(),
            created: 0,
            reasoning_alias: false,
            line_bytes_max: 8 << 20,
            output_tokens_max: None,
            output_bytes_max: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub output_tokens: u64,
}

/// No context is as large: a count beyond it is a lie or a defect, and as good as none.
const COUNT_MAX: u64 = 1 << 32;

/// A count of tokens as an upstream wrote it, where it can be true.
pub(crate) fn count(number: &str) -> Option<u64> {
    number.parse().ok().filter(|count| *count <= COUNT_MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

/// What passed so far, for settlement. The upstream's counts when it gave any, the deltas seen otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    pub usage: Option<Usage>,
    /// Our own count of the tokens that were passed on: one for each delta of a stream, more for one that is too long for that;
    /// by length for what came whole.
    pub deltas: u64,
    /// All that the upstream has sent: a bound on how many tokens it can have sent.
    pub upstream_bytes: u64,
    pub stop: Option<StopReason>,
}

/// Where a stream stands after some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to show yet: the client's status must still be held back.
    Waiting,
    /// At least one event has been written, now or earlier.
    Flowing,
    /// Properly ended, closing bytes written. Later upstream bytes are to be discarded; unless the stream's `upstream_done`,
    /// nobody needs them and the upstream is to be dropped.
    Complete,
    /// Cannot go on. Nothing was written for it: the caller answers with a real status if nothing was `Flowing` yet, or
    /// calls `fail`. Events that stood before it in the same push are in the buffer.
    Failed(UpstreamFault),
}
