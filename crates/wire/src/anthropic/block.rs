//! Reads the blocks of a message: text, images, thinking, calls of tools and their results.
//!
//! What a block's members mean depends on its kind, which may stand behind them: so the kind is looked up first, and a
//! block of a kind that nobody here knows is passed whole.
//!
//! Never here: whose message it is (`message`), bounds on images (`media`).

use std::borrow::Cow;

use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::media::Media;
use crate::request::{Arguments, AskedCall, Message, Part, Role};

/// Blocks of one message; more have no honest use.
const BLOCKS_MAX: usize = 4096;

/// What runtimes read for certain; GIF is not among it.
const MEDIA_TYPES: &[&str] = &["image/jpeg", "image/jpg", "image/png", "image/webp"];

/// What the blocks of one message say, in the order that upstreams want it.
#[derive(Default)]
pub(super) struct Turn<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) thinking: Vec<Text<'a>>,
    pub(super) calls: Vec<AskedCall<'a>>,
    /// Results of tools, each a message of its own.
    pub(super) results: Vec<Message<'a>>,
}

pub(super) fn read<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    role: Role,
    media: &mut Media<'_>,
    turn: &mut Turn<'a>,
) -> Result<(), Fault> {
    match body.json.kind()? {
        Kind::String => {
            let text = body.string(at)?;
            say(body, text, &mut turn.parts);
            Ok(())
        }
        Kind::Array => {
            body.elements(at, BLOCKS_MAX, |body, index| block(body, &at.index(index), role, media, turn))
        }
        other => Err(wrong_type(at, "a string or an array of blocks", noun(other))),
    }
}

/// A text, or blocks of text and nothing else.
pub(super) fn texts<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<Part<'a>>, Fault> {
    let mut parts = Vec::new();
    if body.json.kind()? != Kind::Array {
        let text = body.string(at)?;
        say(body, text, &mut parts);
        return Ok(parts);
    }
    body.elements(at, BLOCKS_MAX, |body, index| {
        let at = at.index(index);
        match &*kind(body, &at)?.decode() {
            "text" => text(body, &at, &mut parts),
            _ => Err(at.key("type").invalid("expected 'text'")),
        }
    })?;
    Ok(parts)
}

fn block<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    role: Role,
    media: &mut Media<'_>,
    turn: &mut Turn<'a>,
) -> Result<(), Fault> {
    let misplaced = |what: &str| Err(at.key("type").invalid(what));
    match (&*kind(body, at)?.decode(), role) {
        ("text", _) => text(body, at, &mut turn.parts),
        ("image", Role::System) => misplaced("a system message holds text only"),
        ("image", _) => {
            let base64 = image(body, at, media)?;
            turn.parts.push(Part::Media(base64));
            Ok(())
        }
        ("thinking", Role::Assistant) => thinking(body, at, turn),
        ("tool_use", Role::Assistant) => {
            turn.calls.push(call(body, at)?);
            Ok(())
        }
        ("tool_result", Role::User) => {
            turn.results.push(result(body, at, media)?);
            Ok(())
        }
        ("thinking" | "tool_use", _) => misplaced("only an assistant's message may hold it"),
        ("tool_result", _) => misplaced("only a user's message may hold it"),
        ("document" | "search_result", _) => {
            Err(at.fault("unsupported_value", "Documents cannot be carried. Send text or images."))
        }
        ("redacted_thinking", _) => body.ignore("messages[].content[].redacted_thinking"),
        // Results of tools that Anthropic's servers run, and what is yet to be thought of.
        _ => body.ignore("messages[].content[]"),
    }
}

fn kind<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    body.ahead(at, "type")?.ok_or_else(|| at.key("type").missing())
}

/// An empty text is none.
fn say<'a>(body: &mut Body<'a>, text: Text<'a>, parts: &mut Vec<Part<'a>>) {
    if !text.is_empty() {
        parts.push(Part::Text(body.prompt(text)));
    }
}

fn text<'a>(body: &mut Body<'a>, at: &Path<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Fault> {
    let mut text = None;
    body.members(at, &["type", "text", "cache_control", "citations"], |body, name| match name {
        "text" => {
            text = body.optional(|body| body.string(&at.key("text")))?;
            Ok(())
        }
        "cache_control" => body.ignore("cache_control"),
        "citations" => body.ignore("messages[].content[].citations"),
        _ => Ok(body.json.skip()?),
    })?;
    let text = text.ok_or_else(|| at.key("text").missing())?;
    say(body, text, parts);
    Ok(())
}

