//! `gatehouse edge host`: hardening for nginx, certbot and Ollama on this machine.
//!
//! Why here: see [`super`].

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Outcome;
use crate::cli::EdgeHost;
use crate::edge::changes;
use crate::edge::host::{ALL, DropIn, FOLDER, State};
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeHost, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let dir = options.dir.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
    let (mut differ, mut written) = (0, Vec::new());
    for one in &ALL {
        let asked = options.services.iter().any(|name| name == one.service);
        if !asked && !options.services.is_empty() {
            continue;
        }
        if !asked && !one.is_here(&dir) {
            let service = one.service;
            terminal.say(&format!("{}: not on this machine, so left out (`gatehouse edge host {service}` takes it all the same)", one.unit()));
            continue;
        }
        let state = one.state(&dir).with_context(|| format!("cannot read {}", one.file(&dir).display()))?;
        match show(one, &dir, state, terminal) {
            false => {}
            true if options.apply => written.push(write(one, &dir, terminal)?),
            true => differ += 1,
        }
        tell_overridden(one, &dir, terminal);
    }
    if differ > 0 {
        terminal.note("\nNothing was written. `gatehouse edge host --apply` writes it.");
    }
    if !written.is_empty() {
        terminal.note(&format!("\nNext:\n  systemctl daemon-reload\n{}", written.concat().trim_end()));
    }
    Ok(Outcome::Done)
}

/// Says how the file stands; whether it has to be written.
fn show(one: &DropIn, dir: &Path, state: State, terminal: &Terminal) -> bool {
    let (unit, file) = (one.unit(), one.file(dir));
    let old = match state {
        State::Same => {
            terminal.say(&format!("{unit}: {} is as it should be", file.display()));
            return false;
        }
        State::Absent => String::new(),
        State::Other(old) => old,
    };
    let word = if old.is_empty() { "new" } else { "changes" };
    let changes = changes::between(&old, one.text);
    terminal.say(&format!("{unit}: {}\n{} ({word})\n{}", one.about, file.display(), changes.trim_end()));
    true
}

/// The line that says what puts it into force.
fn write(one: &DropIn, dir: &Path, terminal: &Terminal) -> anyhow::Result<String> {
    let file = one.file(dir);
    let kept = one
        .write(dir)
        .with_context(|| format!("cannot write {} (run it as root, or give --dir)", file.display()))?;
    match kept {
        Some(kept) => terminal.note(&format!("written; what was there is now {}", kept.display())),
        None => terminal.note("written"),
    }
    Ok(format!("  {}\n", one.then))
}

fn tell_overridden(one: &DropIn, dir: &Path, terminal: &Terminal) {
    for (file, settings) in one.overridden(dir) {
        terminal.note(&format!(
            "note: {} comes later and sets {} once more; look whether it means to",
            file.display(),
            settings.join(", ")
        ));
    }
}
