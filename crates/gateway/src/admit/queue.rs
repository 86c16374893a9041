//! The queue of one model: whose turn it is among its waiters, and where each of them stands.
//!
//! Why here: order of arrival lets one user with a hundred requests, or with one huge request, hold up everybody. Here
//! every flow (a key, or a user it speaks for) has a line of its own, and the lines share the model by **deficit round
//! robin over estimated work**: each round gives every line [`QUANTUM`] x weight of credit, a request is served when its
//! line's credit covers its work. The rounds until somebody can be served are computed, not walked. For any two lines
//! that both wait all the time, in any stretch of time,
//!
//! ```text
//! | served A / weight A  -  served B / weight B |  <=  largest A / weight A  +  largest B / weight B  +  2 x QUANTUM
//! ```
//!
//! where `largest` is the line's largest single request. An emptied line loses its credit: nobody saves up.
//!
//! Bands of priority come before shares: only the waiters of the best band compete. Waiting lifts everybody, one band per
//! `ageing`, so that after two of them the lowest competes with the highest and the bound above holds for him too.
//!
//! Never here: slots, other models, the clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::ask::{Ask, Choice, Flow, Runner};
use crate::config::Priority;

/// Work that a line of weight 1 may do per round. Requests that differ by less are of one size, and order of arrival
/// decides between their lines.
pub(super) const QUANTUM: u64 = 256;

#[derive(Debug)]
pub(super) struct Waiter<R> {
    /// Ascending in order of arrival, over all queues.
    pub id: u64,
    pub ask: Ask<R>,
    pub since: Instant,
}

/// Where a waiter is found again.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub id: u64,
    pub model: Arc<str>,
    pub flow: Flow,
    pub priority: Priority,
    pub returning: bool,
    pub in_flight_max: Option<usize>,
}

/// A free slot looking for a waiter.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub runner: u64,
    pub in_flight: &'a HashMap<Flow, usize>,
}

/// Who would be served next, and how.
#[derive(Debug)]
pub(super) struct Next<R> {
    ticket: Ticket,
    order: Order,
    /// The runner of the opening, by the waiter's own account.
    pub choice: Choice<R>,
    /// The best priority, as asked for, of all who could use the opening.
    pub claim: Priority,
}

/// Sorts the waiters of a queue; the smallest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    band: u8,
    /// Returning ones first.
    is_new: bool,
    /// Until the line's credit covers the request.
    rounds: u64,
    /// Of the line.
    turn: u64,
    id: u64,
}

/// Who is in front of a waiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    pub waiters: usize,
    pub work: u64,
}

#[derive(Debug)]
pub(super) struct Queue<R> {
    pub running: usize,
    /// When it was served last, or else became a queue of somebody: by the clock and by the number of grants.
    pub served_at: Instant,
    pub served_as: u64,
    /// Those that had a permit before.
    returning: VecDeque<Waiter<R>>,
    /// By turn: a line that was served goes behind all others.
    lines: BTreeMap<u64, Line<R>>,
    turns: HashMap<Flow, u64>,
    next_turn: u64,
    /// Waiters without the returning ones.
    new: usize,
}

/// The waiters of one flow, by the priority that they asked for, each in order of arrival.
#[derive(Debug)]
struct Line<R> {
    credit: u64,
    high: VecDeque<Waiter<R>>,
    normal: VecDeque<Waiter<R>>,
    low: VecDeque<Waiter<R>>,
}

impl<R: Runner> Waiter<R> {
    pub(super) fn ticket(&self) -> Ticket {
        Ticket {
            id: self.id,
            model: self.ask.model.clone(),
            flow: self.ask.flow.clone(),
            priority: self.ask.priority,
            returning: self.ask.returning,
            in_flight_max: self.ask.in_flight_max,
        }
    }

    fn band(&self, now: Instant) -> u8 {
        let asked = match self.ask.priority {
            Priority::High => return 0,
            Priority::Normal => 1,
            Priority::Low => 2_u8,
        };
        let waited = now.saturating_duration_since(self.since);
        let risen =
            u8::from(waited >= self.ask.ageing) + u8::from(waited >= self.ask.ageing.saturating_mul(2));
        asked.saturating_sub(risen)
    }

    /// Credit of its line per round.
    fn quantum(&self) -> u64 {
        QUANTUM * u64::from(self.ask.weight.max(1))
    }

    fn rounds(&self, work: u64, credit: u64) -> u64 {
        work.saturating_sub(credit).div_ceil(self.quantum())
    }
}

