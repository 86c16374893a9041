//! Work on a runtime's models, for who may do it: requests, and how they go.
//!
//! Why without a format: only Ollama has such work.
//!
//! Never here: who may.

use crate::error::{Fault, UpstreamFault};
use crate::format::Manage;
use crate::ollama;
use crate::ollama::manage::ManageRequest;
use crate::request::ReadLimits;

/// Reads the body of a pull, push, creation, copy or deletion.
pub fn read_manage<'a>(
    which: Manage,
    body: &'a [u8],
    limits: &ReadLimits,
) -> Result<ManageRequest<'a>, Fault> {
    ollama::manage::read(which, body, limits)
}

/// Writes it for the runtime, under the names that the caller gave.
pub fn write_manage(request: &ManageRequest<'_>, out: &mut Vec<u8>) {
    ollama::manage::write(request, out);
}

/// Turns the answer that came whole (no stream was wanted, or there is none) into the client's. Copies and deletions are
/// answered with nothing.
pub fn read_manage_answer(body: &[u8], out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
    ollama::progress::whole(body, out)
}
