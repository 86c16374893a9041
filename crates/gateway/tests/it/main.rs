//! Behaviour of the data plane on a scripted upstream: one file a behaviour.
//!
//! Why here: these are promises to users (stop means stop, a slow prompt never trips the breaker, ...), tested through the
//! public surface: bytes of a client in, bytes of an upstream in, what came out on both sides. Everything runs over memory
//! pipes with a paused clock, so minutes of silence cost nothing and no test waits for real time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod rig;

mod addresses;
mod answers;
mod balance;
mod breaker;
mod clocks;
mod cold;
mod context;
mod dialects;
mod drain;
mod fairness;
mod filtering;
mod framing;
mod keys;
mod leaving;
mod limits;
mod loads;
mod managing;
mod memory;
mod models;
mod native;
mod operators;
mod panics;
mod progress;
mod queue;
mod records;
mod reload;
mod retries;
mod spending;
