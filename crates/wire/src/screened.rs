//! Text of an answer on its way through a screen: pieces go in as JSON, what may leave comes out as JSON.
//!
//! Why every text stays open until the answer ends: a client joins the pieces of a text whatever came between them, and a
//! match that goes on behind a thought or a call must not pass. So what is held back of one text may leave after pieces of
//! another; within a text the order stays.
//!
//! Never here: a rule (the screen's), a frame (the format's).

use std::fmt;

use crate::json::{Text, write};
use crate::screen::{Channel, Screen, Verdict};

/// A text of an answer. A refusal is text as well, but not the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Thinking,
    Text,
    Refusal,
    Arguments(u32),
}

impl Slot {
    pub(crate) fn channel(self) -> Channel {
        match self {
            Self::Thinking => Channel::Thinking,
            Self::Text => Channel::Text,
            Self::Refusal => Channel::Refusal,
            Self::Arguments(place) => Channel::Arguments(place),
        }
    }
}

/// A stream's screen and what it needs between pieces.
pub(crate) struct Screened {
    screen: Box<dyn Screen>,
    open: Vec<Slot>,
    passed: String,
    json: Vec<u8>,
}

impl Screened {
    pub(crate) fn new(screen: Box<dyn Screen>) -> Self {
        Self { screen, open: Vec::new(), passed: String::new(), json: Vec::new() }
    }

    /// For a text that is whole.
    pub(crate) fn screen(&mut self) -> &mut dyn Screen {
        self.screen.as_mut()
    }

    /// Takes a piece of a text and gives out what may leave now.
    pub(crate) fn push(
        &mut self,
        slot: Slot,
        text: Text<'_>,
        give: &mut impl FnMut(Slot, Text<'_>),
    ) -> Verdict {
        if !self.open.contains(&slot) {
            self.open.push(slot);
        }
        self.passed.clear();
        let verdict = self.screen.push(slot.channel(), &text.decode(), &mut self.passed);
        self.give(slot, give);
        if verdict == Verdict::Stop {
            self.open.clear();
        }
        verdict
    }

    /// All texts are over: gives out what was held back of them.
    pub(crate) fn close(&mut self, give: &mut impl FnMut(Slot, Text<'_>)) -> Verdict {
        for slot in std::mem::take(&mut self.open) {
            self.passed.clear();
            let verdict = self.screen.finish(slot.channel(), &mut self.passed);
            self.give(slot, give);
            if verdict == Verdict::Stop {
                return Verdict::Stop;
            }
        }
        Verdict::Pass
    }

    fn give(&mut self, slot: Slot, give: &mut impl FnMut(Slot, Text<'_>)) {
        if self.passed.is_empty() {
            return;
        }
        self.json.clear();
        write::escape(&mut self.json, &self.passed);
        give(slot, Text::of_json(std::str::from_utf8(&self.json).unwrap_or_default()));
    }
}

impl fmt::Debug for Screened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the text: it is somebody's answer.
        f.debug_struct("Screened")
            .field("screen", &self.screen)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// What may leave of a whole text, and whether anything after it may.
pub(crate) fn whole(screen: &mut dyn Screen, channel: Channel, text: &str) -> (String, Verdict) {
    let mut passed = String::with_capacity(text.len());
    let mut verdict = screen.push(channel, text, &mut passed);
    if verdict == Verdict::Pass {
        verdict = screen.finish(channel, &mut passed);
    }
    (passed, verdict)
}
