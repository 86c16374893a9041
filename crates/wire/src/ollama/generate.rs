//! Writes the body of `/api/generate` from the neutral request: a prompt to complete.
//!
//! Why apart from `request`: one prompt and one instruction stand where a chat has messages; all else is written by the same
//! functions.
//!
//! Never here: `raw`, `template` and `context`, which nobody reaches.

use super::options::Asked;
use super::request::{format, images, logprobs, options, refuse, runtime, texts, think, unambiguous};
use crate::error::Fault;
use crate::json::write;
use crate::request::{Dropped, ModelRequest, Outbound, Part, Role};

pub(crate) fn write(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    refuse(request)?;
    let mut dropped = request.dropped.clone();
    let asked = Asked::read(request, to, &mut dropped)?;
    unambiguous(request, &asked)?;
    out.extend_from_slice(b"{\"model\":");
    write::string(out, to.model);
    let (prompt, system) = (said(request, Role::User), said(request, Role::System));
    out.extend_from_slice(b",\"prompt\":\"");
    texts(prompt, request, out);
    out.push(b'"');
    if let Some(suffix) = request.suffix {
        out.extend_from_slice(b",\"suffix\":");
        write::text(out, request.masks.shown(suffix));
    }
    if !system.is_empty() {
        out.extend_from_slice(b",\"system\":\"");
        texts(system, request, out);
        out.push(b'"');
    }
    images(prompt, out);
    out.extend_from_slice(if request.stream { b",\"stream\":true" } else { b",\"stream\":false" });
    format(request, &asked, out);
    think(request, asked.think, to, &mut dropped, out);
    logprobs(request, out);
    runtime(&asked, to, out);
    options(request, &asked, to, out);
    out.push(b'}');
    Ok(dropped)
}

/// An instruction beside a prompt takes the place of the model's own, unseen by who reads messages: the operator's word.
pub(crate) fn may_instruct(request: &ModelRequest<'_>, to: &Outbound<'_>) -> Result<(), Fault> {
    let allowed = to.options.iter().any(|allowed| allowed == "system");
    if allowed || said(request, Role::System).is_empty() {
        return Ok(());
    }
    let message =
        "'system' is not allowed for this key. Use /api/chat with a system message, or ask the operator.";
    Err(Fault::new("unsupported_parameter", "system", message))
}

/// A prompt is one user's message, an instruction one system's: readers make no more of either.
fn said<'r, 'a>(request: &'r ModelRequest<'a>, role: Role) -> &'r [Part<'a>] {
    request.messages.iter().find(|message| message.role == role).map_or(&[], |message| &message.parts)
}
