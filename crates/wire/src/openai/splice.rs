//! Writes the upstream's body on the relay lane: the client's bytes with the model's name replaced and usage asked for.
//!
//! Nothing else is touched, so the body must mean to the upstream what it meant to us: keys that differ from ours only by
//! case are refused here, repeated ones were refused by the reader.
//!
//! Never here: fields added for any other reason.

use std::ops::Range;

use crate::chat::{ChatRequest, Outbound, UsagePlace};
use crate::error::Fault;
use crate::json::write;

pub(crate) fn write(request: &ChatRequest<'_>, to: &Outbound<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    if let Some(name) = request.look_alike {
        let message = format!("A field differs from '{name}' by letter case only. Write it as '{name}'.");
        return Err(Fault::new("ambiguous_parameter", name, message));
    }
    let mut model = Vec::with_capacity(to.model.len() + 2);
    write::string(&mut model, to.model);
    let mut edits = vec![(request.places.model.clone(), model.as_slice())];
    let usage = request.stream.then(|| usage(request)).flatten();
    edits.extend(usage.iter().map(|(range, text)| (range.clone(), *text)));
    edits.sort_by_key(|(range, _)| range.start);
    let mut at = 0;
    for (range, text) in edits {
        out.extend_from_slice(request.body.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(text);
        at = range.end;
    }
    out.extend_from_slice(request.body.get(at..).unwrap_or_default());
    Ok(())
}

/// The upstream is always asked for usage: it is what is metered.
fn usage(request: &ChatRequest<'_>) -> Option<(Range<usize>, &'static [u8])> {
    let end_of_model = request.places.model.end;
    match &request.places.usage {
        UsagePlace::Absent => {
            Some((end_of_model..end_of_model, b",\"stream_options\":{\"include_usage\":true}"))
        }
        UsagePlace::Null(range) => Some((range.clone(), b"{\"include_usage\":true}")),
        UsagePlace::Object { at, alone: true } => Some((*at..*at, b"\"include_usage\":true")),
        UsagePlace::Object { at, alone: false } => Some((*at..*at, b"\"include_usage\":true,")),
        UsagePlace::Flag(range) if !request.include_usage => Some((range.clone(), b"true")),
        UsagePlace::Flag(_) => None,
    }
}

#[cfg(test)]
mod tests;
