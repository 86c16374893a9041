//! How much a key, a user or a model may have: requests, tokens, places, in windows that are exact.
//!
//! Why here: a limit is a limit only when everything that a request is charged for is checked and then charged under one
//! lock. What is not known yet (how long the answer will be) is reserved before and settled after, so that requests that
//! race cannot walk past a limit together; a refused request leaves no trace, a dropped one counts as spent whole.
//!
//! - `rules` says which limits a request meets, `counter` what each of them says to it;
//! - `ledger` is the state: a pure machine that is told the time; `window` is the log behind one counter.
//!
//! The state outlives the configuration: a changed rule applies from the next request on, to what was charged before.
//!
//! Never here: wall time (a clock that is set back must not refill a window), a background task, or an estimate of tokens.

mod counter;
mod few;
mod ledger;
mod rules;
mod usage;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;
use crate::standing::{Refusal, Standings};
use counter::Demand;
use few::Few;
use ledger::{Hold, Table};
use rules::Namer;
use window::Tick;

pub use ledger::Size;
pub use rules::Rules;
pub use usage::RuleUsage;

/// Users remembered at once over all rules, and as many names of models.
const STRANGERS_MAX: usize = 100_000;
/// Entries of all logs together, 16 bytes each, above which every log gets short.
const ENTRIES_FINE: usize = 1 << 20;
/// SDKs ignore or refuse to wait longer.
const RETRY_AFTER_MAX_S: u64 = 60;

/// The counters of all subjects. A clone is another handle on the same ones.
#[derive(Clone, Debug)]
pub struct Limiter {
    table: Arc<Mutex<Table>>,
    namer: Arc<Namer>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub principal: &'a Principal,
    /// Public name. `None`: nothing is run (lists of models), so that only requests are counted.
    pub model: Option<&'a str>,
    /// Estimated upward: what a prompt turns out to have more is a debt.
    pub prompt_tokens: u64,
    /// Longest answer that the caller asks for, lowered here to what its key or the configuration allows. It is reserved
    /// whole, and a request whose cap is larger than a limit is refused: shortened in silence, its answer would end where
    /// nobody expects it. `None`: what is left of the limits, up to a share of them.
    pub output_cap: Option<u64>,
    /// Answers that are asked for: the key's or the configuration's ceiling is for each.
    pub choices: u64,
}

/// Proof that a request was counted; kept as long as the request lives.
#[must_use = "a request that is not served must not be charged"]
pub struct Charge {
    table: Arc<Mutex<Table>>,
    /// Empty once it is settled.
    holds: Few<Hold>,
    at: Tick,
    standings: Standings,
    output_max: Option<u64>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    pub fn new() -> Self {
        Self::with_bounds(STRANGERS_MAX, ENTRIES_FINE)
    }

    fn with_bounds(strangers_max: usize, entries_fine: usize) -> Self {
        let table = Table::new(strangers_max, entries_fine);
        Self { table: Arc::new(Mutex::new(table)), namer: Arc::default() }
    }

    /// Charges a request to every rule it meets, or says why not.
    pub fn charge(&self, rules: &Rules, ask: &Ask<'_>, now: Instant) -> Result<Charge, Refusal> {
        let lines = rules.lines(&self.namer, ask);
        let ceiling = rules.output_ceiling(ask.principal).map(|each| each.saturating_mul(ask.choices));
        let output = ask.output_cap.map(|cap| ceiling.map_or(cap, |ceiling| ceiling.min(cap)));
        let demand = Demand { prompt: ask.prompt_tokens, output, ceiling };
        let held = lock(&self.table).charge(&lines, demand, &rules.lengths, now)?;
        Ok(Charge {
            table: Arc::clone(&self.table),
            holds: held.holds,
            at: held.at,
            standings: held.standings,
            output_max: held.output_max,
        })
    }

    /// How much is remembered, for metrics and for proofs that it is bounded.
    pub fn size(&self) -> Size {
        lock(&self.table).size()
    }
}

impl Charge {
    /// Tokens that the answer may have: the caller's cap, or what was reserved without one, and never more than the key or
    /// the configuration allow. `None`: no bound but the model's own.
    pub fn output_max(&self) -> Option<u64> {
        self.output_max
    }

    /// Where the caller stands after this request, as headers tell it.
    pub fn standings(&self) -> Standings {
        self.standings
    }

    /// Ends it with what was used, also where that is more than was reserved.
    pub fn settle(self, prompt_tokens: u64, output_tokens: u64) {
        self.settle_at(prompt_tokens, output_tokens, Instant::now());
    }

    /// [`Charge::settle`] at an instant of the caller's.
    pub fn settle_at(mut self, prompt_tokens: u64, output_tokens: u64, now: Instant) {
        let holds = std::mem::take(&mut self.holds);
        if holds.iter().any(Hold::ends) {
            lock(&self.table).settle(&holds, prompt_tokens, output_tokens, now);
        }
    }

    /// Takes it back: the request was not served, through no use of anything.
    pub fn refund(self) {
        self.refund_at(Instant::now());
    }

    /// [`Charge::refund`] at an instant of the caller's.
    pub fn refund_at(mut self, now: Instant) {
        let holds = std::mem::take(&mut self.holds);
        if holds.len() > 0 {
            lock(&self.table).refund(&holds, self.at, now);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Who forgets to settle must not open the limit.
        if self.holds.iter().any(Hold::ends) {
            lock(&self.table).forfeit(&self.holds, Instant::now());
        }
    }
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charge")
            .field("standings", &self.standings)
            .field("output_max", &self.output_max)
            .finish_non_exhaustive()
    }
}

/// A panic elsewhere cannot have left the table half-charged: nothing between check and charge can panic.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many nanoseconds as there are, up to centuries.
fn ticks(duration: Duration) -> Tick {
    Tick::try_from(duration.as_nanos()).unwrap_or(Tick::MAX)
}

fn ceil_s(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
