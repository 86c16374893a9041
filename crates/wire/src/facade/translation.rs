//! A stream on the translate lane: lines through a decoder, events through caps and screen, into an encoder.
//!
//! Never here: a dialect's rules.

use crate::ending::{Allowance, Reached, tokens_in_delta, tokens_in_whole};
use crate::error::UpstreamFault;
use crate::event::{Block, Call, Delta, DeltaKind, Event};
use crate::frame::ndjson;
use crate::json::Text;
use crate::ollama::decode;
use crate::openai::encode::Encoder;
use crate::reply::{Metered, Reply, StopReason, Usage};
use crate::screen::{Screen, Verdict};
use crate::screened::{Screened, Slot, whole};

#[derive(Debug)]
pub(super) struct Translation {
    lines: ndjson::Decoder,
    decoder: decode::Decoder,
    outlet: Outlet,
}

/// Everything behind the decoder.
#[derive(Debug)]
struct Outlet {
    encoder: Encoder,
    allowance: Allowance,
    screened: Option<Screened>,
    /// Calls of tools so far.
    calls: u32,
    /// Ended by a cap or by the screen: what follows is not for the client.
    cut: bool,
}

/// What a push brings along.
struct Push<'p> {
    reply: &'p Reply,
    metered: &'p mut Metered,
    out: &'p mut Vec<u8>,
}

impl Translation {
    pub(super) fn new(reply: &Reply, screen: Option<Box<dyn Screen>>) -> Self {
        Self {
            lines: ndjson::Decoder::new(reply.line_bytes_max),
            decoder: decode::Decoder::default(),
            outlet: Outlet {
                encoder: Encoder::default(),
                allowance: Allowance::of(reply),
                screened: screen.map(Screened::new),
                calls: 0,
                cut: false,
            },
        }
    }

    /// `None`: the upstream closed.
    pub(super) fn feed(
        &mut self,
        bytes: Option<&[u8]>,
        reply: &Reply,
        metered: &mut Metered,
        out: &mut Vec<u8>,
    ) -> Result<Reached, UpstreamFault> {
        let Self { lines, decoder, outlet } = self;
        let mut push = Push { reply, metered, out };
        let Some(mut bytes) = bytes else {
            return lines.end().map_or(Ok(Reached::More), |line| outlet.line(decoder, line, &mut push));
        };
        while let Some(line) = lines.next(&mut bytes) {
            let reached = outlet.line(decoder, line?, &mut push)?;
            if reached != Reached::More {
                return Ok(reached);
            }
        }
        Ok(Reached::More)
    }
}

impl Outlet {
    fn line(
        &mut self,
        decoder: &mut decode::Decoder,
        line: &[u8],
        push: &mut Push<'_>,
    ) -> Result<Reached, UpstreamFault> {
        let mark = push.out.len();
        let read = decoder.line(line, &mut |event| self.event(event, push));
        match read {
            // The client's answer is whole, whatever the rest of the line is.
            _ if self.cut => Ok(Reached::Cut),
            Ok(decode::Read::Done) => Ok(Reached::End),
            Ok(decode::Read::More) => Ok(Reached::More),
            Err(fault) => {
                // Half a line's events are taken back: a failure writes nothing.
                push.out.truncate(mark);
                Err(fault)
            }
        }
    }

    fn event(&mut self, event: Event<'_>, push: &mut Push<'_>) {
        if self.cut {
            return;
        }
        match event {
            Event::Delta(delta) => self.delta(delta, push),
            Event::BlockStart(Block::Tool(call)) => self.call(call, push),
            // A text may go on behind another block; it is over when the answer is.
            Event::BlockStop => {}
            Event::Usage(usage) => {
                push.metered.usage = Some(usage);
                self.last(event, push);
            }
            Event::Stop(reason) => {
                push.metered.stop = Some(reason);
                self.last(event, push);
            }
            Event::Start { .. } | Event::BlockStart(_) => self.encode(event, push),
        }
    }

    /// What comes after all text.
    fn last(&mut self, event: Event<'_>, push: &mut Push<'_>) {
        self.finish_text(push);
        if !self.cut {
            self.encode(event, push);
        }
    }

    fn encode(&mut self, event: Event<'_>, push: &mut Push<'_>) {
        self.encoder.event(event, push.reply, push.out);
    }

    fn delta(&mut self, delta: Delta<'_>, push: &mut Push<'_>) {
        let length = delta.text.raw().len();
        if length > 0 {
            let tokens = tokens_in_delta(length);
            if !self.allowance.admit(tokens, length) {
                return self.end(StopReason::Length, push);
            }
            push.metered.deltas += tokens;
        }
        let Some(screened) = &mut self.screened else { return self.encode(Event::Delta(delta), push) };
        if length == 0 {
            // It shows that the answer has begun; its logprobs would spell the text.
            if !self.encoder.has_begun() {
                self.encode(Event::Delta(Delta { logprobs: None, ..delta }), push);
            }
            return;
        }
        let slot = match delta.kind {
            DeltaKind::Text => Slot::Text,
            DeltaKind::Thinking => Slot::Thinking,
        };
        let encoder = &mut self.encoder;
        let verdict = screened.push(slot, delta.text, &mut |slot, text| give(encoder, slot, text, push));
        self.obey(verdict, push);
    }

    /// Calls come whole, so each is a text that begins and ends here.
    fn call(&mut self, call: Call<'_>, push: &mut Push<'_>) {
        let length = call.name.raw().len() + call.arguments.len();
        let tokens = tokens_in_whole(length);
        if !self.allowance.admit(tokens, length) {
            return self.end(StopReason::Length, push);
        }
        push.metered.deltas += tokens;
        let place = self.calls;
        self.calls = place.saturating_add(1);
        let Some(screened) = &mut self.screened else {
            return self.encode(Event::BlockStart(Block::Tool(call)), push);
        };
        let (arguments, verdict) = whole(screened.screen(), Slot::Arguments(place).channel(), call.arguments);
        // What may leave of half a call is nothing: somebody would run it.
        if verdict == Verdict::Pass {
            let call = Call { arguments: &arguments, ..call };
            self.encode(Event::BlockStart(Block::Tool(call)), push);
        }
        self.obey(verdict, push);
    }

    fn finish_text(&mut self, push: &mut Push<'_>) {
        let Some(screened) = &mut self.screened else { return };
        let encoder = &mut self.encoder;
        let verdict = screened.close(&mut |slot, text| give(encoder, slot, text, push));
        self.obey(verdict, push);
    }

    fn obey(&mut self, verdict: Verdict, push: &mut Push<'_>) {
        if verdict == Verdict::Stop {
            self.end(StopReason::ContentFilter, push);
        }
    }

    /// A proper end that is not the upstream's, with what is known of the usage.
    fn end(&mut self, reason: StopReason, push: &mut Push<'_>) {
        if reason == StopReason::Length {
            self.finish_text(push);
            if self.cut {
                return;
            }
        }
        self.cut = true;
        push.metered.stop = Some(reason);
        if push.metered.usage.is_none() {
            let counted = Usage { prompt_tokens: 0, output_tokens: push.metered.deltas };
            self.encode(Event::Usage(counted), push);
        }
        self.encode(Event::Stop(reason), push);
    }
}

fn give(encoder: &mut Encoder, slot: Slot, text: Text<'_>, push: &mut Push<'_>) {
    let kind = if slot == Slot::Thinking { DeltaKind::Thinking } else { DeltaKind::Text };
    let event = Event::Delta(Delta { kind, text, logprobs: None });
    encoder.event(event, push.reply, push.out);
}
