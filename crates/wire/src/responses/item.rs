//! The items of an answer, as streams and whole answers write them: a thought, a text, a call.
//!
//! Texts come in as the insides of JSON strings: what is told several times is escaped once.
//!
//! Never here: the order of items, and of events.

use crate::json::{Text, write};
use crate::reply::{Manner, Reply};

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Thinking,
    Text,
    Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// Cut by a cap or by a filter.
    Incomplete,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The item's own id, as the inside of a JSON string: ours, and its place among the items.
pub(super) fn id(kind: Kind, index: u64, reply: &Reply, out: &mut Vec<u8>) {
    out.extend_from_slice(match kind {
        Kind::Thinking => b"rs_",
        Kind::Text => b"msg_".as_slice(),
        Kind::Call => b"fc_",
    });
    write::escape(out, &reply.id);
    out.push(b'_');
    write::number(out, index);
}

/// The id by which a call's result names it: the upstream's, or ours and the place among the calls.
pub(super) fn call_id(given: Option<Text<'_>>, place: u64, reply: &Reply, out: &mut Vec<u8>) {
    match given {
        Some(id) => write::text_body(out, id),
        None => {
            out.extend_from_slice(b"call_");
            write::escape(out, &reply.id);
            out.push(b'_');
            write::number(out, place);
        }
    }
}

/// A tool by the names that the client knows.
#[derive(Debug, Default)]
pub(super) struct ToolName {
    /// Insides of JSON strings.
    pub(super) own: Vec<u8>,
    space: Vec<u8>,
}

impl ToolName {
    pub(super) fn set(&mut self, name: Text<'_>, manner: &Manner) {
        let full = name.decode();
        let (space, own) = manner.own_name(&full);
        self.own.clear();
        self.space.clear();
        write::escape(&mut self.own, own);
        write::escape(&mut self.space, space.unwrap_or_default());
    }
}

/// Begun items have no text yet.
pub(super) fn thinking(id: &[u8], text: &[u8], status: Status, manner: &Manner, out: &mut Vec<u8>) {
    open(id, b"reasoning", out);
    if status == Status::Incomplete {
        member(b"status", status.as_str().as_bytes(), out);
    }
    out.extend_from_slice(b",\"summary\":[");
    if status != Status::InProgress {
        summary_part(text, out);
    }
    out.push(b']');
    if manner.sealed_reasoning && status != Status::InProgress {
        member(b"encrypted_content", text, out);
    }
    out.push(b'}');
}

pub(super) fn message(id: &[u8], text: &[u8], logprobs: &[u8], status: Status, out: &mut Vec<u8>) {
    open(id, b"message", out);
    member(b"status", status.as_str().as_bytes(), out);
    out.extend_from_slice(b",\"role\":\"assistant\",\"content\":[");
    if status != Status::InProgress {
        text_part(text, logprobs, out);
    }
    out.extend_from_slice(b"]}");
}

pub(super) fn call(
    id: &[u8],
    call_id: &[u8],
    name: &ToolName,
    arguments: &[u8],
    status: Status,
    out: &mut Vec<u8>,
) {
    open(id, b"function_call", out);
    member(b"status", status.as_str().as_bytes(), out);
    member(b"call_id", call_id, out);
    member(b"name", &name.own, out);
    if !name.space.is_empty() {
        member(b"namespace", &name.space, out);
    }
    member(b"arguments", arguments, out);
    out.push(b'}');
}

pub(super) fn summary_part(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"summary_text\"");
    member(b"text", text, out);
    out.push(b'}');
}

pub(super) fn text_part(text: &[u8], logprobs: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"output_text\"");
    member(b"text", text, out);
    out.extend_from_slice(b",\"annotations\":[]");
    logprobs_member(logprobs, out);
    out.push(b'}');
}

/// Tokens as they are listed; the schema wants a list even when nobody asked for them.
pub(super) fn logprobs_member(tokens: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"logprobs\":[");
    out.extend_from_slice(tokens);
    out.push(b']');
}

/// A member that is not its object's first, whose value is the inside of a JSON string.
pub(super) fn member(key: &[u8], text: &[u8], out: &mut Vec<u8>) {
    for piece in [b",\"".as_slice(), key, b"\":\"", text, b"\""] {
        out.extend_from_slice(piece);
    }
}

fn open(id: &[u8], kind: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(id);
    out.push(b'"');
    member(b"type", kind, out);
}
