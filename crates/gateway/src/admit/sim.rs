//! A simulation of the book: everything that can happen, in an order that only a seed knows, against what must always hold.
//!
//! `GATEHOUSE_SIM_SEEDS` says how many seeds; a failure names the one to look at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ask::{Ask, Choice, Flow, Runner};
use super::book::{Book, Entered, Grant};
use super::fake::{Dice, Fake, ask_for, flow, seeds};
use super::queue::Ticket;
use crate::config::Priority;

const STEPS: usize = 250;
const QUEUE_MAX: usize = 12;
const MODELS: [&str; 3] = ["a", "b", "c"];

struct World {
    book: Book<Fake>,
    runners: Vec<Arc<Fake>>,
    dice: Dice,
    now: Instant,
    waiting: Vec<(Ticket, Vec<Choice<Fake>>)>,
    running: Vec<Grant<Fake>>,
    served: usize,
    /// Something changed that the book was not told of.
    is_unnoticed: bool,
}

fn cap(flow: &Flow) -> Option<usize> {
    match flow.user.as_deref() {
        Some("0") => Some(1),
        Some("3") => Some(2),
        _ => None,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let slots = |dice: &mut Dice| Some(1 + dice.index(3)).filter(|slots| *slots < 4);
        let count = 1 + dice.roll(4);
        let mut runners: Vec<_> = (0..count).map(|id| Fake::new(id, slots(&mut dice))).collect();
        if dice.is(10) {
            runners.push(Fake::new(9, None));
        }
        let (book, now) = (Book::new(), Instant::now());
        let (waiting, running) = (Vec::new(), Vec::new());
        Self { book, runners, dice, now, waiting, running, served: 0, is_unnoticed: false }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.dice.roll(4_000));
        match self.dice.roll(100) {
            0..45 => self.arrive(),
            45..78 => self.finish(),
            78..86 => self.cancel(),
            86..90 => self.fail_and_retry(),
            _ => self.change(),
        }
        self.check();
        // The dear half of the checks.
        if self.dice.is(10) {
            self.check_places();
        }
    }

    fn arrive(&mut self) {
        let user = self.dice.roll(6).to_string();
        let model = MODELS[self.dice.index(3)];
        let mut runners: Vec<_> = self.runners.iter().collect();
        if self.dice.is(20) {
            let index = self.dice.index(runners.len());
            runners.swap(0, index);
            runners.truncate(1);
        }
        let priority = [Priority::High, Priority::Normal, Priority::Normal, Priority::Low];
        let ask = Ask {
            priority: priority[self.dice.index(4)],
            weight: u32::try_from(self.dice.roll(3)).unwrap(),
            work: self.dice.roll(9_000),
            queue_max: QUEUE_MAX,
            in_flight_max: cap(&flow(&user)),
            affinity: self.dice.is(40).then(|| self.dice.roll(5)),
            ..ask_for(model, &user, &runners)
        };
        self.enter(ask);
    }

    fn enter(&mut self, ask: Ask<Fake>) {
        let (model, choices, flow) = (ask.model.clone(), ask.choices.clone(), ask.flow.clone());
        let returning = ask.returning;
        let (entered, grants) = self.book.enter(ask, self.now);
        self.is_unnoticed = false;
        grants.into_iter().for_each(|grant| self.begin(grant));
        match entered {
            Entered::Now(grant) => {
                assert_eq!((&grant.flow, &grant.model), (&flow, &model));
                assert!(choices.iter().any(|one| one.runner.id() == grant.choice.runner.id()));
                self.start(grant);
            }
            Entered::Wait(ticket) => self.waiting.push((ticket, choices)),
            Entered::Full => {
                assert!(!returning, "who comes back is never refused");
                assert_eq!(self.counted(&model), QUEUE_MAX, "refused although there was room");
                assert!(!self.could_run(&flow, &choices), "refused although a slot was free");
            }
        }
    }

    fn counted(&self, model: &Arc<str>) -> usize {
        self.waiting.iter().filter(|(ticket, _)| ticket.model == *model && !ticket.returning).count()
    }

    fn finish(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let grant = self.running.swap_remove(self.dice.index(self.running.len()));
        let learn = self.dice.is(80);
        self.end(&grant, learn);
    }

    fn end(&mut self, grant: &Grant<Fake>, learn: bool) {
        let grants = self.book.leave(grant, learn, self.now);
        self.is_unnoticed = false;
        grants.into_iter().for_each(|grant| self.begin(grant));
    }

    fn cancel(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (ticket, _) = self.waiting.swap_remove(self.dice.index(self.waiting.len()));
        assert!(self.book.cancel(&ticket));
        assert!(!self.book.cancel(&ticket), "nobody leaves twice");
    }

    /// A runner fails at everything it runs; the requests come back and would rather go elsewhere.
    fn fail_and_retry(&mut self) {
        let dead = self.runners[self.dice.index(self.runners.len())].clone();
        dead.set_takes(false);
        self.is_unnoticed = true;
        while let Some(index) = self.running.iter().position(|one| one.choice.runner.id() == dead.id()) {
            let grant = self.running.swap_remove(index);
            self.end(&grant, false);
            let others: Vec<_> = self.runners.iter().filter(|one| one.id() != dead.id()).collect();
            if self.dice.is(70) && !others.is_empty() {
                let (cap, work) = (cap(&grant.flow), grant.work);
                let again = ask_for(&grant.model, grant.flow.user.as_deref().unwrap(), &others);
                self.enter(Ask { returning: true, work, in_flight_max: cap, ..again });
            }
        }
    }

    fn change(&mut self) {
        let index = self.dice.index(self.runners.len());
        let runner = &self.runners[index];
        match self.dice.roll(4) {
            0 => runner.set_takes(!runner.takes()),
            1 if runner.slots().is_some() => runner.set_slots(self.dice.index(4)),
            2 => {
                let now = Fake::new(runner.id(), runner.slots());
                now.set_takes(self.dice.is(80));
                self.runners[index] = now;
                self.book.renew(&self.runners);
            }
            _ => runner.set_resident(&MODELS[..self.dice.index(4)]),
        }
        self.is_unnoticed = true;
        if self.dice.is(70) {
            self.offer();
        }
    }

    fn offer(&mut self) {
        let grants = self.book.serve(self.now);
        self.is_unnoticed = false;
        grants.into_iter().for_each(|grant| self.begin(grant));
    }

    /// A waiter got his grant.
    fn begin(&mut self, grant: Grant<Fake>) {
        let index = self.waiting.iter().position(|(ticket, _)| ticket.id == grant.id);
        let (ticket, choices) = self.waiting.swap_remove(index.expect("a grant for nobody"));
        assert_eq!((&ticket.flow, &ticket.model), (&grant.flow, &grant.model));
        assert!(choices.iter().any(|one| Arc::ptr_eq(&one.runner, &grant.choice.runner)));
        self.start(grant);
    }

    fn start(&mut self, grant: Grant<Fake>) {
        let runner = self.now_of(&grant.choice);
        assert!(runner.takes() && grant.choice.runner.takes(), "a runner that takes nothing got something");
        assert!(self.has_slot(&runner), "more run than there are slots");
        assert!(self.below_cap(&grant.flow), "more of one flow run than may");
        self.running.push(grant);
        self.served += 1;
    }

    /// The runner that a choice means since the last reload.
    fn now_of(&self, choice: &Choice<Fake>) -> Arc<Fake> {
        self.runners.iter().find(|one| one.id() == choice.runner.id()).unwrap().clone()
    }

    fn has_slot(&self, runner: &Fake) -> bool {
        let running = self.running.iter().filter(|one| one.choice.runner.id() == runner.id()).count();
        runner.slots().is_none_or(|slots| running < slots)
    }

    fn below_cap(&self, flow: &Flow) -> bool {
        let running = self.running.iter().filter(|one| one.flow == *flow).count();
        cap(flow).is_none_or(|cap| running < cap)
    }

    fn could_run(&self, flow: &Flow, choices: &[Choice<Fake>]) -> bool {
        let usable = |choice: &Choice<Fake>| {
            let runner = self.now_of(choice);
            choice.runner.takes() && runner.takes() && self.has_slot(&runner)
        };
        self.below_cap(flow) && choices.iter().any(usable)
    }

    fn check(&self) {
        for (ticket, choices) in self.waiting.iter().filter(|_| !self.is_unnoticed) {
            assert!(!self.could_run(&ticket.flow, choices), "{ticket:?} waits although it could run");
        }
        for runner in &self.runners {
            let load = self.book.load(runner.id());
            let here: Vec<_> =
                self.running.iter().filter(|one| one.choice.runner.id() == runner.id()).collect();
            let hoping = self
                .waiting
                .iter()
                .filter(|(_, choices)| choices.iter().any(|choice| choice.runner.id() == runner.id()));
            assert_eq!((load.running, load.waiting), (here.len(), hoping.count()));
            assert_eq!(load.work, here.iter().map(|one| one.work).sum::<u64>());
        }
    }

    /// Places are 1, 2, 3 ... for each model, and what a waiter is told is what an operator sees.
    fn check_places(&self) {
        let views = self.book.view(self.now);
        let mut seen: HashMap<&str, Vec<usize>> = HashMap::new();
        for (ticket, _) in &self.waiting {
            let standing = self.book.standing(ticket, self.now);
            seen.entry(&*ticket.model).or_default().push(standing.position);
            let view = views.iter().find(|view| view.model == ticket.model).unwrap();
            assert_eq!(view.waiting[standing.position - 1].flow, ticket.flow);
        }
        for view in &views {
            let mut positions = seen.remove(&*view.model).unwrap_or_default();
            positions.sort_unstable();
            assert!(positions.into_iter().eq(1..=view.waiting.len()));
            assert!(self.counted(&view.model) <= QUEUE_MAX);
            assert_eq!(view.running, self.running.iter().filter(|one| one.model == view.model).count());
        }
        assert!(seen.is_empty());
    }

    /// Nobody comes any more: whoever still waits is served, and nothing is left.
    fn end_all(&mut self) {
        for index in 0..self.runners.len() {
            // Those who wait may know an older one of the same id.
            let runner = self.runners[index].clone();
            runner.set_takes(true);
            runner.set_slots(1);
            for (_, choices) in &self.waiting {
                choices.iter().for_each(|choice| choice.runner.set_takes(true));
            }
        }
        self.offer();
        let mut rounds = 0;
        while !self.running.is_empty() {
            self.check();
            self.finish();
            rounds += 1;
            assert!(rounds < 10_000);
        }
        assert!(self.waiting.is_empty(), "somebody was never served");
        assert!(self.book.is_empty(), "{:?}", self.book);
    }
}

#[test]
fn whatever_happens_slots_are_kept_used_and_given_back() {
    let mut served = 0;
    for seed in 0..seeds() {
        // The name of the seed is printed with a failure only.
        println!("seed {seed}");
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.end_all();
        served += world.served;
    }
    assert!(served as u64 > 50 * seeds(), "too little happened: {served}");
}
