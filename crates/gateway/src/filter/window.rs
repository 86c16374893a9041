//! What of one text is held back, and what of it leaves in which form.
//!
//! Why here: the whole promise stands in one place. A symbol leaves only when no match that would mask or stop it is
//! possible any more, and as soon as that is so. Both depend on the symbols alone, never on the pieces they came in.
//!
//! Never here: how matches are found.

use std::collections::VecDeque;

use aho_corasick::automaton::StateID;

use super::findings::Findings;
use super::program::PatternId;
use super::recent::Recent;
use super::rules::Rules;
use super::symbols::{Place, Read, Unit};
use super::threads::{Found, Scratch, Threads};
use crate::config::FilterAction;

/// Room for one step, shared by the texts of one answer.
#[derive(Debug)]
pub(super) struct Work {
    scratch: Scratch,
    found: Vec<Found>,
}

impl Work {
    pub fn new(rules: &Rules) -> Self {
        Self { scratch: Scratch::new(&rules.program), found: Vec::new() }
    }
}

/// The end of a text that has not left yet, and what is known about it.
#[derive(Debug)]
pub(super) struct Window {
    /// Source of the units, and after it of a symbol that is not complete.
    held: String,
    units: VecDeque<Unit>,
    /// Masked symbols, from .. to before; none shares a symbol with another.
    masked: VecDeque<(u64, u64)>,
    symbols: u64,
    recent: Recent,
    threads: Threads,
    literals: Vec<StateID>,
    /// Where the last match of each rule that matched ended.
    ends: Vec<(u16, u64)>,
    stopped_from: Option<u64>,
}

impl Window {
    pub fn new(rules: &Rules) -> Self {
        Self {
            held: String::new(),
            units: VecDeque::new(),
            masked: VecDeque::new(),
            symbols: 0,
            recent: Recent::new(),
            threads: Threads::default(),
            literals: rules.literals.iter().map(|(_, literals)| literals.start()).collect(),
            ends: Vec::new(),
            stopped_from: None,
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped_from.is_some()
    }

    pub fn hold(&mut self, c: char) {
        self.held.push(c);
    }

    /// Takes what the source completed.
    pub fn take(&mut self, read: Read, rules: &Rules, work: &mut Work, findings: &Findings) {
        if self.is_stopped() {
            return;
        }
        self.symbols += u64::from(read.symbol.is_some());
        let number = self.symbols;
        let Read { symbol, source_bytes, place } = read;
        self.units.push_back(Unit { number, source_bytes, hidden: symbol.is_none(), place });
        let Some(c) = symbol else { return };
        self.recent.push(number, c);
        self.threads.step(&rules.program, &mut work.scratch, number, c, &mut work.found);
        for found in work.found.drain(..) {
            self.judge(found, rules, findings);
        }
        for (at, (_, literals)) in rules.literals.iter().enumerate() {
            let Some(state) = self.literals.get_mut(at) else { continue };
            *state = literals.step(*state, c);
            for (rule, len) in literals.ends(*state) {
                self.decide(rule, number + 1 - u64::from(len), number + 1, rules, findings);
            }
        }
    }

    /// The text is over: nothing more can become a match.
    pub fn finish(&mut self, rules: &Rules, work: &mut Work, findings: &Findings) {
        if self.is_stopped() {
            return;
        }
        self.threads.finish(&rules.program, &mut work.scratch, self.symbols + 1, &mut work.found);
        for found in work.found.drain(..) {
            self.judge(found, rules, findings);
        }
        self.literals.clear();
    }

    fn judge(&mut self, found: Found, rules: &Rules, findings: &Findings) {
        let Found { pattern, start, end } = found;
        let Some(pattern) = rules.program.pattern(pattern) else { return };
        let right = pattern.valid.is_none_or(|valid| {
            let text = self.recent.text(start, end);
            text.is_some_and(|(text, len)| text.get(..len).is_some_and(valid))
        });
        if right {
            self.decide(pattern.rule, start, end, rules, findings);
        }
    }

    fn decide(&mut self, rule: u16, start: u64, end: u64, rules: &Rules, findings: &Findings) {
        self.count(rule, start, end, findings);
        match rules.action(rule) {
            FilterAction::Log => {}
            FilterAction::Mask => self.mask(start, end),
            FilterAction::Stop => {
                self.stopped_from = Some(self.stopped_from.map_or(start, |from| from.min(start)));
            }
        }
    }

    /// Matches of one rule that share symbols are one finding.
    fn count(&mut self, rule: u16, start: u64, end: u64, findings: &Findings) {
        match self.ends.iter_mut().find(|(of, _)| *of == rule) {
            Some((_, last)) => {
                if start >= *last {
                    findings.add(rule);
                }
                *last = end.max(*last);
            }
            None => {
                findings.add(rule);
                self.ends.push((rule, end));
            }
        }
    }

    fn mask(&mut self, mut start: u64, mut end: u64) {
        // Spans that only touch stay two: what is invisible between them is part of neither.
        while let Some((from, to)) = self.masked.pop_back_if(|(_, to)| *to > start) {
            start = start.min(from);
            end = end.max(to);
        }
        self.masked.push_back((start, end));
    }

    /// From which symbol on a match that stops, and one that masks, is still possible.
    fn possible(&self, rules: &Rules) -> (u64, u64) {
        let (mut stop, mut mask) = (self.stopped_from.unwrap_or(u64::MAX), u64::MAX);
        let mut note = |action, start: u64| match action {
            FilterAction::Log => {}
            FilterAction::Mask => mask = mask.min(start),
            FilterAction::Stop => stop = stop.min(start),
        };
        let action = |pattern: PatternId| rules.program.pattern(pattern).map(|of| rules.action(of.rule));
        for thread in self.threads.live() {
            note(action(thread.pattern).unwrap_or(FilterAction::Stop), thread.start);
        }
        for ((action, literals), state) in rules.literals.iter().zip(&self.literals) {
            note(*action, self.symbols + 1 - u64::from(literals.depth(*state)));
        }
        (stop, mask)
    }

    /// Appends what may leave.
    pub fn release(&mut self, rules: &Rules, out: &mut String) {
        let (stop, mask) = self.possible(rules);
        let mut released_bytes = 0;
        while let Some(unit) = self.units.front() {
            let number = unit.number;
            while self.masked.pop_front_if(|(_, to)| *to <= number).is_some() {}
            let last = number + u64::from(unit.hidden);
            let masked = self.masked.front().is_some_and(|(from, to)| *from <= number && last < *to);
            if number >= stop || (number >= mask && !masked) {
                break;
            }
            let end = released_bytes + usize::from(unit.source_bytes);
            match (masked, unit.place) {
                (true, Place::Text) => out.push('*'),
                (true, Place::Digit) => out.push('9'),
                (false, _) | (true, Place::Structure) => {
                    out.push_str(self.held.get(released_bytes..end).unwrap_or_default());
                }
            }
            released_bytes = end;
            self.units.pop_front();
        }
        self.held.drain(..released_bytes.min(self.held.len()));
    }
}
