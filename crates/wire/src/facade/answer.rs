//! A whole answer, from an upstream's bytes to a client's.
//!
//! Never here: streams.

use crate::ending::tokens_in_whole;
use crate::error::UpstreamFault;
use crate::event::{Answer, Call};
use crate::format::Format;
use crate::json::{Text, write};
use crate::lanes::Lane;
use crate::reply::{Metered, Reply, StopReason};
use crate::screen::{Channel, Screen, Verdict};
use crate::screened::whole;
use crate::{ollama, openai};

/// Turns a whole (non-stream) upstream answer into the client's. With a screen, all text passes through it in the order of
/// a stream, and logprobs, which spell the text, are left out.
pub fn read_answer(
    lane: Lane,
    client: Format,
    upstream: Format,
    reply: &Reply,
    screen: Option<&mut dyn Screen>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Metered, UpstreamFault> {
    let upstream_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    match (lane, client, upstream) {
        (Lane::Translate, Format::OpenAi, Format::Ollama) => {
            let answer = ollama::answer::read(body)?;
            let calls = answer.calls.iter().map(|call| call.name.raw().len() + call.arguments.len());
            let texts = [answer.text.raw().len(), answer.thinking.map_or(0, |text| text.raw().len())];
            let deltas = tokens_in_whole(calls.chain(texts).sum());
            let usage = answer.usage;
            let stop = match screen {
                None => written(&answer, reply, out),
                Some(screen) => screened(&answer, screen, reply, out),
            };
            Ok(Metered { usage, deltas, upstream_bytes, stop: Some(stop) })
        }
        (Lane::Relay, Format::OpenAi, Format::OpenAi) => {
            let metered = openai::relay::whole(reply, screen, body, out)?;
            Ok(Metered { upstream_bytes, ..metered })
        }
        _ => Err(UpstreamFault::protocol("no translation between these formats")),
    }
}

fn written(answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) -> StopReason {
    openai::answer::write(answer, reply, out);
    answer.stop
}

fn screened(answer: &Answer<'_>, screen: &mut dyn Screen, reply: &Reply, out: &mut Vec<u8>) -> StopReason {
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
    let mut arguments = Vec::with_capacity(answer.calls.len());
    for (place, call) in (0u32..).zip(&answer.calls) {
        let passed = pass(Channel::Arguments(place), call.arguments);
        arguments.push(passed);
    }
    let (thinking, text) = (write::escaped(&thinking), write::escaped(&text));
    let thinking = Some(Text::of_json(&thinking)).filter(|text| !text.is_empty());
    let stop = if stopped { StopReason::ContentFilter } else { answer.stop };
    // An answer that was stopped is not to be acted on.
    let calls = answer.calls.iter().zip(&arguments).filter(|_| !stopped);
    let calls = calls.map(|(call, passed)| Call { arguments: passed, ..*call }).collect();
    let text = Text::of_json(&text);
    openai::answer::write(&Answer { thinking, text, calls, logprobs: None, stop, ..*answer }, reply, out);
    stop
}
