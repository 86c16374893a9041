//! What stands between a decoder and an encoder: caps, the screen, ends that are ours, and calls that must be whole.
//!
//! Why here: a cap falls on the same delta and a screen sees the same text whatever the two dialects are.
//!
//! Never here: bytes of any dialect.

use super::encoder::Encoder;
use crate::ending::{Allowance, Reached, tokens_in_delta, tokens_in_whole};
use crate::error::UpstreamFault;
use crate::event::{Block, Call, CallHead, Counts, Decode, Delta, DeltaKind, Event, Read};
use crate::json::{Text, object_text};
use crate::reply::{Metered, Reply, StopReason};
use crate::screen::{Screen, Verdict};
use crate::screened::{Screened, Slot, whole};

#[derive(Debug)]
pub(super) struct Outlet {
    encoder: Encoder,
    allowance: Allowance,
    screened: Option<Screened>,
    /// Calls of tools so far.
    calls: u32,
    /// A call whose pieces are gathered until it is whole: half a call can be neither looked at nor told in every dialect.
    gathered: Option<Gathered>,
    /// A call ended whose arguments are no object: so an answer ends that its upstream has cut.
    half: bool,
    /// Ended by a cap or by the screen: what follows is not for the client.
    cut: bool,
}

/// Inside of JSON strings.
#[derive(Debug)]
struct Gathered {
    id: Option<String>,
    name: String,
    arguments: String,
}

/// What a push brings along.
pub(super) struct Push<'p> {
    pub(super) reply: &'p Reply,
    pub(super) metered: &'p mut Metered,
    pub(super) out: &'p mut Vec<u8>,
}

impl Outlet {
    pub(super) fn new(encoder: Encoder, reply: &Reply, screen: Option<Box<dyn Screen>>) -> Self {
        Self {
            encoder,
            allowance: Allowance::of(reply),
            screened: screen.map(Screened::new),
            calls: 0,
            gathered: None,
            half: false,
            cut: false,
        }
    }

    pub(super) fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.encoder.held_bytes() + self.gathered.as_ref().map_or(0, |call| call.arguments.len())
    }

    pub(super) fn record(
        &mut self,
        decoder: &mut impl Decode,
        record: &[u8],
        push: &mut Push<'_>,
    ) -> Result<Reached, UpstreamFault> {
        let mark = push.out.len();
        let mut broken = None;
        let read = decoder.record(record, &mut |event| {
            if let Err(fault) = self.event(event, push) {
                broken = broken.take().or(Some(fault));
            }
        });
        if self.held_bytes() > push.reply.line_bytes_max {
            broken = Some(UpstreamFault::protocol("an answer that is too long to be told at its end"));
        }
        match broken.map_or(read, Err) {
            // The client's answer is whole, whatever the rest of the record is.
            _ if self.cut => Ok(Reached::Cut),
            Ok(Read::Done) => Ok(Reached::End),
            Ok(Read::More) => Ok(Reached::More),
            Err(fault) => {
                // Half a record's events are taken back: a failure writes nothing.
                push.out.truncate(mark);
                Err(fault)
            }
        }
    }

    fn event(&mut self, event: Event<'_>, push: &mut Push<'_>) -> Result<(), UpstreamFault> {
        if self.cut {
            return Ok(());
        }
        match event {
            Event::Delta(delta) => self.delta(delta, push),
            Event::Call(call) => self.call(call, push),
            Event::BlockStart(Block::Call(head)) => self.open_call(head, push),
            Event::Arguments(text) => self.arguments(text, push),
            Event::BlockStop => self.stop_block(push),
            Event::Counts(counts) => {
                push.metered.usage = Some(counts.metered());
                self.last(event, push);
            }
            Event::Timings(_) => self.last(event, push),
            Event::Stop(StopReason::Stop | StopReason::ToolCalls) if self.half => {
                return Err(UpstreamFault::protocol("the arguments of a tool call are no JSON object"));
            }
            Event::Stop(reason) => {
                push.metered.stop = Some(reason);
                self.last(event, push);
            }
            Event::Start { .. } | Event::BlockStart(_) => self.encode(event, push),
        }
        Ok(())
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

    /// A call that came whole is a text that begins and ends here.
    fn call(&mut self, call: Call<'_>, push: &mut Push<'_>) {
        let length = call.name.raw().len() + call.arguments.len();
        let tokens = tokens_in_whole(length);
        if !self.allowance.admit(tokens, length) {
            return self.end(StopReason::Length, push);
        }
        push.metered.deltas += tokens;
        self.pass_call(call, push);
    }

    fn pass_call(&mut self, call: Call<'_>, push: &mut Push<'_>) {
        let place = self.calls;
        self.calls = place.saturating_add(1);
        let Some(screened) = &mut self.screened else { return self.encode(Event::Call(call), push) };
        let (mut arguments, mut verdict) =
            whole(screened.screen(), Slot::Arguments(place).channel(), &call.arguments);
        if self.encoder.wants_objects() && verdict == Verdict::Pass {
            match object_text(&arguments) {
                Some(object) => arguments = object.to_owned(),
                None => verdict = Verdict::Stop,
            }
        }
        // What may leave of half a call is nothing: somebody would run it.
        if verdict == Verdict::Pass {
            let call = Call { arguments: arguments.into(), ..call };
            self.encode(Event::Call(call), push);
        }
        self.obey(verdict, push);
    }

    fn open_call(&mut self, head: CallHead<'_>, push: &mut Push<'_>) {
        if self.screened.is_none() && !self.encoder.wants_whole_calls() {
            return self.encode(Event::BlockStart(Block::Call(head)), push);
        }
        self.gathered = Some(Gathered {
            id: head.id.map(|id| id.raw().to_owned()),
            name: head.name.raw().to_owned(),
            arguments: String::new(),
        });
    }

    fn arguments(&mut self, text: Text<'_>, push: &mut Push<'_>) {
        let length = text.raw().len();
        let tokens = tokens_in_delta(length);
        if !self.allowance.admit(tokens, length) {
            return self.end(StopReason::Length, push);
        }
        push.metered.deltas += tokens;
        match &mut self.gathered {
            Some(call) => call.arguments.push_str(text.raw()),
            None => self.encode(Event::Arguments(text), push),
        }
    }

    fn stop_block(&mut self, push: &mut Push<'_>) {
        let Some(Gathered { id, name, arguments }) = self.gathered.take() else {
            // A text under a screen may go on behind another block; it is over when the answer is.
            if self.screened.is_none() {
                self.encode(Event::BlockStop, push);
            }
            return;
        };
        let text = Text::of_json(&arguments).decode();
        let Some(arguments) = object_text(&text) else {
            // Whether that is a fault is known when the answer ends.
            self.half = true;
            return;
        };
        let id = id.as_deref().map(Text::of_json);
        self.pass_call(Call { id, name: Text::of_json(&name), arguments: arguments.into() }, push);
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
            let counted = Counts { output: push.metered.deltas, ..Counts::default() };
            self.encode(Event::Counts(counted), push);
        }
        self.encode(Event::Stop(reason), push);
    }
}

fn give(encoder: &mut Encoder, slot: Slot, text: Text<'_>, push: &mut Push<'_>) {
    let kind = if slot == Slot::Thinking { DeltaKind::Thinking } else { DeltaKind::Text };
    let event = Event::Delta(Delta { kind, text, logprobs: None });
    encoder.event(event, push.reply, push.out);
}
