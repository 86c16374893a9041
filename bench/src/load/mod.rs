//! The load generator: connections that ask as clients do, and check every byte that matters.
//!
//! Why here: an HTTP library would cost more than what is measured, and a generator that does not check its answers
//! measures how fast errors are made. A lost, doubled or swapped token fails the whole run.
//!
//! Never here: which target is asked, and in which order; see the `bench` binary.

pub mod connection;
pub mod crowd;
pub mod figures;
pub mod leave;
pub mod line;
pub mod run;
pub mod target;
