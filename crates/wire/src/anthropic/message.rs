//! Reads messages: whose each is, and what becomes of its blocks.
//!
//! One message can become several: results of tools are messages of their own for every upstream, and stand before what the
//! user says in the same turn. One that says nothing becomes none.
//!
//! Never here: blocks (`block`).

use super::block::{self, Turn};
use crate::body::{Body, Path};
use crate::error::Fault;
use crate::media::Media;
use crate::request::{Message, ReadLimits, Role};

pub(super) fn list<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    limits: &ReadLimits,
    media: &mut Media<'_>,
) -> Result<Vec<Message<'a>>, Fault> {
    let mut messages = Vec::new();
    let mut given = 0;
    body.elements(at, limits.messages, |body, index| {
        given += 1;
        one(body, &at.index(index), media, &mut messages)?;
        if messages.len() > limits.messages {
            let message = format!("'{at}' holds more than {} messages and results.", limits.messages);
            return Err(at.fault("array_above_max_length", message));
        }
        Ok(())
    })?;
    match (messages.len(), given) {
        (0, 0) => Err(at.fault("empty_array", "'messages' must hold at least one message.")),
        // A runtime would take a question without words for one to load its model.
        (0, _) => Err(at.invalid("no message says anything")),
        _ => Ok(messages),
    }
}

fn one<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    media: &mut Media<'_>,
    messages: &mut Vec<Message<'a>>,
) -> Result<(), Fault> {
    let role = role(body, at)?;
    let mut turn = Turn::default();
    let mut given = false;
    body.members(at, &["role", "content"], |body, name| {
        if name == "role" {
            return Ok(body.json.skip()?);
        }
        given = true;
        block::read(body, &at.key(name), role, media, &mut turn)
    })?;
    if !given {
        return Err(at.key("content").missing());
    }
    let Turn { parts, thinking, calls, results } = turn;
    messages.extend(results);
    if !(parts.is_empty() && thinking.is_empty() && calls.is_empty()) {
        messages.push(Message { thinking, calls, ..Message::plain(role, parts) });
    }
    Ok(())
}

/// Looked up before the content, which it may stand behind: it says which blocks may be there.
fn role(body: &mut Body<'_>, at: &Path<'_>) -> Result<Role, Fault> {
    let role = body.ahead(at, "role")?.ok_or_else(|| at.key("role").missing())?;
    match &*role.decode() {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => Err(at.key("role").invalid("expected 'user', 'assistant' or 'system'")),
    }
}
