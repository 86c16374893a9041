//! Writes neutral events as chunks of a completion.
//!
//! What it must remember: whether anything was written, the characters of the tokens so far (their offsets go on from chunk
//! to chunk), and the usage. The end is a chunk of its own, with an empty text.
//!
//! Never here: an upstream's dialect; calls of tools, which nobody can ask for in this operation.

use super::choice::TextChoice;
use super::logprobs::Spelt;
use crate::event::{Counts, Delta, DeltaKind, Event};
use crate::openai::chunk::{DONE, Form, Frame};
use crate::reply::{Reply, StopReason};

#[derive(Debug)]
pub(crate) struct Encoder {
    frame: Frame,
    begun: bool,
    offset: u64,
    counts: Option<Counts>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { frame: Frame::new(Form::Completion), begun: false, offset: 0, counts: None }
    }
}

impl Encoder {
    pub(crate) fn event(&mut self, event: &Event<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match event {
            Event::Start { created } => self.frame.set(reply, *created),
            Event::Delta(delta) => self.delta(*delta, reply, out),
            Event::Counts(counts) => self.counts = Some(*counts),
            Event::Stop(reason) => self.stop(*reason, reply, out),
            Event::BlockStart(_)
            | Event::BlockStop
            | Event::Arguments(_)
            | Event::Call(_)
            | Event::Timings(_) => {}
        }
    }

    /// Something was said, if only that the answer has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    fn delta(&mut self, delta: Delta<'_>, reply: &Reply, out: &mut Vec<u8>) {
        let logprobs = delta.logprobs.map_or(Spelt::Nothing, Spelt::Tokens);
        let choice = TextChoice { logprobs, ..TextChoice::default() };
        let choice = match delta.kind {
            DeltaKind::Text => TextChoice { text: delta.text, ..choice },
            DeltaKind::Thinking => TextChoice { thinking: Some(delta.text), ..choice },
        };
        self.chunk(&choice, reply, out);
    }

    fn stop(&mut self, reason: StopReason, reply: &Reply, out: &mut Vec<u8>) {
        self.chunk(&TextChoice { stop: Some(reason), ..TextChoice::default() }, reply, out);
        if reply.include_usage {
            self.counts.unwrap_or_default().chunk(&self.frame, out);
        }
        out.extend_from_slice(DONE);
    }

    fn chunk(&mut self, choice: &TextChoice<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.begun = true;
        self.frame.open_delta(out);
        choice.write(&mut self.offset, reply, out);
        Frame::close(out);
    }
}
