//! `gatehouse check`: everything that is wrong with configuration files.
//!
//! Why here: a file is judged exactly as the program would read it, before anything depends on it.

use std::path::PathBuf;

use crate::Outcome;
use crate::config::report::{Report, Severity};
use crate::config::{Expectation, load};
use crate::terminal::Terminal;

pub(super) fn run(files: &[PathBuf], terminal: &Terminal) -> Outcome {
    let mut refused = false;
    for file in files {
        let report = load(file, Expectation::default()).report;
        refused |= report.has_errors();
        terminal.report(&report);
        terminal.say(&format!("{}: {}", file.display(), verdict(&report)));
    }
    if refused { Outcome::Refused } else { Outcome::Done }
}

fn verdict(report: &Report) -> String {
    let problems = report.problems();
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    match (errors, problems.len() - errors) {
        (0, 0) => "ok".into(),
        (0, warnings) => format!("ok, {}", counted(warnings, "warning")),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
