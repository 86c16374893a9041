//! What the player knows: its orders, what reached it, and how each exchange ended.
//!
//! Why here: the server writes it and the control endpoint reads it, both on one thread. Everything is bounded.
//!
//! Never here: sockets.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::frames::{Dialect, Stream};
use super::script::{Answer, Listen, Listening, Pace, Script, Wait, When};
use crate::http1::RequestHead;

const STREAMS_CACHED_MAX: usize = 64;

/// Dialect, model, tokens, and whether the usage is told.
type StreamKey = (Dialect, String, usize, bool);

/// Answers in their order, and whether the last one stays.
type Ordered = (VecDeque<Answer>, bool);

/// One request as it came in.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub number: u64,
    pub connection: u64,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub at_unix_ms: f64,
    pub ended_unix_ms: Option<f64>,
    pub end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Completed,
    /// We cut, as ordered.
    Cut,
    /// The client went away.
    Aborted,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    pub accepted: u64,
    pub open: u64,
    /// Requests that would have cost the GPU something.
    pub generations: u64,
    pub in_flight: u64,
    pub in_flight_most: u64,
    pub completed: u64,
    pub aborted: u64,
    /// `GET /api/version`.
    pub probes: u64,
    pub other: u64,
    pub bytes_in: u64,
    /// Connections that sent something that is not a request.
    pub broken: u64,
}

#[derive(Debug)]
pub struct State {
    /// Models that exist; empty: every name does.
    pub models: Vec<String>,
    pub capabilities: RefCell<Vec<String>>,
    pub pace: Cell<Pace>,
    pub listen: watch::Sender<Listen>,
    pub counts: Cell<Counts>,
    changed: Notify,
    /// Requests kept for inspection.
    pub records_max: Cell<usize>,
    records: RefCell<Vec<Record>>,
    scripts: RefCell<HashMap<(String, When), Ordered>>,
    gates: RefCell<HashSet<String>>,
    streams: RefCell<HashMap<StreamKey, Rc<Stream>>>,
    next: Cell<u64>,
}

pub fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

pub fn is_generation(path: &str) -> bool {
    matches!(path, "/api/chat" | "/api/generate" | "/v1/chat/completions" | "/v1/completions")
}

