//! Writes neutral events as a Messages stream: the message's start, its blocks one after another, its end.
//!
//! What it must remember: whether the message has begun, which block is open and what its index is, how many calls there
//! were, and the usage. Every event says its type twice: SDKs pass over data without an `event` line, and helpers read the
//! type inside.
//!
//! Never here: an upstream's dialect.

use super::{error, frame};
use crate::error::ErrorBody;
use crate::event::{Block, Call, CallHead, Counts, Delta, DeltaKind, Event};
use crate::frame::sse;
use crate::json::{Text, write};
use crate::reply::{Reply, StopReason};

#[derive(Debug, Default)]
pub(crate) struct Encoder {
    begun: bool,
    open: Option<Open>,
    /// Of the open block, or of the next.
    index: u64,
    calls: u64,
    counts: Option<Counts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// A call, and whether anything was said of its input.
    Call {
        spoken: bool,
    },
}

impl Encoder {
    pub(crate) fn event(&mut self, event: Event<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => self.begin(reply, out),
            Event::Delta(delta) => self.delta(delta, reply, out),
            Event::Call(call) => self.call(&call, reply, out),
            Event::BlockStart(Block::Call(head)) => self.open_call(head, reply, out),
            Event::Arguments(text) => self.arguments(text, out),
            Event::BlockStop => {
                if matches!(self.open, Some(Open::Call { .. })) {
                    self.close(true, reply, out);
                }
            }
            // A text begins with its first letter and ends where something else begins.
            Event::BlockStart(Block::Text | Block::Thinking) | Event::Timings(_) => {}
            Event::Counts(counts) => self.counts = Some(counts),
            Event::Stop(reason) => self.stop(reason, reply, out),
        }
    }

    /// Something was said, if only that there is a message.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// An event of the format's own, once it may be sent.
    pub(crate) fn heartbeat(&self, out: &mut Vec<u8>) {
        if self.begun {
            out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
        } else {
            sse::comment("keepalive", out);
        }
    }

    pub(crate) fn fail(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        error::write(error, out);
        out.extend_from_slice(b"\n\n");
    }

    fn begin(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        self.begun = true;
        out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
        frame::opening(reply, out);
        out.extend_from_slice(b"],");
        frame::stop(None, out);
        out.push(b',');
        frame::usage(None, reply, out);
        out.extend_from_slice(b"}}\n\n");
    }

    fn delta(&mut self, delta: Delta<'_>, reply: &Reply, out: &mut Vec<u8>) {
        if delta.text.is_empty() {
            return;
        }
        let (kind, block, piece) = match delta.kind {
            DeltaKind::Text => (
                Open::Text,
                b"{\"type\":\"text\",\"text\":\"\"}".as_slice(),
                b"text_delta\",\"text\":".as_slice(),
            ),
            DeltaKind::Thinking => (
                Open::Thinking,
                b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}".as_slice(),
                b"thinking_delta\",\"thinking\":".as_slice(),
            ),
        };
        if self.open != Some(kind) {
            self.close(true, reply, out);
            self.open_block(kind, out);
            out.extend_from_slice(block);
            out.extend_from_slice(b"}\n\n");
        }
        self.piece(piece, delta.text, out);
    }

    fn call(&mut self, call: &Call<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.close(true, reply, out);
        self.open_block(Open::Call { spoken: true }, out);
        frame::call(call, self.calls, reply, out);
        self.calls += 1;
        out.extend_from_slice(b"{}}}\n\n");
        self.open_piece(b"input_json_delta\",\"partial_json\":", out);
        write::string(out, &call.arguments);
        out.extend_from_slice(b"}}\n\n");
        self.close(true, reply, out);
    }

    /// A call whose arguments follow.
    fn open_call(&mut self, head: CallHead<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.close(true, reply, out);
        self.open_block(Open::Call { spoken: false }, out);
        let call = Call { id: head.id, name: head.name, arguments: "".into() };
        frame::call(&call, self.calls, reply, out);
        self.calls += 1;
        out.extend_from_slice(b"{}}}\n\n");
    }

    fn arguments(&mut self, text: Text<'_>, out: &mut Vec<u8>) {
        let Some(Open::Call { spoken }) = &mut self.open else { return };
        // Blanks before the object say nothing, and alone they are no JSON at all.
        if !*spoken && text.decode().trim_ascii().is_empty() {
            return;
        }
        *spoken = true;
        self.piece(b"input_json_delta\",\"partial_json\":", text, out);
    }

    /// `whole`: the block is over, not cut.
    fn close(&mut self, whole: bool, reply: &Reply, out: &mut Vec<u8>) {
        match self.open.take() {
            None => return,
            Some(Open::Thinking) => {
                self.open_piece(b"signature_delta\",", out);
                frame::signature(reply, out);
                out.extend_from_slice(b"}}\n\n");
            }
            // Who joins the pieces gets an object; of a call that was cut there is none.
            Some(Open::Call { spoken: false }) if whole => {
                self.piece(b"input_json_delta\",\"partial_json\":", Text::of_json("{}"), out);
            }
            Some(Open::Text | Open::Call { .. }) => {}
        }
        out.extend_from_slice(
            b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
        );
        write::number(out, self.index);
        out.extend_from_slice(b"}\n\n");
        self.index += 1;
    }

    fn stop(&mut self, reason: StopReason, reply: &Reply, out: &mut Vec<u8>) {
        self.close(false, reply, out);
        out.extend_from_slice(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
        frame::stop(Some(reason), out);
        out.extend_from_slice(b"},");
        frame::usage(self.counts, reply, out);
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    /// Up to and including `"content_block":`.
    fn open_block(&mut self, block: Open, out: &mut Vec<u8>) {
        self.open = Some(block);
        out.extend_from_slice(
            b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":",
        );
        write::number(out, self.index);
        out.extend_from_slice(b",\"content_block\":");
    }

    /// A delta of the open block that holds a text.
    fn piece(&self, head: &[u8], text: Text<'_>, out: &mut Vec<u8>) {
        self.open_piece(head, out);
        write::text(out, text);
        out.extend_from_slice(b"}}\n\n");
    }

    /// Up to and including the opening of `"delta":{"type":"`, and `head` behind it.
    fn open_piece(&self, head: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
        );
        write::number(out, self.index);
        out.extend_from_slice(b",\"delta\":{\"type\":\"");
        out.extend_from_slice(head);
    }
}
