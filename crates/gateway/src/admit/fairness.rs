//! What users may expect of the queue, as properties: shares, bands, turns between models.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ask::Ask;
use super::book::{Book, Entered, Grant, TURN_AFTER, TURN_GRANTS};
use super::fake::{Dice, Fake, ask, ask_for, flow, seeds};
use super::queue::QUANTUM;
use crate::config::Priority;

/// One runner with one slot: every grant is one decision.
struct Counter {
    book: Book<Fake>,
    runner: Arc<Fake>,
    now: Instant,
    running: Option<Grant<Fake>>,
}

impl Counter {
    fn new() -> Self {
        let (book, runner) = (Book::new(), Fake::new(1, Some(1)));
        let mut counter = Self { book, runner, now: Instant::now(), running: None };
        // So that everybody else has to wait.
        counter.enter(ask("first", &[&counter.runner.clone()]));
        counter
    }

    fn enter(&mut self, ask: Ask<Fake>) {
        let (entered, grants) = self.book.enter(ask, self.now);
        assert!(grants.is_empty());
        match entered {
            Entered::Now(grant) => assert!(self.running.replace(grant).is_none()),
            Entered::Wait(_) => {}
            Entered::Full => panic!("full"),
        }
    }

    fn come(&mut self, user: &str, change: impl FnOnce(&mut Ask<Fake>)) {
        let mut ask = ask(user, &[&self.runner.clone()]);
        change(&mut ask);
        self.enter(ask);
    }

    /// What runs ends after `held`; who is next?
    fn next(&mut self, held: Duration) -> Option<&Grant<Fake>> {
        self.now += held;
        let ended = self.running.take()?;
        let mut grants = self.book.leave(&ended, true, self.now);
        assert!(grants.len() <= 1);
        self.running = grants.pop();
        self.running.as_ref()
    }

    /// The users in the order in which they are served, each for a second.
    fn order(&mut self) -> String {
        let mut order = Vec::new();
        while let Some(grant) = self.next(Duration::from_secs(1)) {
            order.push(grant.flow.user.as_deref().unwrap().to_owned());
        }
        assert!(self.book.is_empty());
        order.join(" ")
    }
}

#[test]
fn who_is_next_among_a_few() {
    type Come = fn(&mut Counter);
    let cases: [(&str, Come, &str); 10] = [
        (
            "a user with many does not hold up one with few",
            |counter| {
                (0..4).for_each(|_| counter.come("ann", |_| {}));
                counter.come("bob", |_| {});
            },
            "ann bob ann ann ann",
        ),
        (
            "requests of one size go in order of arrival",
            |counter| {
                counter.come("ann", |ask| ask.work = 250);
                counter.come("bob", |ask| ask.work = 10);
                counter.come("cid", |ask| ask.work = 200);
            },
            "ann bob cid",
        ),
        (
            "a huge request waits until the others have had as much work",
            |counter| {
                counter.come("ann", |ask| ask.work = 4 * QUANTUM);
                (0..6).for_each(|_| counter.come("bob", |ask| ask.work = QUANTUM));
            },
            "bob bob bob ann bob bob bob",
        ),
        (
            "a weight of two is two shares",
            |counter| {
                (0..3).for_each(|_| counter.come("ann", |ask| ask.work = 2 * QUANTUM));
                (0..6).for_each(|_| {
                    counter.come("bob", |ask| (ask.work, ask.weight) = (2 * QUANTUM, 2));
                });
            },
            "bob ann bob bob ann bob bob ann bob",
        ),
        (
            "a better band goes first",
            |counter| {
                counter.come("low", |ask| ask.priority = Priority::Low);
                counter.come("normal", |_| {});
                counter.come("high", |ask| ask.priority = Priority::High);
            },
            "high normal low",
        ),
        (
            "within one user a better band goes first too",
            |counter| {
                counter.come("ann", |ask| (ask.priority, ask.work) = (Priority::Low, 9_000));
                counter.come("ann", |ask| ask.priority = Priority::High);
                counter.come("bob", |_| {});
            },
            "ann bob ann",
        ),
        (
            "waiting lifts by one band at a time",
            |counter| {
                counter.come("low", |ask| ask.priority = Priority::Low);
                counter.now += Duration::from_secs(29);
                counter.come("normal", |_| {});
                counter.come("high", |ask| ask.priority = Priority::High);
                counter.come("normal", |_| {});
            },
            // After a second low has become normal; its line is the oldest one there.
            "high low normal normal",
        ),
        (
            "who waits in a worse band gains nothing from the rounds of a better one",
            |counter| {
                counter.come("large", |ask| (ask.priority, ask.work) = (Priority::Low, 4 * QUANTUM));
                counter.come("small", |ask| (ask.priority, ask.work) = (Priority::Low, QUANTUM));
                counter.come("high", |ask| (ask.priority, ask.work) = (Priority::High, 8 * QUANTUM));
            },
            "high small large",
        ),
        (
            "a retry goes to the front of its band",
            |counter| {
                counter.come("ann", |_| {});
                counter.come("high", |ask| ask.priority = Priority::High);
                counter.come("back", |ask| (ask.returning, ask.work) = (true, 9_000));
                counter.come("again", |ask| ask.returning = true);
            },
            "high back again ann",
        ),
        (
            "who comes back after an empty line has saved nothing up",
            |counter| {
                counter.come("ann", |ask| ask.work = QUANTUM);
                counter.next(Duration::from_secs(1));
                (0..3).for_each(|_| counter.come("ann", |ask| ask.work = QUANTUM));
                (0..3).for_each(|_| counter.come("bob", |ask| ask.work = QUANTUM));
            },
            "ann bob ann bob ann bob",
        ),
    ];
    for (name, come, expected) in cases {
        let mut counter = Counter::new();
        come(&mut counter);
        assert_eq!(counter.order(), expected, "{name}");
    }
}

