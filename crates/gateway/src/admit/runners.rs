//! The runners as the queue sees them: what runs on each, which have a slot free, and which of several a request gets.
//!
//! Why here: slots belong to a runner and are shared by its models, so they are counted in one place for all queues. The
//! choice, in this order:
//!
//! 1. only runners that take requests and have a slot free;
//! 2. **warm** ones, where the model is in memory or already runs for somebody: the others would have to load it first. A
//!    runner without a limit of slots counts as warm only while it is not loaded beyond its share, or it would get all;
//! 3. with an affinity, the one that rendezvous hashing names, among those not loaded beyond their share: the same
//!    conversation finds what the runner has already read of it, and one long conversation cannot drown a runner;
//! 4. the least work in flight, then the fewest requests; ties are spread.
//!
//! Beyond its share is a runner with more than 1.25 times the mean of running requests, plus one.
//!
//! Never here: who waits. An entry lives as long as something runs or waits for the runner, no longer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ask::{Ask, Choice, Runner};

#[derive(Debug)]
pub(super) struct Runners<R> {
    by_id: BTreeMap<u64, Entry<R>>,
}

#[derive(Debug)]
struct Entry<R> {
    /// The newest that was seen: after a reload its slots and its state count, also for requests that began before.
    runner: Arc<R>,
    running: usize,
    work: u64,
    /// Waiters who could run here.
    waiting: usize,
    /// What runs, by the runner's own names of models; as many entries as models that run.
    models: Vec<(Arc<str>, usize)>,
}

/// What a runner does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunnerLoad {
    pub running: usize,
    /// Estimated tokens of what runs.
    pub work: u64,
    /// Waiters who could run here, each counted on every runner that he could use.
    pub waiting: usize,
}

/// What all the living runners of a request can do together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strength {
    /// `None`: one of them has no limit.
    pub slots: Option<usize>,
    pub work: u64,
}

struct Candidate<'a, R> {
    choice: &'a Choice<R>,
    load: RunnerLoad,
    has_slot: bool,
    is_warm: bool,
}

