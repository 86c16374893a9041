//! One choice of an OpenAI-compatible server, a delta or a message, read and re-emitted: the relay lane's allow-list.
//!
//! Normalised on the way: the two names of the reasoning field, null where the schema wants text, ids that are missing.
//!
//! A choice of a completion is read into the same fields: its text is the content. It has no calls, and logprobs of its own.
//!
//! Never here: the order of chunks.

use std::borrow::Cow;

use super::chunk::{Form, closing};
use super::completions::choice::TextChoice;
use super::completions::logprobs::Spelt;
use crate::ending::{Allowance, tokens_in_delta};
use crate::error::UpstreamFault;
use crate::event::Logprobs;
use crate::json::{Broken, Kind, Raw, Reader, Text, write};
use crate::reply::{Reply, StopReason};

/// Deepest nesting accepted from an upstream.
pub(super) const DEPTH_MAX: usize = 100;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice<'a> {
    pub(super) index: u64,
    pub(super) content: Option<Text<'a>>,
    pub(super) reasoning: Option<Text<'a>>,
    pub(super) refusal: Option<Text<'a>>,
    pub(super) calls: Option<Raw<'a>>,
    pub(super) logprobs: Option<Logprobs<'a>>,
    /// The object of a completion, not looked into.
    pub(super) spelt: Option<Raw<'a>>,
    pub(super) stop: Option<StopReason>,
}

/// What of a choice may leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    pub(super) deltas: u64,
    pub(super) bytes: usize,
    /// Calls, or fragments of them.
    pub(super) calls: u64,
    /// Something was beyond the cap and is gone from the choice.
    pub(super) cut: bool,
}

impl Choice<'_> {
    /// Counts the choice's deltas in the order in which a model says them, and takes out what is beyond the cap.
    pub(super) fn admit(&mut self, allowance: &mut Allowance) -> Result<Admitted, UpstreamFault> {
        let mut admitted = Admitted { deltas: 0, bytes: 0, calls: 0, cut: false };
        for text in [&mut self.reasoning, &mut self.content, &mut self.refusal] {
            let length = text.map_or(0, |text| text.raw().len());
            if length == 0 {
                continue;
            }
            let tokens = tokens_in_delta(length);
            if !admitted.cut && allowance.admit(tokens, length) {
                admitted.deltas += tokens;
                admitted.bytes += length;
            } else {
                admitted.cut = true;
                *text = None;
            }
        }
        if let Some(list) = self.calls {
            each_call(list, |_, call| {
                let tokens = tokens_in_delta(call.length());
                if !admitted.cut && allowance.admit(tokens, call.length()) {
                    admitted.calls += 1;
                    admitted.deltas += tokens;
                    admitted.bytes += call.length();
                } else {
                    admitted.cut = true;
                }
                Ok(())
            })?;
        }
        if admitted.cut {
            self.calls = self.calls.filter(|_| admitted.calls > 0);
            self.logprobs = None;
            self.spelt = None;
            self.stop = None;
        }
        Ok(admitted)
    }

    pub(super) fn says_something(&self) -> bool {
        let texts = [self.content, self.reasoning, self.refusal];
        texts.iter().flatten().any(|text| !text.is_empty())
            || self.calls.is_some()
            || self.logprobs.is_some()
            || self.spelt.is_some()
            || self.stop.is_some()
    }
}

/// A choice of a chunk.
pub(super) fn read_delta<'a>(reader: &mut Reader<'a>, form: Form) -> Result<Choice<'a>, UpstreamFault> {
    read(reader, form, "delta")
}

/// A choice of a whole answer.
pub(super) fn read_whole<'a>(reader: &mut Reader<'a>, form: Form) -> Result<Choice<'a>, UpstreamFault> {
    read(reader, form, "message")
}

