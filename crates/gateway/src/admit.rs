//! Admission: who may run now, who waits, who is turned away.
//!
//! Why here: a runtime's own queue is unbounded for a loaded model, serves whoever came first however much he asks for, and
//! tells nobody his place. Here every model has a bounded queue in which users share by work, everybody can ask where he
//! stands, and the runtime's queue stays empty. A [`Permit`](hall::Permit) is the right to run one request on one runner;
//! it lives in the response body and is handed on when the body ends.
//!
//! - [`ask`]: what a request brings to the queue, and what the queue wants to know of a runner.
//! - [`hall`]: the one place of the process that requests enter; the lock, the channels and the clock are there.
//! - `book`: who runs and who waits: the rules, without a clock, a lock or a task. `queue` is one model's part of it,
//!   `runners` the machines' part, `pace` what was learned of time.
//!
//! Never here: which upstreams serve a name; judging whether an upstream is alive; how long a caller is willing to wait.

pub mod ask;
mod book;
pub mod hall;
mod pace;
mod queue;
mod runners;

pub use ask::{Ask, Choice, Flow, Runner};
pub use hall::{Entry, Hall, Permit, Place, PlaceStanding, QueueView, RunnerLoad, WaiterView};

#[cfg(test)]
mod fairness;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod sim;
