//! Writes the upstream's body on the relay lane: the client's bytes with a few places replaced.
//!
//! Why not written anew: what both sides speak needs no translation, and a field of the format that is new to us keeps its
//! inside. What is not of the format is cut out, unless this caller may send it; the model's name is replaced, usage asked for,
//! the answer capped, and text that a screen masked is masked. All in one pass over the bytes.
//!
//! The body must mean to the upstream what it meant to us: repeated keys were refused by the reader, and those that differ
//! from ours only by case before any body is written.
//!
//! Never here: a decision about who may send what.

use std::borrow::Cow;
use std::ops::Range;

use super::fields::extension;
use crate::error::Fault;
use crate::json::write;
use crate::request::{Dropped, ModelRequest, Outbound, Outsider, UsagePlace, note};

/// What no operator can allow: fields by which a caller reaches behind the chat, in whatever runtime reads them. Where such a
/// name is of the operation itself (`prompt` of completions), the reader knows it and it is no outsider.
const NEVER: &[&str] = &[
    "options",
    "raw",
    "template",
    "chat_template",
    "system",
    "context",
    "prompt",
    "prompt_embeds",
    "suffix",
    "images",
    "web_search",
    "echo",
    "prompt_logprobs",
    "kv_transfer_params",
];

type Edit<'e> = (Range<usize>, Cow<'e, [u8]>);

pub(crate) fn write(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    let mut dropped = Dropped::new();
    let mut edits: Vec<Edit<'_>> = vec![(request.places.model.clone(), model(to).into())];
    edits.extend(request.stream.then(|| usage(request)).flatten());
    cap(request, to, &mut edits);
    cut(request, to, &mut edits, &mut dropped)?;
    let masks = request.masks.list().iter();
    edits.extend(masks.map(|(range, json)| (range.clone(), Cow::Borrowed(json.as_bytes()))));
    apply(request.body, edits, out);
    Ok(dropped)
}

/// An empty range is an insertion: it comes before what begins at the same place. What would be changed inside a place that is
/// gone is gone with it: texts are masked wherever they stand, also in a field that is then cut out.
fn apply(body: &[u8], mut edits: Vec<Edit<'_>>, out: &mut Vec<u8>) {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    out.reserve(body.len() + 128);
    let mut at = 0;
    for (range, text) in edits {
        if range.start < at {
            continue;
        }
        out.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(&text);
        at = range.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
}

fn model(to: &Outbound<'_>) -> Vec<u8> {
    let mut model = Vec::with_capacity(to.model.len() + 2);
    write::string(&mut model, to.model);
    model
}

/// The upstream is always asked for usage: it is what is metered.
fn usage<'e>(request: &ModelRequest<'_>) -> Option<Edit<'e>> {
    let end_of_model = request.places.model.end;
    let (range, text): (_, &'static [u8]) = match &request.places.usage {
        UsagePlace::Absent => (end_of_model..end_of_model, b",\"stream_options\":{\"include_usage\":true}"),
        UsagePlace::Null(range) => (range.clone(), b"{\"include_usage\":true}"),
        UsagePlace::Object { at, alone: true } => (*at..*at, b"\"include_usage\":true"),
        UsagePlace::Object { at, alone: false } => (*at..*at, b"\"include_usage\":true,"),
        UsagePlace::Flag(range) if !request.include_usage => (range.clone(), b"true"),
        UsagePlace::Flag(_) => return None,
    };
    Some((range, text.into()))
}

/// No cap that the caller set may be above ours; where there is none, ours is put in by the name that every server reads.
fn cap(request: &ModelRequest<'_>, to: &Outbound<'_>, edits: &mut Vec<Edit<'_>>) {
    let Some(max) = to.output_tokens_max else { return };
    let number = max.to_string().into_bytes();
    let caps = &request.places.caps;
    if request.sampling.max_output_tokens.is_some() {
        let above = caps.iter().filter(|(_, cap)| cap.is_some_and(|cap| cap > max));
        edits.extend(above.map(|(range, _)| (range.clone(), number.clone().into())));
        return;
    }
    match caps.first() {
        Some((null, _)) => edits.push((null.clone(), number.into())),
        None => {
            let end_of_model = request.places.model.end;
            edits
                .push((end_of_model..end_of_model, [b",\"max_tokens\":", number.as_slice()].concat().into()));
        }
    }
}

/// Cuts what is not of the format, each with one comma.
fn cut(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    edits: &mut Vec<Edit<'_>>,
    dropped: &mut Dropped,
) -> Result<(), Fault> {
    let mut gone = 0;
    let mut passed: Vec<&str> = Vec::new();
    for outsider in &request.outsiders {
        let name = &*outsider.name;
        if may_pass(name, to) {
            if passed.contains(&name) {
                let message = format!("'{name}' is given twice.");
                return Err(Fault::new("duplicate_parameter", name.to_owned(), message));
            }
            passed.push(name);
            continue;
        }
        if !outsider.is_null() {
            note(dropped, extension(name));
        }
        let range = if outsider.spot.ordinal > gone {
            outsider.spot.after..outsider.end
        } else {
            // Nothing before it stays: the comma behind it goes instead. The model is still to come.
            outsider.spot.start..next_member(request.body, outsider)
        };
        edits.push((range, Cow::Borrowed(&[])));
        gone += 1;
    }
    Ok(())
}

fn may_pass(name: &str, to: &Outbound<'_>) -> bool {
    to.options.iter().any(|allowed| allowed == name) && !NEVER.contains(&name) && !name.starts_with('_')
}

fn next_member(body: &[u8], outsider: &Outsider<'_>) -> usize {
    let rest = body.get(outsider.end..).unwrap_or_default();
    let between = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b','));
    outsider.end + between.count()
}

#[cfg(test)]
mod tests;
