//! Reads the bodies of `/api/embed` and of the older `/api/embeddings`.
//!
//! Never here: the vectors (`vectors`).

use super::message::text;
use super::wishes;
use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::Operation;
use crate::json::{Kind, Text};
use crate::media::Media;
use crate::request::{Message, ModelRequest, Part, ReadLimits, Role};

const KNOWN: &[&str] = &["model", "input", "dimensions", "truncate", "options", "keep_alive"];
const KNOWN_ONE: &[&str] = &["model", "prompt", "options", "keep_alive"];

/// No model has longer vectors.
const DIMENSIONS_MAX: u64 = 1 << 20;

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut request = wishes::blank(Operation::Embed, bytes);
    body.members_and(&Path::Root, KNOWN, |body, name| {
        let at = |name| Path::Root.key(name);
        match name {
            Name::Known("input") => {
                body.optional(|body| input(body, &at("input"), limits.messages, &mut request))?;
                Ok(())
            }
            Name::Known("dimensions") => {
                let wanted = body.optional(|body| body.integer(&at("dimensions"), 0, DIMENSIONS_MAX))?;
                request.embedding.dimensions = wanted.filter(|wanted| *wanted > 0);
                Ok(())
            }
            Name::Known(name) => wishes::member(body, name, &mut request),
            Name::Other(name) => body.outsider(name, &mut request.outsiders),
        }
    })?;
    wishes::settle(request, body, &Media::new(limits))
}

pub(crate) fn read_one<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut request = wishes::blank(Operation::EmbedOne, bytes);
    body.members_and(&Path::Root, KNOWN_ONE, |body, name| match name {
        Name::Known("prompt") => {
            let prompt = text(body, &Path::Root.key("prompt"))?;
            single(body, prompt, &mut request);
            Ok(())
        }
        Name::Known(name) => wishes::member(body, name, &mut request),
        Name::Other(name) => body.outsider(name, &mut request.outsiders),
    })?;
    wishes::settle(request, body, &Media::new(limits))
}

fn input<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    count_max: usize,
    request: &mut ModelRequest<'a>,
) -> Result<(), Fault> {
    match body.json.kind()? {
        Kind::String => {
            let input = body.string(at)?;
            single(body, input, request);
            Ok(())
        }
        Kind::Array => body.elements(at, count_max, |body, index| {
            let input = body.string(&at.index(index))?;
            push(body, input, request);
            Ok(())
        }),
        other => Err(wrong_type(at, "a string or an array of strings", noun(other))),
    }
}

/// Alone, the empty text is no text in this dialect, and has no vector.
fn single<'a>(body: &mut Body<'a>, input: Text<'a>, request: &mut ModelRequest<'a>) {
    if !input.is_empty() {
        request.embedding.single = true;
        push(body, input, request);
    }
}

fn push<'a>(body: &mut Body<'a>, input: Text<'a>, request: &mut ModelRequest<'a>) {
    let part = Part::Text(body.prompt(input));
    request.messages.push(Message::plain(Role::User, vec![part]));
}
