//! The counters of all subjects, and the two steps: check every rule, then charge every rule.
//!
//! Why here: this is the state machine itself, without a lock and without a clock: every step is told what time it is, so
//! that it can be run through years and races by a test with a seed.
//!
//! What counts requests is spent at the instant of the charge. Tokens and places are *held* from the charge to its end and
//! only then spent, as many as they were: however long an answer runs, no window ever holds more than its limit, whether
//! one counts by when requests came, when tokens flowed or when answers ended.
//!
//! The table is bounded. A counter is forgotten only when it is empty, when forgetting and remembering are the same thing;
//! a table full of busy strangers refuses further ones instead of forgetting somebody's charges. What the configuration
//! names (keys, whole rules) always has a place.
//!
//! Never here: names, configuration, `Instant::now`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use super::counter::{Counter, Demand, check, crowded_out, worse};
use super::few::Few;
use super::rules::{Line, RuleId, Seat};
use super::ticks;
use super::window::{Fineness, Tick};
use crate::config::Counts;
use crate::standing::{Reason, Refusal, Standings};

/// Empty counters looked for per request; more than one, so that the table shrinks faster than it grows.
const SWEEP_STEPS: usize = 4;
/// The same when a stranger may need a place.
const SWEEP_STEPS_FULL: usize = 64;
/// A counter is looked at again after this at the latest: what a refund has emptied must not keep its place for a month.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);
const FINE: Fineness = Fineness { exact: 1_024, grains: 512 };
/// Beyond it, everybody's log is short: a hundred thousand of them still fit.
const COARSE: Fineness = Fineness { exact: 16, grains: 32 };

#[derive(Debug)]
pub(super) struct Table {
    origin: Option<Instant>,
    /// Callers take their instant before the lock, so instants arrive a little out of order.
    latest: Tick,
    places: HashMap<u128, u32, BuildHasherDefault<AlreadyHashed>>,
    counters: Vec<Slot>,
    free: Vec<u32>,
    /// When each counter might be empty, the soonest first; exactly one entry a counter. Early, never late.
    due: BinaryHeap<Reverse<(Tick, u32)>>,
    /// Counters by who chose their names.
    crowd: Crowd,
    /// Users remembered at once, and names of models.
    strangers_max: usize,
    /// Entries of all logs together.
    entries: usize,
    /// While there are fewer, each log is fine.
    entries_fine: usize,
}

/// A place in the table.
#[derive(Debug, Default)]
struct Slot {
    counter: Option<Counter>,
    /// Counts the subjects that had this place, so that a late settlement cannot meet the next one.
    generation: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Crowd {
    kept: usize,
    users: usize,
    models: usize,
}

/// What a limiter remembers; each of these has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub counters: usize,
    /// Counters under a user's name.
    pub users: usize,
    /// Counters under a model's name alone.
    pub models: usize,
    pub due: usize,
    /// Entries of all logs together.
    pub entries: usize,
}

/// What one rule was charged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    place: u32,
    generation: u32,
    counts: Counts,
    amount: u64,
}

/// All that one request was charged.
#[derive(Debug)]
pub(super) struct Held {
    pub holds: Few<Hold>,
    pub at: Tick,
    pub standings: Standings,
    pub output_max: Option<u64>,
}

/// A line under the lock.
struct Found<'a, 'r> {
    line: &'a Line<'r>,
    place: Option<u32>,
}

impl Hold {
    /// Whether its end changes anything: a request is spent at once.
    pub(super) fn ends(&self) -> bool {
        self.counts != Counts::Requests
    }
}

impl Table {
    pub(super) fn new(strangers_max: usize, entries_fine: usize) -> Self {
        Self {
            origin: None,
            latest: 0,
            places: HashMap::default(),
            counters: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            crowd: Crowd::default(),
            strangers_max,
            entries: 0,
            entries_fine,
        }
    }

