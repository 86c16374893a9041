//! Writes neutral events as lines, one object each.
//!
//! What it must remember: the beginning that all lines share (a time is costly to write), how many calls were sent (their index
//! is counted here), and what the last line tells: counts and durations.
//!
//! Never here: an upstream's dialect; a blank line, at which Ollama's own client fails.

use super::line::{self, Kind, Said};
use crate::error::ErrorBody;
use crate::event::{Call, Counts, Delta, DeltaKind, Event, Timings};
use crate::format::Operation;
use crate::ollama::error;
use crate::reply::{Reply, StopReason};

#[derive(Debug)]
pub(crate) struct Encoder {
    kind: Kind,
    head: Vec<u8>,
    begun: bool,
    calls: u64,
    counts: Counts,
    timings: Timings,
}

impl Encoder {
    pub(crate) fn new(operation: Operation) -> Self {
        Self {
            kind: Kind::of(operation),
            head: Vec::new(),
            begun: false,
            calls: 0,
            counts: Counts::default(),
            timings: Timings::default(),
        }
    }

    pub(crate) fn event(&mut self, event: Event<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match event {
            Event::Start { created } => {
                self.head.clear();
                line::head(reply, created, &mut self.head);
            }
            Event::Delta(delta) => self.delta(delta, reply, out),
            Event::Call(call) => self.call(call, reply, out),
            // Calls come whole, and texts need no frame.
            Event::BlockStart(_) | Event::Arguments(_) | Event::BlockStop => {}
            Event::Counts(counts) => self.counts = counts,
            Event::Timings(timings) => self.timings = timings,
            Event::Stop(reason) => self.stop(reason, reply, out),
        }
    }

    /// Something was said.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// A piece of nothing.
    pub(crate) fn heartbeat(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        self.say(&Said::default(), reply, out);
        line::more(None, out);
        out.push(b'\n');
    }

    pub(crate) fn fail(error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        error::write(error, out);
        out.push(b'\n');
    }

    fn delta(&mut self, delta: Delta<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.begun = true;
        let said = match delta.kind {
            DeltaKind::Text => Said { text: delta.text, ..Said::default() },
            DeltaKind::Thinking => Said { thinking: delta.text, ..Said::default() },
        };
        self.say(&said, reply, out);
        line::more(delta.logprobs, out);
        out.push(b'\n');
    }

    fn call(&mut self, call: Call<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.begun = true;
        let said = Said { calls: &[call], calls_before: self.calls, ..Said::default() };
        self.say(&said, reply, out);
        line::more(None, out);
        out.push(b'\n');
        self.calls += 1;
    }

    fn stop(&mut self, reason: StopReason, reply: &Reply, out: &mut Vec<u8>) {
        self.say(&Said::default(), reply, out);
        line::done(reason, None, self.counts, self.timings, out);
        out.push(b'\n');
    }

    /// A heartbeat may come before the upstream's time does.
    fn say(&mut self, said: &Said<'_>, reply: &Reply, out: &mut Vec<u8>) {
        if self.head.is_empty() {
            line::head(reply, None, &mut self.head);
        }
        out.extend_from_slice(&self.head);
        line::said(self.kind, said, &reply.id, out);
    }
}
