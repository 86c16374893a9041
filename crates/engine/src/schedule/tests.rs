//! Who is served when, on a scripted model whose steps the test lets happen.

use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::model::{Reader, Sampling};
use crate::scripted::{Actor, Gate, Script};

struct House {
    queue: Queue,
    log: Arc<Mutex<Vec<Vec<Feed>>>>,
    gate: Gate,
    start: Option<(Actor, mpsc::Receiver<Job>, usize)>,
}

/// The model's thread starts with [`House::start`], so that jobs can be there before its first step.
fn house(slots: usize, waiting_max: usize) -> House {
    let (actor, gate) = Actor::gated();
    let (queue, jobs) = queue(slots, waiting_max);
    House { queue, log: Arc::clone(&actor.log), gate, start: Some((actor, jobs, slots)) }
}

fn sampling() -> Sampling {
    Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_last_n: 0,
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        seed: 1,
        grammar: None,
    }
}

impl House {
    fn start(&mut self) {
        let (actor, jobs, slots) = self.start.take().unwrap();
        std::thread::spawn(move || run(actor, slots, jobs));
    }

    fn ask(&self, prompt: &str) -> Receiver<Event> {
        self.ask_with(prompt, |_| {})
    }

    fn ask_with(&self, prompt: &str, change: impl FnOnce(&mut Job)) -> Receiver<Event> {
        let context = 2048;
        let (out, events) = Job::channel(context);
        let mut job = Job {
            prompt: Script::new().tokens(prompt),
            sampling: sampling(),
            stops: Vec::new(),
            max_tokens: None,
            context,
            out,
            arrived: Instant::now(),
            place: self.queue.enter().unwrap(),
        };
        change(&mut job);
        self.queue.submit(job).unwrap();
        events
    }

    fn steps(&self) -> Vec<Vec<Feed>> {
        self.log.lock().unwrap().clone()
    }
}

/// The whole answer and how it ended.
fn whole(mut events: Receiver<Event>) -> (String, Result<Outcome, Fault>) {
    let mut text = String::new();
    loop {
        match events.blocking_recv().expect("an answer ends with Done or Failed") {
            Event::Text(piece) => text.push_str(&piece),
            Event::Done(outcome) => return (text, Ok(outcome)),
            Event::Failed(fault) => return (text, Err(fault)),
        }
    }
}

#[test]
fn answers_share_their_steps() {
    let mut house = house(2, 0);
    let (one, two) = (house.ask("say:abc"), house.ask("say:xyz"));
    house.gate.open(100);
    house.start();
    assert_eq!((whole(one).0, whole(two).0), ("abc".into(), "xyz".into()));
    let steps = house.steps();
    assert_eq!(steps.len(), 4, "one step for both prompts, and one for each letter");
    assert!(steps[1..].iter().all(|s| s.len() == 2 && s[0].slot != s[1].slot), "{steps:?}");
}

#[test]
fn a_long_prompt_is_read_in_pieces_that_are_smaller_beside_an_answer() {
    let mut house = house(2, 0);
    let alone = house.ask(&format!("{}say:a", "x".repeat(295)));
    house.gate.open(100);
    house.start();
    whole(alone).1.unwrap();
    let sizes: Vec<_> = house.steps().iter().map(Vec::len).collect();
    assert_eq!(sizes, [128, 128, 45, 1]);

    let mut house = self::house(2, 0);
    let endless = house.ask_with("repeat", |job| job.max_tokens = Some(6));
    let long = house.ask(&format!("{}say:a", "x".repeat(245)));
    house.gate.open(100);
    house.start();
    whole(endless).1.unwrap();
    whole(long).1.unwrap();
    assert_eq!(house.steps()[1].len(), 1 + PIECE_BESIDE_ANSWERS_TOKENS);
}

