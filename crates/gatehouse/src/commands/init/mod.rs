//! `gatehouse init`: a first configuration, with keys, and what comes next.
//!
//! Why here: between an installed program and a running service stand some thirty decisions. Nearly all have an answer that
//! is right for nearly everybody; this asks for the others, or takes them from flags, and writes one file that explains
//! itself.
//!
//! Never here: starting or changing anything that runs. The commands that do are printed.

mod advice;
mod answers;
mod dialog;
mod draft;
mod files;
mod flags;
mod ollama;
mod questions;
mod reach;
mod screen;
mod template;
mod written;
mod yaml;

#[cfg(test)]
mod tests;

use std::io::{BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway::config::Auth;
use tokio::runtime::Runtime as Async;

use self::answers::Answers;
use self::dialog::{Dialog, NoAnswer};
use self::ollama::Runtime;
use self::written::{Made, Places};
use crate::Outcome;
use crate::cli::Init;
use crate::config::report::{Problem, Report};
use crate::config::{Expectation, load};
use crate::signals::Signals;
use crate::terminal::Terminal;

pub(super) fn run(options: &Init, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let config = options.config.clone().unwrap_or_else(|| PathBuf::from(screen::DEFAULT_FILE));
    let Some(over) = free(&config, options, terminal) else { return Ok(Outcome::Refused) };
    let quiet = options.yes || options.json;
    let asks = !quiet && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let mut answers = flags::answers(options);
    let faults = flags::wrong(options, &answers, !asks);
    if !faults.is_empty() {
        faults.iter().for_each(|fault| terminal.complain(fault));
        return Ok(Outcome::Refused);
    }
    files::try_place(&Places::new(&config, answers.front).config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let find = |answers: &Answers| runtime.block_on(ollama::find(answers));
    let warnings = if asks {
        match interview(options, &mut answers, &config, terminal, find) {
            Ok(true) => Vec::new(),
            Ok(false) => return Ok(nothing(terminal, "as you say")),
            Err(no_answer) => return Ok(nothing(terminal, &no_answer.to_string())),
        }
    } else {
        by_itself(options, &mut answers, terminal, find)
    };
    // Asked before anything is written: a name may take its time.
    let beyond = runtime.block_on(reach::beyond(&answers));
    let made = match written(&answers, &config, over, &runtime)? {
        Ok(made) => made,
        Err(report) => {
            terminal.report(&report);
            anyhow::bail!("the file would not be right, and nothing was written; please report this");
        }
    };
    terminal.report(&made.report);
    shown(options, &answers, &made, &Last { warnings, beyond }, terminal)?;
    Ok(Outcome::Done)
}

/// Whether the place is free: `None` where it is not, `Some(true)` where what lies there is to be kept beside it.
fn free(config: &Path, options: &Init, terminal: &Terminal) -> Option<bool> {
    if std::fs::symlink_metadata(config).is_err() {
        return Some(options.force);
    }
    let shown = config.display();
    if !options.force && lets_nobody_in(config) {
        terminal.note(&format!("{shown} lets nobody in, as it came; it is kept beside the new one.\n"));
        return Some(true);
    }
    if !options.force {
        terminal.complain(&format!(
            "{shown} is there already, and nothing was changed. `gatehouse check {shown}` says whether it is right; --force \
             writes a new one and keeps this one beside it"
        ));
    }
    options.force.then_some(true)
}

/// What a package brings, so that services find a file: its only key is one that nobody has.
fn lets_nobody_in(file: &Path) -> bool {
    let settings = load(file, Expectation::default()).settings();
    let auth = settings.ok().and_then(|(settings, _)| settings.gateway).map(|gateway| gateway.config.auth);
    match auth {
        Some(Auth::Keys { keys, .. }) => !keys.is_empty() && keys.iter().all(|key| key.digest == [0; 32]),
        Some(Auth::Open) | None => false,
    }
}

fn nothing(terminal: &Terminal, why: &str) -> Outcome {
    terminal.note(&format!("Nothing was written: {why}."));
    Outcome::Refused
}

/// Asks a person; `false` where the last question is answered with no.
fn interview(
    options: &Init,
    answers: &mut Answers,
    config: &Path,
    terminal: &Terminal,
    find: impl Fn(&Answers) -> Option<Runtime>,
) -> Result<bool, NoAnswer> {
    let mut input = BufReader::new(std::io::stdin());
    let mut dialog = Dialog::new(&mut input, terminal);
    questions::ask(&mut dialog, options, answers, find)?;
    let help = "yes: the file is written, keys are made and shown. no: nothing happens.";
    dialog.confirm(&format!("Write {}", config.display()), help)
}

/// What nobody is asked: the models whose names a registry is part of. Returns what was warned of.
fn by_itself(
    options: &Init,
    answers: &mut Answers,
    terminal: &Terminal,
    find: impl Fn(&Answers) -> Option<Runtime>,
) -> Vec<String> {
    let runtime = find(answers);
    let mut warnings = ollama::warnings(answers, runtime.as_ref());
    if options.model.is_empty() {
        answers.models = questions::all_of(runtime.as_ref());
        warnings.extend(runtime.as_ref().and_then(ollama::beyond));
    }
    warnings.extend(ollama::missing(answers, runtime.as_ref()));
    warnings.extend(advice::about(answers));
    warnings.iter().for_each(|warning| terminal.note(&format!("warning: {warning}")));
    warnings
}

/// From here on a Ctrl-C waits: what follows takes a moment, and half of it would be worse than all.
fn written(
    answers: &Answers,
    config: &Path,
    over: bool,
    runtime: &Async,
) -> anyhow::Result<Result<Made, Report>> {
    let signals = {
        let _inside = runtime.enter();
        Signals::catch().context("cannot listen to signals")?
    };
    let places = Places::new(config, answers.front);
    let written = written::write(answers, &places, over).context("nothing was written");
    drop(signals);
    written
}

/// What the last words need beside what was made.
struct Last {
    warnings: Vec<String>,
    /// Machines that the gateway's unit has to be let out to.
    beyond: Vec<String>,
}

fn shown(
    options: &Init,
    answers: &Answers,
    made: &Made,
    last: &Last,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let told = |problem: &Problem| format!("{}: {}", problem.place.path, problem.what);
    let warnings: Vec<_> =
        last.warnings.iter().cloned().chain(made.report.problems().iter().map(told)).collect();
    let next = screen::next(answers, &made.config, &last.beyond);
    let text = match options.json {
        true => screen::json(answers, made, &warnings, &next)?,
        false => screen::told(answers, made, &next),
    };
    terminal.hand_over(&text).with_context(|| {
        format!(
            "{} is written, but its keys could not be shown: make them anew with --force, or with `gatehouse keys new`",
            made.config.display()
        )
    })
}
