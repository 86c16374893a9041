//! Neutral events and the neutral answer: what an upstream said, in no dialect.
//!
//! A decoder per upstream format makes them, an encoder per client format writes them. Content is a sequence of blocks,
//! each started, filled and stopped: the richest order that any dialect has. Text is lent from the upstream's bytes.
//!
//! Never here: bytes of any dialect.

use std::borrow::Cow;

use crate::error::UpstreamFault;
use crate::json::{Raw, Text};
use crate::reply::{StopReason, Usage};

/// Reads the records of an upstream's stream.
pub(crate) trait Decode {
    /// Reads one record and gives out its events.
    fn record(&mut self, bytes: &[u8], emit: &mut impl FnMut(Event<'_>)) -> Result<Read, UpstreamFault>;
}

/// Whether more records are to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    More,
    Done,
}

#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    /// First of all, once. Unix seconds, if the upstream states them.
    Start {
        created: Option<u64>,
    },
    BlockStart(Block<'a>),
    Delta(Delta<'a>),
    /// A piece of the open call's arguments, as JSON text inside a JSON string.
    Arguments(Text<'a>),
    BlockStop,
    /// A call that came whole: its block's start, arguments and stop in one.
    Call(Call<'a>),
    /// Before `Stop`; the last one counts.
    Counts(Counts),
    /// How long a runtime took; before `Stop`.
    Timings(Timings),
    /// Last of all, once: the answer is whole.
    Stop(StopReason),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Block<'a> {
    Text,
    Thinking,
    /// A call of a tool whose arguments follow in pieces.
    Call(CallHead<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CallHead<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Text<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Delta<'a> {
    pub(crate) kind: DeltaKind,
    pub(crate) text: Text<'a>,
    pub(crate) logprobs: Option<Logprobs<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeltaKind {
    Text,
    Thinking,
}

/// A whole call of a tool.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Text<'a>,
    /// A JSON object, as text.
    pub(crate) arguments: Cow<'a, str>,
}

/// An array of `{token, logprob, bytes?, top_logprobs?}`: the member names are the same in every dialect that has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logprobs<'a>(pub(crate) Raw<'a>);

/// Token counts, and the two details that some upstreams know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) prompt: u64,
    pub(crate) output: u64,
    pub(crate) cached: Option<u64>,
    pub(crate) reasoning: Option<u64>,
}

impl Counts {
    pub(crate) fn metered(self) -> Usage {
        Usage { prompt_tokens: self.prompt, output_tokens: self.output }
    }
}

/// Nanoseconds, as Ollama tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timings {
    pub(crate) total: Option<u64>,
    pub(crate) load: Option<u64>,
    pub(crate) prompt: Option<u64>,
    pub(crate) output: Option<u64>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) created: Option<u64>,
    pub(crate) thinking: Option<Text<'a>>,
    pub(crate) text: Text<'a>,
    pub(crate) calls: Vec<Call<'a>>,
    pub(crate) logprobs: Option<Logprobs<'a>>,
    pub(crate) counts: Option<Counts>,
    pub(crate) timings: Timings,
    pub(crate) stop: StopReason,
}
