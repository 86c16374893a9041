//! The operator's terminal: answers to standard output, everything else to standard error.
//!
//! Why here: printing elsewhere is denied by lint, so that no library part can talk past the log.
//!
//! Never here: secrets, except the one time that a key is made for the person at the screen.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

#[derive(Clone, Debug, Default)]
pub(crate) struct Terminal {
    /// Standard error is a screen that wants colour.
    pub(crate) colour: bool,
    /// Why an answer was lost, if one was. Kept here, so that no command has to think of it, and asked for at the end.
    lost: Arc<OnceLock<String>>,
}

impl Terminal {
    pub(crate) fn of_this_process() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty());
        Self { colour: wanted && io::stderr().is_terminal(), ..Self::default() }
    }

    /// The answer to a command.
    pub(crate) fn say(&self, text: &str) {
        self.remember(put(io::stdout().lock(), text));
    }

    /// Whether an answer reached whom it was for; a command that ended well has not done so where it did not. A reader that
    /// went away is no reason to fail: it had enough.
    pub(crate) fn remember(&self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != ErrorKind::BrokenPipe
        {
            // The first reason is the one to mend.
            let _ = self.lost.set(error.to_string());
        }
    }

    /// Why an answer was lost, if one was.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// News about what the program does.
    pub(crate) fn note(&self, text: &str) {
        let _ = put(io::stderr().lock(), text);
    }

    /// A question; the answer is typed behind it.
    pub(crate) fn ask(&self, text: &str) {
        let mut out = io::stderr().lock();
        let _ = write!(out, "{text}").and_then(|()| out.flush());
    }

    /// What can be said only once, so that the caller has to know whether it was.
    pub(crate) fn hand_over(&self, text: &str) -> io::Result<()> {
        put(io::stdout().lock(), text)
    }

    /// The reason why it ends.
    pub(crate) fn complain(&self, text: &str) {
        let word = if self.colour { "\x1b[31;1merror\x1b[0m" } else { "error" };
        let _ = put(io::stderr().lock(), &format!("{word}: {text}"));
    }

    /// A report, as it stands.
    pub(crate) fn report(&self, report: &crate::config::report::Report) {
        let text = report.render(self.colour);
        if !text.is_empty() {
            let _ = put(io::stderr().lock(), text.trim_end());
        }
    }
}

fn put(mut out: impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}").and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_loss_and_a_full_disk_is() {
        let terminal = Terminal::default();
        terminal.remember(Ok(()));
        terminal.remember(Err(ErrorKind::BrokenPipe.into()));
        assert_eq!(terminal.lost(), None);
        let copy = terminal.clone();
        copy.remember(Err(ErrorKind::StorageFull.into()));
        copy.remember(Err(ErrorKind::Other.into()));
        assert_eq!(terminal.lost(), Some("no storage space"));
    }
}