impl Opening<'_> {
    fn is_capped<R>(&self, ask: &Ask<R>) -> bool {
        ask.in_flight_max
            .is_some_and(|max| self.in_flight.get(&ask.flow).is_some_and(|running| *running >= max))
    }

    fn fits<R: Runner>(&self, ask: &Ask<R>) -> bool {
        self.choice(ask).is_some_and(|choice| choice.runner.takes())
    }

    fn choice<'a, R: Runner>(&self, ask: &'a Ask<R>) -> Option<&'a Choice<R>> {
        ask.choices.iter().find(|choice| choice.runner.id() == self.runner)
    }
}

impl<R: Runner> Queue<R> {
    pub(super) fn new(now: Instant, granted: u64) -> Self {
        Self {
            running: 0,
            served_at: now,
            served_as: granted,
            returning: VecDeque::new(),
            lines: BTreeMap::new(),
            turns: HashMap::new(),
            next_turn: 0,
            new: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.new == 0 && self.returning.is_empty()
    }

    /// Waiters that count against the bound of the queue.
    pub(super) fn counted(&self) -> usize {
        self.new
    }

    /// Everybody who waits, in no order.
    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter<R>> {
        self.returning.iter().chain(self.lines.values().flat_map(|line| line.lanes().into_iter().flatten()))
    }

    pub(super) fn push(&mut self, waiter: Waiter<R>, granted: u64) {
        if self.is_idle() {
            (self.served_at, self.served_as) = (waiter.since, granted);
        }
        if waiter.ask.returning {
            self.returning.push_back(waiter);
            return;
        }
        self.new += 1;
        let turn = match self.turns.get(&waiter.ask.flow) {
            Some(turn) => *turn,
            None => {
                let turn = self.take_turn();
                self.turns.insert(waiter.ask.flow.clone(), turn);
                turn
            }
        };
        self.lines.entry(turn).or_default().lane_mut(waiter.ask.priority).push_back(waiter);
    }

    /// Takes a waiter out who has not been served.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<Waiter<R>> {
        if ticket.returning {
            return take_id(&mut self.returning, ticket.id);
        }
        let turn = *self.turns.get(&ticket.flow)?;
        let line = self.lines.get_mut(&turn)?;
        let waiter = take_id(line.lane_mut(ticket.priority), ticket.id)?;
        self.new -= 1;
        if line.is_empty() {
            self.lines.remove(&turn);
            self.turns.remove(&ticket.flow);
        }
        Some(waiter)
    }

    /// Who is served next with this opening.
    pub(super) fn next(&self, opening: &Opening<'_>, now: Instant) -> Option<Next<R>> {
        let again = self
            .returning
            .iter()
            .filter(|waiter| opening.fits(&waiter.ask) && !opening.is_capped(&waiter.ask))
            .map(|waiter| (order_of_returning(waiter, now), waiter, waiter.ask.priority));
        let first = self.lines.iter().filter_map(|(turn, line)| {
            let (waiter, claim) = line.candidate(opening, now)?;
            Some((line.order(*turn, waiter, waiter.ask.work, now), waiter, claim))
        });
        let (mut best, mut claim): (Option<(Order, &Waiter<R>)>, _) = (None, Priority::Low);
        for (order, waiter, asked) in again.chain(first) {
            claim = claim.min(asked);
            if best.is_none_or(|(so_far, _)| order < so_far) {
                best = Some((order, waiter));
            }
        }
        let (order, waiter) = best?;
        Some(Next { ticket: waiter.ticket(), order, choice: opening.choice(&waiter.ask)?.clone(), claim })
    }

    /// Serves whom [`Queue::next`] has named: the rounds until his turn pass for everybody who competed with him.
    pub(super) fn take(
        &mut self,
        next: &Next<R>,
        opening: &Opening<'_>,
        now: Instant,
        granted: u64,
    ) -> Option<Waiter<R>> {
        if next.order.rounds > 0 {
            for line in self.lines.values_mut() {
                let Some((waiter, _)) = line.candidate(opening, now) else { continue };
                if waiter.band(now) == next.order.band {
                    let gained = waiter.quantum().saturating_mul(next.order.rounds);
                    line.credit = line.credit.saturating_add(gained);
                }
            }
        }
        let waiter = self.remove(&next.ticket)?;
        (self.served_at, self.served_as) = (now, granted);
        if !next.ticket.returning
            && let Some(mut line) = self.lines.remove(&next.order.turn)
        {
            line.credit = line.credit.saturating_sub(waiter.ask.work);
            let turn = self.take_turn();
            self.lines.insert(turn, line);
            self.turns.insert(next.ticket.flow.clone(), turn);
        }
        Some(waiter)
    }

