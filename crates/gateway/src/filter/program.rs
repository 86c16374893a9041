//! Expressions as one machine of states over characters.
//!
//! Why here: to let text go the moment it can no longer be part of a match, one must know where the matches that are
//! still possible began. Engines that search a whole text do not tell; this machine's states do, and its size is bounded
//! when the configuration is read. Parsing, and the meaning of classes, are the regex library's.
//!
//! Never here: text, or what happens to a match.

use std::collections::HashMap;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// States of all expressions together; bounds both memory and the work per character.
const STATES_MAX: usize = 50_000;
/// States of one expression.
const STATES_EACH_MAX: usize = 5_000;

pub(super) type StateId = u32;
pub(super) type PatternId = u16;

#[derive(Debug)]
pub(super) enum State {
    Char { is: char, next: StateId },
    Class { set: u32, next: StateId },
    Fork(Box<[StateId]>),
    Check { condition: Condition, next: StateId },
    Match,
}

/// Something about the characters on both sides of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Look(Look),
    NotAfter(u32),
    NotBefore(u32),
}

/// One expression of one rule.
#[derive(Debug)]
pub(super) struct Pattern {
    pub rule: u16,
    pub start: StateId,
    /// Looks at the matched symbols; for expressions of at most [`super::recent::SYMBOLS_MAX`] characters only.
    pub valid: Option<fn(&[u8]) -> bool>,
}

/// An expression with what may not stand beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub hir: &'a Hir,
    pub not_after: Option<&'a Hir>,
    pub not_before: Option<&'a Hir>,
    pub valid: Option<fn(&[u8]) -> bool>,
}

