//! `gatehouse init`: a first configuration.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::Init;
use crate::terminal::Terminal;

pub(super) fn run(options: &Init, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let _ = (options, terminal);
    anyhow::bail!("not built yet")
}
