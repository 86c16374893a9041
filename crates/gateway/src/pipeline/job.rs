//! A request that was read, charged and written, and is ready to wait for its turn.
//!
//! Why here: what decides about it (`chat`), what waits for it (`wait`) and what sends it (`attempt`) all hold the same thing,
//! and none of them needs the others for that.
//!
//! Never here: deciding, waiting, sending.

use std::sync::Arc;

use bytes::Bytes;
use wire::{Cell, Format, Operation, Reply, Screen};

use super::Known;
use crate::Core;
use crate::config::Clocks;
use crate::exchange::Exchange;
use crate::progress::Stage;
use crate::route::Target;
use crate::stop::Listener;

/// A request that is ready to wait for its turn.
pub(super) struct Job {
    pub core: Arc<Core>,
    pub known: Known,
    pub seat: Seat,
    /// Where it may run and what each of these is sent; never empty.
    pub ways: Vec<Way>,
    pub client: Format,
    pub operation: Operation,
    pub reply: Reply,
    pub stream: bool,
    pub stage: Option<Stage>,
    pub clocks: Clocks,
    pub stop: Listener,
}

/// A target and the request as it will be sent there.
pub(super) struct Way {
    pub target: Target,
    /// What its upstream said of the model, as far as it was asked: bodies differ by it.
    pub thinks: Option<bool>,
    pub cell: Cell,
    pub body: Bytes,
    pub dropped: Vec<&'static str>,
}

impl Job {
    /// The content filter for one attempt at an answer; what it finds is the exchange's.
    pub fn screen(&self, exchange: &mut Exchange) -> Option<Box<dyn Screen>> {
        let filter = self.known.snapshot.filter.as_ref().filter(|filter| filter.looks_at_answers())?;
        Some(filter.answer(&exchange.findings(filter)))
    }
}

/// A request's place among the others, as far as it does not change while it waits.
pub(super) struct Seat {
    pub model: Arc<str>,
    pub work: u64,
    pub affinity: Option<u64>,
    pub queue_max: usize,
    pub keep_alive: Option<Arc<str>>,
    pub context_tokens: Option<u64>,
}