#[test]
fn the_next_turn_of_a_chat_reads_only_what_is_new() {
    let mut house = house(2, 0);
    house.gate.open(100);
    house.start();
    whole(house.ask("first chat say:abc")).1.unwrap();
    whole(house.ask("other chat say:abc")).1.unwrap();
    let before = house.steps().len();
    let (text, outcome) = whole(house.ask("first chat say:abcd"));
    assert_eq!(text, "abcd");
    assert_eq!(
        outcome.unwrap().prompt_tokens,
        "first chat say:abcd".len() + 1,
        "known tokens are counted too"
    );
    let fed = &house.steps()[before];
    assert_eq!(fed[0].position, "first chat say:abc".len());
    assert_eq!(fed.len(), 2, "the letter d and the mark");
}

#[test]
fn the_same_prompt_again_still_reads_its_last_token() {
    let mut house = house(1, 0);
    house.gate.open(100);
    house.start();
    whole(house.ask("say:ab")).1.unwrap();
    assert_eq!(whole(house.ask("say:ab")).0, "ab");
}

#[test]
fn a_caller_that_leaves_is_gone_before_the_next_step() {
    let mut house = house(1, 1);
    let mut endless = house.ask("repeat");
    let next = house.ask("say:b");
    house.start();
    house.gate.open(2);
    assert_eq!(endless.blocking_recv(), Some(Event::Text("a".into())));
    assert_eq!(house.queue.enter().unwrap_err().status, 503);
    drop(endless);
    house.gate.open(10);
    assert_eq!(whole(next).0, "b");
    let steps = house.steps();
    let at = steps.iter().position(|s| s[0].token == i32::from(b's')).expect("the other prompt is read");
    // Two steps were allowed while it was there; a third may have been decided on before it left.
    assert!(at <= 3, "{steps:?}");
}

#[test]
fn a_caller_that_leaves_while_waiting_gives_its_place_back() {
    let mut house = house(1, 1);
    let running = house.ask("say:abcdefgh");
    let waiting = house.ask("say:never");
    assert_eq!(house.queue.enter().unwrap_err().status, 503, "one runs, one waits");
    drop(waiting);
    house.gate.open(100);
    house.start();
    whole(running).1.unwrap();
    whole(house.ask("say:x")).1.unwrap();
    let read: Vec<u8> = house.steps().iter().flatten().map(|f| u8::try_from(f.token).unwrap()).collect();
    assert!(!read.windows(5).any(|w| w == b"never"));
}

#[test]
fn how_an_answer_ends() {
    let check = |prompt: &str, change: fn(&mut Job), text: &str, reason: Reason, tokens: usize| {
        let mut house = house(1, 0);
        house.gate.open(1000);
        house.start();
        let (got, outcome) = whole(house.ask_with(prompt, change));
        let outcome = outcome.unwrap();
        assert_eq!((got.as_str(), outcome.reason, outcome.tokens), (text, reason, tokens), "{prompt}");
    };
    check("say:abc", |_| {}, "abc", Reason::Stop, 4);
    check("say:abc", |job| job.max_tokens = Some(2), "ab", Reason::Length, 2);
    check("say:abXYcd", |job| job.stops = vec!["XY".into()], "ab", Reason::Stop, 4);
    check("say:abX", |job| job.stops = vec!["XY".into()], "abX", Reason::Stop, 4);
    check("say:你好", |job| job.max_tokens = Some(4), "你\u{fffd}", Reason::Length, 4);
    // Seven tokens of prompt: the context has room for three more, and a fourth that is not read again.
    check("repeat", |job| job.context = 10, "aaaa", Reason::Length, 4);
}

#[test]
fn a_failed_step_is_told_to_everybody_and_the_next_job_starts_clean() {
    let mut house = house(2, 0);
    let (one, two) = (house.ask("say:abc"), house.ask("break"));
    house.gate.open(100);
    house.start();
    assert_eq!(whole(one).1.unwrap_err().status, 500);
    assert_eq!(whole(two).1.unwrap_err().status, 500);
    assert_eq!(whole(house.ask("say:abc")).0, "abc");
}

#[test]
fn places_are_as_many_as_may_run_and_wait() {
    let house = house(2, 3);
    let places: Vec<_> = (0..5).map(|_| house.queue.enter().unwrap()).collect();
    assert_eq!(house.queue.enter().unwrap_err().status, 503);
    drop(places);
    assert!(house.queue.enter().is_ok());
}
