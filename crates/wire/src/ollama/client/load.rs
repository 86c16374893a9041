//! An empty question: what it wants of the model, and how it is answered.
//!
//! Why here and not asked of the upstream: loading is the gateway's, so that a client that leaves does not end it for others.
//!
//! Never here: whether the caller may.

use super::line::{self, Kind, Said};
use crate::format::Operation;
use crate::json::{Kind as Json, Reader};
use crate::ollama::duration::is_zero;
use crate::reply::Reply;
use crate::request::ModelRequest;

/// Nothing is asked, and the model is to stay no longer.
pub(crate) fn unloads(request: &ModelRequest<'_>) -> bool {
    let given = request.outsiders.iter().find(|outsider| outsider.name == "keep_alive");
    request.is_load() && given.is_some_and(|outsider| is_no_time(outsider.value.as_str()))
}

fn is_no_time(value: &str) -> bool {
    let mut reader = Reader::over(value, 1);
    match reader.kind() {
        Ok(Json::Number) => value.parse() == Ok(0.0),
        Ok(Json::String) => reader.string().is_ok_and(|text| is_zero(&text.decode())),
        _ => false,
    }
}

pub(crate) fn write(operation: Operation, reply: &Reply, unloaded: bool, out: &mut Vec<u8>) {
    line::head(reply, None, out);
    line::said(Kind::of(operation), &Said::default(), &reply.id, out);
    out.extend_from_slice(if unloaded {
        b",\"done\":true,\"done_reason\":\"unload\"}".as_slice()
    } else {
        b",\"done\":true,\"done_reason\":\"load\"}"
    });
}
