//! `gatehouse cert`: the certificate, as it is served and as it lies on the disk.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::Cert;
use crate::terminal::Terminal;

pub(super) fn run(command: Cert, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let _ = (command, terminal);
    anyhow::bail!("not built yet")
}
