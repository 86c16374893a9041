//! A screen for tests: masks one word, stops at another, and at a third where it ends a text.
//!
//! Never here: anything about frames.

use std::collections::HashMap;

use wire::{Channel, Screen, Verdict};

const MASKED: &str = "secret";
const STOPS: &str = "bomb";
/// Harmless inside a text, a reason to stop at its end.
const STOPS_AT_END: &str = "fus";

#[derive(Debug, Default)]
pub struct Masker {
    held: HashMap<Channel, String>,
}

impl Screen for Masker {
    fn push(&mut self, channel: Channel, text: &str, out: &mut String) -> Verdict {
        let held = self.held.entry(channel).or_default();
        held.push_str(text);
        if let Some(at) = held.find(STOPS) {
            out.push_str(&held[..at].replace(MASKED, "******"));
            return Verdict::Stop;
        }
        *held = held.replace(MASKED, "******");
        let begins = |from: &usize| {
            held.is_char_boundary(*from)
                && [MASKED, STOPS, STOPS_AT_END].iter().any(|word| word.starts_with(&held[*from..]))
        };
        let keep = (held.len().saturating_sub(MASKED.len())..held.len()).find(begins).unwrap_or(held.len());
        out.push_str(&held[..keep]);
        held.drain(..keep);
        Verdict::Pass
    }

    fn finish(&mut self, channel: Channel, out: &mut String) -> Verdict {
        let held = self.held.remove(&channel).unwrap_or_default();
        if held == STOPS_AT_END {
            return Verdict::Stop;
        }
        out.push_str(&held);
        Verdict::Pass
    }
}
