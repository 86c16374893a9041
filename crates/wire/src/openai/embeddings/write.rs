//! Writes an embeddings body from the neutral request, for clients of any dialect.
//!
//! Why not spliced for clients of this dialect: there is little in it, and base64 would have to be read to be checked.
//!
//! Never here: validity of the request in itself (the reader's).

use crate::error::Fault;
use crate::json::write;
use crate::openai::fields::extension;
use crate::request::{Dropped, ModelRequest, Outbound, Part, note};

pub(crate) fn write(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    let mut dropped = request.dropped.clone();
    out.extend_from_slice(b"{\"model\":");
    write::string(out, to.model);
    out.extend_from_slice(b",\"input\":");
    input(request, out);
    out.extend_from_slice(b",\"encoding_format\":\"float\"");
    if let Some(dimensions) = request.embedding.dimensions {
        out.extend_from_slice(b",\"dimensions\":");
        write::number(out, dimensions);
    }
    out.push(b'}');
    // What acts on a runtime, or is of nobody's format, has no place here, whoever may send it.
    let outside = request.outsiders.iter().filter(|outsider| !outsider.is_null());
    outside.for_each(|outsider| note(&mut dropped, extension(&outsider.name)));
    let further = request.sampling.further.iter().map(|(name, _)| *name);
    further.chain(request.runtime.iter().map(|(name, _)| *name)).for_each(|name| note(&mut dropped, name));
    Ok(dropped)
}

/// A text that was given as a text stays one.
fn input(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    if !request.embedding.single {
        out.push(b'[');
    }
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        let Part::Text(text) = part else { continue };
        write::comma(out, &mut first);
        write::text(out, request.masks.shown(*text));
    }
    if !request.embedding.single {
        out.push(b']');
    }
}
