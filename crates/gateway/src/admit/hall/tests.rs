//! The hall through its public doors: hand-over, leaving, estimates, herds and races.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::admit::fake::{Dice, Fake, ask, ask_for};

fn permit(entry: Result<Entry<Fake>, Error>) -> Permit<Fake> {
    match entry.unwrap() {
        Entry::Now(permit) => permit,
        Entry::Wait(place) => panic!("expected a slot, got {:?}", place.standing()),
    }
}

fn place(entry: Result<Entry<Fake>, Error>) -> Place<Fake> {
    match entry.unwrap() {
        Entry::Wait(place) => place,
        Entry::Now(_) => panic!("expected a place in the queue"),
    }
}

fn assert_empty(hall: &Hall<Fake>) {
    let state = hall.lock();
    assert!(state.book.is_empty(), "{:?}", state.book);
    assert!(state.ways.is_empty());
}

#[tokio::test]
async fn one_users_slots_are_handed_on_in_order_of_arrival() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let ann = || Ask { queue_max: 2, ..ask("ann", &[&runner]) };
    let first = permit(hall.enter(ann()));
    let mut second = place(hall.enter(ann()));
    let mut third = place(hall.enter(ann()));
    assert_eq!((second.standing().position, third.standing().position), (1, 2));
    assert!(matches!(hall.enter(ann()), Err(Error::Busy)));
    drop(first);
    assert_eq!((second.standing().position, third.standing().position), (0, 1));
    let running = second.ready().await.unwrap();
    assert_eq!(hall.load(1), RunnerLoad { running: 1, work: 100, waiting: 1 });
    drop(running);
    drop(third.ready().await.unwrap());
    assert_empty(&hall);
}

#[tokio::test]
async fn who_leaves_the_queue_frees_his_place() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let ann = || Ask { queue_max: 2, ..ask("ann", &[&runner]) };
    let first = permit(hall.enter(ann()));
    let second = place(hall.enter(ann()));
    let mut third = place(hall.enter(ann()));
    drop(second);
    assert_eq!(third.standing().position, 1);
    let fourth = place(hall.enter(ann()));
    drop((fourth, first));
    drop(third.ready().await.unwrap());
    assert_empty(&hall);
}

#[tokio::test]
async fn a_slot_sent_to_one_who_has_just_left_is_not_lost() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let first = permit(hall.enter(ask("ann", &[&runner])));
    let second = place(hall.enter(ask("ann", &[&runner])));
    let mut third = place(hall.enter(ask("ann", &[&runner])));
    drop(first); // the slot is now on its way to the second
    drop(second); // who never took it
    drop(third.ready().await.unwrap());
    assert_empty(&hall);
}

#[tokio::test]
async fn waiting_may_be_interrupted_and_taken_up_again() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let first = permit(hall.enter(ask("ann", &[&runner])));
    let mut second = place(hall.enter(ask("bob", &[&runner])));
    assert!(futures_util::future::FutureExt::now_or_never(second.ready()).is_none());
    drop(first);
    let permit = second.ready().await.unwrap();
    assert!(matches!(second.ready().await, Err(Error::Internal)), "one place gives one permit");
    drop((second, permit));
    assert_empty(&hall);
}

#[tokio::test]
async fn a_retry_is_not_refused_by_a_full_queue_and_takes_nobodys_place() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let ann = || Ask { queue_max: 1, ..ask("ann", &[&runner]) };
    let first = permit(hall.enter(ann()));
    let mut back = place(hall.enter(Ask { returning: true, ..ann() }));
    let second = place(hall.enter(ann()));
    assert!(matches!(hall.enter(ann()), Err(Error::Busy)));
    // A reload may have made the queue shorter than it is.
    let other = place(hall.enter(Ask { returning: true, queue_max: 0, ..ann() }));
    let positions = [&back, &other, &second].map(|place| place.standing().position);
    assert_eq!(positions, [1, 2, 3]);
    drop((first, other, second));
    drop(back.ready().await.unwrap());
    assert_empty(&hall);
}

#[test]
fn without_slots_everybody_enters_and_is_counted() {
    let (hall, runner) = (Hall::new(), Fake::new(1, None));
    let enter = || permit(hall.enter(Ask { queue_max: 0, ..ask("ann", &[&runner]) }));
    let permits: Vec<_> = (0..100).map(|_| enter()).collect();
    assert_eq!(hall.load(1), RunnerLoad { running: 100, work: 10_000, waiting: 0 });
    drop(permits);
    assert_empty(&hall);
}

#[test]
fn an_ask_that_can_never_run_does_not_wait() {
    let hall = Hall::<Fake>::new();
    assert!(matches!(hall.enter(ask("ann", &[])), Err(Error::UpstreamDown)));
    assert_empty(&hall);
}

#[tokio::test]
async fn a_runner_that_comes_back_serves_who_has_waited_for_it() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(2)));
    runner.set_takes(false);
    let mut places: Vec<_> = (0..3).map(|_| place(hall.enter(ask("ann", &[&runner])))).collect();
    runner.set_takes(true);
    hall.offer();
    let positions: Vec<_> = places.iter().map(|place| place.standing().position).collect();
    assert_eq!(positions, [0, 0, 1]);
    let permits = (places[0].ready().await.unwrap(), places[1].ready().await.unwrap());
    drop(permits);
    drop(places);
    assert_empty(&hall);
}

