//! The chat site over real sockets, with a gateway that a test plays line by line.
//!
//! Why here: what matters is between sockets: that a stop closes the upstream, that a second tab misses nothing, that a
//! stranger's id is nobody's. Every wait is for an event of the other side, never for time to pass.

mod access;
mod failures;
mod harness;
mod lag;
mod runs;
mod types;
