//! The last few symbols of a text, for rules that must calculate with what they matched.
//!
//! Why here: a checksum needs the digits after the text may already have left (a rule that only logs holds nothing back),
//! and all such rules look at short numbers.
//!
//! Never here: anything longer than a number.

/// More than any number that is calculated with has, separators included.
pub(super) const SYMBOLS_MAX: usize = 31;
const SLOTS: usize = SYMBOLS_MAX + 1;

#[derive(Debug)]
pub(super) struct Recent([u8; SLOTS]);

impl Recent {
    pub fn new() -> Self {
        Self([0; SLOTS])
    }

    pub fn push(&mut self, at: u64, c: char) {
        if let Some(slot) = self.0.get_mut(slot(at)) {
            *slot = u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(0);
        }
    }

    /// The symbols from `start` to before `end`; `None` if they are too many.
    pub fn text(&self, start: u64, end: u64) -> Option<([u8; SLOTS], usize)> {
        let len = usize::try_from(end.checked_sub(start)?).ok().filter(|len| *len <= SYMBOLS_MAX)?;
        let mut text = [0; SLOTS];
        for (to, at) in text.iter_mut().zip(start..end) {
            *to = self.0.get(slot(at)).copied().unwrap_or(0);
        }
        Some((text, len))
    }
}

fn slot(at: u64) -> usize {
    usize::try_from(at % SLOTS as u64).unwrap_or(0)
}
