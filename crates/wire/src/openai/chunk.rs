//! The frame of an answer, whole or in chunks: what is equal on every chunk of a stream is written once and copied.
//!
//! Never here: what a delta holds.

use crate::event::{Counts, Logprobs};
use crate::format::Operation;
use crate::json::write;
use crate::reply::{Reply, StopReason};

/// Which of the format's two answers this is: a message that is said, or a text that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Chat,
    Completion,
}

impl Form {
    pub(super) fn of(operation: Operation) -> Self {
        if operation == Operation::Complete { Self::Completion } else { Self::Chat }
    }

    fn id_prefix(self) -> &'static [u8] {
        match self {
            Self::Chat => b"chatcmpl-",
            Self::Completion => b"cmpl-",
        }
    }

    fn whole(self) -> &'static [u8] {
        match self {
            Self::Chat => b"chat.completion",
            Self::Completion => b"text_completion",
        }
    }

    /// A completion's pieces are called what it is called as a whole.
    fn piece(self) -> &'static [u8] {
        match self {
            Self::Chat => b"chat.completion.chunk",
            Self::Completion => b"text_completion",
        }
    }

    /// The beginning of the first choice, up to the inside of its delta or to its text.
    fn first_choice(self) -> &'static [u8] {
        match self {
            Self::Chat => b"{\"index\":0,\"delta\":{",
            Self::Completion => b"{\"index\":0,\"text\":",
        }
    }
}

/// What is written before every delta.
#[derive(Debug, Default)]
pub(super) struct Frame {
    form: Form,
    /// Up to and including `"choices":[`.
    head: Vec<u8>,
    /// That and the beginning of the first choice.
    delta: Vec<u8>,
}

/// What follows the inside of a delta that does not end anything.
const PLAIN_END: &[u8] = b"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

impl Frame {
    pub(super) fn new(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// `created` is the first time that the upstream states; all chunks carry the same.
    pub(super) fn set(&mut self, reply: &Reply, created: Option<u64>) {
        self.head.clear();
        self.head.extend_from_slice(b"data: ");
        opening(self.form, self.form.piece(), reply, created, &mut self.head);
        self.head.extend_from_slice(b"\"choices\":[");
        self.delta.clear();
        self.delta.extend_from_slice(&self.head);
        self.delta.extend_from_slice(self.form.first_choice());
    }

    pub(super) fn is_set(&self) -> bool {
        !self.head.is_empty()
    }

    /// Up to and including `"choices":[`.
    pub(super) fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
    }

    /// Up to the inside of the first choice's delta, or to its text.
    pub(super) fn open_delta(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.delta);
    }

    /// Closes the delta, its choice and the chunk.
    pub(super) fn close_delta(logprobs: Option<Logprobs<'_>>, stop: Option<StopReason>, out: &mut Vec<u8>) {
        if logprobs.is_none() && stop.is_none() {
            return out.extend_from_slice(PLAIN_END);
        }
        out.push(b'}');
        closing(logprobs, stop, out);
        Self::close(out);
    }

    pub(super) fn close(out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}\n\n");
    }
}

/// `{"id":…,"object":…,"created":…,"model":…,` of a whole answer.
pub(super) fn opening_whole(form: Form, reply: &Reply, created: Option<u64>, out: &mut Vec<u8>) {
    opening(form, form.whole(), reply, created, out);
}

fn opening(form: Form, object: &[u8], reply: &Reply, created: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(form.id_prefix());
    write::escape(out, &reply.id);
    out.extend_from_slice(b"\",\"object\":\"");
    out.extend_from_slice(object);
    out.extend_from_slice(b"\",");
    if !reply.strip.created {
        out.extend_from_slice(b"\"created\":");
        write::number(out, created.unwrap_or(reply.created));
        out.push(b',');
    }
    if !reply.strip.model {
        out.extend_from_slice(b"\"model\":");
        write::string(out, &reply.model);
        out.push(b',');
    }
}

/// What follows a delta or a message: `,"logprobs":…,"finish_reason":…}`.
pub(super) fn closing(logprobs: Option<Logprobs<'_>>, stop: Option<StopReason>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"logprobs\":");
    super::logprobs::write(logprobs, out);
    finish(stop, out);
}

/// `,"finish_reason":…}`: how every choice ends.
pub(super) fn finish(stop: Option<StopReason>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"finish_reason\":");
    out.extend_from_slice(match stop {
        None => b"null}".as_slice(),
        Some(StopReason::Stop) => b"\"stop\"}",
        Some(StopReason::Length) => b"\"length\"}",
        Some(StopReason::ToolCalls) => b"\"tool_calls\"}",
        Some(StopReason::ContentFilter) => b"\"content_filter\"}",
    });
}

pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

impl Counts {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"prompt_tokens\":");
        write::number(out, self.prompt);
        out.extend_from_slice(b",\"completion_tokens\":");
        write::number(out, self.output);
        out.extend_from_slice(b",\"total_tokens\":");
        write::number(out, self.prompt.saturating_add(self.output));
        if let Some(cached) = self.cached {
            out.extend_from_slice(b",\"prompt_tokens_details\":{\"cached_tokens\":");
            write::number(out, cached);
            out.push(b'}');
        }
        if let Some(reasoning) = self.reasoning {
            out.extend_from_slice(b",\"completion_tokens_details\":{\"reasoning_tokens\":");
            write::number(out, reasoning);
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// The chunk without choices that carries them.
    pub(super) fn chunk(self, frame: &Frame, out: &mut Vec<u8>) {
        frame.open(out);
        out.extend_from_slice(b"],\"usage\":");
        self.write(out);
        out.extend_from_slice(b"}\n\n");
    }
}
