//! Reads the body of `/api/generate`: a prompt becomes a user's message, an instruction a system's before it.
//!
//! Why `raw`, `template` and `context` are refused: the first two take the model's own template away, and with it what
//! separates an instruction from what a user wrote; the third is a model's memory as numbers, of which nobody can say what it
//! holds. Empty ones are absence: clients send them all the time.
//!
//! Never here: who may give an instruction (decided when the request is written).

use super::message::{images, text};
use super::wishes;
use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::Operation;
use crate::json::{Kind, Text};
use crate::media::Media;
use crate::request::{Message, ModelRequest, Part, ReadLimits, Role};

const KNOWN: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "system",
    "images",
    "raw",
    "template",
    "context",
    "stream",
    "format",
    "think",
    "logprobs",
    "top_logprobs",
    "options",
    "keep_alive",
    "truncate",
    "shift",
];

#[derive(Default)]
struct Draft<'a> {
    prompt: Text<'a>,
    system: Text<'a>,
    images: Vec<Part<'a>>,
}

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut media = Media::new(limits);
    let mut request = wishes::blank(Operation::Complete, bytes);
    request.stream = true;
    let mut draft = Draft::default();
    body.members_and(&Path::Root, KNOWN, |body, name| match name {
        Name::Known(name) => member(body, name, &mut draft, &mut request, &mut media),
        Name::Other(name) => body.outsider(name, &mut request.outsiders),
    })?;
    if !draft.system.is_empty() {
        let part = Part::Text(body.prompt(draft.system));
        request.messages.push(Message::plain(Role::System, vec![part]));
    }
    let mut parts = vec![Part::Text(body.prompt(draft.prompt))];
    parts.append(&mut draft.images);
    request.messages.push(Message::plain(Role::User, parts));
    body.prompt(request.suffix.unwrap_or_default());
    wishes::settle(request, body, &media)
}

fn member<'a>(
    body: &mut Body<'a>,
    name: &'static str,
    draft: &mut Draft<'a>,
    request: &mut ModelRequest<'a>,
    media: &mut Media<'_>,
) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    match name {
        "prompt" => draft.prompt = text(body, &at)?,
        "system" => draft.system = text(body, &at)?,
        "suffix" => request.suffix = Some(text(body, &at)?).filter(|suffix| !suffix.is_empty()),
        "images" => draft.images = body.optional(|body| images(body, &at, media))?.unwrap_or_default(),
        "raw" | "template" | "context" => refused(body, name, &at)?,
        name => wishes::member(body, name, request)?,
    }
    Ok(())
}

fn refused(body: &mut Body<'_>, name: &'static str, at: &Path<'_>) -> Result<(), Fault> {
    let asked = match (name, body.json.kind()?) {
        (_, Kind::Null) => {
            body.json.null()?;
            false
        }
        ("raw", _) => body.boolean(at)?,
        ("template", _) => !body.string(at)?.is_empty(),
        (_, Kind::Array) => !body.array(at)?.is_hollow(),
        (_, other) => return Err(wrong_type(at, "an array", noun(other))),
    };
    if !asked {
        return Ok(());
    }
    Err(at.fault(
        "unsupported_parameter",
        match name {
            "raw" => "'raw' is not supported: a prompt is put into the model's own template. Leave it out.",
            "template" => {
                "'template' is not supported: the model's own is used. Say what you want in messages to /api/chat."
            }
            _ => "'context' is not supported. Send the earlier turns as messages to /api/chat.",
        },
    ))
}
