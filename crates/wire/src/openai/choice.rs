//! One choice of an OpenAI-compatible server, a delta or a message, read and re-emitted: the relay lane's allow-list.
//!
//! Normalised on the way: the two names of the reasoning field, null where the schema wants text, ids that are missing.
//!
//! Never here: the order of chunks.

use super::chunk::closing;
use crate::error::UpstreamFault;
use crate::event::Logprobs;
use crate::json::{Broken, Kind, Raw, Reader, Text, write};
use crate::reply::{Reply, StopReason};

/// Deepest nesting accepted from an upstream.
pub(super) const DEPTH_MAX: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    pub(super) index: u64,
    content: Option<Text<'a>>,
    reasoning: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    calls: Option<Raw<'a>>,
    logprobs: Option<Logprobs<'a>>,
    pub(super) stop: Option<StopReason>,
}

impl Choice<'_> {
    pub(super) fn says_something(&self) -> bool {
        let texts = [self.content, self.reasoning, self.refusal];
        texts.iter().flatten().any(|text| !text.is_empty())
            || self.calls.is_some()
            || self.logprobs.is_some()
            || self.stop.is_some()
    }
}

/// `inner` is the member that holds the content: `delta` or `message`.
pub(super) fn read<'a>(reader: &mut Reader<'a>, inner: &str) -> Result<Choice<'a>, UpstreamFault> {
    let mut choice = Choice::default();
    let mut reason = None;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("index", Kind::Number) => choice.index = reader.number()?.parse().unwrap_or(u64::MAX),
            ("logprobs", Kind::Object) => choice.logprobs = logprobs(reader)?,
            ("finish_reason", Kind::String) => reason = Some(reader.string()?),
            (key, Kind::Object) if key == inner => content(reader, &mut choice)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    choice.stop = reason.map(stop_reason).transpose()?;
    Ok(choice)
}

fn content<'a>(reader: &mut Reader<'a>, choice: &mut Choice<'a>) -> Result<(), Broken> {
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("content", Kind::String) => choice.content = Some(reader.string()?),
            ("refusal", Kind::String) => choice.refusal = Some(reader.string()?),
            // A server that sends both means the same by both; an empty one does not hide the other.
            ("reasoning" | "reasoning_content", Kind::String) => {
                let text = Some(reader.string()?).filter(|text| !text.is_empty());
                choice.reasoning = choice.reasoning.or(text);
            }
            ("tool_calls", Kind::Array) => {
                choice.calls = Some(reader.raw()?).filter(|calls| !calls.is_hollow());
            }
            _ => reader.skip()?,
        }
        Ok(())
    })
}

fn logprobs<'a>(reader: &mut Reader<'a>) -> Result<Option<Logprobs<'a>>, Broken> {
    let mut list = None;
    reader.object(|reader, key| {
        if key.raw() == "content" && reader.kind()? == Kind::Array {
            list = Some(Logprobs(reader.raw()?));
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(list)
}

fn stop_reason(reason: Text<'_>) -> Result<StopReason, UpstreamFault> {
    match reason.raw() {
        "length" => Ok(StopReason::Length),
        "tool_calls" | "function_call" => Ok(StopReason::ToolCalls),
        "content_filter" => Ok(StopReason::ContentFilter),
        // vLLM's words for an answer that it gave up.
        "abort" | "error" => Err(UpstreamFault::broken("the upstream gave the answer up")),
        _ => Ok(StopReason::Stop),
    }
}

/// Writes a choice of a chunk and says how many deltas it held.
pub(super) fn write_delta(
    choice: &Choice<'_>,
    opens: bool,
    reply: &Reply,
    out: &mut Vec<u8>,
) -> Result<u64, UpstreamFault> {
    index(choice, out);
    out.extend_from_slice(b",\"delta\":{");
    let mut first = true;
    if opens {
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":");
        write::text(out, choice.content.unwrap_or_default());
        first = false;
    } else if let Some(text) = choice.content {
        member("content", text, &mut first, out);
    }
    if let Some(text) = choice.refusal {
        member("refusal", text, &mut first, out);
    }
    reasoning(choice, reply, &mut first, out);
    let mut deltas = texts(choice);
    if let Some(calls) = choice.calls {
        write::comma(out, &mut first);
        deltas += write_calls(calls, None, out)?;
    }
    out.push(b'}');
    closing(choice.logprobs, choice.stop, out);
    Ok(deltas)
}

/// Writes a choice of a whole answer and says how many pieces it held.
pub(super) fn write_message(
    choice: &Choice<'_>,
    reply: &Reply,
    out: &mut Vec<u8>,
) -> Result<u64, UpstreamFault> {
    index(choice, out);
    out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
    match choice.content.filter(|text| !text.is_empty()) {
        None if choice.calls.is_some() => out.extend_from_slice(b"null"),
        text => write::text(out, text.unwrap_or_default()),
    }
    out.extend_from_slice(b",\"refusal\":");
    match choice.refusal {
        Some(text) => write::text(out, text),
        None => out.extend_from_slice(b"null"),
    }
    reasoning(choice, reply, &mut false, out);
    let mut deltas = texts(choice);
    if let Some(calls) = choice.calls {
        out.push(b',');
        deltas += write_calls(calls, Some(&reply.id), out)?;
    }
    out.push(b'}');
    closing(choice.logprobs, choice.stop, out);
    Ok(deltas)
}

fn index(choice: &Choice<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    write::number(out, choice.index);
}

fn texts(choice: &Choice<'_>) -> u64 {
    [choice.content, choice.reasoning].iter().flatten().map(|text| u64::from(!text.is_empty())).sum()
}

fn reasoning(choice: &Choice<'_>, reply: &Reply, first: &mut bool, out: &mut Vec<u8>) {
    if let Some(text) = choice.reasoning {
        member("reasoning", text, first, out);
        if reply.reasoning_alias {
            member("reasoning_content", text, first, out);
        }
    }
}

fn member(key: &str, text: Text<'_>, first: &mut bool, out: &mut Vec<u8>) {
    write::comma(out, first);
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    write::text(out, text);
}

/// A call, or a fragment of one.
#[derive(Default)]
struct Call<'a> {
    index: Option<u64>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    arguments: Option<Text<'a>>,
    /// Some servers give the object instead of its text.
    object: Option<Raw<'a>>,
}

