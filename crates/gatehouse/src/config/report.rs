//! Everything that is wrong with a configuration, collected before anything is said.
//!
//! Why here: an operator repairs a file once, not once per mistake. Each problem names file, line, path, what is wrong and
//! what to do about it.
//!
//! Never here: values of keys and tokens. What is quoted is what an operator may paste into a ticket.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::document::Mark;

/// Enough to see the whole trouble; a file that is wrong everywhere need not fill the screen.
const PROBLEMS_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// Where a problem stands: position in the file and path of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub mark: Option<Mark>,
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub severity: Severity,
    pub place: Place,
    pub what: String,
    pub fix: String,
}

/// The problems of one file. Shared by every reader of that file.
#[derive(Debug)]
pub(crate) struct Report {
    file: PathBuf,
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), problems: RefCell::default() }
    }

    pub(crate) fn error(&self, place: &Place, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, place, what.into(), fix.into());
    }

    pub(crate) fn warning(&self, place: &Place, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, place, what.into(), fix.into());
    }

    fn add(&self, severity: Severity, place: &Place, what: String, fix: String) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(Problem { severity, place: place.clone(), what, fix });
        }
    }

    /// Errors first, then by line, as they are printed.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.borrow().clone();
        problems.sort_by_key(|p| (p.severity, p.place.mark));
        problems
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors there are so far: a reader that depends on another's result asks whether that one found any.
    pub(crate) fn errors(&self) -> usize {
        self.problems.borrow().iter().filter(|p| p.severity == Severity::Error).count()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The whole report as text; `colour` marks severities for a terminal.
    pub(crate) fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for problem in self.problems() {
            problem.render(&self.file, colour, &mut text);
        }
        text
    }
}

impl Problem {
    fn render(&self, file: &Path, colour: bool, text: &mut String) {
        let (word, code) = match self.severity {
            Severity::Error => ("error", "31;1"),
            Severity::Warning => ("warning", "33;1"),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        let mut line = String::new();
        // Writing into a String cannot fail.
        let _ = write!(line, "{}{}: {word}: ", file.display(), Position(self.place.mark));
        if !self.place.path.is_empty() {
            let _ = write!(line, "{}: ", self.place.path);
        }
        let _ = write!(line, "{}", self.what);
        text.push_str(&printable(&line, colour));
        text.push('\n');
        if !self.fix.is_empty() {
            let _ = writeln!(text, "    fix: {}", printable(&self.fix, false));
        }
    }
}

struct Position(Option<Mark>);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(mark) => write!(f, ":{}:{}", mark.line, mark.column),
            None => Ok(()),
        }
    }
}

/// Control characters of a file must not steer the operator's terminal.
fn printable(text: &str, keep_escape: bool) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = !c.is_control() || (keep_escape && c == '\x1b');
            let (kept, escaped) = if plain { (Some(c), None) } else { (None, Some(c.escape_default())) };
            kept.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_first_and_in_the_order_of_the_file() {
        let report = Report::new(Path::new("config.yaml"));
        let place = |line| Place { mark: Some(Mark { line, column: 3 }), path: format!("at.{line}") };
        report.warning(&place(1), "a plain key", "use a digest");
        report.error(&place(9), "too big", "make it smaller");
        report.error(&place(4), "odd\x07", "");
        assert_eq!(
            report.render(false),
            "config.yaml:4:3: error: at.4: odd\\u{7}\n\
             config.yaml:9:3: error: at.9: too big\n    fix: make it smaller\n\
             config.yaml:1:3: warning: at.1: a plain key\n    fix: use a digest\n"
        );
        assert!(report.render(true).contains("\x1b[31;1merror\x1b[0m"));
    }

    #[test]
    fn a_report_is_bounded() {
        let report = Report::new(Path::new("f"));
        for _ in 0..PROBLEMS_MAX * 2 {
            report.error(&Place { mark: None, path: String::new() }, "x", "");
        }
        assert_eq!(report.problems().len(), PROBLEMS_MAX);
    }
}
