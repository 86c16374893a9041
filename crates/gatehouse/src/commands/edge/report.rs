//! `gatehouse edge report`.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::EdgeReport;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeReport, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(_site) = super::site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    anyhow::bail!("not built yet")
}
