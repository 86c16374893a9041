//! Writes neutral events as chat completion chunks.
//!
//! What it must remember: whether the role was sent (once, in the first delta), how many calls were sent (their index is
//! counted here: upstreams repeat it, and a repeated index merges two calls into one broken string), and the usage.
//!
//! Never here: an upstream's dialect.

use super::chunk::{DONE, Frame};
use crate::event::{Block, Call, CallHead, Counts, Delta, DeltaKind, Event};
use crate::json::{Text, write};
use crate::reply::{Reply, StopReason};

#[derive(Debug, Default)]
pub(crate) struct Encoder {
    frame: Frame,
    role_sent: bool,
    calls: u64,
    counts: Option<Counts>,
}

impl Encoder {
    pub(crate) fn event(&mut self, event: Event<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match event {
            Event::Start { created } => self.frame.set(reply, created),
            Event::Call(call) => self.call(&call, reply, out),
            Event::BlockStart(Block::Call(head)) => self.open_call(head, reply, out),
            Event::Arguments(text) => self.arguments(text, out),
            Event::BlockStart(Block::Text | Block::Thinking) | Event::BlockStop | Event::Timings(_) => {}
            Event::Delta(delta) => self.delta(delta, reply, out),
            Event::Counts(counts) => self.counts = Some(counts),
            Event::Stop(reason) => self.stop(reason, reply, out),
        }
    }

    fn delta(&mut self, delta: Delta<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.open(out);
        match (delta.kind, self.role(out)) {
            (DeltaKind::Text, true) => member(b",\"content\":", delta.text, out),
            (DeltaKind::Text, false) => member(b"\"content\":", delta.text, out),
            (DeltaKind::Thinking, first) => {
                out.extend_from_slice(if first {
                    b",\"content\":\"\",\"reasoning\":".as_slice()
                } else {
                    b"\"reasoning\":"
                });
                write::text(out, delta.text);
                if reply.reasoning_alias {
                    member(b",\"reasoning_content\":", delta.text, out);
                }
            }
        }
        Frame::close_delta(delta.logprobs, None, out);
    }

    fn call(&mut self, call: &Call<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.open_calls(self.calls, out);
        out.push(b',');
        call_members(call, self.calls, &reply.id, out);
        out.extend_from_slice(b"}]");
        Frame::close_delta(None, None, out);
        self.calls += 1;
    }

    /// A call whose arguments follow.
    fn open_call(&mut self, head: CallHead<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.call(&Call { id: head.id, name: head.name, arguments: "".into() }, reply, out);
    }

    fn arguments(&mut self, text: Text<'_>, out: &mut Vec<u8>) {
        self.open_calls(self.calls.saturating_sub(1), out);
        member(b",\"function\":{\"arguments\":", text, out);
        out.extend_from_slice(b"}}]");
        Frame::close_delta(None, None, out);
    }

    /// Up to the index of a delta's one call.
    fn open_calls(&mut self, index: u64, out: &mut Vec<u8>) {
        self.open(out);
        if self.role(out) {
            out.extend_from_slice(b",\"content\":\"\",");
        }
        out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
        write::number(out, index);
    }

    /// Something was said, if only the role.
    pub(crate) fn has_begun(&self) -> bool {
        self.role_sent
    }

    fn stop(&mut self, reason: StopReason, reply: &Reply, out: &mut Vec<u8>) {
        self.open(out);
        // An answer that ended before its first word still is an assistant's.
        if self.role(out) {
            out.extend_from_slice(b",\"content\":\"\"");
        }
        Frame::close_delta(None, Some(reason), out);
        if reply.include_usage {
            self.counts.unwrap_or_default().chunk(&self.frame, out);
        }
        out.extend_from_slice(DONE);
    }

    fn open(&self, out: &mut Vec<u8>) {
        self.frame.open_delta(out);
    }

    /// Writes the role if this is the first delta, and says whether it did.
    fn role(&mut self, out: &mut Vec<u8>) -> bool {
        let first = !std::mem::replace(&mut self.role_sent, true);
        if first {
            out.extend_from_slice(b"\"role\":\"assistant\"");
        }
        first
    }
}

/// `"id":…,"type":"function","function":{"name":…,"arguments":"…"}`; the id is made of ours when the upstream has none.
pub(super) fn call_members(call: &Call<'_>, index: u64, id: &str, out: &mut Vec<u8>) {
    match call.id {
        Some(id) => member(b"\"id\":", id, out),
        None => {
            out.extend_from_slice(b"\"id\":\"call_");
            write::escape(out, id);
            out.push(b'_');
            write::number(out, index);
            out.push(b'"');
        }
    }
    member(b",\"type\":\"function\",\"function\":{\"name\":", call.name, out);
    out.extend_from_slice(b",\"arguments\":");
    write::string(out, &call.arguments);
    out.push(b'}');
}

fn member(key: &[u8], value: Text<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    write::text(out, value);
}