#[test]
fn a_capped_user_is_passed_over_and_not_waited_for() {
    let (mut book, now) = (Book::new(), Instant::now());
    let runner = Fake::new(1, Some(3));
    let enter = |book: &mut Book<Fake>, user: &str| {
        let (entered, grants) =
            book.enter(Ask { in_flight_max: Some(1), queue_max: 1, ..ask(user, &[&runner]) }, now);
        assert!(grants.is_empty());
        entered
    };
    let Entered::Now(first) = enter(&mut book, "ann") else { panic!("no slot") };
    assert!(matches!(enter(&mut book, "ann"), Entered::Wait(_)), "over the cap");
    assert!(matches!(enter(&mut book, "ann"), Entered::Full));
    // The queue is full, but there is a slot for bob, and ann is not in his way.
    let Entered::Now(_) = enter(&mut book, "bob") else { panic!("bob waits for ann's cap") };
    let next = book.leave(&first, true, now);
    assert_eq!(next.iter().map(|grant| &grant.flow).collect::<Vec<_>>(), [&flow("ann")]);
}

/// The bound of `queue`'s own documentation, over every stretch of time.
#[test]
fn users_who_wait_all_the_time_share_by_work_and_weight() {
    for seed in 0..seeds().min(512) {
        let mut dice = Dice::new(seed);
        let mut counter = Counter::new();
        let users: Vec<(String, u32, u64)> = (0..2 + dice.roll(4))
            .map(|number| (number.to_string(), [1, 2, 3, 5][dice.index(4)], 1 + dice.roll(20_000)))
            .collect();
        let come = |counter: &mut Counter, dice: &mut Dice, index: usize| {
            let (user, weight, largest) = &users[index];
            counter.come(user, |ask| (ask.weight, ask.work) = (*weight, 1 + dice.roll(*largest)));
        };
        for index in 0..users.len() {
            (0..2).for_each(|_| come(&mut counter, &mut dice, index));
        }
        let mut served = vec![0_u64; users.len()];
        let mut extremes: HashMap<(usize, usize), (f64, f64)> = HashMap::new();
        for _ in 0..300 {
            let grant = counter.next(Duration::from_millis(10)).unwrap();
            let index: usize = grant.flow.user.as_deref().unwrap().parse().unwrap();
            served[index] += grant.work;
            come(&mut counter, &mut dice, index);
            for (a, b) in (0..users.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let share = |index: usize| served[index] as f64 / f64::from(users[index].1);
                let lead = share(a) - share(b);
                let (least, most) = extremes.entry((a, b)).or_insert((0.0, 0.0));
                (*least, *most) = (least.min(lead), most.max(lead));
            }
        }
        for ((a, b), (least, most)) in extremes {
            let largest = |index: usize| users[index].2 as f64 / f64::from(users[index].1);
            let bound = largest(a) + largest(b) + 2.0 * QUANTUM as f64;
            assert!(most - least <= bound, "seed {seed}: {} > {bound}", most - least);
        }
    }
}