    /// Checks every line, then charges every line; or says why not, and leaves no trace.
    pub(super) fn charge(
        &mut self,
        lines: &Few<Line<'_>>,
        demand: Demand,
        lengths: &HashMap<RuleId, Tick>,
        now: Instant,
    ) -> Result<Held, Refusal> {
        let now = self.tick(now);
        let crowded = self.crowd.users.max(self.crowd.models) + lines.len() > self.strangers_max;
        self.sweep(if crowded { SWEEP_STEPS_FULL } else { SWEEP_STEPS }, lengths, now);

        let mut found = Few::default();
        let mut given: Option<u64> = None;
        let mut worst = None;
        for line in lines.iter() {
            let place = self.places.get(&line.counter).copied();
            let counter = self.fresh(place, line.terms.length, now);
            match check(line, counter, demand, now) {
                Ok(Some(output)) => given = Some(given.map_or(output, |given| given.min(output))),
                Ok(None) => {}
                Err(refusal) => worst = Some(worse(worst, refusal)),
            }
            found.push(Found { line, place });
        }
        if let Some(refusal) = worst {
            return Err(refusal);
        }
        self.has_room(&found, now)?;
        let held = self.commit(&found, Demand { output: demand.output.or(given), ..demand }, now);
        Ok(Held { output_max: held.output_max.or(demand.ceiling), ..held })
    }

    /// Ends a request: what it held becomes what it used.
    pub(super) fn settle(&mut self, holds: &Few<Hold>, prompt: u64, output: u64, now: Instant) {
        let now = self.tick(now);
        for hold in holds.iter() {
            let used = match hold.counts {
                Counts::Requests | Counts::Concurrency => 0,
                Counts::PromptTokens => prompt,
                Counts::OutputTokens => output,
                Counts::Tokens => prompt.saturating_add(output),
            };
            self.release(hold, used, now);
        }
    }

    /// The same where nobody knows what was used: all that was held.
    pub(super) fn forfeit(&mut self, holds: &Few<Hold>, now: Instant) {
        let now = self.tick(now);
        for hold in holds.iter() {
            self.release(hold, if hold.counts == Counts::Concurrency { 0 } else { hold.amount }, now);
        }
    }

    /// As if the request had never come.
    pub(super) fn refund(&mut self, holds: &Few<Hold>, at: Tick, now: Instant) {
        let now = self.tick(now);
        for hold in holds.iter() {
            if hold.ends() {
                self.release(hold, 0, now);
            } else {
                self.change(hold.place, hold.generation, |counter, _| {
                    counter.window.take_back(hold.amount, at);
                });
            }
        }
    }

    /// What stands against a line now: used, held, and how long until nothing is.
    pub(super) fn look(&mut self, line: &Line<'_>, now: Instant) -> (u64, u64, Duration) {
        let now = self.tick(now);
        let place = self.places.get(&line.counter).copied();
        let counter = self.fresh(place, line.terms.length, now);
        counter.map_or((0, 0, Duration::ZERO), |counter| {
            (counter.window.total(), counter.held, counter.reset(&line.terms, now))
        })
    }

    /// How much of everything is remembered.
    pub(super) fn size(&self) -> Size {
        Size {
            counters: self.places.len(),
            users: self.crowd.users,
            models: self.crowd.models,
            due: self.due.len(),
            entries: self.entries,
        }
    }

    fn tick(&mut self, now: Instant) -> Tick {
        let origin = *self.origin.get_or_insert(now);
        self.latest = self.latest.max(ticks(now.saturating_duration_since(origin)));
        self.latest
    }

    /// A counter without what has left its window.
    fn fresh(&mut self, place: Option<u32>, length: Tick, now: Tick) -> Option<&Counter> {
        let counter = slot(&mut self.counters, place?)?.counter.as_mut()?;
        let before = counter.window.len();
        counter.window.forget(length, now);
        self.entries -= before - counter.window.len();
        Some(counter)
    }

    /// Whether every stranger among the lines has a place in the table, or finds one.
    fn has_room(&self, found: &Few<Found<'_, '_>>, now: Tick) -> Result<(), Refusal> {
        let mut crowd = self.crowd;
        for Found { line, .. } in found.iter().filter(|found| found.place.is_none()) {
            *crowd.of(line.seat) += 1;
            let reason = match line.seat {
                Seat::User if crowd.users > self.strangers_max => Reason::Users,
                Seat::Model if crowd.models > self.strangers_max => Reason::Models,
                _ => continue,
            };
            let soonest = self.due.peek().map(|Reverse((due, _))| due.saturating_sub(now));
            let wait = Duration::from_nanos(soonest.unwrap_or(line.terms.length));
            return Err(crowded_out(line, reason, wait));
        }
        Ok(())
    }

