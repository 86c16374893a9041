//! Writes a neutral answer as a whole response: the thought, the text, the calls.
//!
//! Never here: an upstream's dialect.

use super::item::{self, Kind, Status, ToolName};
use super::object::{self, State};
use crate::event::{Answer, Call};
use crate::json::{Text, write};
use crate::openai::logprobs;
use crate::reply::{Reply, StopReason};

pub(crate) fn write(answer: &Answer<'_>, reply: &Reply, out: &mut Vec<u8>) {
    let mut items = Items { reply, index: 0, output: Vec::new() };
    let text = Some(answer.text).filter(|text| !text.is_empty());
    // Calls come whole: what was cut is what was said last before them.
    let cut =
        matches!(answer.stop, StopReason::Length | StopReason::ContentFilter) && answer.calls.is_empty();
    let status = |is_last| if cut && is_last { Status::Incomplete } else { Status::Completed };
    if let Some(thinking) = answer.thinking {
        items.thinking(thinking, status(text.is_none()));
    }
    if let Some(text) = text {
        items.text(text, answer, status(true));
    }
    for (place, call) in (0u64..).zip(&answer.calls) {
        items.call(call, place);
    }
    let counts = Some(answer.counts.unwrap_or_default());
    object::write(reply, answer.created, State::Ended(answer.stop), &items.output, counts, out);
}

struct Items<'r> {
    reply: &'r Reply,
    index: u64,
    output: Vec<u8>,
}

impl Items<'_> {
    /// The id of the next item.
    fn id(&mut self, kind: Kind) -> Vec<u8> {
        let mut id = Vec::new();
        item::id(kind, self.index, self.reply, &mut id);
        if self.index > 0 {
            self.output.push(b',');
        }
        self.index += 1;
        id
    }

    fn thinking(&mut self, text: Text<'_>, status: Status) {
        let id = self.id(Kind::Thinking);
        let mut json = Vec::new();
        write::text_body(&mut json, text);
        item::thinking(&id, &json, status, &self.reply.manner, &mut self.output);
    }

    fn text(&mut self, text: Text<'_>, answer: &Answer<'_>, status: Status) {
        let id = self.id(Kind::Text);
        let (mut json, mut tokens) = (Vec::new(), Vec::new());
        write::text_body(&mut json, text);
        if let Some(list) = answer.logprobs {
            logprobs::spelled(list, &mut tokens);
        }
        item::message(&id, &json, &tokens, status, &mut self.output);
    }

    fn call(&mut self, call: &Call<'_>, place: u64) {
        let id = self.id(Kind::Call);
        let (mut call_id, mut name, mut arguments) = (Vec::new(), ToolName::default(), Vec::new());
        item::call_id(call.id, place, self.reply, &mut call_id);
        name.set(call.name, &self.reply.manner);
        write::escape(&mut arguments, &call.arguments);
        item::call(&id, &call_id, &name, &arguments, Status::Completed, &mut self.output);
    }
}
