//! One counter against one rule: what is left of it, and what a caller is told of that.
//!
//! Why here: the arithmetic of limits, apart from the table that finds the counters.
//!
//! Never here: other counters.

use std::collections::HashMap;
use std::time::Duration;

use super::rules::{Line, RuleId, Seat, Terms};
use super::window::{Tick, Window};
use super::{RETRY_AFTER_MAX_S, ceil_s};
use crate::config::{Counts, RetryAfter};
use crate::standing::{Reason, Refusal, Remedy, Standing};

/// What is told where only the end of a running request can help, and nobody knows when that is.
const HELD_WAIT: Duration = Duration::from_secs(5);
/// What an answer without a cap must at least be allowed to have; half of a limit that is too small for that.
const OUTPUT_MIN_TOKENS: u64 = 256;
/// What an answer without a cap is given: a sixteenth of the tightest limit, within these.
const OUTPUT_SHARE: u64 = 16;
const OUTPUT_GIVEN_MIN_TOKENS: u64 = 4_096;
const OUTPUT_GIVEN_MAX_TOKENS: u64 = 32_768;

#[derive(Debug)]
pub(super) struct Counter {
    pub name: u128,
    pub seat: Seat,
    pub rule: RuleId,
    /// Of the rule that was charged last.
    pub length: Tick,
    /// Reserved by requests that have not ended.
    pub held: u64,
    /// Requests that have not ended. One that holds nothing may still have used something.
    pub open: u64,
    pub window: Window,
}

/// What a request needs of each unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub prompt: u64,
    /// `None`: what there is, up to the ceiling.
    pub output: Option<u64>,
    pub ceiling: Option<u64>,
}

impl Counter {
    pub(super) fn new(line: &Line<'_>) -> Self {
        Self {
            name: line.counter,
            seat: line.seat,
            rule: line.rule,
            length: line.terms.length,
            held: 0,
            open: 0,
            window: Window::default(),
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.window.total().saturating_add(self.held)
    }

    /// How long until so much is free again, as far as that is known.
    fn wait(&self, surplus: u64, length: Tick, now: Tick) -> Duration {
        match self.window.wait(surplus, length, now) {
            Some(wait) => Duration::from_nanos(wait),
            None if self.held > 0 => HELD_WAIT,
            None => Duration::from_nanos(length),
        }
    }

    /// How long until nothing of it is used; what is held counts as spent now.
    pub(super) fn reset(&self, terms: &Terms, now: Tick) -> Duration {
        match (terms.counts, self.held) {
            (Counts::Concurrency, 0) => Duration::ZERO,
            (Counts::Concurrency, _) => HELD_WAIT,
            (_, 0) => Duration::from_nanos(self.window.reset(terms.length, now)),
            _ => Duration::from_nanos(terms.length),
        }
    }

    pub(super) fn standing(&self, terms: &Terms, now: Tick) -> Standing {
        let remaining = terms.max.saturating_sub(self.used());
        Standing { limit: terms.max, remaining, reset: self.reset(terms, now) }
    }

    /// How long it has to be remembered; zero: it is empty, also for a rule whose window has grown since it was charged.
    pub(super) fn busy_for(&self, lengths: &HashMap<RuleId, Tick>, now: Tick) -> Tick {
        let length = lengths.get(&self.rule).map_or(self.length, |length| self.length.max(*length));
        match self.open {
            0 => self.window.reset(length, now),
            _ => length.max(1),
        }
    }
}

impl Terms {
    /// What a request needs of this unit, and whether more of it would be welcome.
    pub(super) fn needs(&self, demand: Demand) -> (u64, bool) {
        let output = demand.output.unwrap_or(0);
        match self.counts {
            Counts::Requests | Counts::Concurrency => (1, false),
            Counts::PromptTokens => (demand.prompt, false),
            Counts::OutputTokens => (output, demand.output.is_none()),
            Counts::Tokens => (demand.prompt.saturating_add(output), demand.output.is_none()),
        }
    }

    fn output_min(&self, ceiling: Option<u64>) -> u64 {
        ceiling.unwrap_or(u64::MAX).min(OUTPUT_MIN_TOKENS).min(self.max / 2).max(1)
    }

    fn output_given(&self, ceiling: Option<u64>) -> u64 {
        let given = (self.max / OUTPUT_SHARE).clamp(OUTPUT_GIVEN_MIN_TOKENS, OUTPUT_GIVEN_MAX_TOKENS);
        ceiling.map_or(given, |ceiling| ceiling.min(given))
    }
}

/// What a line leaves for the output of a request without a cap of its own, or why the request does not fit.
pub(super) fn check(
    line: &Line<'_>,
    counter: Option<&Counter>,
    demand: Demand,
    now: Tick,
) -> Result<Option<u64>, Refusal> {
    let terms = &line.terms;
    let used = counter.map_or(0, Counter::used);
    let room = terms.max.saturating_sub(used);
    let (fixed, open) = terms.needs(demand);
    let needed = fixed.saturating_add(if open { terms.output_min(demand.ceiling) } else { 0 });
    if needed <= room {
        return Ok(open.then(|| (room - fixed).min(terms.output_given(demand.ceiling))));
    }
    let surplus = used.saturating_add(needed).saturating_sub(terms.max);
    let whole = Duration::from_nanos(terms.length);
    let wait = counter.map_or(whole, |counter| counter.wait(surplus, terms.length, now));
    let reset = counter.map_or(wait, |counter| counter.reset(terms, now));
    Err(refusal(line, room, needed, reset, wait))
}

/// No place in the table for one more stranger.
pub(super) fn crowded_out(line: &Line<'_>, reason: Reason, wait: Duration) -> Refusal {
    Refusal { reason, remedy: Remedy::Wait, ..refusal(line, 0, 1, wait, wait) }
}

fn refusal(line: &Line<'_>, remaining: u64, requested: u64, reset: Duration, wait: Duration) -> Refusal {
    let terms = &line.terms;
    // Only tokens: of requests and places one is the least there is, and the operator has closed what allows none.
    let never = requested > terms.max && !matches!(terms.counts, Counts::Requests | Counts::Concurrency);
    Refusal {
        rule: line.name.cloned(),
        counts: terms.counts,
        limit: terms.max,
        remaining,
        requested,
        reset,
        wait,
        retry_after_s: match terms.retry_after {
            RetryAfter::Exact => ceil_s(wait).clamp(1, RETRY_AFTER_MAX_S),
            RetryAfter::Window => ceil_s(Duration::from_nanos(terms.length)).max(1),
        },
        remedy: if never { Remedy::AskForLess } else { terms.remedy },
        reason: if never { Reason::TooLarge } else { terms.reason },
    }
}

/// Of two refusals of one request the one that says when, and whether, a repetition can pass.
pub(super) fn worse(one: Option<Refusal>, other: Refusal) -> Refusal {
    let weight =
        |refusal: &Refusal| (refusal.remedy == Remedy::AskForLess, refusal.retry_after_s, refusal.wait);
    match one {
        Some(one) if weight(&one) > weight(&other) => one,
        _ => other,
    }
}
