//! Text of an answer on its way through a screen: pieces go in as JSON, what may leave comes out as JSON.
//!
//! Why only one text is open at a time: what a screen holds back must leave before anything that came after it. So the
//! open text is finished as soon as another one begins, and before the answer ends.
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
            Self::Text | Self::Refusal => Channel::Text,
            Self::Arguments(place) => Channel::Arguments(place),
        }
    }
}

/// A stream's screen and what it needs between pieces.
pub(crate) struct Screened {
    screen: Box<dyn Screen>,
    open: Option<Slot>,
    passed: String,
    json: Vec<u8>,
}

impl Screened {
    pub(crate) fn new(screen: Box<dyn Screen>) -> Self {
        Self { screen, open: None, passed: String::new(), json: Vec::new() }
    }

    /// For a text that is whole: nothing may be open.
    pub(crate) fn screen(&mut self) -> &mut dyn Screen {
        self.screen.as_mut()
    }

    /// Opens a text, after finishing the one that is open.
    pub(crate) fn open(&mut self, slot: Slot, give: &mut impl FnMut(Slot, Text<'_>)) -> Verdict {
        if self.open == Some(slot) {
            return Verdict::Pass;
        }
        let verdict = self.close(give);
        if verdict == Verdict::Pass {
            self.open = Some(slot);
        }
        verdict
    }

    /// Takes a piece of a text and gives out what may leave now.
    pub(crate) fn push(
        &mut self,
        slot: Slot,
        text: Text<'_>,
        give: &mut impl FnMut(Slot, Text<'_>),
    ) -> Verdict {
        if self.open(slot, give) == Verdict::Stop {
            return Verdict::Stop;
        }
        self.passed.clear();
        let verdict = self.screen.push(slot.channel(), &text.decode(), &mut self.passed);
        self.give(slot, give);
        if verdict == Verdict::Stop {
            self.open = None;
        }
        verdict
    }

    /// The open text is over: gives out what was held back of it.
    pub(crate) fn close(&mut self, give: &mut impl FnMut(Slot, Text<'_>)) -> Verdict {
        let Some(slot) = self.open.take() else { return Verdict::Pass };
        self.passed.clear();
        let verdict = self.screen.finish(slot.channel(), &mut self.passed);
        self.give(slot, give);
        verdict
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
