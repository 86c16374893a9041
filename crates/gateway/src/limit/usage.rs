//! What a key may know of its own limits.
//!
//! Why here: who is limited should see how far, before a refusal says so.
//!
//! Never here: other keys' counters, except where a rule counts them together.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::few::Few;
use super::rules::{Limit, Line, Per, Rules, Seat};
use super::{Limiter, ceil_s, lock};
use crate::auth::Principal;
use crate::config::Counts;

/// One counter of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleUsage {
    /// Name of the rule; none for the general rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `requests`, `prompt_tokens`, `output_tokens`, `tokens` or `concurrency`.
    pub counts: &'static str,
    /// What has a counter of its own; empty where all that the rule selects share one.
    pub per: Vec<&'static str>,
    /// The model of this counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub limit: u64,
    /// Spent within the window.
    pub used: u64,
    /// Held by requests that run.
    pub reserved: u64,
    pub remaining: u64,
    /// None for places, which have no window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_s: Option<u64>,
    /// Until nothing is used, if nothing more is.
    pub reset_s: u64,
}

impl Limiter {
    /// How this caller stands against every rule for it. `models`: the public names that it sees.
    pub fn usage(
        &self,
        rules: &Rules,
        principal: &Principal,
        models: &[&str],
        now: Instant,
    ) -> Vec<RuleUsage> {
        let mut told = Vec::new();
        let mut general = Few::default();
        rules.general_lines(&self.namer, principal, &mut general);
        for line in general.iter() {
            let per = if line.seat == Seat::User { vec!["key", "user"] } else { vec!["key"] };
            told.push(self.told(line, per, None, now));
        }
        for limit in rules.candidates(principal).filter(|limit| limit.selects(principal)) {
            self.tell(limit, principal, models, now, &mut told);
        }
        told
    }

    fn tell(
        &self,
        limit: &Limit,
        principal: &Principal,
        models: &[&str],
        now: Instant,
        told: &mut Vec<RuleUsage>,
    ) {
        let mut met = models.iter().filter(|model| limit.applies_to(principal, Some(model)));
        if limit.per.model {
            told.extend(met.map(|model| {
                let line = limit.line(&self.namer, principal, Some(model));
                self.told(&line, limit.per.names(), Some((*model).to_owned()), now)
            }));
        } else if met.next().is_some() || limit.applies_to(principal, None) {
            let line = limit.line(&self.namer, principal, None);
            told.push(self.told(&line, limit.per.names(), None, now));
        }
    }

    fn told(
        &self,
        line: &Line<'_>,
        per: Vec<&'static str>,
        model: Option<String>,
        now: Instant,
    ) -> RuleUsage {
        let (used, reserved, reset) = lock(&self.table).look(line, now);
        let terms = &line.terms;
        let window = (terms.counts != Counts::Concurrency).then_some(terms.length);
        RuleUsage {
            name: line.name.map(|name| name.to_string()),
            counts: name(terms.counts),
            per,
            model,
            limit: terms.max,
            used,
            reserved,
            remaining: terms.max.saturating_sub(used.saturating_add(reserved)),
            window_s: window.map(|length| ceil_s(Duration::from_nanos(length))),
            reset_s: ceil_s(reset),
        }
    }
}

impl Per {
    fn names(self) -> Vec<&'static str> {
        let all = [(self.key, "key"), (self.user, "user"), (self.model, "model")];
        all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect()
    }
}

/// The word of the configuration for what is counted.
fn name(counts: Counts) -> &'static str {
    match counts {
        Counts::Requests => "requests",
        Counts::PromptTokens => "prompt_tokens",
        Counts::OutputTokens => "output_tokens",
        Counts::Tokens => "tokens",
        Counts::Concurrency => "concurrency",
    }
}
