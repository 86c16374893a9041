//! Texts of a request that leave otherwise than they came, by their place in the body: changed by a screen, or named in full.
//!
//! Why by place: every text of a request is lent from the body, so its address is its place; texts stay what they are, and
//! both lanes, the one that splices the body and the one that writes it anew, put the same in the same places.
//!
//! Never here: which texts are looked at.

use std::ops::Range;

use crate::json::{Raw, Text};

/// Replacements for the insides of JSON strings, in the order of the body.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    /// Address of the body.
    base: usize,
    list: Vec<(Range<usize>, String)>,
}

impl Masks {
    pub(crate) fn new(body: &[u8]) -> Self {
        Self { base: body.as_ptr().addr(), list: Vec::new() }
    }

    /// Texts must come in the order of the body.
    pub(crate) fn replace(&mut self, text: Text<'_>, json: String) {
        if let Some(range) = self.range(text.raw()) {
            self.list.push((range, json));
        }
    }

    pub(crate) fn list(&self) -> &[(Range<usize>, String)] {
        &self.list
    }

    /// The text as it may be shown.
    pub(crate) fn shown<'s>(&'s self, text: Text<'s>) -> Text<'s> {
        if self.list.is_empty() || text.is_empty() {
            return text;
        }
        self.within(text.raw()).first().map_or(text, |(_, json)| Text::of_json(json))
    }

    /// Copies a value as it may be shown.
    pub(crate) fn copy(&self, value: Raw<'_>, out: &mut Vec<u8>) {
        let text = value.as_str();
        let mut rest = text.as_bytes();
        let mut at = self.range(text).map_or(0, |range| range.start);
        for (range, json) in self.within(text) {
            let (before, after) = rest.split_at(range.start.saturating_sub(at).min(rest.len()));
            out.extend_from_slice(before);
            out.extend_from_slice(json.as_bytes());
            rest = after.get(range.len()..).unwrap_or_default();
            at = range.end;
        }
        out.extend_from_slice(rest);
    }

    fn within(&self, text: &str) -> &[(Range<usize>, String)] {
        let Some(whole) = self.range(text).filter(|_| !self.list.is_empty()) else { return &[] };
        let first = self.list.partition_point(|(range, _)| range.start < whole.start);
        let behind = self.list.partition_point(|(range, _)| range.end <= whole.end);
        self.list.get(first..behind).unwrap_or_default()
    }

    fn range(&self, text: &str) -> Option<Range<usize>> {
        let start = text.as_ptr().addr().checked_sub(self.base)?;
        Some(start..start + text.len())
    }
}
