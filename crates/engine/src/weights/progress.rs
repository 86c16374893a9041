//! How far a fetch is, told to a person.
//!
//! Why here: a hundred megabytes without a sign of life look like a hang. A terminal gets a bar, everything else plain lines
//! that do not fill a log.
//!
//! Never here: standard output, which belongs to what the command answers.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Told what a pull does.
pub trait Progress {
    /// One sentence.
    fn note(&mut self, text: &str);
    /// `done` of `total` bytes are there. `done` may fall when a source has to be left.
    fn bytes(&mut self, done: u64, total: u64);
    /// Nothing more will come from this source.
    fn end(&mut self);
}

/// A bar where standard error is a terminal, else lines.
pub fn progress_for_stderr() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Box::new(Terminal::default())
    } else {
        Box::new(Lines::new(std::io::stderr()))
    }
}

/// A bar with bytes, rate and remaining time.
#[derive(Debug, Default)]
pub struct Terminal {
    bar: Option<ProgressBar>,
}

impl Progress for Terminal {
    fn note(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&mut std::io::stderr(), text)),
            None => say(&mut std::io::stderr(), text),
        }
    }

    fn bytes(&mut self, done: u64, total: u64) {
        let bar = self.bar.get_or_insert_with(|| bar(done, total));
        bar.set_position(done);
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }
}

fn bar(done: u64, total: u64) -> ProgressBar {
    let template = "{wide_bar} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
    let bar = ProgressBar::new(total);
    // The template is fixed; should it ever be wrong, indicatif's own is shown.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(done);
    bar.reset_eta();
    bar
}

/// A line now and then.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    begun: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl<W: Write> Lines<W> {
    pub fn new(out: W) -> Self {
        Self { out, begun: None, last: None }
    }
}

impl<W: Write> Progress for Lines<W> {
    fn note(&mut self, text: &str) {
        say(&mut self.out, text);
    }

    fn bytes(&mut self, done: u64, total: u64) {
        let now = Instant::now();
        let (begun, from) = *self.begun.get_or_insert((now, done));
        let too_soon =
            |(at, said): (Instant, u64)| said == done || done < total && now.duration_since(at) < LINE_EVERY;
        if self.last.is_some_and(too_soon) {
            return;
        }
        self.last = Some((now, done));
        let text = line(done, total, done.saturating_sub(from), now.duration_since(begun));
        say(&mut self.out, &text);
    }

    fn end(&mut self) {
        self.begun = None;
        self.last = None;
    }
}

/// `since` bytes came in `took`.
fn line(done: u64, total: u64, since: u64, took: Duration) -> String {
    let mega = |bytes: u64| bytes / 1_000_000;
    let percent = done.saturating_mul(100) / total.max(1);
    let head = format!("{} of {} MB ({percent}%)", mega(done), mega(total));
    let rate = u128::from(since) * 1000 / took.as_millis().max(1);
    if took < Duration::from_secs(1) || rate == 0 || done >= total {
        return head;
    }
    let left_s = u128::from(total - done) / rate;
    format!("{head}, {}.{} MB/s, {left_s} s left", rate / 1_000_000, rate % 1_000_000 / 100_000)
}

/// Nobody can be told that standard error is closed.
fn say(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_not_filled() {
        let mut lines = Lines::new(Vec::new());
        for done in 0..=1000 {
            lines.bytes(done, 1000);
        }
        lines.bytes(1000, 1000);
        assert_eq!(String::from_utf8(lines.out).unwrap().lines().count(), 2, "the first and the last");
    }

    #[test]
    fn a_line_says_share_rate_and_time() {
        let text = line(50_000_000, 100_000_000, 20_000_000, Duration::from_secs(8));
        assert_eq!(text, "50 of 100 MB (50%), 2.5 MB/s, 20 s left");
    }
}
