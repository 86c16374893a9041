//! Writes a neutral answer as a whole message, and a count of tokens.
//!
//! Never here: an upstream's dialect.

use super::frame;
use crate::event::Answer;
use crate::json::write;
use crate::reply::Reply;

pub(crate) fn write(answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) {
    frame::opening(reply, out);
    let mut first = true;
    if let Some(thinking) = answer.thinking {
        write::comma(out, &mut first);
        out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
        write::text(out, thinking);
        out.push(b',');
        frame::signature(reply, out);
        out.push(b'}');
    }
    if !answer.text.is_empty() {
        write::comma(out, &mut first);
        out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
        write::text(out, answer.text);
        out.push(b'}');
    }
    for (place, call) in (0..).zip(&answer.calls) {
        write::comma(out, &mut first);
        frame::call(call, place, reply, out);
        out.extend_from_slice(call.arguments.as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b"],");
    frame::stop(Some(answer.stop), out);
    out.push(b',');
    frame::usage(answer.counts, reply, out);
    out.push(b'}');
}

pub(crate) fn write_count(tokens: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"input_tokens\":");
    write::number(out, tokens);
    out.push(b'}');
}
