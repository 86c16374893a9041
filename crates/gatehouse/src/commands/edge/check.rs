//! `gatehouse edge check`.
//!
//! Why here: see [`super`].

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use gateway::config::Secret;

use crate::Outcome;
use crate::cli::{Asking as Options, EdgeCheck};
use crate::edge::check::{self, Asking};
use crate::terminal::Terminal;

const KEY_BYTES_MAX: u64 = 4_096;

pub(super) fn run(options: &EdgeCheck, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(site) = super::site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let asking = Asking {
        only: options.only.clone(),
        burst: options.burst,
        slow: options.slow,
        ..asking(&options.asking)?
    };
    let findings = runtime()?.block_on(check::run(&site, &asking))?;
    terminal.say(&match options.telling.json {
        true => findings.json()?,
        false => findings.lines(terminal.colour && std::io::stdout().is_terminal()),
    });
    if let Some(why) = &findings.unfinished {
        terminal.complain(why);
    }
    Ok(findings.outcome(options.telling.strict))
}

/// One thread is enough: the work is waiting.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

/// What `check` and `apply` have in common.
pub(super) fn asking(options: &Options) -> anyhow::Result<Asking> {
    let key = options.key_file.as_deref().map(key).transpose()?;
    if options.model.is_some() && key.is_none() {
        bail!("--model is asked with a key: give one with --key-file");
    }
    if let Some(file) = &options.ca_file {
        std::fs::File::open(file).with_context(|| format!("cannot read the roots in {}", file.display()))?;
    }
    Ok(Asking {
        address: options.address,
        ca_file: options.ca_file.clone(),
        key,
        model: options.model.clone(),
        ..Asking::default()
    })
}

/// The key alone, of which nothing is ever printed.
fn key(file: &Path) -> anyhow::Result<Secret> {
    let shown = file.display();
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read the key in {shown}"))?;
    opened.take(KEY_BYTES_MAX).read_to_string(&mut text).with_context(|| format!("the key in {shown}"))?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{shown} does not hold a key: write it alone into the file, as `gatehouse keys new` prints it");
    }
    Ok(Secret(key.to_owned()))
}
