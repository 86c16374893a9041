//! The relay lane's way back: events of an OpenAI-compatible server, re-emitted field by field.
//!
//! Why not copied: the bytes hold the upstream's model name, its ids, its own extensions, and errors in its own shape.
//! What was sent so far is kept by the `outlet`.
//!
//! Never here: a field that is not on the allow-list (`choice` has it).

use super::choice::{self, DEPTH_MAX};
use super::chunk::{Form, Frame, opening_whole};
use super::error;
use super::outlet::{Outlet, Push};
use super::screening::{self, Screening};
use crate::ending::{Allowance, Reached, tokens_in_whole};
use crate::error::{ErrorBody, UpstreamFault};
use crate::event::Counts;
use crate::format::Operation;
use crate::frame::sse;
use crate::json::{Broken, Kind, Raw, Reader};
use crate::reply::{self, Metered, Reply, StopReason};
use crate::screen::Screen;

#[derive(Debug)]
pub(crate) struct Relay {
    events: sse::Decoder,
    outlet: Outlet,
    screening: Option<Screening>,
}

impl Relay {
    pub(crate) fn new(operation: Operation, reply: &Reply, screen: Option<Box<dyn Screen>>) -> Self {
        Self {
            events: sse::Decoder::new(reply.line_bytes_max),
            outlet: Outlet::new(Form::of(operation), reply),
            screening: screen.map(Screening::new),
        }
    }

    pub(crate) fn heartbeat(&self, out: &mut Vec<u8>) {
        sse::comment("keepalive", out);
    }

    pub(crate) fn fail(&self, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        error::write_event(error, out);
    }

    /// `None`: the upstream closed.
    pub(crate) fn feed(
        &mut self,
        bytes: Option<&[u8]>,
        reply: &Reply,
        metered: &mut Metered,
        out: &mut Vec<u8>,
    ) -> Result<Reached, UpstreamFault> {
        let Self { events, outlet, screening } = self;
        let push = Push { reply, metered, out };
        let mut relaying = Relaying { outlet, screening, push };
        let Some(mut bytes) = bytes else {
            return match events.end() {
                Some(sse::Item::Data { data, .. }) => relaying.data(data),
                _ => Ok(Reached::More),
            };
        };
        while let Some(item) = events.next(&mut bytes) {
            if let sse::Item::Data { data, .. } = item? {
                let reached = relaying.data(data)?;
                if reached != Reached::More {
                    return Ok(reached);
                }
            }
        }
        Ok(Reached::More)
    }
}

/// One push.
struct Relaying<'p> {
    outlet: &'p mut Outlet,
    screening: &'p mut Option<Screening>,
    push: Push<'p>,
}

impl Relaying<'_> {
    fn data(&mut self, data: &[u8]) -> Result<Reached, UpstreamFault> {
        match data.trim_ascii() {
            b"" => Ok(Reached::More),
            b"[DONE]" => self.outlet.done(&mut self.push).map(|()| Reached::End),
            json => {
                let mark = self.push.out.len();
                let read = self.chunk(json);
                let cut = read.inspect_err(|_| self.push.out.truncate(mark))?;
                let Some(reason) = cut else { return Ok(Reached::More) };
                self.outlet.cut(reason, &mut self.push);
                Ok(Reached::Cut)
            }
        }
    }

    /// Why the answer ends here, if it does.
    fn chunk(&mut self, json: &[u8]) -> Result<Option<StopReason>, UpstreamFault> {
        let mut cut = None;
        // Once the frame stands, choices are written as they are read; before, it takes the whole object to know the time.
        let begun = self.outlet.frame.is_set();
        let object = object(json, |reader| {
            match cut {
                None if begun => cut = self.choices(reader)?,
                // A second list after the end.
                Some(_) => reader.skip()?,
                None => {}
            }
            Ok(begun)
        })?;
        if let Some(counts) = object.usage {
            self.outlet.usage = Some(counts);
            self.push.metered.usage = Some(counts.metered());
        }
        if let Some(choices) = object.choices {
            self.outlet.frame.set(self.push.reply, object.created);
            cut = self.choices(&mut Reader::over(choices.as_str(), DEPTH_MAX))?;
        }
        Ok(cut)
    }

    fn choices(&mut self, reader: &mut Reader<'_>) -> Result<Option<StopReason>, UpstreamFault> {
        let Self { outlet, screening, push } = self;
        if let Some(screening) = screening {
            return screening.choices(reader, outlet, push);
        }
        let form = outlet.frame.form();
        let mut written = false;
        let mut cut = None;
        let mark = push.out.len();
        outlet.frame.open(push.out);
        reader.array(|reader, _| -> Result<(), UpstreamFault> {
            let mut choice = choice::read_delta(reader, form)?;
            if cut.is_some() {
                return Ok(());
            }
            let admitted = choice.admit(&mut outlet.allowance)?;
            let opens = outlet.track(&choice)?;
            push.metered.deltas += admitted.deltas;
            cut = admitted.cut.then_some(StopReason::Length);
            if opens || choice.says_something() {
                if std::mem::replace(&mut written, true) {
                    push.out.push(b',');
                }
                match form {
                    Form::Chat => {
                        choice::write_delta(&choice, opens, admitted.calls, push.reply, push.out)?;
                    }
                    Form::Completion => {
                        choice::write_text(&choice, outlet.offset(&choice), push.reply, push.out);
                    }
                }
                push.metered.stop = choice.stop.or(push.metered.stop);
            }
            Ok(())
        })?;
        if written {
            Frame::close(push.out);
        } else {
            push.out.truncate(mark);
        }
        Ok(cut)
    }
}

