//! The client's side of a stream: neutral events into its format's bytes, and what can be said before and between them.
//!
//! Why one type for all: the outlet decides about events (caps, screen, ends) without knowing who reads them.
//!
//! Never here: a dialect's rules.

use crate::error::ErrorBody;
use crate::event::Event;
use crate::format::{Format, Operation};
use crate::frame::sse;
use crate::reply::Reply;
use crate::{anthropic, ollama, openai, responses};

#[derive(Debug)]
pub(super) enum Encoder {
    Chat(openai::encode::Encoder),
    Completion(openai::completions::encode::Encoder),
    Lines(ollama::client::encode::Encoder),
    Messages(anthropic::encode::Encoder),
    Response(Box<responses::encode::Encoder>),
}

impl Encoder {
    pub(super) fn new(client: Format, operation: Operation) -> Self {
        match (client, operation) {
            (Format::OpenAi, Operation::Complete) => Self::Completion(Default::default()),
            (Format::Ollama, operation) => Self::Lines(ollama::client::encode::Encoder::new(operation)),
            (Format::Anthropic, _) => Self::Messages(anthropic::encode::Encoder::default()),
            (Format::Responses, _) => Self::Response(Box::default()),
            _ => Self::Chat(openai::encode::Encoder::default()),
        }
    }

    pub(super) fn event(&mut self, event: Event<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match self {
            Self::Chat(encoder) => encoder.event(event, reply, out),
            Self::Completion(encoder) => encoder.event(&event, reply, out),
            Self::Lines(encoder) => encoder.event(event, reply, out),
            Self::Messages(encoder) => encoder.event(event, reply, out),
            Self::Response(encoder) => encoder.event(event, reply, out),
        }
    }

    /// Something was said, if only the role.
    pub(super) fn has_begun(&self) -> bool {
        match self {
            Self::Chat(encoder) => encoder.has_begun(),
            Self::Completion(encoder) => encoder.has_begun(),
            Self::Lines(encoder) => encoder.has_begun(),
            Self::Messages(encoder) => encoder.has_begun(),
            Self::Response(encoder) => encoder.has_begun(),
        }
    }

    /// The format has no pieces of calls.
    pub(super) fn wants_whole_calls(&self) -> bool {
        match self {
            Self::Chat(_) | Self::Completion(_) | Self::Messages(_) | Self::Response(_) => false,
            Self::Lines(_) => true,
        }
    }

    /// What a call is given is JSON of its own there, not text in a string: what is no object cannot be told.
    pub(super) fn wants_objects(&self) -> bool {
        match self {
            Self::Chat(_) | Self::Completion(_) | Self::Response(_) => false,
            Self::Lines(_) | Self::Messages(_) => true,
        }
    }

    /// Keeps proxies and clients from giving up a stream that has begun and is silent.
    pub(super) fn heartbeat(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        match self {
            Self::Response(encoder) if encoder.has_begun() => encoder.heartbeat(reply, out),
            Self::Chat(_) | Self::Completion(_) | Self::Response(_) => sse::comment("keepalive", out),
            Self::Lines(encoder) => encoder.heartbeat(reply, out),
            Self::Messages(encoder) => encoder.heartbeat(out),
        }
    }

    /// What is remembered of the answer so far, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Chat(_) | Self::Completion(_) | Self::Lines(_) | Self::Messages(_) => 0,
            Self::Response(encoder) => encoder.held_bytes(),
        }
    }

    /// Where the events stand, where a dialect numbers them.
    pub(super) fn mark(&self) -> u64 {
        match self {
            Self::Chat(_) | Self::Completion(_) | Self::Lines(_) | Self::Messages(_) => 0,
            Self::Response(encoder) => encoder.mark(),
        }
    }

    /// What was written since the mark is taken back; only a failure may follow.
    pub(super) fn take_back(&mut self, mark: u64) {
        match self {
            Self::Chat(_) | Self::Completion(_) | Self::Lines(_) | Self::Messages(_) => {}
            Self::Response(encoder) => encoder.take_back(mark),
        }
    }

    /// The last event of a stream that has begun; nothing that looks like a proper end follows it.
    pub(super) fn fail(&mut self, error: &ErrorBody<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) | Self::Completion(_) => openai::error::write_event(error, out),
            Self::Lines(_) => ollama::client::encode::Encoder::fail(error, out),
            Self::Messages(_) => anthropic::encode::Encoder::fail(error, out),
            Self::Response(encoder) => encoder.fail(error, reply, out),
        }
    }
}

/// A stream whose head is out and whose upstream has not said anything: what its client can be told meanwhile.
#[derive(Debug)]
pub struct Opening {
    client: Format,
    operation: Operation,
    reply: Reply,
}

impl Opening {
    pub fn new(client: Format, operation: Operation, reply: Reply) -> Self {
        Self { client, operation, reply }
    }

    /// Says nothing to a client's program and keeps its stream open.
    pub fn heartbeat(&self, out: &mut Vec<u8>) {
        match self.client {
            Format::OpenAi | Format::Responses | Format::Anthropic => sse::comment("keepalive", out),
            // A stream of lines has no comments, and a blank line makes Ollama's own client fail: a piece of nothing.
            Format::Ollama => Encoder::new(self.client, self.operation).heartbeat(&self.reply, out),
        }
    }

    /// A comment for people who look at the stream, where the format has such a thing.
    pub fn comment(&self, text: &str, out: &mut Vec<u8>) {
        match self.client {
            Format::OpenAi | Format::Responses | Format::Anthropic => sse::comment(text, out),
            Format::Ollama => {}
        }
    }

    /// The one event of a stream that never had another.
    pub fn fail(&self, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        Encoder::new(self.client, self.operation).fail(error, &self.reply, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_one_block_and_lines_have_none() {
        #[track_caller]
        fn check(client: Format, text: &str, expected: &str) {
            let mut out = Vec::new();
            Opening::new(client, Operation::Chat, Reply::new("x", "m")).comment(text, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        for client in [Format::OpenAi, Format::Responses, Format::Anthropic] {
            check(client, "progress {\"position\":1}", ": progress {\"position\":1}\n\n");
            check(client, "a\r\ndata: b\n\nid: c", ": a  data: b  id: c\n\n");
        }
        check(Format::Ollama, "keepalive", "");
    }

    #[test]
    fn a_stream_that_has_not_begun_can_be_kept_open_and_failed() {
        #[track_caller]
        fn check(client: Format, operation: Operation, heartbeat: &str, failure: &str) {
            let opening =
                Opening::new(client, operation, Reply { created: 1_767_323_045, ..Reply::new("x", "m") });
            let mut out = Vec::new();
            opening.heartbeat(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), heartbeat);
            out.clear();
            opening.fail(&ErrorBody::new(crate::ErrorType::Server, "no\n", 502), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), failure);
        }
        check(
            Format::Ollama,
            Operation::Chat,
            "{\"model\":\"m\",\"created_at\":\"2026-01-02T03:04:05Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n",
            "{\"error\":\"no\\n\"}\n",
        );
        check(
            Format::Ollama,
            Operation::Complete,
            "{\"model\":\"m\",\"created_at\":\"2026-01-02T03:04:05Z\",\"response\":\"\",\"done\":false}\n",
            "{\"error\":\"no\\n\"}\n",
        );
    }
}