impl<R: Runner> Runners<R> {
    pub(super) fn new() -> Self {
        Self { by_id: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Somebody came who may run on these.
    pub(super) fn await_any(&mut self, choices: &[Choice<R>]) {
        for choice in choices {
            let entry = self.by_id.entry(choice.runner.id()).or_insert_with(|| Entry {
                runner: choice.runner.clone(),
                running: 0,
                work: 0,
                waiting: 0,
                models: Vec::new(),
            });
            if !Arc::ptr_eq(&entry.runner, &choice.runner) {
                entry.runner = choice.runner.clone();
            }
            entry.waiting += 1;
        }
    }

    /// He runs or has left.
    pub(super) fn await_no_more(&mut self, choices: &[Choice<R>]) {
        for choice in choices {
            self.change(choice.runner.id(), |entry| entry.waiting = entry.waiting.saturating_sub(1));
        }
    }

    pub(super) fn begin(&mut self, choice: &Choice<R>, work: u64) {
        self.change(choice.runner.id(), |entry| {
            entry.running += 1;
            entry.work = entry.work.saturating_add(work);
            match entry.models.iter_mut().find(|(name, _)| *name == choice.internal) {
                Some((_, running)) => *running += 1,
                None => entry.models.push((choice.internal.clone(), 1)),
            }
        });
    }

    pub(super) fn end(&mut self, choice: &Choice<R>, work: u64) {
        self.change(choice.runner.id(), |entry| {
            entry.running = entry.running.saturating_sub(1);
            entry.work = entry.work.saturating_sub(work);
            entry.models.retain_mut(|(name, running)| {
                *running -= usize::from(*name == choice.internal);
                *running > 0
            });
        });
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut Entry<R>)) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            change(entry);
            if entry.running == 0 && entry.waiting == 0 {
                self.by_id.remove(&id);
            }
        }
    }

    /// A reload has made a new one of the same id.
    pub(super) fn renew(&mut self, runner: &Arc<R>) {
        if let Some(entry) = self.by_id.get_mut(&runner.id()) {
            entry.runner = runner.clone();
        }
    }

    /// Those that could begin something now.
    pub(super) fn with_free_slots(&self) -> Vec<u64> {
        self.by_id.iter().filter(|(_, entry)| entry.is_free()).map(|(id, _)| *id).collect()
    }

    pub(super) fn is_free(&self, id: u64) -> bool {
        self.by_id.get(&id).is_some_and(Entry::is_free)
    }

    /// Whether everybody who waits for it could begin at once.
    pub(super) fn has_room_for_all(&self, id: u64) -> bool {
        self.by_id.get(&id).is_some_and(|entry| {
            entry.is_free()
                && entry
                    .runner
                    .slots()
                    .is_none_or(|slots| slots.saturating_sub(entry.running) >= entry.waiting)
        })
    }

    /// Whether the model would have to be loaded there first.
    pub(super) fn is_cold(&self, choice: &Choice<R>) -> bool {
        self.by_id.get(&choice.runner.id()).is_some_and(|entry| entry.is_cold(&choice.internal))
    }

    pub(super) fn load(&self, id: u64) -> RunnerLoad {
        self.by_id.get(&id).map_or_else(RunnerLoad::default, Entry::load)
    }

    /// Slots and work in flight of those that take requests.
    pub(super) fn strength(&self, choices: &[Choice<R>]) -> Strength {
        let mut sum = Strength { slots: Some(0), work: 0 };
        for choice in choices {
            if let Some(entry) = self.by_id.get(&choice.runner.id()).filter(|entry| entry.runner.takes()) {
                sum.slots = sum.slots.zip(entry.runner.slots()).map(|(all, these)| all + these);
                sum.work = sum.work.saturating_add(entry.work);
            }
        }
        sum
    }

    /// Where a request runs now; `None`: nowhere. `salt` spreads ties.
    pub(super) fn choose(&self, ask: &Ask<R>, salt: u64) -> Option<Choice<R>> {
        let mut candidates: Vec<_> = ask.choices.iter().filter_map(|choice| self.candidate(choice)).collect();
        let count = candidates.len();
        let total: usize = candidates.iter().map(|candidate| candidate.load.running).sum();
        // running <= 1.25 x total / count + 1, without fractions.
        let in_share = |load: &RunnerLoad| 4 * load.running * count <= 5 * total + 4 * count;
        candidates.retain(|candidate| candidate.has_slot);
        if candidates.iter().any(|one| one.is_preferred(in_share)) {
            candidates.retain(|one| one.is_preferred(in_share));
        }
        let near = ask.affinity.and_then(|affinity| {
            let within = candidates.iter().filter(|one| in_share(&one.load));
            within.max_by_key(|one| mix(affinity ^ mix(one.choice.runner.id())))
        });
        let least = || {
            candidates
                .iter()
                .min_by_key(|one| (one.load.work, one.load.running, mix(salt ^ mix(one.choice.runner.id()))))
        };
        near.or_else(least).map(|one| one.choice.clone())
    }

    fn candidate<'a>(&self, choice: &'a Choice<R>) -> Option<Candidate<'a, R>> {
        let entry = self.by_id.get(&choice.runner.id())?;
        let takes = entry.runner.takes() && choice.runner.takes();
        takes.then(|| Candidate {
            choice,
            load: entry.load(),
            has_slot: entry.has_slot(),
            is_warm: !entry.is_cold(&choice.internal),
        })
    }
}

impl<R: Runner> Entry<R> {
    fn has_slot(&self) -> bool {
        self.runner.slots().is_none_or(|slots| self.running < slots)
    }

    fn is_free(&self) -> bool {
        self.has_slot() && self.runner.takes()
    }

    /// What runs there for somebody is loaded, or about to be.
    fn is_cold(&self, internal: &str) -> bool {
        !self.models.iter().any(|(name, _)| **name == *internal)
            && self.runner.is_resident(internal) == Some(false)
    }

    fn load(&self) -> RunnerLoad {
        RunnerLoad { running: self.running, work: self.work, waiting: self.waiting }
    }
}

impl<R: Runner> Candidate<'_, R> {
    fn is_preferred(&self, in_share: impl Fn(&RunnerLoad) -> bool) -> bool {
        self.is_warm && (self.choice.runner.slots().is_some() || in_share(&self.load))
    }
}

/// Spreads every bit of the input over the output (the finaliser of splitmix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
