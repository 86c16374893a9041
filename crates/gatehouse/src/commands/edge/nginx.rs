//! `gatehouse edge nginx`.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::EdgeNginx;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeNginx, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(_site) = super::site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    anyhow::bail!("not built yet")
}