/// The members of a chunk or of a whole answer that may pass.
pub(super) struct Object<'a> {
    pub(super) created: Option<u64>,
    pub(super) choices: Option<Raw<'a>>,
    pub(super) usage: Option<Counts>,
}

/// Fails when the object is an error of whatever shape. `choices` may take the choices where they stand, and says whether
/// it did.
pub(super) fn object<'a>(
    json: &'a [u8],
    mut choices: impl FnMut(&mut Reader<'a>) -> Result<bool, UpstreamFault>,
) -> Result<Object<'a>, UpstreamFault> {
    let mut object = Object { created: None, choices: None, usage: None };
    let mut is_error = false;
    let mut reader = Reader::new(json, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), UpstreamFault> {
        match (key.raw(), reader.kind()?) {
            ("created", Kind::Number) => object.created = reader.number()?.parse().ok(),
            ("choices", Kind::Array) => {
                if !choices(reader)? {
                    object.choices = Some(reader.raw()?);
                }
            }
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

pub(super) fn counts(reader: &mut Reader<'_>) -> Result<Counts, Broken> {
    let mut counts = Counts::default();
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("prompt_tokens", Kind::Number) => counts.prompt = reply::count(reader.number()?).unwrap_or(0),
            ("completion_tokens", Kind::Number) => {
                counts.output = reply::count(reader.number()?).unwrap_or(0);
            }
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
pub(crate) fn whole(
    operation: Operation,
    reply: &Reply,
    screen: Option<&mut dyn Screen>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Metered, UpstreamFault> {
    let mark = out.len();
    rewrite(Form::of(operation), reply, screen, body, out).inspect_err(|_| out.truncate(mark))
}

fn rewrite(
    form: Form,
    reply: &Reply,
    mut screen: Option<&mut dyn Screen>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Metered, UpstreamFault> {
    let object = object(body, |_| Ok(false))?;
    let choices = object.choices.filter(|choices| !choices.is_hollow());
    let choices = choices.ok_or_else(|| UpstreamFault::protocol("an answer without choices"))?;
    let mut metered = Metered { usage: object.usage.map(Counts::metered), ..Metered::default() };
    opening_whole(form, reply, object.created, out);
    out.extend_from_slice(b"\"choices\":[");
    let mut reader = Reader::over(choices.as_str(), DEPTH_MAX);
    reader.array(|reader, position| -> Result<(), UpstreamFault> {
        if position > 0 {
            out.push(b',');
        }
        let mut choice = choice::read_whole(reader, form)?;
        if choice.stop.is_none() {
            return Err(UpstreamFault::broken("an answer without a finish reason"));
        }
        metered.deltas += tokens_in_whole(choice.admit(&mut Allowance::UNBOUNDED.clone())?.bytes);
        metered.stop = match &mut screen {
            None => choice::write_whole(&choice, form, None, reply, out).map(|()| choice.stop)?,
            Some(screen) => screening::whole_choice(choice, form, &mut **screen, reply, out)?,
        };
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
