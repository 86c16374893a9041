//! Decodes chat completions, whole or as a stream of chunks, into the neutral answer and neutral events, for clients of
//! other dialects.
//!
//! What it must remember: whether a chunk came yet, which block is open, which calls were begun (a fragment names its call
//! by index only, and some servers give every call the same), and how the answer ended: the reason comes before the counts,
//! and `[DONE]` after both.
//!
//! Never here: another client's dialect; the relay lane (`relay`), which needs no events.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::choice::{self, Choice, DEPTH_MAX, each_call};
use super::chunk::Form;
use super::relay;
use crate::error::UpstreamFault;
use crate::event::{Answer, Block, Call, CallHead, Counts, Decode, Delta, DeltaKind, Event, Read, Timings};
use crate::json::{Raw, Reader, Text, object_text, write};
use crate::reply::StopReason;

/// Calls of one answer; more are a model that repeats itself.
const CALLS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    begun: bool,
    open: Option<Open>,
    /// Calls begun so far, by index and id: fragments of an earlier one than the last are a fault.
    calls: Vec<(u64, Option<u64>)>,
    stop: Option<StopReason>,
    counts: Option<Counts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(u64),
}

impl Decode for Decoder {
    fn record(&mut self, bytes: &[u8], emit: &mut impl FnMut(Event<'_>)) -> Result<Read, UpstreamFault> {
        match bytes.trim_ascii() {
            b"" => Ok(Read::More),
            b"[DONE]" => self.done(emit).map(|()| Read::Done),
            json => self.chunk(json, emit).map(|()| Read::More),
        }
    }
}

impl Decoder {
    fn chunk(&mut self, json: &[u8], emit: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamFault> {
        let object = relay::object(json, |_| Ok(false))?;
        self.counts = object.usage.or(self.counts);
        let Some(choices) = object.choices else { return Ok(()) };
        if !std::mem::replace(&mut self.begun, true) {
            emit(Event::Start { created: object.created });
        }
        Reader::over(choices.as_str(), DEPTH_MAX).array(|reader, _| -> Result<(), UpstreamFault> {
            let choice = choice::read_delta(reader, Form::Chat)?;
            // One answer was asked for.
            if choice.index == 0 && self.stop.is_none() { self.choice(&choice, emit) } else { Ok(()) }
        })
    }

    fn choice(&mut self, choice: &Choice<'_>, emit: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamFault> {
        let says = |text: Option<Text<'_>>| text.is_some_and(|text| !text.is_empty());
        if let Some(text) = choice.reasoning.filter(|text| !text.is_empty()) {
            self.open(Open::Thinking, emit);
            emit(Event::Delta(Delta { kind: DeltaKind::Thinking, text, logprobs: None }));
        }
        // Why it will not answer is what it has to say, where a dialect knows no refusals.
        let text = choice.content.filter(|text| !text.is_empty()).or(choice.refusal);
        // Those of a call's own tokens belong to no text, and must not part its fragments.
        let lone_logprobs = choice.logprobs.is_some() && choice.calls.is_none();
        if says(text) || lone_logprobs {
            self.open(Open::Text, emit);
            let (text, logprobs) = (text.unwrap_or_default(), choice.logprobs);
            emit(Event::Delta(Delta { kind: DeltaKind::Text, text, logprobs }));
        }
        if let Some(calls) = choice.calls {
            self.fragments(calls, emit)?;
        }
        if let Some(stop) = choice.stop {
            self.close(emit);
            self.stop = Some(stop);
        }
        Ok(())
    }

    fn fragments(&mut self, calls: Raw<'_>, emit: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamFault> {
        each_call(calls, |position, call| {
            let index = call.index.unwrap_or(position);
            let id = call.id.filter(|id| !id.is_empty()).map(digest);
            if self.open != Some(Open::Call(index)) || self.is_another(&call, id) {
                self.begin_call(index, id, &call, emit)?;
            }
            match (call.arguments, call.object) {
                (Some(text), _) if text.is_empty() => {}
                (Some(text), _) => emit(Event::Arguments(text)),
                (None, Some(object)) => {
                    emit(Event::Arguments(Text::of_json(&write::escaped(object.as_str()))));
                }
                (None, None) => {}
            }
            Ok(())
        })
    }

    /// A whole head under the index of the call that is open: its id has not been seen, and it has a name.
    fn is_another(&self, call: &choice::Call<'_>, id: Option<u64>) -> bool {
        let named = call.name.is_some_and(|name| !name.is_empty());
        let known = self.calls.last().is_some_and(|(_, open)| open.is_none() || *open == id);
        named && id.is_some() && !known
    }

    fn begin_call(
        &mut self,
        index: u64,
        id: Option<u64>,
        call: &choice::Call<'_>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamFault> {
        let goes_on = |(begun, known): &(u64, Option<u64>)| *begun == index && (id.is_none() || *known == id);
        if self.calls.iter().any(goes_on) {
            return Err(UpstreamFault::protocol("a tool call goes on after another has begun"));
        }
        if self.calls.len() >= CALLS_MAX {
            return Err(UpstreamFault::protocol("more tool calls than an answer can have"));
        }
        let name = call.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| UpstreamFault::protocol("a tool call without a name"))?;
        self.calls.push((index, id));
        self.close(emit);
        self.open = Some(Open::Call(index));
        emit(Event::BlockStart(Block::Call(CallHead { id: call.id, name })));
        Ok(())
    }