impl State {
    pub fn new(models: Vec<String>, capabilities: Vec<String>, pace: Pace, records_max: usize) -> Rc<Self> {
        Rc::new(Self {
            models,
            capabilities: RefCell::new(capabilities),
            pace: Cell::new(pace),
            listen: watch::Sender::new(Listen { mode: Listening::Open, drop_connections: false }),
            counts: Cell::default(),
            changed: Notify::new(),
            records_max: Cell::new(records_max),
            records: RefCell::default(),
            scripts: RefCell::default(),
            gates: RefCell::default(),
            streams: RefCell::default(),
            next: Cell::default(),
        })
    }

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
        self.changed.notify_waiters();
    }

    pub fn begin(&self, connection: u64, head: &RequestHead, body: &[u8]) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        let generation = is_generation(&head.path);
        self.count(|c| {
            c.bytes_in += body.len() as u64;
            if generation {
                c.generations += 1;
                c.in_flight += 1;
                c.in_flight_most = c.in_flight_most.max(c.in_flight);
            } else if head.path == "/api/version" {
                c.probes += 1;
            } else {
                c.other += 1;
            }
        });
        let mut records = self.records.borrow_mut();
        // Probes come twice a second for as long as a test runs; they are counted, not kept.
        if records.len() < self.records_max.get() && head.path != "/api/version" {
            records.push(Record {
                number,
                connection,
                method: head.method.clone(),
                path: head.path.clone(),
                headers: head.headers.clone(),
                body: String::from_utf8_lossy(body).into_owned(),
                at_unix_ms: unix_ms(),
                ended_unix_ms: None,
                end: None,
            });
        }
        number
    }

    pub fn finish(&self, number: u64, path: &str, end: End) {
        if let Some(record) = self.records.borrow_mut().iter_mut().rev().find(|r| r.number == number) {
            record.end = Some(end);
            record.ended_unix_ms = Some(unix_ms());
        }
        if is_generation(path) {
            self.count(|c| {
                c.in_flight -= 1;
                match end {
                    End::Completed | End::Cut => c.completed += 1,
                    End::Aborted => c.aborted += 1,
                }
            });
        }
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.borrow().clone()
    }

    /// Forgets orders, records and counts, but not what is open.
    pub fn reset(&self, pace: Pace) {
        self.records.borrow_mut().clear();
        self.scripts.borrow_mut().clear();
        self.gates.borrow_mut().clear();
        self.pace.set(pace);
        self.count(|c| {
            *c = Counts {
                open: c.open,
                in_flight: c.in_flight,
                in_flight_most: c.in_flight,
                ..Counts::default()
            };
        });
    }

    pub fn order(&self, script: Script) {
        let mut scripts = self.scripts.borrow_mut();
        let place = (script.path, script.when);
        if script.answers.is_empty() {
            scripts.remove(&place);
        } else {
            scripts.insert(place, (script.answers.into(), script.sticky));
        }
    }

    /// The answer that was ordered for a request, if any: `asked` says what it asks for, and is only looked at when orders exist.
    pub fn ordered(&self, path: &str, asked: impl FnOnce() -> (String, bool)) -> Option<Answer> {
        let mut scripts = self.scripts.borrow_mut();
        if scripts.is_empty() {
            return None;
        }
        let (model, stream) = asked();
        let (model, stream) = (Some(model), Some(stream));
        let places = [(model.clone(), stream), (model, None), (None, stream), (None, None)];
        places.into_iter().find_map(|(model, stream)| {
            let (queue, sticky) = scripts.get_mut(&(path.to_owned(), When { model, stream }))?;
            if *sticky && queue.len() == 1 {
                return queue.front().cloned();
            }
            queue.pop_front()
        })
    }

    pub fn open_gate(&self, name: String) {
        self.gates.borrow_mut().insert(name);
        self.changed.notify_waiters();
    }

    pub async fn pass_gate(&self, name: &str) {
        self.until(|| self.gates.borrow().contains(name)).await;
    }

    pub async fn reached(&self, wait: &Wait) {
        self.until(|| wait.holds(&self.counts.get())).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds() {
                return;
            }
            changed.await;
        }
    }

    pub fn stream(&self, dialect: Dialect, model: &str, tokens: usize, usage: bool) -> Rc<Stream> {
        let key = (dialect, model.to_owned(), tokens, usage);
        let mut streams = self.streams.borrow_mut();
        if let Some(found) = streams.get(&key) {
            return Rc::clone(found);
        }
        if streams.len() >= STREAMS_CACHED_MAX {
            streams.clear();
        }
        let built = Rc::new(Stream::build(dialect, model, tokens, usage));
        streams.insert(key, Rc::clone(&built));
        built
    }
}

impl Wait {
    pub fn holds(&self, c: &Counts) -> bool {
        let least = |want: Option<u64>, have: u64| want.is_none_or(|want| have >= want);
        least(self.generations_at_least, c.generations)
            && least(self.completed_at_least, c.completed)
            && least(self.aborted_at_least, c.aborted)
            && least(self.in_flight_at_least, c.in_flight)
            && least(self.probes_at_least, c.probes)
            && self.in_flight_at_most.is_none_or(|most| c.in_flight <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_that_says_more_goes_first() {
        let state = State::new(Vec::new(), Vec::new(), Pace::default(), 0);
        let order = |model: Option<&str>, stream, status| {
            let when = When { model: model.map(str::to_owned), stream };
            let answer = Answer { status: Some(status), ..Answer::default() };
            state.order(Script { path: "/p".to_owned(), when, answers: vec![answer], sticky: true });
        };
        let told = |model: &str, stream| {
            state.ordered("/p", || (model.to_owned(), stream)).and_then(|answer| answer.status)
        };
        assert_eq!(told("a", true), None);
        order(None, None, 1);
        order(None, Some(true), 2);
        order(Some("a"), None, 3);
        order(Some("a"), Some(true), 4);
        assert_eq!(
            [told("a", true), told("a", false), told("b", true), told("b", false)],
            [4, 3, 2, 1].map(Some)
        );
        assert!(state.ordered("/q", || ("a".to_owned(), true)).is_none());
    }
}
