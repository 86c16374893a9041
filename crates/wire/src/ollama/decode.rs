//! Decodes a stream of `/api/chat` or `/api/generate` into neutral events.
//!
//! What it must remember: whether a line came yet, which block is open, whether a call was made (a "stop" after calls
//! means "go and run them"), and whether the proper end was seen.
//!
//! Never here: a client's dialect.

use super::error;
use super::line::{self, Line};
use crate::error::UpstreamFault;
use crate::event::{Block, Decode, Delta, DeltaKind, Event, Read, Timings};
use crate::json::Text;
use crate::reply::StopReason;

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    begun: bool,
    called: bool,
    open: Option<DeltaKind>,
}

impl Decode for Decoder {
    fn record(&mut self, bytes: &[u8], emit: &mut impl FnMut(Event<'_>)) -> Result<Read, UpstreamFault> {
        let first = !self.begun;
        let line = line::read(bytes, first)?;
        if let Some(text) = line.error {
            return Err(error::in_stream(&text.decode()));
        }
        self.begun = true;
        if first {
            emit(Event::Start { created: line.created });
        }
        self.texts(&line, first, emit);
        if let Some(calls) = line.calls {
            self.close(emit);
            line::calls(calls, |call| emit(Event::Call(call)))?;
            self.called = true;
        }
        if !line.done {
            return Ok(Read::More);
        }
        self.close(emit);
        if let Some(counts) = line.counts {
            emit(Event::Counts(counts));
        }
        if line.timings != Timings::default() {
            emit(Event::Timings(line.timings));
        }
        emit(Event::Stop(stop_reason(line.done_reason, self.called)));
        Ok(Read::Done)
    }
}

impl Decoder {
    /// Thinking before content; logprobs ride with the last text, or on an empty one.
    fn texts(&mut self, line: &Line<'_>, first: bool, emit: &mut impl FnMut(Event<'_>)) {
        let has_content = !line.content.is_empty();
        let has_thinking = !line.thinking.is_empty();
        if has_thinking {
            self.open(DeltaKind::Thinking, emit);
            let logprobs = line.logprobs.filter(|_| !has_content);
            emit(Event::Delta(Delta { kind: DeltaKind::Thinking, text: line.thinking, logprobs }));
        }
        let lone_logprobs = line.logprobs.is_some() && !has_thinking;
        // A first line that says nothing still shows the client that the answer has begun.
        let opening = first && !has_thinking && line.calls.is_none();
        if has_content || lone_logprobs || opening {
            self.open(DeltaKind::Text, emit);
            let text = if has_content { line.content } else { Text::default() };
            emit(Event::Delta(Delta { kind: DeltaKind::Text, text, logprobs: line.logprobs }));
        }
    }

    fn open(&mut self, kind: DeltaKind, emit: &mut impl FnMut(Event<'_>)) {
        if self.open == Some(kind) {
            return;
        }
        self.close(emit);
        self.open = Some(kind);
        emit(Event::BlockStart(match kind {
            DeltaKind::Text => Block::Text,
            DeltaKind::Thinking => Block::Thinking,
        }));
    }

    fn close(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        if self.open.take().is_some() {
            emit(Event::BlockStop);
        }
    }
}

/// Only "stop" turns into "tool calls": an answer cut by length may hold a call that is not meant to be run.
pub(super) fn stop_reason(done_reason: Text<'_>, called: bool) -> StopReason {
    match done_reason.raw() {
        "length" => StopReason::Length,
        _ if called => StopReason::ToolCalls,
        _ => StopReason::Stop,
    }
}