/// `inner` is the member that holds what a chat's choice says.
fn read<'a>(reader: &mut Reader<'a>, form: Form, inner: &str) -> Result<Choice<'a>, UpstreamFault> {
    let mut choice = Choice::default();
    let mut reason = None;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?, form) {
            ("index", Kind::Number, _) => choice.index = reader.number()?.parse().unwrap_or(u64::MAX),
            // Empty is null, as some servers write it.
            ("finish_reason", Kind::String, _) => {
                reason = Some(reader.string()?).filter(|reason| !reason.is_empty());
            }
            ("logprobs", Kind::Object, Form::Chat) => choice.logprobs = logprobs(reader)?,
            (key, Kind::Object, Form::Chat) if key == inner => content(reader, &mut choice)?,
            ("logprobs", Kind::Object, Form::Completion) => choice.spelt = Some(reader.raw()?),
            ("text", Kind::String, Form::Completion) => choice.content = Some(reader.string()?),
            // A member of our own: another gateway may be the server.
            ("reasoning", Kind::String, Form::Completion) => choice.reasoning = Some(reader.string()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    choice.stop = reason.map(|reason| stop_reason(reason, form)).transpose()?;
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

fn stop_reason(reason: Text<'_>, form: Form) -> Result<StopReason, UpstreamFault> {
    match reason.raw() {
        "length" => Ok(StopReason::Length),
        "tool_calls" | "function_call" if form == Form::Chat => Ok(StopReason::ToolCalls),
        "content_filter" => Ok(StopReason::ContentFilter),
        // vLLM's words for an answer that it gave up.
        "abort" | "error" => Err(UpstreamFault::broken("the upstream gave the answer up")),
        _ => Ok(StopReason::Stop),
    }
}

/// Writes a choice of a chunk.
pub(super) fn write_delta(
    choice: &Choice<'_>,
    opens: bool,
    calls_max: u64,
    reply: &Reply,
    out: &mut Vec<u8>,
) -> Result<(), UpstreamFault> {
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
    if let Some(calls) = choice.calls {
        write::comma(out, &mut first);
        write_calls(calls, calls_max, out)?;
    }
    out.push(b'}');
    closing(choice.logprobs, choice.stop, out);
    Ok(())
}

/// Writes a choice of a whole answer; `arguments` stand for those of its calls if a screen has passed them.
pub(super) fn write_whole(
    choice: &Choice<'_>,
    form: Form,
    arguments: Option<&[String]>,
    reply: &Reply,
    out: &mut Vec<u8>,
) -> Result<(), UpstreamFault> {
    if form == Form::Completion {
        write_text(choice, &mut 0, reply, out);
        return Ok(());
    }
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
    if let Some(calls) = choice.calls {
        out.extend_from_slice(b",\"tool_calls\":[");
        each_call(calls, |position, call| {
            out.extend_from_slice(if position == 0 { b"{" } else { b",{" });
            let passed = arguments.and_then(|list| list.get(usize::try_from(position).ok()?));
            whole_call(&call, passed.map(String::as_str), &reply.id, position, out);
            out.push(b'}');
            Ok(())
        })?;
        out.push(b']');
    }
    out.push(b'}');
    closing(choice.logprobs, choice.stop, out);
    Ok(())
}

/// A choice of a completion, whole or a piece of it. `offset`: characters of its tokens so far.
pub(super) fn write_text(choice: &Choice<'_>, offset: &mut u64, reply: &Reply, out: &mut Vec<u8>) {
    index(choice, out);
    out.extend_from_slice(b",\"text\":");
    let text = TextChoice {
        text: choice.content.unwrap_or_default(),
        thinking: choice.reasoning.filter(|text| !text.is_empty()),
        logprobs: choice.spelt.map_or(Spelt::Nothing, Spelt::Object),
        stop: choice.stop,
    };
    text.write(offset, reply, out);
}

/// A choice of a chunk that only ends.
pub(super) fn write_end(choice: &Choice<'_>, form: Form, reply: &Reply, out: &mut Vec<u8>) {
    if form == Form::Completion {
        return write_text(choice, &mut 0, reply, out);
    }
    index(choice, out);
    out.extend_from_slice(b",\"delta\":{}");
    closing(None, choice.stop, out);
}

fn index(choice: &Choice<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    write::number(out, choice.index);
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
#[derive(Clone, Copy, Default)]
pub(super) struct Call<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Option<Text<'a>>,
    /// Some servers give the object instead of its text.
    pub(super) object: Option<Raw<'a>>,
}

impl<'a> Call<'a> {
    fn length(&self) -> usize {
        let texts = [self.name, self.arguments].iter().flatten().map(|text| text.raw().len()).sum::<usize>();
        texts + self.object.map_or(0, |object| object.as_str().len())
    }

    /// The arguments as the text that they are or stand for.
    pub(super) fn arguments_text(&self) -> Cow<'a, str> {
        match (self.arguments, self.object) {
            (Some(text), _) => text.decode(),
            (None, Some(object)) => Cow::Borrowed(object.as_str()),
            (None, None) => Cow::Borrowed(""),
        }
    }
}

/// Walks calls or fragments of calls.
pub(super) fn each_call<'a>(
    list: Raw<'a>,
    mut each: impl FnMut(u64, Call<'a>) -> Result<(), UpstreamFault>,
) -> Result<(), UpstreamFault> {
    let mut position = 0;
    let mut reader = Reader::over(list.as_str(), DEPTH_MAX);
    reader.array(|reader, _| -> Result<(), UpstreamFault> {
        each(position, call(reader)?)?;
        position += 1;
        Ok(())
    })
}

fn write_calls(list: Raw<'_>, calls_max: u64, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
    out.extend_from_slice(b"\"tool_calls\":[");
    each_call(list, |position, call| {
        if position < calls_max {
            out.extend_from_slice(if position == 0 { b"{" } else { b",{" });
            fragment(&call, position, out);
            out.push(b'}');
        }
        Ok(())
    })?;
    out.push(b']');
    Ok(())
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

/// The members of a fragment's object.
pub(super) fn fragment(call: &Call<'_>, position: u64, out: &mut Vec<u8>) {
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

fn whole_call(call: &Call<'_>, passed: Option<&str>, id: &str, position: u64, out: &mut Vec<u8>) {
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
    match passed {
        Some(passed) => {
            out.extend_from_slice(b",\"arguments\":");
            write::string(out, passed);
        }
        None if call.arguments.is_none() && call.object.is_none() => {
            member("arguments", Text::default(), &mut first, out);
        }
        None => arguments(call, &mut first, out),
    }
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