#[test]
fn a_crowd_of_others_delays_one_user_by_no_more_than_his_share() {
    // 1 user asks for 1,000 tokens beside another one with a thousand requests of 10,000: he is next but one at most.
    let mut counter = Counter::new();
    (0..1_000).for_each(|_| counter.come("greedy", |ask| ask.work = 10_000));
    counter.next(Duration::from_secs(1));
    counter.come("modest", |ask| ask.work = 1_000);
    assert_eq!(counter.next(Duration::from_secs(1)).unwrap().flow, flow("modest"));
}

#[test]
fn the_lowest_band_is_served_however_many_better_ones_come() {
    let mut counter = Counter::new();
    let others = ["a", "b", "c", "d"];
    let come = |counter: &mut Counter, user: &str| {
        counter.come(user, |ask| (ask.priority, ask.work) = (Priority::High, QUANTUM));
    };
    counter.come("low", |ask| (ask.priority, ask.work) = (Priority::Low, 10 * QUANTUM));
    let began = counter.now;
    others.iter().for_each(|user| (0..2).for_each(|_| come(&mut counter, user)));
    loop {
        let user = counter.next(Duration::from_secs(1)).unwrap().flow.user.clone().unwrap();
        if &*user == "low" {
            break;
        }
        come(&mut counter, &user);
        // Two bands of thirty seconds, then ten rounds with four others.
        assert!(counter.now - began < Duration::from_secs(60 + 10 * 4 + 4), "starved");
    }
    assert!(counter.now - began >= Duration::from_secs(60), "the better band did not go first");
}

/// A request for one of two models that share a runner on which only one fits.
struct Pair {
    counter: Counter,
    grants: Vec<(Duration, Arc<str>)>,
    began: Instant,
}

impl Pair {
    fn new() -> Self {
        let counter = Counter::new();
        counter.runner.set_resident(&["a"]);
        Self { began: counter.now, counter, grants: Vec::new() }
    }

    fn come(&mut self, model: &str, priority: Priority) {
        let ask = ask_for(model, "ann", &[&self.counter.runner.clone()]);
        self.counter.enter(Ask { priority, ..ask });
    }

    /// Serves one for `held`; the model that runs is the one in memory.
    fn serve(&mut self, held: Duration) -> Arc<str> {
        let model = self.counter.next(held).unwrap().model.clone();
        self.counter.runner.set_resident(&[&*model]);
        self.grants.push((self.counter.now - self.began, model.clone()));
        model
    }
}

#[test]
fn two_models_that_push_each_other_out_change_places_seldom_and_both_run() {
    for held_ms in [500_u64, 2_000, 20_000] {
        let mut pair = Pair::new();
        for model in ["a", "b"] {
            (0..3).for_each(|_| pair.come(model, Priority::Normal));
        }
        let held = Duration::from_millis(held_ms);
        for _ in 0..400_000 / held_ms {
            let model = pair.serve(held);
            pair.come(&model, Priority::Normal);
        }
        let changes: Vec<_> = pair.grants.windows(2).filter(|two| two[0].1 != two[1].1).collect();
        assert!(changes.len() >= 4, "one of them starves at {held_ms} ms");
        for two in changes.windows(2) {
            let stretch = two[1][1].0 - two[0][1].0;
            let grants = u32::try_from(TURN_GRANTS).unwrap();
            assert!(stretch + held >= TURN_AFTER.max(held * grants), "{stretch:?} at {held_ms} ms");
            let most = TURN_AFTER.max(held * grants) + 2 * held;
            assert!(stretch <= most, "{stretch:?} at {held_ms} ms");
        }
    }
}

#[test]
fn a_better_priority_has_its_model_loaded_and_a_worse_one_still_gets_turns() {
    let mut pair = Pair::new();
    (0..3).for_each(|_| pair.come("a", Priority::Low));
    (0..3).for_each(|_| pair.come("b", Priority::High));
    let second = Duration::from_secs(1);
    assert_eq!(&*pair.serve(second), "b");
    let mut low = 0;
    for _ in 0..120 {
        pair.come("b", Priority::High);
        low += usize::from(&*pair.serve(second) == "a");
    }
    assert!((2..=4).contains(&low), "{low}");
}

#[test]
fn queues_whose_models_are_all_in_memory_are_served_in_turn() {
    let mut pair = Pair::new();
    pair.counter.runner.set_resident(&["a", "b", "c"]);
    for model in ["a", "b", "c"] {
        (0..3).for_each(|_| pair.come(model, Priority::Normal));
    }
    let order: Vec<_> =
        (0..9).map(|_| pair.counter.next(Duration::from_secs(1)).unwrap().model.to_string()).collect();
    assert_eq!(order.concat(), "abcabcabc");
}
