//! Writes neutral events as the events of a streamed response.
//!
//! What it must remember: the number of the next event; the item that is open, with all of its text, for the dialect tells a
//! text four times (in pieces, when it is done, in its item, in the response); and the items that are done. Texts are
//! remembered as they stand in JSON and copied.
//!
//! An item is opened by the first thing that it holds and closed by what is no part of it, so that the order is right
//! whatever a screen has held back.
//!
//! Never here: an upstream's dialect.

use super::item::{self, Kind, Status, ToolName, member};
use super::object::{self, State};
use crate::error::ErrorBody;
use crate::event::{Block, Call, CallHead, Counts, Delta, DeltaKind, Event, Logprobs};
use crate::json::{Text, object_text, write};
use crate::openai::logprobs;
use crate::reply::{Reply, StopReason};

/// What closes an event.
const END: &[u8] = b"}\n\n";
const ARGUMENTS: &str = "response.function_call_arguments.delta";

#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// The number of the next event.
    sequence: u64,
    begun: bool,
    created: Option<u64>,
    /// Items so far, the open one included.
    items: u64,
    calls: u64,
    open: Option<Kind>,
    item: Item,
    /// Items that are done, with commas between them.
    output: Vec<u8>,
    counts: Option<Counts>,
}

/// The open item; its buffers are kept from item to item. All are insides of JSON strings, or of a list.
#[derive(Debug, Default)]
struct Item {
    id: Vec<u8>,
    /// What was said, thought, or given to a tool.
    text: Vec<u8>,
    /// Tokens of the text, and those that came before it and wait.
    logprobs: Vec<u8>,
    /// How much of them was sent.
    told: usize,
    call_id: Vec<u8>,
    name: ToolName,
}

impl Encoder {
    pub(crate) fn event(&mut self, event: Event<'_>, reply: &Reply, out: &mut Vec<u8>) {
        match event {
            Event::Start { created } => self.start(created, reply, out),
            Event::Delta(delta) => self.delta(delta, reply, out),
            Event::Call(call) => self.call(&call, reply, out),
            Event::BlockStart(Block::Call(head)) => self.open_call(head, reply, out),
            Event::Arguments(text) => self.arguments(text, out),
            // What comes next says whether the block is whole.
            Event::BlockStop | Event::BlockStart(Block::Text | Block::Thinking) | Event::Timings(_) => {}
            Event::Counts(counts) => self.counts = Some(counts),
            Event::Stop(reason) => self.stop(reason, reply, out),
        }
    }

