//! Writes a neutral answer as a whole completion.
//!
//! Never here: an upstream's dialect.

use super::choice::TextChoice;
use super::logprobs::Spelt;
use crate::event::Answer;
use crate::openai::chunk::{Form, opening_whole};
use crate::reply::Reply;

pub(crate) fn write(answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) {
    opening_whole(Form::Completion, reply, answer.created, out);
    out.extend_from_slice(b"\"choices\":[{\"index\":0,\"text\":");
    let choice = TextChoice {
        text: answer.text,
        thinking: answer.thinking,
        logprobs: answer.logprobs.map_or(Spelt::Nothing, Spelt::Tokens),
        stop: Some(answer.stop),
    };
    choice.write(&mut 0, reply, out);
    out.extend_from_slice(b"],\"usage\":");
    answer.counts.unwrap_or_default().write(out);
    out.push(b'}');
}
