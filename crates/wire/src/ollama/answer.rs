//! Reads a whole answer of `/api/chat` or `/api/generate`.
//!
//! Never here: a client's dialect.

use super::{decode, error, line};
use crate::error::UpstreamFault;
use crate::event::Answer;

pub(crate) fn read(body: &[u8]) -> Result<Answer<'_>, UpstreamFault> {
    let line = line::read(body, true)?;
    if let Some(text) = line.error {
        return Err(error::in_stream(&text.decode()));
    }
    if !line.done {
        // A repetition guard ends a generation so, with status 200.
        return Err(UpstreamFault::broken("the answer ended without done:true"));
    }
    let mut calls = Vec::new();
    if let Some(list) = line.calls {
        line::calls(list, |call| calls.push(call))?;
    }
    let stop = decode::stop_reason(line.done_reason, !calls.is_empty());
    Ok(Answer {
        created: line.created,
        thinking: Some(line.thinking).filter(|text| !text.is_empty()),
        text: line.content,
        calls,
        logprobs: line.logprobs,
        counts: line.counts,
        timings: line.timings,
        stop,
    })
}
