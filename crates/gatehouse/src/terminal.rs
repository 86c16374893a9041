//! The operator's terminal: answers to standard output, everything else to standard error.
//!
//! Why here: printing elsewhere is denied by lint, so that no library part can talk past the log.
//!
//! Never here: secrets, except the one time that a key is made for the person at the screen.

use std::io::{self, IsTerminal, Write};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Standard error is a screen that wants colour.
    pub(crate) colour: bool,
}

impl Terminal {
    pub(crate) fn of_this_process() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty());
        Self { colour: wanted && io::stderr().is_terminal() }
    }

    /// The answer to a command.
    pub(crate) fn say(&self, text: &str) {
        put(io::stdout().lock(), text);
    }

    /// News about what the program does.
    pub(crate) fn note(&self, text: &str) {
        put(io::stderr().lock(), text);
    }

    /// A question; the answer is typed behind it.
    pub(crate) fn ask(&self, text: &str) {
        let mut out = io::stderr().lock();
        let _ = write!(out, "{text}").and_then(|()| out.flush());
    }

    /// What can be said only once, so that the caller has to know whether it was.
    pub(crate) fn hand_over(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush())
    }

    /// The reason why it ends.
    pub(crate) fn complain(&self, text: &str) {
        let word = if self.colour { "\x1b[31;1merror\x1b[0m" } else { "error" };
        put(io::stderr().lock(), &format!("{word}: {text}"));
    }

    /// A report, as it stands.
    pub(crate) fn report(&self, report: &crate::config::report::Report) {
        let text = report.render(self.colour);
        if !text.is_empty() {
            put(io::stderr().lock(), text.trim_end());
        }
    }
}

/// A reader that went away is no reason to fail.
fn put(mut out: impl Write, text: &str) {
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
