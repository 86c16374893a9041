//! A whole answer, from an upstream's bytes to a client's.
//!
//! Never here: streams.

use super::vectors;
use crate::ending::tokens_in_whole;
use crate::error::UpstreamFault;
use crate::event::{Answer, Call, Counts};
use crate::format::{Format, Operation};
use crate::json::write::escaped;
use crate::json::{Text, object_text};
use crate::lanes::{Cell, Lane};
use crate::reply::{Metered, Reply, StopReason};
use crate::screen::{Channel, Screen, Verdict};
use crate::screened::whole;
use crate::{ollama, openai};

/// Turns a whole (non-stream) upstream answer into the client's. With a screen, all text passes through it in the order of
/// a stream, and logprobs, which spell the text, are left out.
pub fn read_answer(
    cell: Cell,
    reply: &Reply,
    screen: Option<&mut dyn Screen>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Metered, UpstreamFault> {
    let upstream_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let metered = match (cell.lane, cell.upstream, cell.asked) {
        (_, _, Operation::Embed) => vectors::answer(cell, reply, body, out)?,
        (Lane::Relay, ..) => openai::relay::whole(cell.operation, reply, screen, body, out)?,
        (Lane::Translate, Format::OpenAi, _) => told(cell, &openai::decode::whole(body)?, reply, screen, out),
        (Lane::Translate, ..) => told(cell, &ollama::answer::read(body)?, reply, screen, out),
    };
    Ok(Metered { upstream_bytes, ..metered })
}

/// What Ollama answers to an empty question ([`ModelRequest::is_load`](crate::ModelRequest::is_load)), streamed or not.
pub fn write_loaded(operation: Operation, reply: &Reply, unloaded: bool, out: &mut Vec<u8>) {
    ollama::client::load::write(operation, reply, unloaded, out);
}

/// Counts an answer, lets it through the screen, and writes what is left of it.
fn told(
    cell: Cell,
    answer: &Answer<'_>,
    reply: &Reply,
    screen: Option<&mut dyn Screen>,
    out: &mut Vec<u8>,
) -> Metered {
    let calls = answer.calls.iter().map(|call| call.name.raw().len() + call.arguments.len());
    let texts = [answer.text.raw().len(), answer.thinking.map_or(0, |text| text.raw().len())];
    let deltas = tokens_in_whole(calls.chain(texts).sum());
    let stop = match screen {
        None => {
            write(cell, answer, reply, out);
            answer.stop
        }
        Some(screen) => screened(cell, answer, screen, reply, out),
    };
    Metered { usage: answer.counts.map(Counts::metered), deltas, stop: Some(stop), ..Metered::default() }
}

/// In the client's format.
fn write(cell: Cell, answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) {
    match (cell.client, cell.operation) {
        (Format::OpenAi, Operation::Complete) => openai::completions::answer::write(answer, reply, out),
        (Format::Ollama, operation) => ollama::client::answer::write(answer, operation, reply, out),
        _ => openai::answer::write(answer, reply, out),
    }
}

fn screened(
    cell: Cell,
    answer: &Answer<'_>,
    screen: &mut dyn Screen,
    reply: &Reply,
    out: &mut Vec<u8>,
) -> StopReason {
    let mut stopped = false;
    let mut pass = |channel, text: &str| {
        if stopped {
            return String::new();
        }
        let (passed, verdict) = whole(screen, channel, text);
        stopped = verdict == Verdict::Stop;
        passed
    };
    let thinking = pass(Channel::Thinking, &answer.thinking.unwrap_or_default().decode());
    let text = pass(Channel::Text, &answer.text.decode());
    // JSON of its own there, not text in a string: what is no object any more cannot be told.
    let wants_objects = cell.client == Format::Ollama;
    let mut broken = false;
    let mut arguments = Vec::with_capacity(answer.calls.len());
    for (place, call) in (0u32..).zip(&answer.calls) {
        let passed = pass(Channel::Arguments(place), &call.arguments);
        let object = object_text(&passed).filter(|_| wants_objects).map(str::to_owned);
        broken |= wants_objects && object.is_none();
        arguments.push(object.unwrap_or(passed));
    }
    let stopped = stopped || broken;
    let (thinking, text) = (escaped(&thinking), escaped(&text));
    let thinking = Some(Text::of_json(&thinking)).filter(|text| !text.is_empty());
    let stop = if stopped { StopReason::ContentFilter } else { answer.stop };
    // An answer that was stopped is not to be acted on.
    let calls = answer.calls.iter().zip(&arguments).filter(|_| !stopped);
    let calls = calls.map(|(call, passed)| Call { arguments: passed.into(), ..call.clone() }).collect();
    let text = Text::of_json(&text);
    write(cell, &Answer { thinking, text, calls, logprobs: None, stop, ..*answer }, reply, out);
    stop
}
