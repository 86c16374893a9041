//! The response object: what an answer is as a whole, before, during and after it is told.
//!
//! Never here: items (they come in written).

use crate::event::Counts;
use crate::json::write;
use crate::reply::{Reply, StopReason};

/// How far the answer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum State<'s> {
    InProgress,
    Ended(StopReason),
    Failed { code: &'s str, message: &'s str },
}

impl State<'_> {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Ended(StopReason::Stop | StopReason::ToolCalls) => "completed",
            Self::Ended(StopReason::Length | StopReason::ContentFilter) => "incomplete",
            Self::Failed { .. } => "failed",
        }
    }

    fn incomplete_details(self) -> &'static [u8] {
        match self {
            Self::Ended(StopReason::Length) => b"{\"reason\":\"max_output_tokens\"}",
            Self::Ended(StopReason::ContentFilter) => b"{\"reason\":\"content_filter\"}",
            _ => b"null",
        }
    }
}

/// The whole object. `output`: written items, with commas between them.
pub(super) fn write(
    reply: &Reply,
    created: Option<u64>,
    state: State<'_>,
    output: &[u8],
    counts: Option<Counts>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"id\":\"resp_");
    write::escape(out, &reply.id);
    out.extend_from_slice(b"\",\"object\":\"response\"");
    if !reply.strip.created {
        out.extend_from_slice(b",\"created_at\":");
        write::number(out, created.unwrap_or(reply.created));
    }
    out.extend_from_slice(b",\"status\":");
    write::string(out, state.as_str());
    out.extend_from_slice(b",\"error\":");
    match state {
        State::Failed { code, message } => {
            out.extend_from_slice(b"{\"code\":");
            write::string(out, code);
            out.extend_from_slice(b",\"message\":");
            write::string(out, message);
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"incomplete_details\":");
    out.extend_from_slice(state.incomplete_details());
    if !reply.strip.model {
        out.extend_from_slice(b",\"model\":");
        write::string(out, &reply.model);
    }
    if let Some(echo) = &reply.manner.echo {
        out.push(b',');
        out.extend_from_slice(echo.as_bytes());
    }
    out.extend_from_slice(b",\"output\":[");
    out.extend_from_slice(output);
    out.extend_from_slice(b"],\"usage\":");
    usage(counts, out);
    out.push(b'}');
}

fn usage(counts: Option<Counts>, out: &mut Vec<u8>) {
    let Some(counts) = counts else { return out.extend_from_slice(b"null") };
    for (name, number) in [
        ("{\"input_tokens\":", counts.prompt),
        (",\"input_tokens_details\":{\"cached_tokens\":", counts.cached.unwrap_or(0)),
        // Nobody here says what it has put into a cache; the schema wants a number.
        (",\"cache_write_tokens\":", 0),
        ("},\"output_tokens\":", counts.output),
        (",\"output_tokens_details\":{\"reasoning_tokens\":", counts.reasoning.unwrap_or(0)),
        ("},\"total_tokens\":", counts.prompt.saturating_add(counts.output)),
    ] {
        out.extend_from_slice(name.as_bytes());
        write::number(out, number);
    }
    out.push(b'}');
}
