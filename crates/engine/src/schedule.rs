//! One thread, one context, many callers: continuous batching.
//!
//! Why here: a model runs best when each step reads one token of every running answer together with a piece of the prompts
//! that wait, and a step is the only moment at which an answer can be cancelled. So one thread owns the model and decides
//! before each step who takes part; everybody else holds a [`Queue`] and a bounded channel.
//!
//! Never here: HTTP, templates. A caller that leaves (its receiver is dropped) is gone before the next step.

mod queue;
mod running;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

pub(crate) use queue::{Event, Job, Outcome, Queue, Reason, queue};
use running::Running;

use crate::model::{Decoder, Fault, Feed, Token};

/// Prompt tokens read in one step while nobody is being answered; a longer step would delay a cancel.
const PIECE_TOKENS: usize = 128;
/// The same while answers run: each step is also the gap between two of their tokens.
const PIECE_BESIDE_ANSWERS_TOKENS: usize = 64;

/// The largest step that can happen with this many slots.
pub(crate) fn largest_step(slots: usize) -> usize {
    PIECE_TOKENS + slots
}

/// One sequence of the context. What it has read is kept after an answer, for the next turn of the same chat.
struct Slot<S> {
    read: Vec<Token>,
    running: Option<Running<S>>,
    last_used: u64,
}

/// Serves jobs until every [`Queue`] is dropped.
pub(crate) fn run<D: Decoder>(decoder: D, slots: usize, jobs: mpsc::Receiver<Job>) {
    let slots = (0..slots).map(|_| Slot { read: Vec::new(), running: None, last_used: 0 }).collect();
    let mut schedule = Schedule { decoder, slots, waiting: VecDeque::new(), jobs, clock: 0 };
    while schedule.take_jobs() {
        schedule.drop_departed();
        schedule.admit();
        schedule.step();
    }
}

struct Schedule<D: Decoder> {
    decoder: D,
    slots: Vec<Slot<D::Sampler>>,
    /// Bounded by the places of the queue.
    waiting: VecDeque<Job>,
    jobs: mpsc::Receiver<Job>,
    clock: u64,
}

impl<D: Decoder> Schedule<D> {
    /// Takes what has come; sleeps only when there is nothing else to do. False: nobody can send any more.
    fn take_jobs(&mut self) -> bool {
        let idle = self.waiting.is_empty() && self.slots.iter().all(|s| s.running.is_none());
        if idle {
            match self.jobs.blocking_recv() {
                Some(job) => self.waiting.push_back(job),
                None => return false,
            }
        }
        loop {
            match self.jobs.try_recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(TryRecvError::Empty) => return true,
                // Running answers have nobody to read them: their receivers live in the same server.
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn drop_departed(&mut self) {
        self.waiting.retain(|job| !job.out.is_closed());
        for slot in &mut self.slots {
            slot.running.take_if(|r| r.job.out.is_closed());
        }
    }

    fn admit(&mut self) {
        while self.slots.iter().any(|s| s.running.is_none()) {
            let Some(job) = self.waiting.pop_front() else { return };
            self.clock += 1;
            match self.decoder.sampler(&job.sampling) {
                Ok(sampler) => self.start(job, sampler),
                Err(fault) => job.end(Event::Failed(fault)),
            }
        }
    }

    /// Puts a job on the free slot that remembers most of its prompt, else on the one unused for longest.
    fn start(&mut self, job: Job, sampler: D::Sampler) {
        let best = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, s)| s.running.is_none())
            .max_by_key(|(_, s)| (common_prefix(&s.read, &job.prompt), u64::MAX - s.last_used))
            .map(|(index, _)| index);
        let Some((index, slot)) = best.and_then(|i| self.slots.get_mut(i).map(|s| (i, s))) else {
            return job.end(Event::Failed(Fault::ours("no slot is free")));
        };
        // The last token is read again in any case: choosing the next one needs its step.
        let keep = common_prefix(&slot.read, &job.prompt).min(job.prompt.len().saturating_sub(1));
        let keep = if self.decoder.forget(index, keep) { keep } else { 0 };
        slot.read.truncate(keep);
        slot.last_used = self.clock;
        slot.running = Some(Running::new(job, sampler, keep));
    }

    fn step(&mut self) {
        let feed = self.feed();
        if feed.is_empty() {
            return;
        }
        if let Err(fault) = self.decoder.decode(&feed) {
            self.fail_all(&fault);
            return;
        }
        for (index, fed) in feed.iter().enumerate() {
            let Some(slot) = self.slots.get_mut(fed.slot) else { continue };
            slot.read.push(fed.token);
            if fed.choose {
                continue_answer(&mut self.decoder, slot, index);
            }
        }
    }

    /// One token of every running answer, then a piece of each prompt, shared evenly.
    fn feed(&self) -> Vec<Feed> {
        let mut feed = Vec::with_capacity(largest_step(self.slots.len()));
        for (slot, s) in self.slots.iter().enumerate() {
            if let Some(token) = s.running.as_ref().and_then(|r| r.next) {
                feed.push(Feed { slot, position: s.read.len(), token, choose: true });
            }
        }
        let reading =
            self.slots.iter().filter(|s| s.running.as_ref().is_some_and(|r| r.next.is_none())).count();
        let budget = if feed.is_empty() { PIECE_TOKENS } else { PIECE_BESIDE_ANSWERS_TOKENS };
        let share = budget.checked_div(reading).unwrap_or(0).max(1);
        for (slot, s) in self.slots.iter().enumerate() {
            let Some(running) = s.running.as_ref().filter(|r| r.next.is_none()) else { continue };
            let prompt = running.job.prompt.iter().enumerate().skip(s.read.len()).take(share);
            feed.extend(prompt.map(|(position, &token)| Feed {
                slot,
                position,
                token,
                choose: position + 1 == running.job.prompt.len(),
            }));
        }
        feed
    }

    /// A failed step leaves the context in no known state: everybody is told, and all slots start anew.
    fn fail_all(&mut self, fault: &Fault) {
        tracing::error!(error = %fault.text, "the model could not read a batch");
        for (index, slot) in self.slots.iter_mut().enumerate() {
            self.decoder.forget(index, 0);
            slot.read.clear();
            if let Some(running) = slot.running.take() {
                running.job.end(Event::Failed(fault.clone()));
            }
        }
    }
}

/// Chooses the token after `feed[index]` and sends what it adds to the text; an answer that ends leaves its slot.
fn continue_answer<D: Decoder>(decoder: &mut D, slot: &mut Slot<D::Sampler>, index: usize) {
    let Some(mut running) = slot.running.take() else { return };
    match running.advance(decoder, index, slot.read.len()) {
        Ok(None) => slot.running = Some(running),
        Ok(Some(reason)) => running.finish(reason, Instant::now()),
        Err(fault) => running.job.end(Event::Failed(fault)),
    }
}

fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