    fn commit(&mut self, found: &Few<Found<'_, '_>>, demand: Demand, now: Tick) -> Held {
        let (mut holds, mut standings) = (Few::default(), Standings::default());
        for Found { line, place } in found.iter() {
            let terms = &line.terms;
            let place = place.unwrap_or_else(|| self.settle_in(line, now));
            let generation = slot(&mut self.counters, place).map_or(0, |slot| slot.generation);
            let (amount, _) = terms.needs(demand);
            let standing = self.change(place, generation, |counter, fineness| {
                counter.length = terms.length;
                if terms.counts == Counts::Requests {
                    counter.window.add(amount, terms.length, now, fineness);
                } else {
                    counter.held = counter.held.saturating_add(amount);
                    counter.open += 1;
                }
                counter.standing(terms, now)
            });
            holds.push(Hold { place, generation, counts: terms.counts, amount });
            let told = match terms.counts {
                Counts::Concurrency => continue,
                Counts::Requests => &mut standings.requests,
                Counts::PromptTokens | Counts::OutputTokens | Counts::Tokens => &mut standings.tokens,
            };
            *told = (*told).into_iter().chain(standing).min_by_key(|standing| standing.remaining);
        }
        Held { holds, at: now, standings, output_max: demand.output }
    }

    /// A place for a subject that has none.
    fn settle_in(&mut self, line: &Line<'_>, now: Tick) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.counters.push(Slot::default());
            // Memory ends long before the numbers do.
            u32::try_from(self.counters.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = slot(&mut self.counters, place) {
            slot.counter = Some(Counter::new(line));
        }
        *self.crowd.of(line.seat) += 1;
        self.places.insert(line.counter, place);
        self.due.push(Reverse((now.saturating_add(line.terms.length.min(ticks(LOOK_AGAIN))), place)));
        place
    }

    fn release(&mut self, hold: &Hold, used: u64, now: Tick) {
        if !hold.ends() {
            return;
        }
        self.change(hold.place, hold.generation, |counter, fineness| {
            counter.held = counter.held.saturating_sub(hold.amount);
            counter.open = counter.open.saturating_sub(1);
            // Nothing is forgotten here: a reload may have lengthened the window since the charge.
            counter.window.add(used, counter.length, now, fineness);
        });
    }

    /// Changes a counter, if it is still the one that was meant, and keeps the sum of all logs.
    fn change<T>(
        &mut self,
        place: u32,
        generation: u32,
        change: impl FnOnce(&mut Counter, Fineness) -> T,
    ) -> Option<T> {
        let fineness = if self.entries < self.entries_fine { FINE } else { COARSE };
        let slot = slot(&mut self.counters, place).filter(|slot| slot.generation == generation)?;
        let counter = slot.counter.as_mut()?;
        let before = counter.window.len();
        let changed = change(counter, fineness);
        self.entries = (self.entries + counter.window.len()).saturating_sub(before);
        Some(changed)
    }

    /// Forgets empty counters, a few at a time: at most `steps` of those that are due.
    fn sweep(&mut self, steps: usize, lengths: &HashMap<RuleId, Tick>, now: Tick) {
        for _ in 0..steps {
            let Some(Reverse((_, place))) = self.due.peek().copied().filter(|Reverse((due, _))| *due <= now)
            else {
                return;
            };
            self.due.pop();
            let Some(slot) = slot(&mut self.counters, place) else { continue };
            let Some(counter) = &slot.counter else { continue };
            let busy_for = counter.busy_for(lengths, now);
            if busy_for > 0 {
                self.due.push(Reverse((now.saturating_add(busy_for.min(ticks(LOOK_AGAIN))), place)));
                continue;
            }
            self.places.remove(&counter.name);
            self.entries -= counter.window.len();
            *self.crowd.of(counter.seat) -= 1;
            *slot = Slot { counter: None, generation: slot.generation.wrapping_add(1) };
            self.free.push(place);
        }
    }
}

impl Crowd {
    fn of(&mut self, seat: Seat) -> &mut usize {
        match seat {
            Seat::Kept => &mut self.kept,
            Seat::User => &mut self.users,
            Seat::Model => &mut self.models,
        }
    }
}

fn slot(slots: &mut [Slot], place: u32) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(place).ok()?)
}

/// Counters' names are hashes already, and keyed ones: half of one is as good a hash as any.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u128(&mut self, name: u128) {
        self.0 = u64::try_from(name & u128::from(u64::MAX)).unwrap_or(0);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}
