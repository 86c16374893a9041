//! Reads the body of `/api/chat`.
//!
//! Never here: what an upstream supports. A chat without messages is no fault: it loads or unloads the model.

use super::{message, tools, wishes};
use crate::body::{Body, Name, Path};
use crate::error::Fault;
use crate::format::Operation;
use crate::media::Media;
use crate::request::{ModelRequest, ReadLimits};

const KNOWN: &[&str] = &[
    "model",
    "messages",
    "tools",
    "stream",
    "format",
    "think",
    "logprobs",
    "top_logprobs",
    "options",
    "keep_alive",
    "truncate",
    "shift",
];

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut media = Media::new(limits);
    let mut request = wishes::blank(Operation::Chat, bytes);
    request.stream = true;
    body.members_and(&Path::Root, KNOWN, |body, name| {
        let at = |name| Path::Root.key(name);
        match name {
            Name::Known("messages") => {
                let read = |body: &mut Body<'a>| message::list(body, &at("messages"), limits, &mut media);
                request.messages = body.optional(read)?.unwrap_or_default();
                Ok(())
            }
            Name::Known("tools") => {
                let read = |body: &mut Body<'a>| tools::list(body, &at("tools"), limits.tools);
                request.tools = body.optional(read)?.unwrap_or_default();
                Ok(())
            }
            Name::Known(name) => wishes::member(body, name, &mut request),
            Name::Other(name) => body.outsider(name, &mut request.outsiders),
        }
    })?;
    wishes::settle(request, body, &media)
}
