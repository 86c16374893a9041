//! Writes a neutral answer as the one object of a chat or of a generated text.
//!
//! Never here: an upstream's dialect; `context`, which would be a model's memory as numbers.

use super::line::{self, Kind, Said};
use crate::event::Answer;
use crate::format::Operation;
use crate::reply::Reply;

pub(crate) fn write(answer: &Answer<'_>, operation: Operation, reply: &Reply, out: &mut Vec<u8>) {
    let said = Said {
        text: answer.text,
        thinking: answer.thinking.unwrap_or_default(),
        calls: &answer.calls,
        calls_before: 0,
    };
    line::head(reply, answer.created, out);
    line::said(Kind::of(operation), &said, &reply.id, out);
    line::done(answer.stop, answer.logprobs, answer.counts.unwrap_or_default(), answer.timings, out);
}