#[derive(Debug, Default)]
pub(super) struct Program {
    states: Vec<State>,
    sets: Vec<CharSet>,
    known_sets: HashMap<Vec<(char, char)>, u32>,
    patterns: Vec<Pattern>,
    /// Patterns that a match may begin for with this ASCII character, and with any other.
    ascii_starts: Vec<Vec<PatternId>>,
    wide_starts: Vec<(CharSet, PatternId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Program {
    pub fn state(&self, id: StateId) -> Option<&State> {
        self.states.get(id as usize)
    }

    pub fn states_len(&self) -> usize {
        self.states.len()
    }

    pub fn pattern(&self, id: PatternId) -> Option<&Pattern> {
        self.patterns.get(usize::from(id))
    }

    pub fn has(&self, set: u32, c: char) -> bool {
        self.sets.get(set as usize).is_some_and(|set| set.has(c))
    }

    pub fn starts(&self, c: char) -> impl Iterator<Item = PatternId> {
        let ascii = if c.is_ascii() { self.ascii_starts.get(c as usize) } else { None };
        let wide = if c.is_ascii() { &[] } else { self.wide_starts.as_slice() };
        let wide = wide.iter().filter(move |(set, _)| set.has(c)).map(|(_, pattern)| *pattern);
        ascii.into_iter().flatten().copied().chain(wide)
    }

    /// Adds an expression of a rule.
    pub fn add(&mut self, rule: u16, source: Source<'_>) -> Result<(), TooLarge> {
        let room = STATES_EACH_MAX.min(STATES_MAX.saturating_sub(self.states.len()));
        let mut compiler = Compiler { states_max: self.states.len() + room, program: self };
        let mut state = compiler.state(State::Match)?;
        if let Some(class) = source.not_before {
            let condition = Condition::NotBefore(compiler.program.border(class));
            state = compiler.state(State::Check { condition, next: state })?;
        }
        state = compiler.hir(source.hir, state)?;
        if let Some(class) = source.not_after {
            let condition = Condition::NotAfter(compiler.program.border(class));
            state = compiler.state(State::Check { condition, next: state })?;
        }
        let id = PatternId::try_from(self.patterns.len()).map_err(|_| TooLarge)?;
        self.patterns.push(Pattern { rule, start: state, valid: source.valid });
        self.index(id, state);
        Ok(())
    }

    /// Notes which characters the pattern may begin with.
    fn index(&mut self, id: PatternId, start: StateId) {
        let (mut reached, mut stack, mut ranges) = (vec![false; self.states.len()], vec![start], Vec::new());
        while let Some(at) = stack.pop() {
            match reached.get_mut(at as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            match self.state(at) {
                Some(State::Char { is, .. }) => ranges.push((*is, *is)),
                Some(State::Class { set, .. }) => {
                    ranges.extend(
                        self.sets.get(*set as usize).iter().flat_map(|set| set.ranges.iter().copied()),
                    );
                }
                Some(State::Fork(to)) => stack.extend(to.iter()),
                Some(State::Check { next, .. }) => stack.push(*next),
                Some(State::Match) | None => {}
            }
        }
        let first = CharSet::new(ranges);
        self.ascii_starts.resize_with(128, Vec::new);
        for (c, starts) in ('\0'..='\x7f').zip(&mut self.ascii_starts) {
            if first.has(c) {
                starts.push(id);
            }
        }
        if first.ranges.last().is_some_and(|(_, last)| !last.is_ascii()) {
            self.wide_starts.push((first, id));
        }
    }

    fn set(&mut self, ranges: Vec<(char, char)>) -> u32 {
        let next = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        if let Some(known) = self.known_sets.get(&ranges) {
            return *known;
        }
        self.known_sets.insert(ranges.clone(), next);
        self.sets.push(CharSet::new(ranges));
        next
    }

    fn border(&mut self, class: &Hir) -> u32 {
        let ranges = match class.kind() {
            HirKind::Class(class) => ranges(class),
            _ => Vec::new(),
        };
        self.set(ranges)
    }
}

/// Writes states from the end of an expression to its beginning, so that each knows what follows.
struct Compiler<'a> {
    program: &'a mut Program,
    states_max: usize,
}

impl Compiler<'_> {
    fn state(&mut self, state: State) -> Result<StateId, TooLarge> {
        if self.program.states.len() >= self.states_max {
            return Err(TooLarge);
        }
        let id = StateId::try_from(self.program.states.len()).map_err(|_| TooLarge)?;
        self.program.states.push(state);
        Ok(id)
    }

    fn hir(&mut self, hir: &Hir, next: StateId) -> Result<StateId, TooLarge> {
        match hir.kind() {
            HirKind::Empty => Ok(next),
            HirKind::Literal(literal) => {
                // The parser is told to keep to UTF-8.
                let text = std::str::from_utf8(&literal.0).unwrap_or_default();
                text.chars().rev().try_fold(next, |next, is| self.state(State::Char { is, next }))
            }
            HirKind::Class(class) => {
                let set = self.program.set(ranges(class));
                self.state(State::Class { set, next })
            }
            HirKind::Look(look) => self.state(State::Check { condition: Condition::Look(*look), next }),
            HirKind::Repetition(repetition) => self.repetition(repetition, next),
            HirKind::Capture(capture) => self.hir(&capture.sub, next),
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.hir(part, next)),
            HirKind::Alternation(ways) => {
                let ways: Result<Box<[_]>, _> = ways.iter().map(|way| self.hir(way, next)).collect();
                self.state(State::Fork(ways?))
            }
        }
    }

    fn repetition(&mut self, repetition: &Repetition, next: StateId) -> Result<StateId, TooLarge> {
        let mut at = next;
        match repetition.max {
            None => {
                let fork = self.state(State::Fork(Box::new([])))?;
                let body = self.hir(&repetition.sub, fork)?;
                if let Some(state) = self.program.states.get_mut(fork as usize) {
                    *state = State::Fork(Box::new([body, next]));
                }
                at = fork;
            }
            Some(max) => {
                for _ in repetition.min..max {
                    let body = self.hir(&repetition.sub, at)?;
                    at = self.state(State::Fork(Box::new([body, next])))?;
                }
            }
        }
        (0..repetition.min).try_fold(at, |next, _| self.hir(&repetition.sub, next))
    }
}

fn ranges(class: &Class) -> Vec<(char, char)> {
    match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
    }
}

/// Characters, told apart fast where they are ASCII.
#[derive(Debug)]
struct CharSet {
    ascii: u128,
    ranges: Box<[(char, char)]>,
}

impl CharSet {
    fn new(mut ranges: Vec<(char, char)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(char, char)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        let mut ascii = 0;
        for (first, last) in &merged {
            for c in (*first..=*last).take_while(char::is_ascii) {
                ascii |= 1 << u32::from(c);
            }
        }
        Self { ascii, ranges: merged.into() }
    }

    fn has(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.ascii >> u32::from(c) & 1 == 1;
        }
        let place = self.ranges.partition_point(|(_, last)| *last < c);
        self.ranges.get(place).is_some_and(|(first, _)| *first <= c)
    }
}
