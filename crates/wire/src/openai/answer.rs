//! Writes a neutral answer as a whole chat completion.
//!
//! Never here: an upstream's dialect.

use super::chunk::{Form, closing, opening_whole};
use super::encode::call_members;
use crate::event::Answer;
use crate::json::write;
use crate::reply::Reply;

pub(crate) fn write(answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) {
    opening_whole(Form::Chat, reply, answer.created, out);
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
    out.extend_from_slice(b"],\"usage\":");
    answer.counts.unwrap_or_default().write(out);
    out.push(b'}');
}