    fn done(&mut self, emit: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamFault> {
        let Some(stop) = self.stop else {
            return Err(UpstreamFault::broken("[DONE] came before a finish reason"));
        };
        if let Some(counts) = self.counts {
            emit(Event::Counts(counts));
        }
        // vLLM ends a forced call with "stop".
        let stop =
            if stop == StopReason::Stop && !self.calls.is_empty() { StopReason::ToolCalls } else { stop };
        emit(Event::Stop(stop));
        Ok(())
    }

    fn open(&mut self, block: Open, emit: &mut impl FnMut(Event<'_>)) {
        if self.open == Some(block) {
            return;
        }
        self.close(emit);
        self.open = Some(block);
        emit(Event::BlockStart(if block == Open::Thinking { Block::Thinking } else { Block::Text }));
    }

    fn close(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        if self.open.take().is_some() {
            emit(Event::BlockStop);
        }
    }
}

/// Enough of an id to know it again.
fn digest(id: Text<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.raw().hash(&mut hasher);
    hasher.finish()
}

/// A whole answer; of several choices the first.
pub(crate) fn whole(body: &[u8]) -> Result<Answer<'_>, UpstreamFault> {
    let object = relay::object(body, |_| Ok(false))?;
    let choices = object.choices.filter(|choices| !choices.is_hollow());
    let choices = choices.ok_or_else(|| UpstreamFault::protocol("an answer without choices"))?;
    let mut first = None;
    Reader::over(choices.as_str(), DEPTH_MAX).array(|reader, position| -> Result<(), UpstreamFault> {
        let choice = choice::read_whole(reader, Form::Chat)?;
        first = first.or((position == 0).then_some(choice));
        Ok(())
    })?;
    let choice = first.unwrap_or_default();
    let Some(stop) = choice.stop else {
        return Err(UpstreamFault::broken("an answer without a finish reason"));
    };
    let mut calls = Vec::new();
    // A cut may fall into a call; what came of it is not to be run.
    let cut = matches!(stop, StopReason::Length | StopReason::ContentFilter);
    if let Some(list) = choice.calls {
        each_call(list, |_, call| {
            match whole_call(&call) {
                Ok(call) => calls.push(call),
                Err(_) if cut => {}
                Err(fault) => return Err(fault),
            }
            Ok(())
        })?;
    }
    let stop = if stop == StopReason::Stop && !calls.is_empty() { StopReason::ToolCalls } else { stop };
    Ok(Answer {
        created: object.created,
        thinking: choice.reasoning.filter(|text| !text.is_empty()),
        text: choice.content.filter(|text| !text.is_empty()).or(choice.refusal).unwrap_or_default(),
        calls,
        logprobs: choice.logprobs,
        counts: object.usage,
        timings: Timings::default(),
        stop,
    })
}

/// One without a name or an object of arguments ends the answer, for half a call is worse than none.
fn whole_call<'a>(call: &choice::Call<'a>) -> Result<Call<'a>, UpstreamFault> {
    let broken = || UpstreamFault::protocol("a tool call without a name or without an object of arguments");
    let name = call.name.filter(|name| !name.is_empty()).ok_or_else(broken)?;
    let text = call.arguments_text();
    let arguments = object_text(&text).ok_or_else(broken)?.to_owned();
    Ok(Call { id: call.id, name, arguments: arguments.into() })
}
