//! The pieces of an answer's object: of a line of a stream and of a whole answer, of a chat and of a generated text.
//!
//! Never here: when a line is written.

use super::logprobs;
use crate::event::{Call, Counts, Logprobs, Timings};
use crate::format::Operation;
use crate::json::{Text, write};
use crate::ollama::time;
use crate::reply::{Reply, StopReason};

/// Where the text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In a message.
    Chat,
    /// At the top.
    Generate,
}

impl Kind {
    pub(super) fn of(operation: Operation) -> Self {
        if operation == Operation::Complete { Self::Generate } else { Self::Chat }
    }
}

/// What the model said.
#[derive(Debug, Default)]
pub(super) struct Said<'s> {
    pub(super) text: Text<'s>,
    pub(super) thinking: Text<'s>,
    pub(super) calls: &'s [Call<'s>],
    /// Calls before these.
    pub(super) calls_before: u64,
}

/// `{"model":…,"created_at":…,`
pub(super) fn head(reply: &Reply, created: Option<u64>, out: &mut Vec<u8>) {
    out.push(b'{');
    if !reply.strip.model {
        out.extend_from_slice(b"\"model\":");
        write::string(out, &reply.model);
        out.push(b',');
    }
    if !reply.strip.created {
        out.extend_from_slice(b"\"created_at\":");
        time::write(created.unwrap_or(reply.created), out);
        out.push(b',');
    }
}

/// `"message":{…}`, or `"response":…` and what stands beside it.
pub(super) fn said(kind: Kind, said: &Said<'_>, id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(match kind {
        Kind::Chat => b"\"message\":{\"role\":\"assistant\",\"content\":".as_slice(),
        Kind::Generate => b"\"response\":",
    });
    write::text(out, said.text);
    if !said.thinking.is_empty() {
        out.extend_from_slice(b",\"thinking\":");
        write::text(out, said.thinking);
    }
    calls(said, id, out);
    if kind == Kind::Chat {
        out.push(b'}');
    }
}

fn calls(said: &Said<'_>, id: &str, out: &mut Vec<u8>) {
    let mut before = b",\"tool_calls\":[".as_slice();
    for (index, call) in (said.calls_before..).zip(said.calls) {
        out.extend_from_slice(std::mem::replace(&mut before, b","));
        out.extend_from_slice(b"{\"id\":");
        match call.id {
            Some(id) => write::text(out, id),
            None => {
                out.extend_from_slice(b"\"call_");
                write::escape(out, id);
                out.push(b'_');
                write::number(out, index);
                out.push(b'"');
            }
        }
        out.extend_from_slice(b",\"function\":{\"index\":");
        write::number(out, index);
        out.extend_from_slice(b",\"name\":");
        write::text(out, call.name);
        out.extend_from_slice(b",\"arguments\":");
        write::compact(out, &call.arguments);
        out.extend_from_slice(b"}}");
    }
    if !said.calls.is_empty() {
        out.push(b']');
    }
}

/// What follows on a line that does not end the answer.
pub(super) fn more(logprobs: Option<Logprobs<'_>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"done\":false");
    logprobs::write(logprobs, out);
    out.push(b'}');
}

/// What follows on the object that ends it. The dialect has two reasons: what a filter ended has stopped, and calls are seen
/// by themselves.
pub(super) fn done(
    stop: StopReason,
    logprobs: Option<Logprobs<'_>>,
    counts: Counts,
    timings: Timings,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(match stop {
        StopReason::Length => b",\"done\":true,\"done_reason\":\"length\"".as_slice(),
        StopReason::Stop | StopReason::ToolCalls | StopReason::ContentFilter => {
            b",\"done\":true,\"done_reason\":\"stop\""
        }
    });
    logprobs::write(logprobs, out);
    let durations = |name: &[u8], value: Option<u64>, out: &mut Vec<u8>| {
        if let Some(value) = value {
            out.extend_from_slice(name);
            write::number(out, value);
        }
    };
    durations(b",\"total_duration\":", timings.total, out);
    durations(b",\"load_duration\":", timings.load, out);
    out.extend_from_slice(b",\"prompt_eval_count\":");
    write::number(out, counts.prompt);
    durations(b",\"prompt_eval_duration\":", timings.prompt, out);
    out.extend_from_slice(b",\"eval_count\":");
    write::number(out, counts.output);
    durations(b",\"eval_duration\":", timings.output, out);
    out.push(b'}');
}
