//! The one place of the process that requests enter to get a permit. It outlives every configuration.
//!
//! Why here: the rules ([`book`](super::book)) are a plain value; this adds the clock, one short lock and a channel per
//! waiter. Nothing is sent, woken or dropped for a waiter under the lock: what the book grants is carried out of it first.
//! A permit that was sent to somebody who has just left comes back and goes to the next.
//!
//! Never here: deadlines. Whoever waits brings his own, and leaves by dropping his place.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask::{Ask, Choice, Runner};
use super::book::{Book, Entered, Grant};
pub use super::book::{PlaceStanding, QueueView, WaiterView};
use super::queue::Ticket;
pub use super::runners::RunnerLoad;
use crate::error::Error;

/// All queues. A clone is the same hall.
#[derive(Debug)]
pub struct Hall<R: Runner>(Arc<Mutex<State<R>>>);

#[derive(Debug)]
struct State<R: Runner> {
    book: Book<R>,
    /// The way to every waiter in the book.
    ways: HashMap<u64, oneshot::Sender<Permit<R>>>,
}

/// A grant on its way.
type Letter<R> = (oneshot::Sender<Permit<R>>, Grant<R>);

/// What the hall answers.
#[derive(Debug)]
pub enum Entry<R: Runner> {
    Now(Permit<R>),
    Wait(Place<R>),
}

/// The right to run one request on one runner. Dropping it lets the next one in.
#[derive(Debug)]
pub struct Permit<R: Runner> {
    hall: Hall<R>,
    grant: Grant<R>,
    is_held: bool,
    is_timed: bool,
}

/// A place in the queue. Dropping it gives the place up.
#[derive(Debug)]
pub struct Place<R: Runner> {
    hall: Hall<R>,
    ticket: Ticket,
    /// `None`: the permit was taken.
    way: Option<oneshot::Receiver<Permit<R>>>,
}

impl<R: Runner> Hall<R> {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { book: Book::new(), ways: HashMap::new() })))
    }

    /// Takes a slot, or a place in the queue, or is told that both are full.
    pub fn enter(&self, ask: Ask<R>) -> Result<Entry<R>, Error> {
        if ask.choices.is_empty() {
            return Err(Error::UpstreamDown);
        }
        let now = Instant::now();
        let (answer, letters) = {
            let mut state = self.lock();
            let (entered, grants) = state.book.enter(ask, now);
            let answer = match entered {
                Entered::Now(grant) => Ok(Entry::Now(Permit::new(self, grant))),
                Entered::Wait(ticket) => Ok(Entry::Wait(state.place(self, ticket))),
                Entered::Full => Err(Error::Busy),
            };
            (answer, state.letters(grants))
        };
        self.deliver(letters);
        answer
    }

    /// Something has changed outside (a runner is alive again): grants what can be granted.
    pub fn offer(&self) {
        let letters = {
            let mut state = self.lock();
            let grants = state.book.serve(Instant::now());
            state.letters(grants)
        };
        self.deliver(letters);
    }

    /// A reload has made these runners: from now on their slots and states count, also for those who wait already.
    pub fn renew<'a>(&self, runners: impl IntoIterator<Item = &'a Arc<R>>) {
        self.lock().book.renew(runners);
        self.offer();
    }

    /// Every queue with somebody in it, running or waiting, by name of the model.
    pub fn view(&self) -> Vec<QueueView> {
        self.lock().book.view(Instant::now())
    }

    /// What one runner does, by its id.
    pub fn load(&self, runner: u64) -> RunnerLoad {
        self.lock().book.load(runner)
    }

    /// Gives a slot back.
    fn leave(&self, grant: &Grant<R>, learn: bool) -> Vec<Letter<R>> {
        let now = Instant::now();
        let mut state = self.lock();
        let grants = state.book.leave(grant, learn, now);
        state.letters(grants)
    }

    /// A loop and not permits that drop each other: however many have just left, the stack does not grow.
    fn deliver(&self, letters: Vec<Letter<R>>) {
        let mut letters = VecDeque::from(letters);
        while let Some((way, grant)) = letters.pop_front() {
            if let Err(mut back) = way.send(Permit::new(self, grant)) {
                back.is_held = false;
                letters.extend(self.leave(&back.grant, false));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// By hand: a runner need not be clonable for that.
impl<R: Runner> Clone for Hall<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Runner> Default for Hall<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runner> State<R> {
    fn place(&mut self, hall: &Hall<R>, ticket: Ticket) -> Place<R> {
        let (send, way) = oneshot::channel();
        self.ways.insert(ticket.id, send);
        Place { hall: hall.clone(), ticket, way: Some(way) }
    }

    fn letters(&mut self, grants: Vec<Grant<R>>) -> Vec<Letter<R>> {
        // Every waiter in the book has a way: both change under one lock.
        grants.into_iter().filter_map(|grant| Some((self.ways.remove(&grant.id)?, grant))).collect()
    }
}

impl<R: Runner> Place<R> {
    /// Where it stands, as things are now.
    pub fn standing(&self) -> PlaceStanding {
        self.hall.lock().book.standing(&self.ticket, Instant::now())
    }

    /// Waits for the slot. Cancel-safe: the place is kept until the value is dropped.
    pub async fn ready(&mut self) -> Result<Permit<R>, Error> {
        let Some(way) = &mut self.way else { return Err(Error::Internal) };
        // The sender stays in the hall until a permit is sent: it cannot vanish while we hold the place.
        let permit = way.await.map_err(|_| Error::Internal);
        self.way = None;
        permit
    }
}

impl<R: Runner> Drop for Place<R> {
    fn drop(&mut self) {
        let Some(mut way) = self.way.take() else { return };
        let send = {
            let mut state = self.hall.lock();
            state.book.cancel(&self.ticket);
            state.ways.remove(&self.ticket.id)
        };
        drop(send);
        // A permit sent but not yet taken is dropped here, and one that is just being sent comes back to its sender:
        // either way the slot goes to the next in line.
        way.close();
        drop(way.try_recv());
    }
}

impl<R: Runner> Permit<R> {
    fn new(hall: &Hall<R>, grant: Grant<R>) -> Self {
        Self { hall: hall.clone(), grant, is_held: true, is_timed: false }
    }

    /// Where to run.
    pub fn choice(&self) -> &Choice<R> {
        &self.grant.choice
    }

    /// The answer was whole, so how long it took says something of the model. Whoever fails or leaves teaches nothing.
    pub fn served(mut self) {
        self.is_timed = true;
    }
}

impl<R: Runner> Drop for Permit<R> {
    fn drop(&mut self) {
        if self.is_held {
            let letters = self.hall.leave(&self.grant, self.is_timed);
            self.hall.deliver(letters);
        }
    }
}

#[cfg(test)]
mod tests;
