//! The data plane: one pipeline that every request walks, from the accepted connection to the audit record.
//!
//! Why here: keys, limits, queueing, breaking, relaying and settling have to happen in one order for every dialect. The
//! order is the text of [`pipeline`]; each stage hands on a proof that the next one asks for.
//!
//! Never here: YAML, files other than the audit log, HTML, SQL, or a dialect's bytes (those are `wire`'s).

pub mod allow;
pub mod audit;
pub mod auth;
pub mod config;
pub mod error;
pub mod limit;
pub mod metrics;
