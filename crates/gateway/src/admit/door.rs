//! Admission: who may run now, who waits, who is turned away.
//!
//! Why here: Ollama's own queue is unbounded for a loaded model and tells nobody his place. Here the queue is bounded, in
//! order of arrival, and everybody can ask where he stands; the runtime's queue stays empty. A [`Permit`] is the right to
//! run one request on one upstream; it lives in the response body and is handed on when the body ends.
//!
//! Never here: deciding which upstream; judging whether the upstream is alive.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::Error;

/// The door of one upstream.
#[derive(Clone, Debug)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None`: as many as come, the counters still count.
    slots: Option<usize>,
    queue_max: usize,
    // A plain mutex: held for a few instructions, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    next_id: u64,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    go: oneshot::Sender<Permit>,
}

/// The right to run one request. Dropping it lets the next one in.
#[derive(Debug)]
pub struct Permit(Arc<Shared>);

/// A place in the queue. Dropping it gives the place up.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    id: u64,
    go: oneshot::Receiver<Permit>,
}

/// What the door answers.
#[derive(Debug)]
pub enum Entry {
    Now(Permit),
    Wait(Place),
}

impl Door {
    pub fn new(slots: Option<usize>, queue_max: usize) -> Self {
        Self(Arc::new(Shared { slots, queue_max, state: Mutex::default() }))
    }

    /// Takes a slot, or a place in the queue, or is told that both are full.
    pub fn enter(&self) -> Result<Entry, Error> {
        let mut state = self.0.lock();
        if self.0.slots.is_none_or(|slots| state.running < slots) && state.queue.is_empty() {
            state.running += 1;
            return Ok(Entry::Now(Permit(self.0.clone())));
        }
        if state.queue.len() >= self.0.queue_max {
            return Err(Error::Busy);
        }
        let (go, place) = oneshot::channel();
        let id = state.next_id;
        state.next_id += 1;
        state.queue.push_back(Waiter { id, go });
        Ok(Entry::Wait(Place { shared: self.0.clone(), id, go: place }))
    }

    pub fn running(&self) -> usize {
        self.0.lock().running
    }

    pub fn waiting(&self) -> usize {
        self.0.lock().queue.len()
    }
}

impl Place {
    /// 1 for the next in line; 0 once the slot is ours.
    pub fn position(&self) -> usize {
        let state = self.shared.lock();
        state.queue.iter().position(|waiter| waiter.id == self.id).map_or(0, |ahead| ahead + 1)
    }

    /// Waits for the slot. Cancel-safe: the place is kept until the value is dropped.
    pub async fn ready(&mut self) -> Result<Permit, Error> {
        // The sender lives in the queue until a permit is sent: it cannot vanish while we hold the place.
        (&mut self.go).await.map_err(|_| Error::Internal)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().queue.retain(|waiter| waiter.id != self.id);
        // A permit sent but not yet taken is dropped with the channel and goes to the next in line.
        self.go.close();
        drop(self.go.try_recv());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            match state.queue.pop_front() {
                Some(waiter) => Some(waiter),
                None => {
                    state.running = state.running.saturating_sub(1);
                    None
                }
            }
        };
        if let Some(waiter) = next {
            // The slot passes from hand to hand. If the waiter has just left, the permit comes back in the error and its
            // own drop offers the slot to the one behind.
            drop(waiter.go.send(Permit(self.0.clone())));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(entry: Entry) -> Permit {
        match entry {
            Entry::Now(permit) => permit,
            Entry::Wait(place) => panic!("expected a slot, got place {}", place.position()),
        }
    }

    fn place(entry: Entry) -> Place {
        match entry {
            Entry::Wait(place) => place,
            Entry::Now(_) => panic!("expected a place in the queue"),
        }
    }

    #[tokio::test]
    async fn slots_are_handed_on_in_order_of_arrival() {
        let door = Door::new(Some(1), 2);
        let first = permit(door.enter().unwrap());
        let mut second = place(door.enter().unwrap());
        let mut third = place(door.enter().unwrap());
        assert_eq!((second.position(), third.position()), (1, 2));
        assert!(matches!(door.enter(), Err(Error::Busy)));
        drop(first);
        assert_eq!((second.position(), third.position()), (0, 1));
        let running = second.ready().await.unwrap();
        assert_eq!((door.running(), door.waiting()), (1, 1));
        drop(running);
        drop(third.ready().await.unwrap());
        assert_eq!((door.running(), door.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn who_leaves_the_queue_frees_his_place() {
        let door = Door::new(Some(1), 2);
        let first = permit(door.enter().unwrap());
        let second = place(door.enter().unwrap());
        let mut third = place(door.enter().unwrap());
        drop(second);
        assert_eq!(third.position(), 1);
        drop(first);
        drop(third.ready().await.unwrap());
        assert_eq!(door.running(), 0);
    }

    #[tokio::test]
    async fn a_slot_sent_to_one_who_has_just_left_is_not_lost() {
        let door = Door::new(Some(1), 4);
        let first = permit(door.enter().unwrap());
        let second = place(door.enter().unwrap());
        let mut third = place(door.enter().unwrap());
        drop(first); // the slot is now on its way to the second
        drop(second); // who never took it
        drop(third.ready().await.unwrap());
        assert_eq!((door.running(), door.waiting()), (0, 0));
    }

    #[test]
    fn without_slots_everybody_enters_and_is_counted() {
        let door = Door::new(None, 0);
        let permits: Vec<_> = (0..100).map(|_| permit(door.enter().unwrap())).collect();
        assert_eq!(door.running(), 100);
        drop(permits);
        assert_eq!(door.running(), 0);
    }
}
