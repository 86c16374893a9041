//! The members of a request that its response repeats, as JSON without the braces.
//!
//! Why as text: the response object is written several times in a stream, and nothing of this part changes; it is put
//! together once, when the request is read. The schema requires most of it, so what was not asked stands there as its default.
//!
//! Never here: what a member means.

use std::sync::Arc;

use crate::json::write;

/// Repeated as given, otherwise with the schema's default; without one, not at all.
const REPEATED: &[(&str, Option<&str>)] = &[
    ("instructions", Some("null")),
    ("metadata", Some("{}")),
    ("parallel_tool_calls", Some("true")),
    ("temperature", Some("1.0")),
    ("tool_choice", Some("\"auto\"")),
    ("tools", Some("[]")),
    ("top_p", Some("1.0")),
    ("max_output_tokens", Some("null")),
    ("max_tool_calls", Some("null")),
    ("reasoning", Some("{\"effort\":null,\"summary\":null}")),
    ("text", Some("{\"format\":{\"type\":\"text\"}}")),
    ("top_logprobs", Some("0")),
    ("user", None),
    ("safety_identifier", None),
    ("prompt_cache_key", None),
];

/// What is so whatever was asked: nothing is kept, nothing runs unattended, no prompt is cut.
const ALWAYS: &[u8] =
    b"\"background\":false,\"previous_response_id\":null,\"store\":false,\"truncation\":\"disabled\"";

/// Members as they stand in the body.
#[derive(Debug, Default)]
pub(super) struct Echo<'a> {
    given: Vec<(&'static str, &'a str)>,
}

impl<'a> Echo<'a> {
    pub(super) fn note(&mut self, name: &'static str, value: &'a str) {
        if value != "null" && REPEATED.iter().any(|(repeated, _)| *repeated == name) {
            self.given.push((name, value));
        }
    }

    pub(super) fn written(&self) -> Arc<str> {
        let mut out = ALWAYS.to_vec();
        for (name, default) in REPEATED {
            let given = self.given.iter().find(|(given, _)| given == name).map(|(_, value)| *value);
            let Some(value) = given.or(*default) else { continue };
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write::compact(&mut out, value);
        }
        String::from_utf8(out).unwrap_or_default().into()
    }
}