    /// The client knows that an answer is coming.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.output.len() + self.item.text.len() + self.item.logprobs.len()
    }

    /// Where the events stand, for [`Self::take_back`].
    pub(crate) fn mark(&self) -> u64 {
        self.sequence
    }

    /// The events since the mark were not sent; only a failure may follow.
    pub(crate) fn take_back(&mut self, mark: u64) {
        self.sequence = mark;
    }

    /// An event that says nothing new: some clients do not take a comment for a sign of life.
    pub(crate) fn heartbeat(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        self.response("response.in_progress", State::InProgress, reply, out);
    }

    /// The last event, also where it is the only one.
    pub(crate) fn fail(&mut self, error: &ErrorBody<'_>, reply: &Reply, out: &mut Vec<u8>) {
        let state = State::Failed { code: super::error::code(error), message: error.message };
        self.response("response.failed", state, reply, out);
    }

    fn start(&mut self, created: Option<u64>, reply: &Reply, out: &mut Vec<u8>) {
        self.begun = true;
        self.created = created;
        self.response("response.created", State::InProgress, reply, out);
        self.response("response.in_progress", State::InProgress, reply, out);
    }

    fn stop(&mut self, reason: StopReason, reply: &Reply, out: &mut Vec<u8>) {
        let cut = matches!(reason, StopReason::Length | StopReason::ContentFilter);
        self.close(cut, reply, out);
        let name = if cut { "response.incomplete" } else { "response.completed" };
        self.response(name, State::Ended(reason), reply, out);
    }

    fn delta(&mut self, delta: Delta<'_>, reply: &Reply, out: &mut Vec<u8>) {
        let kind = match delta.kind {
            DeltaKind::Text => Kind::Text,
            DeltaKind::Thinking => Kind::Thinking,
        };
        let says = !delta.text.is_empty();
        if says && self.open != Some(kind) {
            self.open(kind, reply, out);
        }
        // On their own inside a thought or a call, tokens spell no text.
        if kind == Kind::Text && matches!(self.open, None | Some(Kind::Text)) {
            self.tokens(delta.logprobs);
        }
        if !says && (self.open != Some(kind) || self.item.told == self.item.logprobs.len()) {
            return;
        }
        let from = self.item.text.len();
        write::text_body(&mut self.item.text, delta.text);
        match kind {
            Kind::Text => self.text_delta(from, out),
            _ => self.piece("response.reasoning_summary_text.delta", kind, from, out),
        }
    }

    fn text_delta(&mut self, from: usize, out: &mut Vec<u8>) {
        self.begin("response.output_text.delta", out);
        self.place(out);
        out.extend_from_slice(part_index(Kind::Text));
        member(b"delta", self.item.text.get(from..).unwrap_or_default(), out);
        let tokens = self.item.logprobs.get(self.item.told..).unwrap_or_default();
        item::logprobs_member(tokens.strip_prefix(b",").unwrap_or(tokens), out);
        self.item.told = self.item.logprobs.len();
        out.extend_from_slice(END);
    }

    /// Remembers tokens until the text that they spell is told.
    fn tokens(&mut self, list: Option<Logprobs<'_>>) {
        let Some(list) = list else { return };
        let held = &mut self.item.logprobs;
        let mark = held.len();
        if mark > 0 {
            held.push(b',');
        }
        let before = held.len();
        logprobs::spelled(list, held);
        if held.len() == before {
            held.truncate(mark);
        }
    }

    /// A call that came whole is done at once.
    fn call(&mut self, call: &Call<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.open_call(CallHead { id: call.id, name: call.name }, reply, out);
        write::escape(&mut self.item.text, &call.arguments);
        self.piece(ARGUMENTS, Kind::Call, 0, out);
        self.close(false, reply, out);
    }

    fn open_call(&mut self, head: CallHead<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.close(false, reply, out);
        self.item.call_id.clear();
        item::call_id(head.id, self.calls, reply, &mut self.item.call_id);
        self.item.name.set(head.name, &reply.manner);
        self.calls += 1;
        self.open(Kind::Call, reply, out);
    }

    fn arguments(&mut self, text: Text<'_>, out: &mut Vec<u8>) {
        if self.open == Some(Kind::Call) {
            let from = self.item.text.len();
            write::text_body(&mut self.item.text, text);
            self.piece(ARGUMENTS, Kind::Call, from, out);
        }
    }

    /// Begins an item; what was open is done.
    fn open(&mut self, kind: Kind, reply: &Reply, out: &mut Vec<u8>) {
        self.close(false, reply, out);
        self.open = Some(kind);
        self.item.id.clear();
        item::id(kind, self.items, reply, &mut self.item.id);
        self.items += 1;
        self.begin("response.output_item.added", out);
        self.output_index(out);
        out.extend_from_slice(b",\"item\":");
        self.item.write(kind, Status::InProgress, reply, out);
        out.extend_from_slice(END);
        match kind {
            Kind::Thinking => self.part("response.reasoning_summary_part.added", kind, out),
            Kind::Text => self.part("response.content_part.added", kind, out),
            Kind::Call => {}
        }
    }

    /// Ends the open item. `cut`: the answer ends inside it.
    fn close(&mut self, cut: bool, reply: &Reply, out: &mut Vec<u8>) {
        let Some(kind) = self.open.take() else { return };
        let mut status = if cut { Status::Incomplete } else { Status::Completed };
        match kind {
            Kind::Thinking => {
                self.text_done("response.reasoning_summary_text.done", kind, out);
                self.part("response.reasoning_summary_part.done", kind, out);
            }
            Kind::Text => {
                self.text_done("response.output_text.done", kind, out);
                self.part("response.content_part.done", kind, out);
            }
            Kind::Call => status = self.close_call(cut, out),
        }
        if !self.output.is_empty() {
            self.output.push(b',');
        }
        let start = self.output.len();
        self.item.write(kind, status, reply, &mut self.output);
        self.begin("response.output_item.done", out);
        self.output_index(out);
        out.extend_from_slice(b",\"item\":");
        out.extend_from_slice(self.output.get(start..).unwrap_or_default());
        out.extend_from_slice(END);
        self.item.text.clear();
        self.item.logprobs.clear();
        self.item.told = 0;
    }

    /// Half a call is not told as arguments that are done: somebody would run it.
    fn close_call(&mut self, cut: bool, out: &mut Vec<u8>) -> Status {
        if cut && !self.item.is_whole_call() {
            return Status::Incomplete;
        }
        if self.item.text.trim_ascii().is_empty() {
            let from = self.item.text.len();
            self.item.text.extend_from_slice(b"{}");
            self.piece(ARGUMENTS, Kind::Call, from, out);
        }
        self.begin("response.function_call_arguments.done", out);
        self.place(out);
        member(b"name", &self.item.name.own, out);
        member(b"arguments", &self.item.text, out);
        out.extend_from_slice(END);
        Status::Completed
    }

    /// A piece of the item's text.
    fn piece(&mut self, name: &str, kind: Kind, from: usize, out: &mut Vec<u8>) {
        self.begin(name, out);
        self.place(out);
        out.extend_from_slice(part_index(kind));
        member(b"delta", self.item.text.get(from..).unwrap_or_default(), out);
        out.extend_from_slice(END);
    }

    /// All of it.
    fn text_done(&mut self, name: &str, kind: Kind, out: &mut Vec<u8>) {
        self.begin(name, out);
        self.place(out);
        out.extend_from_slice(part_index(kind));
        member(b"text", &self.item.text, out);
        if kind == Kind::Text {
            item::logprobs_member(&self.item.logprobs, out);
        }
        out.extend_from_slice(END);
    }

    /// The part that holds it.
    fn part(&mut self, name: &str, kind: Kind, out: &mut Vec<u8>) {
        self.begin(name, out);
        self.place(out);
        out.extend_from_slice(part_index(kind));
        out.extend_from_slice(b",\"part\":");
        match kind {
            Kind::Thinking => item::summary_part(&self.item.text, out),
            _ if self.item.text.is_empty() => item::text_part(b"", b"", out),
            _ => item::text_part(&self.item.text, &self.item.logprobs, out),
        }
        out.extend_from_slice(END);
    }

    fn response(&mut self, name: &str, state: State<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.begin(name, out);
        out.extend_from_slice(b",\"response\":");
        // An answer that is not there yet, or failed, has nothing to show.
        let (output, counts) = match state {
            State::Ended(_) => (self.output.as_slice(), Some(self.counts.unwrap_or_default())),
            State::InProgress | State::Failed { .. } => (b"".as_slice(), None),
        };
        object::write(reply, self.created, state, output, counts, out);
        out.extend_from_slice(END);
    }

    /// Up to and including the event's number.
    fn begin(&mut self, name: &str, out: &mut Vec<u8>) {
        for piece in ["event: ", name, "\ndata: {\"type\":\"", name, "\",\"sequence_number\":"] {
            out.extend_from_slice(piece.as_bytes());
        }
        write::number(out, self.sequence);
        self.sequence += 1;
    }

    /// Which item an event is about.
    fn place(&self, out: &mut Vec<u8>) {
        member(b"item_id", &self.item.id, out);
        self.output_index(out);
    }

    fn output_index(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"output_index\":");
        write::number(out, self.items.saturating_sub(1));
    }
}

impl Item {
    fn write(&self, kind: Kind, status: Status, reply: &Reply, out: &mut Vec<u8>) {
        match kind {
            Kind::Thinking => item::thinking(&self.id, &self.text, status, &reply.manner, out),
            Kind::Text => item::message(&self.id, &self.text, &self.logprobs, status, out),
            Kind::Call => item::call(&self.id, &self.call_id, &self.name, &self.text, status, out),
        }
    }

    /// The arguments are an object, although the answer ended behind them.
    fn is_whole_call(&self) -> bool {
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        !text.is_empty() && object_text(&Text::of_json(text).decode()).is_some()
    }
}

/// An item of ours has one part.
fn part_index(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Thinking => b",\"summary_index\":0",
        Kind::Text => b",\"content_index\":0",
        Kind::Call => b"",
    }
}
