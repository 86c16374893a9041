//! `gatehouse edge assets`: the page's files, written for nginx.
//!
//! Why here: see [`super`].

use anyhow::Context as _;

use crate::Outcome;
use crate::cli::EdgeAssets;
use crate::edge::assets;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeAssets, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => {
            let Some(settings) = super::settings(&options.from, terminal)? else {
                return Ok(Outcome::Refused);
            };
            settings.edge.unwrap_or_default().assets_dir
        }
    };
    let written = assets::write(&dir).with_context(|| format!("cannot write to {}", dir.display()))?;
    terminal.say(&format!(
        "{}: {} written, {} as they were, {} of an earlier version removed",
        dir.display(),
        written.new,
        written.same,
        written.removed
    ));
    Ok(Outcome::Done)
}
