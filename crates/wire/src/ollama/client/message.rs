//! Reads messages of a chat: content is one string, images stand beside it, arguments of calls are objects.
//!
//! Never here: order among roles; templates know what they take.

use std::borrow::Cow;

use crate::body::{Body, Path};
use crate::error::Fault;
use crate::json::{Raw, Reader, Text};
use crate::media::Media;
use crate::request::{Arguments, AskedCall, Message, Part, ReadLimits, Role};

const KNOWN: &[&str] = &["role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"];

pub(super) fn list<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    limits: &ReadLimits,
    media: &mut Media<'_>,
) -> Result<Vec<Message<'a>>, Fault> {
    let mut messages = Vec::new();
    body.elements(at, limits.messages, |body, index| {
        messages.push(message(body, &at.index(index), limits, media)?);
        Ok(())
    })?;
    Ok(messages)
}

/// A message as far as it is read: the role may come last.
#[derive(Default)]
struct Draft<'a> {
    role: Option<Text<'a>>,
    content: Text<'a>,
    thinking: Text<'a>,
    images: Vec<Part<'a>>,
    calls: Vec<AskedCall<'a>>,
    tool_name: Option<Text<'a>>,
    call_id: Option<Text<'a>>,
}

fn message<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    limits: &ReadLimits,
    media: &mut Media<'_>,
) -> Result<Message<'a>, Fault> {
    let mut draft = Draft::default();
    body.members(at, KNOWN, |body, name| {
        let at = at.key(name);
        match name {
            "role" => draft.role = Some(body.string(&at)?),
            "content" => draft.content = text(body, &at)?,
            "thinking" => draft.thinking = text(body, &at)?,
            "images" => draft.images = body.optional(|body| images(body, &at, media))?.unwrap_or_default(),
            "tool_calls" => {
                let calls = body.optional(|body| calls(body, &at, limits.tools))?;
                draft.calls = calls.unwrap_or_default();
            }
            "tool_name" => draft.tool_name = said(text(body, &at)?),
            _ => draft.call_id = said(text(body, &at)?),
        }
        Ok(())
    })?;
    settle(draft, body, at)
}

fn settle<'a>(draft: Draft<'a>, body: &mut Body<'a>, at: &Path<'_>) -> Result<Message<'a>, Fault> {
    let role = match draft.role.map(|role| role.decode().to_ascii_lowercase()).as_deref() {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        Some(_) => return Err(at.key("role").invalid("expected 'system', 'user', 'assistant' or 'tool'")),
        None => return Err(at.key("role").missing()),
    };
    if role != Role::Assistant && !draft.calls.is_empty() {
        return Err(at.key("tool_calls").invalid("only an assistant's message may hold calls"));
    }
    if role != Role::Assistant && !draft.thinking.is_empty() {
        body.drop_field("messages[].thinking");
    }
    if role != Role::Tool && draft.tool_name.is_some() {
        body.drop_field("messages[].tool_name");
    }
    if role != Role::Tool && draft.call_id.is_some() {
        body.drop_field("messages[].tool_call_id");
    }
    let thinking = said(draft.thinking).filter(|_| role == Role::Assistant);
    let mut parts = draft.images;
    if let Some(content) = said(draft.content) {
        parts.insert(0, Part::Text(body.prompt(content)));
    }
    Ok(Message {
        role,
        parts,
        thinking: thinking.map(|text| body.prompt(text)).into_iter().collect(),
        calls: draft.calls,
        call_id: draft.call_id.filter(|_| role == Role::Tool),
        tool_name: draft.tool_name.filter(|_| role == Role::Tool),
    })
}

fn said(text: Text<'_>) -> Option<Text<'_>> {
    Some(text).filter(|text| !text.is_empty())
}

/// Null and absence are the empty string.
pub(super) fn text<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    Ok(body.optional(|body| body.string(at))?.unwrap_or_default())
}

/// Base64 without the head of a data URL. How many is bounded where they are admitted.
pub(super) fn images<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    media: &mut Media<'_>,
) -> Result<Vec<Part<'a>>, Fault> {
    let mut images = Vec::new();
    body.elements(at, usize::MAX, |body, index| {
        let at = at.index(index);
        let base64: Cow<'a, str> = body.string(&at)?.decode();
        media.admit(&at, &base64)?;
        images.push(Part::Media(base64));
        Ok(())
    })?;
    Ok(images)
}

fn calls<'a>(body: &mut Body<'a>, at: &Path<'_>, count_max: usize) -> Result<Vec<AskedCall<'a>>, Fault> {
    let mut calls = Vec::new();
    body.elements(at, count_max, |body, index| {
        calls.push(call(body, &at.index(index))?);
        Ok(())
    })?;
    Ok(calls)
}

fn call<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<AskedCall<'a>, Fault> {
    let mut id = None;
    let mut called = None;
    body.members(at, &["id", "type", "function"], |body, name| {
        let at = at.key(name);
        match name {
            "id" => id = said(text(body, &at)?),
            "function" => called = Some(function(body, &at)?),
            // Clients that also speak OpenAI's dialect send it.
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let (name, arguments) = called.ok_or_else(|| at.key("function").missing())?;
    Ok(AskedCall { id, name, arguments: Arguments::Object(arguments) })
}

fn function<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<(Text<'a>, Raw<'a>), Fault> {
    let mut called = None;
    let mut arguments = None;
    body.members(at, &["index", "name", "arguments"], |body, name| {
        let at = at.key(name);
        match name {
            "name" => called = Some(body.string(&at)?),
            "arguments" => arguments = body.optional(|body| body.object(&at))?,
            // The position says the same.
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let name = called.filter(|name| !name.is_empty()).ok_or_else(|| at.key("name").missing())?;
    let arguments = match arguments {
        Some(arguments) => arguments,
        None => Reader::over("{}", 1).raw()?,
    };
    Ok((body.prompt(name), body.prompt_raw(arguments)))
}
