//! The relay lane's way back: events of an OpenAI-compatible server, re-emitted field by field.
//!
//! Why not copied: the bytes hold the upstream's model name, its ids, its own extensions, and errors in its own shape.
//! What it must remember: the frame of our chunks, which choices have their role, the last usage, whether an end came.
//!
//! Never here: a field that is not on the allow-list (`choice` has it).

use super::choice::{self, Choice, DEPTH_MAX};
use super::chunk::{Counts, DONE, Frame, opening};
use super::error;
use crate::error::UpstreamFault;
use crate::frame::sse;
use crate::json::{Broken, Kind, Raw, Reader};
use crate::reply::{Metered, Reply, Usage};

#[derive(Debug)]
pub(crate) struct Relay {
    events: sse::Decoder,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    frame: Frame,
    /// One bit a choice: its role was sent.
    roles: u128,
    /// One bit a choice: it had a delta and has no finish reason yet.
    unfinished: u128,
    usage: Option<Counts>,
}

impl Relay {
    pub(crate) fn new(event_bytes_max: usize) -> Self {
        Self { events: sse::Decoder::new(event_bytes_max), state: State::default() }
    }

    /// Whether the proper end was reached. `None`: the upstream closed.
    pub(crate) fn feed(
        &mut self,
        bytes: Option<&[u8]>,
        reply: &Reply,
        metered: &mut Metered,
        out: &mut Vec<u8>,
    ) -> Result<bool, UpstreamFault> {
        let Self { events, state } = self;
        let Some(mut bytes) = bytes else {
            return match events.end() {
                Some(sse::Item::Data { data, .. }) => state.data(data, reply, metered, out),
                _ => Ok(false),
            };
        };
        while let Some(item) = events.next(&mut bytes) {
            if let sse::Item::Data { data, .. } = item?
                && state.data(data, reply, metered, out)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl State {
    fn data(
        &mut self,
        data: &[u8],
        reply: &Reply,
        metered: &mut Metered,
        out: &mut Vec<u8>,
    ) -> Result<bool, UpstreamFault> {
        match data.trim_ascii() {
            b"" => Ok(false),
            b"[DONE]" => self.done(reply, out).map(|()| true),
            json => {
                let mark = out.len();
                self.chunk(json, reply, metered, out).inspect_err(|_| out.truncate(mark))?;
                Ok(false)
            }
        }
    }

    fn done(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.roles == 0 || self.unfinished != 0 {
            return Err(UpstreamFault::broken("[DONE] came before a finish reason"));
        }
        if let Some(counts) = self.usage.filter(|_| reply.include_usage) {
            counts.chunk(&self.frame, out);
        }
        out.extend_from_slice(DONE);
        Ok(())
    }

    fn chunk(
        &mut self,
        json: &[u8],
        reply: &Reply,
        metered: &mut Metered,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let object = object(json)?;
        if let Some(counts) = object.usage {
            self.usage = Some(counts);
            metered.usage = Some(counts.metered());
        }
        let Some(choices) = object.choices else { return Ok(()) };
        if !self.frame.is_set() {
            self.frame.set(reply, object.created);
        }
        let mut written = false;
        let mark = out.len();
        self.frame.open(out);
        let mut reader = Reader::over(choices.as_str(), DEPTH_MAX);
        reader.array(|reader, _| -> Result<(), UpstreamFault> {
            let choice = choice::read(reader, "delta")?;
            let opens = self.track(&choice)?;
            if opens || choice.says_something() {
                if std::mem::replace(&mut written, true) {
                    out.push(b',');
                }
                metered.deltas += choice::write_delta(&choice, opens, reply, out)?;
                metered.stop = choice.stop.or(metered.stop);
            }
            Ok(())
        })?;
        if written {
            Frame::close(out);
        } else {
            out.truncate(mark);
        }
        Ok(())
    }

    /// Whether this is the choice's first delta, which carries the role.
    fn track(&mut self, choice: &Choice<'_>) -> Result<bool, UpstreamFault> {
        let bit = u32::try_from(choice.index).ok().and_then(|index| 1u128.checked_shl(index));
        let bit = bit.ok_or_else(|| UpstreamFault::protocol("a choice's index is out of bounds"))?;
        let opens = self.roles & bit == 0;
        self.roles |= bit;
        if choice.stop.is_some() {
            self.unfinished &= !bit;
        } else if opens {
            self.unfinished |= bit;
        }
        Ok(opens)
    }
}

/// The members of a chunk or of a whole answer that may pass.
struct Object<'a> {
    created: Option<u64>,
    choices: Option<Raw<'a>>,
    usage: Option<Counts>,
}

/// Fails when the object is an error of whatever shape.
fn object(json: &[u8]) -> Result<Object<'_>, UpstreamFault> {
    let mut object = Object { created: None, choices: None, usage: None };
    let mut is_error = false;
    let mut reader = Reader::new(json, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("created", Kind::Number) => object.created = reader.number()?.parse().ok(),
            ("choices", Kind::Array) => object.choices = Some(reader.raw()?),
            ("usage", Kind::Object) => object.usage = Some(counts(reader)?),
            ("error", Kind::Object | Kind::String) => {
                is_error = true;
                reader.skip()?;
            }
            ("object", Kind::String) => is_error |= reader.string()?.raw() == "error",
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    if is_error {
        return Err(error::in_stream(json).unwrap_or_else(|| UpstreamFault::protocol("an error object")));
    }
    Ok(object)
}

impl Counts {
    fn metered(self) -> Usage {
        Usage { prompt_tokens: self.prompt, output_tokens: self.output }
    }
}

fn counts(reader: &mut Reader<'_>) -> Result<Counts, Broken> {
    let mut counts = Counts::default();
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("prompt_tokens", Kind::Number) => counts.prompt = reader.number()?.parse().unwrap_or(0),
            ("completion_tokens", Kind::Number) => counts.output = reader.number()?.parse().unwrap_or(0),
            ("prompt_tokens_details", Kind::Object) => counts.cached = detail(reader, "cached_tokens")?,
            ("completion_tokens_details", Kind::Object) => {
                counts.reasoning = detail(reader, "reasoning_tokens")?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(counts)
}

fn detail(reader: &mut Reader<'_>, name: &str) -> Result<Option<u64>, Broken> {
    let mut found = None;
    reader.object(|reader, key| -> Result<(), Broken> {
        if key.raw() == name && reader.kind()? == Kind::Number {
            found = reader.number()?.parse().ok();
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(found)
}

/// A whole answer.
pub(crate) fn whole(reply: &Reply, body: &[u8], out: &mut Vec<u8>) -> Result<Metered, UpstreamFault> {
    let mark = out.len();
    rewrite(reply, body, out).inspect_err(|_| out.truncate(mark))
}

fn rewrite(reply: &Reply, body: &[u8], out: &mut Vec<u8>) -> Result<Metered, UpstreamFault> {
    let object = object(body)?;
    let choices = object.choices.filter(|choices| !choices.is_hollow());
    let choices = choices.ok_or_else(|| UpstreamFault::protocol("an answer without choices"))?;
    let mut metered = Metered { usage: object.usage.map(Counts::metered), ..Metered::default() };
    opening(reply, "chat.completion", object.created, out);
    out.extend_from_slice(b"\"choices\":[");
    let mut reader = Reader::over(choices.as_str(), DEPTH_MAX);
    reader.array(|reader, position| -> Result<(), UpstreamFault> {
        if position > 0 {
            out.push(b',');
        }
        let choice = choice::read(reader, "message")?;
        if choice.stop.is_none() {
            return Err(UpstreamFault::broken("an answer without a finish reason"));
        }
        metered.deltas += choice::write_message(&choice, reply, out)?;
        metered.stop = choice.stop;
        Ok(())
    })?;
    out.push(b']');
    if let Some(counts) = object.usage {
        out.extend_from_slice(b",\"usage\":");
        counts.write(out);
    }
    out.push(b'}');
    Ok(metered)
}
