//! The process log: lines on standard error, or in a file.
//!
//! Why here: one place decides where log lines go and that none of them can break out of its line.
//!
//! Never here: the audit log, which is the gateway's.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogSettings;

/// Begins logging to standard error, or to `file`. `RUST_LOG` overrides the configured level.
pub(crate) fn start(settings: LogSettings, file: Option<&Path>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(settings.level));
    let out = match file {
        Some(path) => {
            Out::File(Mutex::new(open(path).with_context(|| format!("cannot write {}", path.display()))?))
        }
        None => Out::Stderr,
    };
    // A line that cannot be written must not be told on stderr: where that is what failed, telling it would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(out);
    let begun = if settings.json { builder.json().try_init() } else { builder.try_init() };
    // A second start in one process keeps the first log, which is what tests in one process need.
    if let Err(error) = begun {
        tracing::debug!(%error, "the log had begun already");
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

enum Out {
    Stderr,
    File(Mutex<File>),
}

impl<'a> MakeWriter<'a> for Out {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Takes one formatted event per call.
struct Line<'a>(&'a Out);

impl Write for Line<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = one_line(event);
        match self.0 {
            Out::Stderr => io::stderr().lock().write_all(&line)?,
            Out::File(file) => {
                // A panic elsewhere while writing leaves a whole file; the log goes on.
                let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                file.write_all(&line)?;
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text from outside may end up in a message; written raw, a line end would forge an entry and an escape sequence would
/// steer the terminal of whoever reads it.
fn one_line(event: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(event);
    let body = text.strip_suffix('\n').unwrap_or(&text);
    let mut line = String::with_capacity(body.len() + 1);
    for c in body.chars() {
        if c != '\t' && gateway::auth::deceptive(c) {
            // As JSON escapes it, so that a line of the JSON format stays one.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(one_line(b"a\tb\n"), b"a\tb\n");
        assert_eq!(one_line(b"a\nINFO forged\x1b[2J\n"), b"a\\u000aINFO forged\\u001b[2J\n");
        assert_eq!(one_line("\u{9b}2J".as_bytes()), b"\\u009b2J\n");
        assert_eq!(one_line("a\u{202e}b".as_bytes()), b"a\\u202eb\n");
        assert_eq!(one_line(b"\xff\n"), "\u{fffd}\n".as_bytes());
    }

    #[test]
    fn a_log_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("gatehouse-log-{}", std::process::id()));
        open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
    }
}
