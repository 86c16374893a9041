//! The book of who runs and who waits: every rule of admission, as a value that is told the time.
//!
//! Why here: what must hold for every order of arrivals, departures, deaths and reloads is proved by simulation, and that
//! needs rules without a clock, a lock or a task. [`hall`](super::hall) adds those.
//!
//! **Between models.** When a slot is free, of the queues that can use it one is served: the one with the better priority
//! (as asked for, so that ageing cannot make two models load each other out), then one whose model is warm on that runner,
//! then the one that was served longest ago. So a resident model may be preferred for a while, but a queue that has
//! waited unserved for [`TURN_AFTER`] and through [`TURN_GRANTS`] grants to others goes before everybody: no queue
//! starves, and two models of one priority that share a runner change places at most that often.
//!
//! Shares of work ([`queue`](super::queue)) are kept within each model's queue; between the queues it is turns.
//!
//! **Work-conserving.** After every change nobody waits who could run, except behind the cap of his own flow.
//!
//! Never here: channels, wakers, waiting.

mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ask::{Ask, Choice, Flow, Runner};
use super::pace::Paces;
use super::queue::{Next, Opening, Queue, Ticket, Waiter, is_capped};
use super::runners::Runners;
use crate::config::Priority;

pub use view::{PlaceStanding, QueueView, WaiterView};

/// A queue that was not served for so long, and
pub(super) const TURN_AFTER: Duration = Duration::from_secs(30);
/// through so many grants to others, is served next whatever it costs to load its model.
pub(super) const TURN_GRANTS: u64 = 4;
/// Waiters over all queues: callers can make model names up, and each has a queue.
const WAITERS_MAX: usize = 65_536;
/// Above any real request; sums of it stay far from overflow.
const WORK_MAX: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Book<R> {
    // In order, so that a simulation of one seed always goes the same way.
    queues: BTreeMap<Arc<str>, Queue<R>>,
    runners: Runners<R>,
    /// Running requests; flows that run nothing are not in it.
    in_flight: HashMap<Flow, usize>,
    paces: Paces,
    waiting: usize,
    next_id: u64,
    granted: u64,
}

/// The right to run, with what must be given back.
#[derive(Debug)]
pub(super) struct Grant<R> {
    pub id: u64,
    pub choice: Choice<R>,
    pub model: Arc<str>,
    pub flow: Flow,
    pub work: u64,
    pub at: Instant,
}

#[derive(Debug)]
pub(super) enum Entered<R> {
    Now(Grant<R>),
    Wait(Ticket),
    Full,
}

/// What a queue says for itself when a slot is free; the smallest is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// Nothing below counts for a queue that has waited for its turn long enough.
    in_time: bool,
    priority: Priority,
    is_cold: bool,
    served_as: u64,
}

impl<R: Runner> Book<R> {
    pub(super) fn new() -> Self {
        Self {
            queues: BTreeMap::new(),
            runners: Runners::new(),
            in_flight: HashMap::new(),
            paces: Paces::default(),
            waiting: 0,
            next_id: 0,
            granted: 0,
        }
    }

    /// Somebody asks. The grants are for others: runners may have become free unnoticed.
    pub(super) fn enter(&mut self, mut ask: Ask<R>, now: Instant) -> (Entered<R>, Vec<Grant<R>>) {
        ask.work = ask.work.clamp(1, WORK_MAX);
        let (model, queue_max, is_new) = (ask.model.clone(), ask.queue_max, !ask.returning);
        let was_empty = self.waiting == 0;
        let waiter = Waiter { id: self.next_id, ask, since: now };
        self.next_id += 1;
        self.runners.await_any(&waiter.ask.choices);
        let queue = self.queues.entry(model.clone()).or_insert_with(|| Queue::new(now, self.granted));
        if was_empty
            && !is_capped(&self.in_flight, &waiter.ask.flow, waiter.ask.in_flight_max)
            && let Some(choice) = self.runners.choose(&waiter.ask, self.granted)
        {
            return (Entered::Now(self.grant(waiter, choice, now)), Vec::new());
        }
        let ticket = waiter.ticket();
        queue.push(waiter, self.granted);
        self.waiting += 1;
        let mut grants = if was_empty { Vec::new() } else { self.serve(now) };
        if let Some(index) = grants.iter().position(|grant| grant.id == ticket.id) {
            return (Entered::Now(grants.swap_remove(index)), grants);
        }
        let counted = self.queues.get(&model).map_or(0, Queue::counted);
        if is_new && (counted > queue_max || self.waiting > WAITERS_MAX) {
            self.cancel(&ticket);
            return (Entered::Full, grants);
        }
        (Entered::Wait(ticket), grants)
    }

    /// A waiter leaves. `false`: he is not waiting (any more).
    pub(super) fn cancel(&mut self, ticket: &Ticket) -> bool {
        let Some(waiter) = self.queues.get_mut(&ticket.model).and_then(|queue| queue.remove(ticket)) else {
            return false;
        };
        self.waiting -= 1;
        self.runners.await_no_more(&waiter.ask.choices);
        self.sweep(&ticket.model);
        true
    }