/// `whole`: calls of a whole answer carry no index and must have an id; this is what one is made from.
fn write_calls(list: Raw<'_>, whole: Option<&str>, out: &mut Vec<u8>) -> Result<u64, UpstreamFault> {
    out.extend_from_slice(b"\"tool_calls\":[");
    let mut count = 0;
    let mut reader = Reader::over(list.as_str(), DEPTH_MAX);
    reader.array(|reader, _| -> Result<(), UpstreamFault> {
        out.extend_from_slice(if count == 0 { b"{" } else { b",{" });
        let call = call(reader)?;
        match whole {
            Some(id) => whole_call(&call, id, count, out),
            None => fragment(&call, count, out),
        }
        out.push(b'}');
        count += 1;
        Ok(())
    })?;
    out.push(b']');
    Ok(count)
}

fn call<'a>(reader: &mut Reader<'a>) -> Result<Call<'a>, Broken> {
    let mut call = Call::default();
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("index", Kind::Number) => call.index = reader.number()?.parse().ok(),
            ("id", Kind::String) => call.id = Some(reader.string()?).filter(|id| !id.is_empty()),
            ("function", Kind::Object) => {
                reader.object(|reader, key| function(reader, key.raw(), &mut call))?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(call)
}

fn function<'a>(reader: &mut Reader<'a>, key: &str, call: &mut Call<'a>) -> Result<(), Broken> {
    match (key, reader.kind()?) {
        ("name", Kind::String) => call.name = Some(reader.string()?),
        ("arguments", Kind::String) => call.arguments = Some(reader.string()?),
        ("arguments", Kind::Object) => call.object = Some(reader.raw()?),
        _ => reader.skip()?,
    }
    Ok(())
}

fn fragment(call: &Call<'_>, position: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"index\":");
    write::number(out, call.index.unwrap_or(position));
    if let Some(id) = call.id {
        out.extend_from_slice(b",\"id\":");
        write::text(out, id);
        out.extend_from_slice(b",\"type\":\"function\"");
    }
    out.extend_from_slice(b",\"function\":{");
    let mut first = true;
    if let Some(name) = call.name {
        member("name", name, &mut first, out);
    }
    arguments(call, &mut first, out);
    out.push(b'}');
}

fn whole_call(call: &Call<'_>, id: &str, position: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"id\":");
    match call.id {
        Some(id) => write::text(out, id),
        None => {
            out.extend_from_slice(b"\"call_");
            write::escape(out, id);
            out.push(b'_');
            write::number(out, position);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"type\":\"function\",\"function\":{");
    let mut first = true;
    member("name", call.name.unwrap_or_default(), &mut first, out);
    if call.arguments.is_none() && call.object.is_none() {
        member("arguments", Text::default(), &mut first, out);
    }
    arguments(call, &mut first, out);
    out.push(b'}');
}

fn arguments(call: &Call<'_>, first: &mut bool, out: &mut Vec<u8>) {
    if let Some(text) = call.arguments {
        member("arguments", text, first, out);
    } else if let Some(object) = call.object {
        write::comma(out, first);
        out.extend_from_slice(b"\"arguments\":");
        write::string(out, object.as_str());
    }
}