#[tokio::test]
async fn a_reload_changes_slots_for_those_who_wait_already() {
    let (hall, before) = (Hall::new(), Fake::new(1, Some(1)));
    let first = permit(hall.enter(ask("ann", &[&before])));
    let mut second = place(hall.enter(ask("ann", &[&before])));
    let after = Fake::new(1, Some(2));
    hall.renew([&after, &Fake::new(2, Some(1))]);
    let second = second.ready().await.unwrap();
    assert_eq!(hall.load(1).running, 2);
    // And what began before counts against the slots of now.
    let third = place(hall.enter(ask("ann", &[&after])));
    drop((first, second, third));
    assert_empty(&hall);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_told_once_the_model_is_known() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let first = permit(hall.enter(ask("ann", &[&runner])));
    let second = place(hall.enter(ask("ann", &[&runner])));
    assert_eq!(second.standing(), PlaceStanding { position: 1, wait: None });
    advance(Duration::from_secs(10)).await;
    first.served();
    drop(second);
    // 100 tokens took ten seconds. Half of what runs is left on average.
    let _first = permit(hall.enter(ask("ann", &[&runner])));
    let second = place(hall.enter(ask("ann", &[&runner])));
    let third = place(hall.enter(ask("ann", &[&runner])));
    assert_eq!(second.standing().wait, Some(Duration::from_secs(5)));
    assert_eq!(third.standing(), PlaceStanding { position: 2, wait: Some(Duration::from_secs(15)) });
    let view = hall.view();
    assert_eq!(view.len(), 1);
    assert_eq!((&*view[0].model, view[0].running, view[0].waiting.len()), ("m", 1, 2));
    assert_eq!(view[0].wait, Some(Duration::from_secs(25)));
    let told: Vec<_> = view[0].waiting.iter().map(|one| (one.position, one.work)).collect();
    assert_eq!(told, [(1, 100), (2, 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_teaches_no_pace() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let first = permit(hall.enter(ask("ann", &[&runner])));
    let second = place(hall.enter(ask("ann", &[&runner])));
    drop(first);
    drop(second);
    let _first = permit(hall.enter(ask("ann", &[&runner])));
    let second = place(hall.enter(ask("ann", &[&runner])));
    assert_eq!(second.standing().wait, None);
}

#[tokio::test]
async fn five_thousand_waiters_are_told_and_served_each_once() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(4)));
    let held: Vec<_> = (0..4).map(|_| permit(hall.enter(ask("first", &[&runner])))).collect();
    let served = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..5_000)
        .map(|number| {
            let capped = Ask { in_flight_max: Some(2), ..ask(&format!("user {}", number % 200), &[&runner]) };
            let (mut place, served) = (place(hall.enter(capped)), served.clone());
            tokio::spawn(async move {
                let permit = place.ready().await.unwrap();
                tokio::task::yield_now().await;
                served.fetch_add(1, Ordering::Relaxed);
                drop(permit);
            })
        })
        .collect();
    assert_eq!(hall.load(1).waiting, 5_000);
    drop(held);
    for one in waiting {
        one.await.unwrap();
    }
    assert_eq!(served.load(Ordering::Relaxed), 5_000);
    assert_empty(&hall);
}

#[test]
fn five_thousand_users_are_let_in_at_once_when_a_runner_without_a_limit_comes_back() {
    let (hall, runner) = (Hall::new(), Fake::new(1, None));
    runner.set_takes(false);
    let waiting: Vec<_> =
        (0..5_000).map(|number| place(hall.enter(ask(&format!("user {number}"), &[&runner])))).collect();
    runner.set_takes(true);
    hall.offer();
    assert_eq!(hall.load(1).running, 5_000);
    drop(waiting);
    assert_empty(&hall);
}

#[test]
fn five_thousand_who_leave_at_once_do_not_grow_the_stack() {
    let (hall, runner) = (Hall::new(), Fake::new(1, Some(1)));
    let first = permit(hall.enter(ask("ann", &[&runner])));
    let places: Vec<_> = (0..5_000).map(|_| place(hall.enter(ask("ann", &[&runner])))).collect();
    // Their receivers are gone, but the book does not know it yet: every permit comes back.
    let gone = places.into_iter().map(|mut place| place.way.take().unwrap()).collect::<Vec<_>>();
    drop(gone);
    drop(first);
    assert_empty(&hall);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_leak_nothing_and_never_exceed_the_slots() {
    let hall = Hall::new();
    let runners = [Fake::new(1, Some(3)), Fake::new(2, Some(2))];
    let running: Arc<[AtomicUsize; 2]> = Arc::default();
    let served = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let (hall, runners, running) = (hall.clone(), runners.clone(), running.clone());
            let served = served.clone();
            tokio::spawn(async move {
                let mut dice = Dice::new(task);
                for _ in 0..400 {
                    let model = ["a", "b"][dice.index(2)];
                    let ask = ask_for(model, &format!("{}", dice.roll(5)), &[&runners[0], &runners[1]]);
                    let permit = match hall.enter(Ask { in_flight_max: Some(4), queue_max: 6, ..ask }) {
                        Ok(Entry::Now(permit)) => permit,
                        Ok(Entry::Wait(mut place)) => {
                            if dice.is(40) {
                                assert!(place.standing().position <= 6);
                                tokio::task::yield_now().await;
                                continue;
                            }
                            place.ready().await.unwrap()
                        }
                        Err(error) => {
                            assert!(matches!(error, Error::Busy), "{error}");
                            tokio::task::yield_now().await;
                            continue;
                        }
                    };
                    let index = usize::from(permit.choice().runner.id() == 2);
                    let before = running[index].fetch_add(1, Ordering::SeqCst);
                    assert!(before < runners[index].slots().unwrap());
                    tokio::task::yield_now().await;
                    running[index].fetch_sub(1, Ordering::SeqCst);
                    served.fetch_add(1, Ordering::Relaxed);
                    drop(permit);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 1_000);
    assert_empty(&hall);
}
