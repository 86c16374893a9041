//! Reads messages: roles, calls of tools and their results.
//!
//! Never here: parts of content (`content`).

use super::content;
use crate::body::{Body, Path};
use crate::error::Fault;
use crate::json::Text;
use crate::media::Media;
use crate::request::{Arguments, AskedCall, Message, Part, ReadLimits, Role};

const KNOWN: &[&str] = &[
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "reasoning",
    "reasoning_content",
    "function_call",
    "audio",
];

pub(super) fn list<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    limits: &ReadLimits,
    media: &mut Media<'_>,
) -> Result<Vec<Message<'a>>, Fault> {
    let mut messages = Vec::new();
    let given = body.optional(|body| {
        body.elements(at, limits.messages, |body, index| {
            messages.push(message(body, &at.index(index), limits, media)?);
            Ok(())
        })
    })?;
    if given.is_some() && messages.is_empty() {
        return Err(at.fault("empty_array", "'messages' must hold at least one message."));
    }
    Ok(messages)
}

/// A message as far as it is read: the role may come last.
#[derive(Default)]
struct Draft<'a> {
    role: Option<Text<'a>>,
    /// Outer: the member was there; inner: it was not null.
    content: Option<Option<Vec<Part<'a>>>>,
    name: Option<Text<'a>>,
    calls: Vec<AskedCall<'a>>,
    call_id: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    reasoning: Option<Text<'a>>,
    reasoning_content: Option<Text<'a>>,
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
            "content" => draft.content = Some(body.optional(|body| content::read(body, &at, media))?),
            "name" => draft.name = body.optional(|body| body.string(&at))?,
            "tool_calls" => {
                let calls = body.optional(|body| calls(body, &at, limits.tools))?;
                draft.calls.extend(calls.unwrap_or_default());
            }
            "tool_call_id" => draft.call_id = body.optional(|body| body.string(&at))?,
            "refusal" => draft.refusal = body.optional(|body| body.string(&at))?,
            "reasoning" => draft.reasoning = body.optional(|body| body.string(&at))?,
            "reasoning_content" => draft.reasoning_content = body.optional(|body| body.string(&at))?,
            "function_call" => draft.calls.extend(body.optional(|body| named_call(body, &at))?),
            _ => body.ignore("messages[].audio")?,
        }
        Ok(())
    })?;
    settle(draft, body, at)
}

fn settle<'a>(draft: Draft<'a>, body: &mut Body<'a>, at: &Path<'_>) -> Result<Message<'a>, Fault> {
    let Some(role) = draft.role else { return Err(at.key("role").missing()) };
    let (role, is_function) = match &*role.decode() {
        "system" | "developer" => (Role::System, false),
        "user" => (Role::User, false),
        "assistant" => (Role::Assistant, false),
        "tool" => (Role::Tool, false),
        "function" => (Role::Tool, true),
        _ => {
            return Err(at
                .key("role")
                .invalid("expected 'system', 'developer', 'user', 'assistant' or 'tool'"));
        }
    };
    let of_assistant = role == Role::Assistant;
    let parts = match (draft.content, draft.refusal) {
        (Some(Some(parts)), refusal) => {
            if refusal.is_some() {
                body.drop_field("messages[].refusal");
            }
            parts
        }
        (_, Some(refusal)) if of_assistant => vec![Part::Text(body.prompt(refusal))],
        (_, _) if of_assistant && !draft.calls.is_empty() => Vec::new(),
        (Some(None), _) => {
            return Err(crate::body::wrong_type(&at.key("content"), "a string or an array", "null"));
        }
        (None, _) => return Err(at.key("content").missing()),
    };
    if role != Role::Tool && draft.name.is_some() {
        body.drop_field("messages[].name");
    }
    if !of_assistant && !draft.calls.is_empty() {
        return Err(at.key("tool_calls").invalid("only an assistant's message may hold calls"));
    }
    if role == Role::Tool && !is_function && draft.call_id.is_none() {
        return Err(at.key("tool_call_id").missing());
    }
    let thinking =
        draft.reasoning.or(draft.reasoning_content).filter(|text| of_assistant && !text.is_empty());
    let thinking = thinking.map(|text| body.prompt(text)).into_iter().collect();
    Ok(Message {
        role,
        parts,
        thinking,
        calls: draft.calls,
        call_id: draft.call_id.filter(|_| role == Role::Tool),
        tool_name: draft.name.filter(|_| role == Role::Tool),
    })
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
    let mut named = None;
    body.members(at, &["id", "type", "function", "index"], |body, name| {
        let at = at.key(name);
        match name {
            "id" => id = body.optional(|body| body.string(&at))?,
            "type" => {
                let kind = body.optional(|body| body.string(&at))?;
                if kind.is_some_and(|kind| kind.decode() != "function") {
                    return Err(
                        at.fault("unsupported_value", "Only calls of type 'function' can be carried.")
                    );
                }
            }
            "function" => named = Some(named_call(body, &at)?),
            // Some clients replay the index of a stream's delta; the position says the same.
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let mut call = named.ok_or_else(|| at.key("function").missing())?;
    call.id = id;
    Ok(call)
}

/// `{name, arguments}`, as a call of today and as the older `function_call`.
fn named_call<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<AskedCall<'a>, Fault> {
    let mut called = None;
    let mut arguments = None;
    body.members(at, &["name", "arguments"], |body, name| {
        let at = at.key(name);
        match name {
            "name" => called = Some(body.string(&at)?),
            _ => arguments = body.optional(|body| body.string(&at))?,
        }
        Ok(())
    })?;
    let Some(name) = called else { return Err(at.key("name").missing()) };
    let arguments = body.prompt(arguments.unwrap_or_default());
    Ok(AskedCall { id: None, name: body.prompt(name), arguments: Arguments::Text(arguments) })
}
