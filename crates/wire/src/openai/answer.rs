//! Writes a neutral answer as a whole chat completion.
//!
//! Never here: an upstream's dialect.

use super::chunk::{Counts, closing, opening};
use super::encode::call_members;
use crate::event::Answer;
use crate::json::write;
use crate::reply::Reply;

pub(crate) fn write(answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) {
    opening(reply, "chat.completion", answer.created, out);
    out.extend_from_slice(b"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    if answer.text.is_empty() && !answer.calls.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write::text(out, answer.text);
    }
    out.extend_from_slice(b",\"refusal\":null");
    if let Some(thinking) = answer.thinking {
        out.extend_from_slice(b",\"reasoning\":");
        write::text(out, thinking);
        if reply.reasoning_alias {
            out.extend_from_slice(b",\"reasoning_content\":");
            write::text(out, thinking);
        }
    }
    for (index, call) in (0u64..).zip(&answer.calls) {
        out.extend_from_slice(if index == 0 { b",\"tool_calls\":[{".as_slice() } else { b"},{" });
        call_members(call, index, &reply.id, out);
    }
    if !answer.calls.is_empty() {
        out.extend_from_slice(b"}]");
    }
    out.push(b'}');
    closing(answer.logprobs, Some(answer.stop), out);
    let usage = answer.usage.unwrap_or_default();
    out.extend_from_slice(b"],\"usage\":");
    Counts { prompt: usage.prompt_tokens, output: usage.output_tokens, ..Counts::default() }.write(out);
    out.push(b'}');
}