    /// All who could use this opening, in order.
    pub(super) fn fitting(&self, opening: &Opening<'_>, now: Instant) -> Vec<Ticket> {
        let may = |ask: &Ask<R>| opening.fits(ask) && !opening.is_capped(ask);
        let mut fitting: Vec<_> = self.ordered(now).filter(|(_, waiter)| may(&waiter.ask)).collect();
        fitting.sort_unstable_by_key(|(order, _)| *order);
        fitting.into_iter().map(|(_, waiter)| waiter.ticket()).collect()
    }

    /// Serves somebody whose turn does not matter: there is room for all.
    pub(super) fn take_beside(&mut self, ticket: &Ticket, now: Instant, granted: u64) -> Option<Waiter<R>> {
        (self.served_at, self.served_as) = (now, granted);
        self.remove(ticket)
    }

    /// A waiter, and who would be served before him if nobody came or left any more. `None`: he does not wait.
    pub(super) fn ahead(&self, ticket: &Ticket, now: Instant) -> Option<(&Waiter<R>, Ahead)> {
        let (mine, waiter) = self.ordered(now).find(|(_, waiter)| waiter.id == ticket.id)?;
        let before = self.ordered(now).filter(|(order, _)| *order < mine);
        let ahead = before.fold(Ahead::default(), |ahead, (_, waiter)| Ahead {
            waiters: ahead.waiters + 1,
            work: ahead.work.saturating_add(waiter.ask.work),
        });
        Some((waiter, ahead))
    }

    /// Everybody who waits, with what sorts him.
    pub(super) fn ordered(&self, now: Instant) -> impl Iterator<Item = (Order, &Waiter<R>)> {
        let again = self.returning.iter().map(move |waiter| (order_of_returning(waiter, now), waiter));
        let lines = self.lines.iter().flat_map(move |(turn, line)| {
            line.lanes().into_iter().flat_map(move |lane| {
                lane.iter().scan(0_u64, move |work, waiter| {
                    *work = work.saturating_add(waiter.ask.work);
                    Some((line.order(*turn, waiter, *work, now), waiter))
                })
            })
        });
        again.chain(lines)
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }
}

// By hand: the derive would want a runner with a default.
impl<R> Default for Line<R> {
    fn default() -> Self {
        Self { credit: 0, high: VecDeque::new(), normal: VecDeque::new(), low: VecDeque::new() }
    }
}

impl<R: Runner> Line<R> {
    fn lanes(&self) -> [&VecDeque<Waiter<R>>; 3] {
        [&self.high, &self.normal, &self.low]
    }

    fn lane_mut(&mut self, priority: Priority) -> &mut VecDeque<Waiter<R>> {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }

    fn is_empty(&self) -> bool {
        self.lanes().iter().all(|lane| lane.is_empty())
    }

    /// The waiter that stands for the line, and the best priority that somebody in it has asked for.
    fn candidate(&self, opening: &Opening<'_>, now: Instant) -> Option<(&Waiter<R>, Priority)> {
        let mut best: Option<((u8, u64), &Waiter<R>)> = None;
        let mut claim = Priority::Low;
        for lane in self.lanes() {
            // One answer for the whole lane: its waiters belong to one flow.
            if lane.front().is_none_or(|first| opening.is_capped(&first.ask)) {
                continue;
            }
            let Some(waiter) = lane.iter().find(|waiter| opening.fits(&waiter.ask)) else { continue };
            claim = claim.min(waiter.ask.priority);
            let order = (waiter.band(now), waiter.id);
            if best.is_none_or(|(so_far, _)| order < so_far) {
                best = Some((order, waiter));
            }
        }
        best.map(|(_, waiter)| (waiter, claim))
    }

    /// `work`: of the waiter and of those before him in his line.
    fn order(&self, turn: u64, waiter: &Waiter<R>, work: u64, now: Instant) -> Order {
        let rounds = waiter.rounds(work, self.credit);
        Order { band: waiter.band(now), is_new: true, rounds, turn, id: waiter.id }
    }
}

/// The flow runs as many as it may.
pub(super) fn is_capped(in_flight: &HashMap<Flow, usize>, flow: &Flow, max: Option<usize>) -> bool {
    max.is_some_and(|max| in_flight.get(flow).copied().unwrap_or(0) >= max)
}

fn order_of_returning<R: Runner>(waiter: &Waiter<R>, now: Instant) -> Order {
    Order { band: waiter.band(now), is_new: false, rounds: 0, turn: 0, id: waiter.id }
}

fn take_id<R>(lane: &mut VecDeque<Waiter<R>>, id: u64) -> Option<Waiter<R>> {
    let index = lane.binary_search_by_key(&id, |waiter| waiter.id).ok()?;
    lane.remove(index)
}
