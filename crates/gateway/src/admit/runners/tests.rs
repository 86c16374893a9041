//! Which of several runners a request gets.

use tokio::time::Instant;

use super::*;
use crate::admit::book::{Book, Entered};
use crate::admit::fake::{Fake, ask, ask_for};

/// Runners 1, 2 and 3 with four slots each.
struct Site {
    book: Book<Fake>,
    runners: [Arc<Fake>; 3],
}

impl Site {
    fn none_holds_the_model(&self) {
        self.runners.iter().for_each(|runner| runner.set_resident(&[]));
    }

    fn run(&mut self, id: usize, model: &str, work: u64) {
        let ask = Ask { work, ..ask_for(model, "bob", &[&self.runners[id - 1]]) };
        assert!(matches!(self.book.enter(ask, Instant::now()).0, Entered::Now(_)));
    }
}

#[test]
fn where_a_request_runs() {
    type Prepare = fn(&mut Site);
    let cases: [(&str, Prepare, u64); 7] = [
        (
            "the least work, not the fewest requests",
            |site| {
                [(1, 100), (2, 20), (2, 20), (3, 41)].iter().for_each(|(id, work)| site.run(*id, "m", *work));
            },
            2,
        ),
        (
            "equal work: the fewest requests",
            |site| {
                [(1, 40), (2, 20), (2, 20), (3, 41)].iter().for_each(|(id, work)| site.run(*id, "m", *work));
            },
            1,
        ),
        (
            "only what takes requests",
            |site| [0, 2].iter().for_each(|one| site.runners[*one].set_takes(false)),
            2,
        ),
        (
            "rather much work than a load",
            |site| {
                site.none_holds_the_model();
                site.runners[2].set_resident(&["m"]);
                site.run(3, "m", 5_000);
            },
            3,
        ),
        (
            "what runs for somebody is loaded, or about to be",
            |site| {
                site.none_holds_the_model();
                site.run(1, "m", 5_000);
            },
            1,
        ),
        (
            "rather a load than a wait",
            |site| {
                site.none_holds_the_model();
                (0..4).for_each(|_| site.run(1, "m", 1));
                site.run(2, "x", 1);
            },
            3,
        ),
        (
            "where nobody can say, nothing is held against the runner",
            |site| {
                site.runners[0].set_resident(&[]);
                site.run(2, "m", 10);
                site.run(3, "m", 5);
            },
            3,
        ),
    ];
    for (name, prepare, expected) in cases {
        let runners = [1, 2, 3].map(|id| Fake::new(id, Some(4)));
        let mut site = Site { book: Book::new(), runners };
        prepare(&mut site);
        let ask = ask("ann", &site.runners.iter().collect::<Vec<_>>());
        let (Entered::Now(grant), _) = site.book.enter(ask, Instant::now()) else {
            panic!("no slot: {name}")
        };
        assert_eq!(grant.choice.runner.id(), expected, "{name}");
    }
}

#[test]
fn without_a_limit_of_slots_one_warm_runner_does_not_get_everything() {
    let runners = [1, 2].map(|id| Fake::new(id, None));
    runners[0].set_resident(&["m"]);
    runners[1].set_resident(&[]);
    let mut book = Book::new();
    let mut used = [0; 2];
    for _ in 0..40 {
        let (Entered::Now(grant), _) = book.enter(ask("ann", &[&runners[0], &runners[1]]), Instant::now())
        else {
            panic!("no slot")
        };
        used[usize::from(grant.choice.runner.id() == 2)] += 1;
    }
    assert!(used[1] >= 10, "{used:?}");
}

#[test]
fn a_conversation_stays_where_it_was_unless_that_runner_has_too_much() {
    let runners = [1, 2, 3].map(|id| Fake::new(id, None));
    let all = [&runners[0], &runners[1], &runners[2]];
    let mut used = [0; 3];
    for conversation in 0..60 {
        let mut book = Book::new();
        let mut homes = Vec::new();
        for _ in 0..2 {
            let ask = Ask { affinity: Some(conversation), ..ask("ann", &all) };
            let (Entered::Now(grant), _) = book.enter(ask, Instant::now()) else { panic!("no slot") };
            homes.push(grant.choice.runner.id());
        }
        assert_eq!(homes[0], homes[1], "conversation {conversation}");
        used[usize::try_from(homes[0]).unwrap() - 1] += 1;
    }
    assert!(used.iter().all(|count| *count > 8), "conversations are not spread: {used:?}");
    // One conversation that asks a hundred times at once.
    let mut book = Book::new();
    let mut running = [0_usize; 3];
    for total in 0..100 {
        let ask = Ask { affinity: Some(7), ..ask("ann", &all) };
        let (Entered::Now(grant), _) = book.enter(ask, Instant::now()) else { panic!("no slot") };
        let here = &mut running[usize::try_from(grant.choice.runner.id()).unwrap() - 1];
        assert!(*here as f64 <= 1.25 * f64::from(total) / 3.0 + 1.0);
        *here += 1;
    }
}

#[test]
fn equal_runners_get_equal_shares() {
    let runners = [1, 2, 3, 4].map(|id| Fake::new(id, None));
    let all: Vec<_> = runners.iter().collect();
    let mut used = [0; 4];
    for _ in 0..400 {
        // Alone every time: nothing but the tie decides.
        let mut book = Book::new();
        for _ in 0..4 {
            let (Entered::Now(grant), _) = book.enter(ask("ann", &all), Instant::now()) else {
                panic!("no slot")
            };
            used[usize::try_from(grant.choice.runner.id()).unwrap() - 1] += 1;
        }
    }
    assert_eq!(used, [400; 4], "the least work goes first");
    let mut book = Book::new();
    let mut alone = [0; 4];
    for _ in 0..400 {
        let (Entered::Now(grant), _) = book.enter(ask("ann", &all), Instant::now()) else {
            panic!("no slot")
        };
        alone[usize::try_from(grant.choice.runner.id()).unwrap() - 1] += 1;
        book.leave(&grant, true, Instant::now());
    }
    assert!(alone.iter().all(|count| *count > 60), "ties go to one: {alone:?}");
}
