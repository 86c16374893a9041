//! Made-up runners, asks and dice for the tests of this folder.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ask::{Ask, Choice, Flow, Runner};
use crate::config::Priority;

const UNLIMITED: usize = usize::MAX;

/// A runner whose state a test sets.
#[derive(Debug)]
pub(super) struct Fake {
    id: u64,
    slots: AtomicUsize,
    takes: AtomicBool,
    /// `None`: nobody can say.
    resident: Mutex<Option<HashSet<String>>>,
}

impl Fake {
    pub(super) fn new(id: u64, slots: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            id,
            slots: AtomicUsize::new(slots.unwrap_or(UNLIMITED)),
            takes: AtomicBool::new(true),
            resident: Mutex::default(),
        })
    }

    pub(super) fn set_slots(&self, slots: usize) {
        self.slots.store(slots, Relaxed);
    }

    pub(super) fn set_takes(&self, takes: bool) {
        self.takes.store(takes, Relaxed);
    }

    pub(super) fn set_resident(&self, models: &[&str]) {
        *self.resident.lock().unwrap() = Some(models.iter().map(|&model| model.to_owned()).collect());
    }
}

impl Runner for Fake {
    fn id(&self) -> u64 {
        self.id
    }

    fn slots(&self) -> Option<usize> {
        Some(self.slots.load(Relaxed)).filter(|slots| *slots != UNLIMITED)
    }

    fn takes(&self) -> bool {
        self.takes.load(Relaxed)
    }

    fn is_resident(&self, internal: &str) -> Option<bool> {
        self.resident.lock().unwrap().as_ref().map(|models| models.contains(internal))
    }
}

pub(super) fn flow(user: &str) -> Flow {
    Flow { key: "key".into(), user: Some(user.into()) }
}

/// An ordinary request of one user for model `m`, which every runner calls so too.
pub(super) fn ask(user: &str, runners: &[&Arc<Fake>]) -> Ask<Fake> {
    ask_for("m", user, runners)
}

pub(super) fn ask_for(model: &str, user: &str, runners: &[&Arc<Fake>]) -> Ask<Fake> {
    let choices = runners.iter().map(|&runner| Choice { runner: runner.clone(), internal: model.into() });
    Ask {
        model: model.into(),
        choices: choices.collect(),
        flow: flow(user),
        priority: Priority::Normal,
        weight: 1,
        work: 100,
        queue_max: 10_000,
        in_flight_max: None,
        affinity: None,
        returning: false,
        ageing: Duration::from_secs(30),
    }
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 to `sides` - 1.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }

    pub(super) fn is(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

/// How many seeds a simulation runs.
pub(super) fn seeds() -> u64 {
    std::env::var("GATEHOUSE_SIM_SEEDS").map_or(256, |count| count.parse().expect("a number of seeds"))
}