fn image<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Cow<'a, str>, Fault> {
    let mut image = None;
    body.members(at, &["type", "source", "cache_control", "transformations"], |body, name| match name {
        "source" => {
            image = body.optional(|body| source(body, &at.key("source"), media))?;
            Ok(())
        }
        "cache_control" => body.ignore("cache_control"),
        "transformations" => body.ignore("messages[].content[].transformations"),
        _ => Ok(body.json.skip()?),
    })?;
    image.ok_or_else(|| at.key("source").missing())
}

fn source<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Cow<'a, str>, Fault> {
    match &*kind(body, at)?.decode() {
        "base64" => {}
        "url" => {
            let message = "Images are not fetched from addresses. Send a source of type 'base64'.";
            return Err(at.fault("invalid_image_url", message));
        }
        "file" => {
            let message = "Files are not kept here. Send a source of type 'base64'.";
            return Err(at.fault("unsupported_value", message));
        }
        _ => return Err(at.key("type").invalid("expected 'base64'")),
    }
    let mut media_type = None;
    let mut data = None;
    body.members(at, &["type", "media_type", "data"], |body, name| {
        let at = at.key(name);
        match name {
            "media_type" => media_type = body.optional(|body| body.string(&at))?,
            "data" => data = body.optional(|body| body.string(&at))?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let media_type = media_type.ok_or_else(|| at.key("media_type").missing())?;
    if !MEDIA_TYPES.contains(&&*media_type.decode()) {
        let message = "Invalid image input: expected a JPEG, PNG or WebP image.";
        return Err(at.key("media_type").fault("invalid_image_format", message));
    }
    let data = data.ok_or_else(|| at.key("data").missing())?.decode();
    media.admit(&at.key("data"), &data)?;
    Ok(data)
}

/// The signature is ours, or of a service that we are not: it says nothing to a model.
fn thinking<'a>(body: &mut Body<'a>, at: &Path<'_>, turn: &mut Turn<'a>) -> Result<(), Fault> {
    let mut thought = None;
    body.members(at, &["type", "thinking", "signature", "cache_control"], |body, name| match name {
        "thinking" => {
            thought = body.optional(|body| body.string(&at.key("thinking")))?;
            Ok(())
        }
        "cache_control" => body.ignore("cache_control"),
        _ => Ok(body.json.skip()?),
    })?;
    let thought = thought.ok_or_else(|| at.key("thinking").missing())?;
    if !thought.is_empty() {
        turn.thinking.push(body.prompt(thought));
    }
    Ok(())
}

fn call<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<AskedCall<'a>, Fault> {
    const KNOWN: &[&str] = &["type", "id", "name", "input", "cache_control", "caller", "toolset_name"];
    let mut id = None;
    let mut called = None;
    let mut input = None;
    body.members(at, KNOWN, |body, name| {
        let at = at.key(name);
        match name {
            "id" => id = body.optional(|body| body.string(&at))?,
            "name" => called = body.optional(|body| body.string(&at))?,
            "input" => input = body.optional(|body| body.object(&at))?,
            "cache_control" => body.ignore("cache_control")?,
            "caller" => body.ignore("messages[].content[].caller")?,
            "toolset_name" => body.ignore("messages[].content[].toolset_name")?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let id = word(id, &at.key("id"))?;
    let name = word(called, &at.key("name"))?;
    let input = input.ok_or_else(|| at.key("input").missing())?;
    let arguments = Arguments::Object(body.prompt_raw(input));
    Ok(AskedCall { id: Some(id), name: body.prompt(name), arguments })
}

fn result<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Message<'a>, Fault> {
    const KNOWN: &[&str] = &["type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"];
    let mut id = None;
    let mut said = Turn::default();
    body.members(at, KNOWN, |body, name| {
        let at = at.key(name);
        match name {
            "tool_use_id" => id = body.optional(|body| body.string(&at))?,
            "content" => {
                body.optional(|body| read(body, &at, Role::Tool, media, &mut said))?;
            }
            "is_error" => {
                // No other dialect marks a failure: the text has to say it, and does.
                if body.optional(|body| body.boolean(&at))? == Some(true) {
                    body.drop_field("messages[].content[].is_error");
                }
            }
            "cache_control" => body.ignore("cache_control")?,
            "toolset_name" => body.ignore("messages[].content[].toolset_name")?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let id = word(id, &at.key("tool_use_id"))?;
    Ok(Message { call_id: Some(id), ..Message::plain(Role::Tool, said.parts) })
}

/// A string that must be there and must not be empty.
pub(super) fn word<'a>(word: Option<Text<'a>>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    match word {
        None => Err(at.missing()),
        Some(word) if word.is_empty() => Err(at.invalid("it must not be empty")),
        Some(word) => Ok(word),
    }
}
