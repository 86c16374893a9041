//! Neutral events and the neutral answer: what an upstream said, in no dialect.
//!
//! A decoder per upstream format makes them, an encoder per client format writes them. Content is a sequence of blocks,
//! each started, filled and stopped: the richest order that any dialect has. Text is lent from the upstream's bytes.
//!
//! Never here: bytes of any dialect.

use crate::json::{Raw, Text};
use crate::reply::{StopReason, Usage};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// First of all, once. Unix seconds, if the upstream states them.
    Start {
        created: Option<u64>,
    },
    BlockStart(Block<'a>),
    Delta(Delta<'a>),
    BlockStop,
    /// Before `Stop`; the last one counts.
    Usage(Usage),
    /// Last of all, once: the answer is whole.
    Stop(StopReason),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Block<'a> {
    Text,
    Thinking,
    /// A call of a tool, whole: upstreams that send fragments are given a delta of their own when one is translated.
    Tool(Call<'a>),
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Text<'a>,
    /// A JSON object, as text.
    pub(crate) arguments: &'a str,
}

/// An array of `{token, logprob, bytes?, top_logprobs?}`: the member names are the same in every dialect that has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logprobs<'a>(pub(crate) Raw<'a>);

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) created: Option<u64>,
    pub(crate) thinking: Option<Text<'a>>,
    pub(crate) text: Text<'a>,
    pub(crate) calls: Vec<Call<'a>>,
    pub(crate) logprobs: Option<Logprobs<'a>>,
    pub(crate) usage: Option<Usage>,
    pub(crate) stop: StopReason,
}
