//! One object of Ollama's, of a chat or of a generated text: a line of a stream, or a whole answer.
//!
//! Never here: what follows from it for a client.

use super::time::unix_seconds;
use crate::error::UpstreamFault;
use crate::event::{Call, Counts, Logprobs, Timings};
use crate::json::{Broken, Kind, Raw, Reader, Text};
use crate::reply;

/// Deepest nesting accepted from an upstream: calls hold arguments of the model's making.
const DEPTH_MAX: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) created: Option<u64>,
    pub(super) thinking: Text<'a>,
    pub(super) content: Text<'a>,
    /// The array of calls, walked by [`calls`].
    pub(super) calls: Option<Raw<'a>>,
    pub(super) logprobs: Option<Logprobs<'a>>,
    pub(super) done: bool,
    pub(super) done_reason: Text<'a>,
    pub(super) counts: Option<Counts>,
    pub(super) timings: Timings,
    /// The line is a failure with this text.
    pub(super) error: Option<Text<'a>>,
}

/// `want_time`: the time costs a parse, and only the first line's counts.
pub(super) fn read(bytes: &[u8], want_time: bool) -> Result<Line<'_>, UpstreamFault> {
    let mut reader = Reader::new(bytes, DEPTH_MAX)?;
    let mut line = Line::default();
    let mut counts = (None, None);
    reader.object(|reader, key| -> Result<(), Broken> {
        match key.raw() {
            "created_at" if want_time => line.created = string(reader)?.and_then(unix_seconds),
            "message" => message(reader, &mut line)?,
            "done" if reader.kind()? == Kind::Bool => line.done = reader.boolean()?,
            "done_reason" => line.done_reason = string(reader)?.unwrap_or_default(),
            "logprobs" => line.logprobs = list(reader)?.map(Logprobs),
            // A generated text has at the top what a chat has in its message.
            "response" => line.content = string(reader)?.unwrap_or_default(),
            "thinking" => line.thinking = string(reader)?.unwrap_or_default(),
            "tool_calls" => line.calls = list(reader)?,
            "total_duration" => line.timings.total = nanos(reader)?,
            "load_duration" => line.timings.load = nanos(reader)?,
            "prompt_eval_duration" => line.timings.prompt = nanos(reader)?,
            "eval_duration" => line.timings.output = nanos(reader)?,
            "prompt_eval_count" => counts.0 = count(reader)?,
            "eval_count" => counts.1 = count(reader)?,
            "error" => line.error = Some(string(reader)?.unwrap_or_default()),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    // Both vanish when zero: one alone still is a statement.
    line.counts = match counts {
        (None, None) => None,
        (prompt, output) => {
            Some(Counts { prompt: prompt.unwrap_or(0), output: output.unwrap_or(0), ..Counts::default() })
        }
    };
    Ok(line)
}

fn message<'a>(reader: &mut Reader<'a>, line: &mut Line<'a>) -> Result<(), Broken> {
    if reader.kind()? != Kind::Object {
        return reader.skip();
    }
    reader.object(|reader, key| {
        match key.raw() {
            "content" => line.content = string(reader)?.unwrap_or_default(),
            "thinking" => line.thinking = string(reader)?.unwrap_or_default(),
            "tool_calls" => line.calls = list(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })
}

/// Walks the calls; one without a name or an object of arguments ends the answer, for half a call is worse than none.
pub(super) fn calls<'a>(list: Raw<'a>, mut each: impl FnMut(Call<'a>)) -> Result<(), UpstreamFault> {
    let mut reader = Reader::over(list.as_str(), DEPTH_MAX);
    reader.array(|reader, _| {
        let mut id = None;
        let mut function = (None, None);
        reader.object(|reader, key| -> Result<(), Broken> {
            match key.raw() {
                "id" => id = string(reader)?.filter(|id| !id.is_empty()),
                "function" => function = called(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        match function {
            (Some(name), Some(arguments)) => {
                each(Call { id, name, arguments: arguments.into() });
                Ok(())
            }
            _ => Err(UpstreamFault::protocol("a tool call without a name or without an object of arguments")),
        }
    })
}

/// A call of nothing has no arguments, or null, in some releases.
fn called<'a>(reader: &mut Reader<'a>) -> Result<(Option<Text<'a>>, Option<&'a str>), Broken> {
    let mut function = (None, Some("{}"));
    reader.object(|reader, key| -> Result<(), Broken> {
        match key.raw() {
            "name" => function.0 = string(reader)?,
            "arguments" => {
                function.1 = match reader.kind()? {
                    Kind::Object => Some(reader.raw()?.as_str()),
                    Kind::Null => reader.null().map(|()| function.1)?,
                    _ => reader.skip().map(|()| None)?,
                };
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(function)
}

pub(super) fn string<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, Broken> {
    if reader.kind()? == Kind::String { reader.string().map(Some) } else { reader.skip().map(|()| None) }
}

fn list<'a>(reader: &mut Reader<'a>) -> Result<Option<Raw<'a>>, Broken> {
    let is_list = reader.kind()? == Kind::Array;
    let raw = reader.raw()?;
    Ok(Some(raw).filter(|raw| is_list && !raw.is_hollow()))
}

pub(super) fn count(reader: &mut Reader<'_>) -> Result<Option<u64>, Broken> {
    if reader.kind()? == Kind::Number {
        Ok(reply::count(reader.number()?))
    } else {
        reader.skip().map(|()| None)
    }
}

pub(super) fn nanos(reader: &mut Reader<'_>) -> Result<Option<u64>, Broken> {
    if reader.kind()? == Kind::Number {
        Ok(reader.number()?.parse().ok())
    } else {
        reader.skip().map(|()| None)
    }
}