    /// A request has ended. `learn`: the time it took says something about its model.
    pub(super) fn leave(&mut self, grant: &Grant<R>, learn: bool, now: Instant) -> Vec<Grant<R>> {
        self.runners.end(&grant.choice, grant.work);
        if let Some(running) = self.in_flight.get_mut(&grant.flow) {
            *running -= 1;
            if *running == 0 {
                self.in_flight.remove(&grant.flow);
            }
        }
        if let Some(queue) = self.queues.get_mut(&grant.model) {
            queue.running = queue.running.saturating_sub(1);
        }
        if learn {
            self.paces.learn(&grant.model, grant.work, now.saturating_duration_since(grant.at));
        }
        let grants = self.serve(now);
        self.sweep(&grant.model);
        grants
    }

    /// These runners are what their ids mean from now on.
    pub(super) fn renew<'a>(&mut self, runners: impl IntoIterator<Item = &'a Arc<R>>) {
        runners.into_iter().for_each(|runner| self.runners.renew(runner));
    }

    /// Grants everything that can be granted.
    pub(super) fn serve(&mut self, now: Instant) -> Vec<Grant<R>> {
        let mut grants = Vec::new();
        if self.waiting == 0 {
            return grants;
        }
        for runner in self.runners.with_free_slots() {
            if self.runners.has_room_for_all(runner) {
                self.serve_all(runner, now, &mut grants);
                continue;
            }
            while self.waiting > 0 && self.runners.is_free(runner) {
                let Some(grant) = self.serve_one(runner, now) else { break };
                grants.push(grant);
            }
        }
        grants
    }

    /// Serves one of those who can use this runner's slot.
    fn serve_one(&mut self, runner: u64, now: Instant) -> Option<Grant<R>> {
        let opening = Opening { runner, in_flight: &self.in_flight };
        let mut best: Option<(Claim, Arc<str>, Next<R>)> = None;
        for (model, queue) in self.queues.iter().filter(|(_, queue)| !queue.is_idle()) {
            let Some(next) = queue.next(&opening, now) else { continue };
            let is_cold = self.runners.is_cold(&next.choice);
            let claim = Claim::new(queue, next.claim, is_cold, self.granted, now);
            if best.as_ref().is_none_or(|(so_far, _, _)| claim < *so_far) {
                best = Some((claim, model.clone(), next));
            }
        }
        let (_, model, next) = best?;
        let waiter = self.queues.get_mut(&model)?.take(&next, &opening, now, self.granted + 1)?;
        self.admit(waiter, runner, now)
    }

    /// Serves all who can use this runner, which has room for them: to weigh every one against all others would take a
    /// crowd of thousands that waited for a dead runner longer than it takes to tell it.
    fn serve_all(&mut self, runner: u64, now: Instant, grants: &mut Vec<Grant<R>>) {
        let opening = Opening { runner, in_flight: &self.in_flight };
        let tickets: Vec<_> = self.queues.values().flat_map(|queue| queue.fitting(&opening, now)).collect();
        for ticket in tickets {
            if is_capped(&self.in_flight, &ticket.flow, ticket.in_flight_max) {
                continue;
            }
            let Some(queue) = self.queues.get_mut(&ticket.model) else { continue };
            let waiter = queue.take_beside(&ticket, now, self.granted + 1);
            grants.extend(waiter.and_then(|waiter| self.admit(waiter, runner, now)));
        }
    }

    /// Whoever was taken out of his queue begins: on this runner, or on another free one that suits him better.
    fn admit(&mut self, waiter: Waiter<R>, runner: u64, now: Instant) -> Option<Grant<R>> {
        self.waiting -= 1;
        // A runner may die between two looks. Somebody who has left the queue must not be lost for that.
        let this = || waiter.ask.choices.iter().find(|choice| choice.runner.id() == runner).cloned();
        let choice = self.runners.choose(&waiter.ask, self.granted).or_else(this)?;
        Some(self.grant(waiter, choice, now))
    }

    fn grant(&mut self, waiter: Waiter<R>, choice: Choice<R>, now: Instant) -> Grant<R> {
        let Waiter { id, ask, .. } = waiter;
        self.granted += 1;
        // First this: an entry without runs and waiters is forgotten.
        self.runners.begin(&choice, ask.work);
        self.runners.await_no_more(&ask.choices);
        *self.in_flight.entry(ask.flow.clone()).or_default() += 1;
        if let Some(queue) = self.queues.get_mut(&ask.model) {
            queue.running += 1;
        }
        Grant { id, choice, model: ask.model, flow: ask.flow, work: ask.work, at: now }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0 && self.queues.is_empty() && self.in_flight.is_empty() && self.runners.is_empty()
    }

    /// Forgets a queue that has neither runs nor waiters.
    fn sweep(&mut self, model: &Arc<str>) {
        if self.queues.get(model).is_some_and(|queue| queue.running == 0 && queue.is_idle()) {
            self.queues.remove(model);
        }
    }
}

impl Claim {
    fn new<R: Runner>(
        queue: &Queue<R>,
        priority: Priority,
        is_cold: bool,
        granted: u64,
        now: Instant,
    ) -> Self {
        let is_overdue = now.saturating_duration_since(queue.served_at) >= TURN_AFTER
            && granted.saturating_sub(queue.served_as) >= TURN_GRANTS;
        if is_overdue {
            Self { in_time: false, priority: Priority::High, is_cold: false, served_as: queue.served_as }
        } else {
            Self { in_time: true, priority, is_cold, served_as: queue.served_as }
        }
    }
}
