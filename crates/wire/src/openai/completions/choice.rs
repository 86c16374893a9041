//! Writes one choice of a completion, whole or a piece of it: the same members in both.
//!
//! What a model thinks has no place in this operation. It is sent in a member of our own, `reasoning`, beside an empty text,
//! so that nobody waits in silence; clients that do not know the member join the empty texts and lose nothing.
//!
//! Never here: the order of chunks, the index of a choice.

use super::logprobs::Spelt;
use crate::json::{Text, write};
use crate::openai::chunk::finish;
use crate::reply::{Reply, StopReason};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TextChoice<'a> {
    pub(crate) text: Text<'a>,
    pub(crate) thinking: Option<Text<'a>>,
    pub(crate) logprobs: Spelt<'a>,
    pub(crate) stop: Option<StopReason>,
}

impl TextChoice<'_> {
    /// All that stands behind `"text":`, up to the end of the choice. `offset`: characters of the choice's tokens so far.
    pub(crate) fn write(&self, offset: &mut u64, reply: &Reply, out: &mut Vec<u8>) {
        write::text(out, self.text);
        if let Some(thinking) = self.thinking {
            out.extend_from_slice(b",\"reasoning\":");
            write::text(out, thinking);
            if reply.reasoning_alias {
                out.extend_from_slice(b",\"reasoning_content\":");
                write::text(out, thinking);
            }
        }
        out.extend_from_slice(b",\"logprobs\":");
        self.logprobs.write(offset, out);
        // Nobody could name a tool: a call cannot be why a completion ended.
        let stop = self.stop.map(|stop| if stop == StopReason::ToolCalls { StopReason::Stop } else { stop });
        finish(stop, out);
    }
}
