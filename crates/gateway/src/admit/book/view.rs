//! What the book tells: a waiter his place and his expected wait, an operator every queue.
//!
//! Why here: places and waits follow from the same order that serves.
//!
//! Never here: changing anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Book;
use crate::admit::ask::{Ask, Choice, Flow, Runner};
use crate::admit::pace::float;
use crate::admit::queue::{Queue, Ticket, Waiter};
use crate::admit::runners::RunnerLoad;
use crate::config::Priority;

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceStanding {
    /// 1 for the next in line of his model; 0 once the slot is his.
    pub position: usize,
    /// Expected, from what the model's earlier requests took. `None`: nothing was learned yet, or it does not depend on
    /// the slots (no runner takes requests, or only the flow's own cap holds it back).
    pub wait: Option<Duration>,
}

/// One model's queue, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    pub model: Arc<str>,
    pub running: usize,
    /// In the order in which they would be served.
    pub waiting: Vec<WaiterView>,
    /// What a newcomer behind the last of them would wait. `None`: unknown, or nobody waits.
    pub wait: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterView {
    pub flow: Flow,
    /// As asked for; waiting has perhaps lifted him since.
    pub priority: Priority,
    /// 1 for the next in line.
    pub position: usize,
    pub waited: Duration,
    /// Estimated tokens of prompt and answer.
    pub work: u64,
}

impl<R: Runner> Book<R> {
    pub(in crate::admit) fn standing(&self, ticket: &Ticket, now: Instant) -> PlaceStanding {
        let Some(queue) = self.queues.get(&ticket.model) else { return PlaceStanding::default() };
        let Some((waiter, ahead)) = queue.ahead(ticket, now) else { return PlaceStanding::default() };
        PlaceStanding { position: ahead.waiters + 1, wait: self.wait(&waiter.ask, ahead.work) }
    }

    /// Every queue with somebody in it, running or waiting.
    pub(in crate::admit) fn view(&self, now: Instant) -> Vec<QueueView> {
        self.queues.iter().map(|(model, queue)| self.view_of(model, queue, now)).collect()
    }

    pub(in crate::admit) fn load(&self, runner: u64) -> RunnerLoad {
        self.runners.load(runner)
    }

    fn view_of(&self, model: &Arc<str>, queue: &Queue<R>, now: Instant) -> QueueView {
        let mut ordered: Vec<_> = queue.ordered(now).collect();
        ordered.sort_unstable_by_key(|(order, _)| *order);
        let work = ordered.iter().map(|(_, waiter)| waiter.ask.work).sum();
        let wait = ordered.last().and_then(|(_, last)| self.wait(&last.ask, work));
        let waiting = ordered.iter().enumerate();
        QueueView {
            model: model.clone(),
            running: queue.running,
            waiting: waiting.map(|(index, (_, waiter))| waiter.view(index + 1, now)).collect(),
            wait,
        }
    }

    /// How long until that much work before a request is done, and half of what runs: on average that is what is left.
    fn wait(&self, ask: &Ask<R>, ahead: u64) -> Option<Duration> {
        let strength = self.runners.strength(&ask.choices);
        let slots = strength.slots.filter(|slots| *slots > 0)?;
        let work = float(ahead) * self.sharers(&ask.choices) + float(strength.work) / 2.0;
        self.paces.time_for(&ask.model, work / float(u64::try_from(slots).ok()?))
    }

    /// Queues that wait for the same runners: they are served in turn.
    fn sharers(&self, choices: &[Choice<R>]) -> f64 {
        let shares = |waiter: &Waiter<R>| {
            waiter
                .ask
                .choices
                .iter()
                .any(|his| choices.iter().any(|mine| mine.runner.id() == his.runner.id()))
        };
        let sharers = self.queues.values().filter(|queue| queue.waiters().next().is_some_and(shares)).count();
        float(u64::try_from(sharers.max(1)).unwrap_or(1))
    }
}

impl<R: Runner> Waiter<R> {
    fn view(&self, position: usize, now: Instant) -> WaiterView {
        WaiterView {
            flow: self.ask.flow.clone(),
            priority: self.ask.priority,
            position,
            waited: now.saturating_duration_since(self.since),
            work: self.ask.work,
        }
    }
}
