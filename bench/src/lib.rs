//! What the benchmark and the end-to-end tests share: a process that plays Ollama, and a load generator.
//!
//! Why here: both must be cheap enough never to be what is measured, and able to misbehave in ways that an HTTP library
//! would refuse to. So both speak HTTP/1.1 by hand, on one thread, with answers built beforehand.
//!
//! Never here: anything the product runs. Nothing outside `bench/` and `tests/` may depend on this crate.

pub mod certificate;
pub mod control;
pub mod edge;
pub mod house;
pub mod http1;
pub mod https;
pub mod load;
pub mod machine;
pub mod play;
pub mod report;
pub mod rows;
