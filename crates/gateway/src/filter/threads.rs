//! Every way in which a text may still become a match, and where each began.
//!
//! Why here: the earliest beginning is the exact line between what may leave and what must wait. Of two ways that stand in
//! one state only the earlier matters, because whatever follows matches both; so the work per character is bounded by
//! the machine's states, whatever the text.
//!
//! Never here: text, or a decision.

use regex_syntax::hir::Look;

use super::program::{Condition, PatternId, Program, State, StateId};

/// One way to a match: it began with this symbol and stands in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub start: u64,
    pub pattern: PatternId,
    state: StateId,
}

/// A match: from its first symbol to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub pattern: PatternId,
    pub start: u64,
    pub end: u64,
}

/// The ways of one text, in the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct Threads {
    live: Vec<Thread>,
    before: Option<char>,
}

/// Room that a step needs and nobody after it.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    seen: Vec<u64>,
    marked: Vec<StateId>,
    stack: Vec<StateId>,
    ready: Vec<Thread>,
}

/// What is known of a place between two symbols.
#[derive(Clone, Copy)]
enum Around {
    Before(Option<char>),
    Both(Option<char>, Option<char>),
}

impl Threads {
    pub fn live(&self) -> &[Thread] {
        &self.live
    }

    /// Takes symbol number `at` and reports the matches that are known by it.
    pub fn step(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        at: u64,
        c: char,
        found: &mut Vec<Found>,
    ) {
        let around = Around::Both(self.before.replace(c), Some(c));
        let mut starts = program.starts(c).peekable();
        if self.live.is_empty() && starts.peek().is_none() {
            return;
        }
        scratch.ready.clear();
        let mut walk = Walk { program, around, at, found };
        for thread in self.live.drain(..) {
            walk.from(thread, scratch);
        }
        for pattern in starts {
            if let Some(state) = program.pattern(pattern).map(|pattern| pattern.start) {
                walk.from(Thread { start: at, pattern, state }, scratch);
            }
        }
        scratch.forget();

        walk.around = Around::Before(Some(c));
        walk.at = at + 1;
        let ready = std::mem::replace(&mut scratch.ready, std::mem::take(&mut self.live));
        for thread in &ready {
            let next = match program.state(thread.state) {
                Some(State::Char { is, next }) if *is == c => *next,
                Some(State::Class { set, next }) if program.has(*set, c) => *next,
                _ => continue,
            };
            walk.from(Thread { state: next, ..*thread }, scratch);
        }
        scratch.forget();
        self.live = std::mem::replace(&mut scratch.ready, ready);
    }

    /// The text ends before symbol number `at`.
    pub fn finish(&mut self, program: &Program, scratch: &mut Scratch, at: u64, found: &mut Vec<Found>) {
        scratch.ready.clear();
        let mut walk = Walk { program, around: Around::Both(self.before.take(), None), at, found };
        for thread in self.live.drain(..) {
            walk.from(thread, scratch);
        }
        scratch.forget();
        scratch.ready.clear();
    }
}

/// Follows everything that takes no symbol, at one place of the text.
struct Walk<'a> {
    program: &'a Program,
    around: Around,
    at: u64,
    found: &'a mut Vec<Found>,
}

impl Walk<'_> {
    fn from(&mut self, thread: Thread, scratch: &mut Scratch) {
        scratch.stack.push(thread.state);
        while let Some(id) = scratch.stack.pop() {
            let Some(state) = self.program.state(id) else { continue };
            if !scratch.mark(id) && !self.each_counts(state, thread.pattern) {
                continue;
            }
            match state {
                State::Char { .. } | State::Class { .. } => {
                    scratch.ready.push(Thread { state: id, ..thread });
                }
                State::Fork(to) => scratch.stack.extend(to.iter()),
                State::Check { condition, next } => match self.holds(*condition) {
                    Some(true) => scratch.stack.push(*next),
                    Some(false) => {}
                    None => scratch.ready.push(Thread { state: id, ..thread }),
                },
                State::Match => {
                    self.found.push(Found { pattern: thread.pattern, start: thread.start, end: self.at });
                }
            }
        }
    }

    /// A match that may yet prove to be none does not stand for a later one.
    fn each_counts(&self, state: &State, pattern: PatternId) -> bool {
        let checked = || self.program.pattern(pattern).is_some_and(|pattern| pattern.valid.is_some());
        match state {
            State::Match | State::Check { .. } => checked(),
            _ => false,
        }
    }

    /// `None`: the next symbol will tell.
    fn holds(&self, condition: Condition) -> Option<bool> {
        let (before, after) = match self.around {
            Around::Before(before) => (before, None),
            Around::Both(before, after) => (before, Some(after)),
        };
        match condition {
            Condition::NotAfter(set) => Some(!before.is_some_and(|c| self.program.has(set, c))),
            Condition::NotBefore(set) => Some(!after?.is_some_and(|c| self.program.has(set, c))),
            Condition::Look(look) => Some(looks(look, before, after?)),
        }
    }
}

impl Scratch {
    pub fn new(program: &Program) -> Self {
        Self { seen: vec![0; program.states_len().div_ceil(64)], ..Self::default() }
    }

    /// True for the first who comes to this state.
    fn mark(&mut self, id: StateId) -> bool {
        let Some(word) = self.seen.get_mut(id as usize / 64) else { return false };
        let bit = 1 << (id % 64);
        let first = *word & bit == 0;
        if first {
            *word |= bit;
            self.marked.push(id);
        }
        first
    }

    fn forget(&mut self) {
        for id in self.marked.drain(..) {
            if let Some(word) = self.seen.get_mut(id as usize / 64) {
                *word = 0;
            }
        }
    }
}

fn looks(look: Look, before: Option<char>, after: Option<char>) -> bool {
    let ascii = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let word = |c: Option<char>| c.is_some_and(regex_syntax::is_word_character);
    match look {
        Look::Start => before.is_none(),
        Look::End => after.is_none(),
        Look::StartLF => before.is_none_or(|c| c == '\n'),
        Look::EndLF => after.is_none_or(|c| c == '\n'),
        Look::StartCRLF => match before {
            Some('\r') => after != Some('\n'),
            before => before.is_none_or(|c| c == '\n'),
        },
        Look::EndCRLF => match after {
            Some('\n') => before != Some('\r'),
            after => after.is_none_or(|c| c == '\r'),
        },
        Look::WordAscii => ascii(before) != ascii(after),
        Look::WordAsciiNegate => ascii(before) == ascii(after),
        Look::WordUnicode => word(before) != word(after),
        Look::WordUnicodeNegate => word(before) == word(after),
        Look::WordStartAscii => !ascii(before) && ascii(after),
        Look::WordEndAscii => ascii(before) && !ascii(after),
        Look::WordStartUnicode => !word(before) && word(after),
        Look::WordEndUnicode => word(before) && !word(after),
        Look::WordStartHalfAscii => !ascii(before),
        Look::WordEndHalfAscii => !ascii(after),
        Look::WordStartHalfUnicode => !word(before),
        Look::WordEndHalfUnicode => !word(after),
    }
}
