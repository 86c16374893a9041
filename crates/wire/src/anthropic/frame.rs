//! What whole messages and streams have in common: a message's head, its usage, why it ended, ids and signatures of ours.
//!
//! Never here: the order of a stream (`encode`).

use crate::event::{Call, Counts};
use crate::json::write;
use crate::reply::{Reply, StopReason};

/// `{"id":…,"type":"message","role":"assistant","model":…,"content":[`.
pub(super) fn opening(reply: &Reply, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"msg_");
    write::escape(out, &reply.id);
    out.extend_from_slice(b"\",\"type\":\"message\",\"role\":\"assistant\",");
    if !reply.strip.model {
        out.extend_from_slice(b"\"model\":");
        write::string(out, &reply.model);
        out.push(b',');
    }
    out.extend_from_slice(b"\"content\":[");
}

/// `"stop_reason":…,"stop_sequence":null`: runtimes do not say which sequence it was.
pub(super) fn stop(reason: Option<StopReason>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"stop_reason\":");
    out.extend_from_slice(match reason {
        None => b"null".as_slice(),
        Some(StopReason::Stop) => b"\"end_turn\"",
        Some(StopReason::Length) => b"\"max_tokens\"",
        Some(StopReason::ToolCalls) => b"\"tool_use\"",
        Some(StopReason::ContentFilter) => b"\"refusal\"",
    });
    out.extend_from_slice(b",\"stop_sequence\":null");
}

/// `"usage":{…}`. Prompts have tokens: where the upstream counted none, our estimate stands. What came from a cache is not
/// among the input tokens in this dialect, but beside them.
pub(super) fn usage(counts: Option<Counts>, reply: &Reply, out: &mut Vec<u8>) {
    let counts = counts.unwrap_or_default();
    let prompt = if counts.prompt == 0 { reply.prompt_tokens } else { counts.prompt };
    out.extend_from_slice(b"\"usage\":{\"input_tokens\":");
    write::number(out, prompt.saturating_sub(counts.cached.unwrap_or(0)));
    out.extend_from_slice(b",\"output_tokens\":");
    write::number(out, counts.output);
    if let Some(cached) = counts.cached {
        out.extend_from_slice(b",\"cache_read_input_tokens\":");
        write::number(out, cached);
    }
    if let Some(reasoning) = counts.reasoning {
        out.extend_from_slice(b",\"output_tokens_details\":{\"thinking_tokens\":");
        write::number(out, reasoning);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Clients keep it and send it back with the thinking, and some drop thinking that has none. It proves nothing, and nobody
/// here reads it.
pub(super) fn signature(reply: &Reply, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"signature\":\"sig_");
    write::escape(out, &reply.id);
    out.push(b'"');
}

/// `{"type":"tool_use","id":…,"name":…,"input":`. The id is made of ours when the upstream has none: two calls without ids
/// are two calls.
pub(super) fn call(call: &Call<'_>, place: u64, reply: &Reply, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":");
    match call.id {
        Some(id) => write::text(out, id),
        None => {
            out.extend_from_slice(b"\"toolu_");
            write::escape(out, &reply.id);
            out.push(b'_');
            write::number(out, place);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"name\":");
    write::text(out, call.name);
    out.extend_from_slice(b",\"input\":");
}
