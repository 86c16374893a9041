//! From a configuration file to the settings of one role, or to its report on the screen.
//!
//! Why here: the gateway and the chat begin in the same way, natively and under the seed's names.

use std::path::Path;

use crate::config::report::{Report, Severity};
use crate::config::{Expectation, Role, Settings, load};
use crate::logging;
use crate::terminal::Terminal;

/// The settings of a file, or `None` after its errors have been printed.
pub(super) fn settings(
    file: &Path,
    expectation: Expectation,
    terminal: &Terminal,
) -> Option<(Settings, Report)> {
    match load(file, expectation).settings() {
        Ok(read) => Some(read),
        Err(report) => {
            terminal.report(&report);
            None
        }
    }
}

/// The section of a role, or an error that names what the file lacks.
pub(super) fn section<T>(section: Option<T>, role: Role, file: &Path) -> anyhow::Result<T> {
    let name = role.name();
    section.ok_or_else(|| anyhow::anyhow!("{} has no section `{name}`", file.display()))
}

/// Warnings belong into the log of a service, where they are found again.
pub(super) fn log_warnings(report: &Report) {
    for problem in report.problems().iter().filter(|p| p.severity == Severity::Warning) {
        let line = problem.place.mark.map(|mark| mark.line);
        let (path, file) = (&problem.place.path, report.file().display());
        tracing::warn!(%file, line, path, fix = problem.fix, "{}", problem.what);
    }
}

/// Begins the log of a role and puts the file's warnings into it.
pub(super) fn log(settings: crate::config::LogSettings, report: &Report) -> anyhow::Result<()> {
    logging::start(settings, None)?;
    log_warnings(report);
    Ok(())
}
