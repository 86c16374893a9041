//! One question at the terminal: its words, its default, an explanation when asked, and a bound on how often it is asked.
//!
//! Why here: every question behaves in the same way, so that a person learns it once.
//!
//! Never here: which questions there are.

use std::io::BufRead;

use crate::terminal::Terminal;

/// A person who has been told so often what is wrong wants to look something up first.
const TRIES_MAX: u32 = 5;
/// A terminal hands over no longer line.
const LINE_BYTES_MAX: u64 = 4_096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum NoAnswer {
    #[error("ended before the last question")]
    Ended,
    #[error("no answer fitted within {TRIES_MAX} tries")]
    NotUnderstood,
    #[error("the terminal cannot be read: {0}")]
    Unreadable(String),
}

pub(super) struct Dialog<'a> {
    input: &'a mut dyn BufRead,
    terminal: &'a Terminal,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) words: &'a str,
    /// Taken for an empty line.
    pub(super) default: &'a str,
    /// Shown in place of an empty default.
    pub(super) nothing: &'a str,
    /// The answer to `?`.
    pub(super) help: &'a str,
}

impl<'a> Dialog<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead, terminal: &'a Terminal) -> Self {
        Self { input, terminal }
    }

    pub(super) fn tell(&self, text: &str) {
        self.terminal.note(text);
    }

    /// Asks until `read` takes the line; what it says against one is shown.
    pub(super) fn ask<T>(
        &mut self,
        question: &Question<'_>,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, NoAnswer> {
        let shown = if question.default.is_empty() { question.nothing } else { question.default };
        for _ in 0..TRIES_MAX {
            self.terminal.ask(&format!("{} [{shown}]: ", question.words));
            let line = self.line()?;
            match line.trim() {
                "?" => self.tell(&format!("  {}", question.help.replace('\n', "\n  "))),
                typed => match read(if typed.is_empty() { question.default } else { typed }) {
                    Ok(answer) => return Ok(answer),
                    Err(what) => self.tell(&format!("  {what}")),
                },
            }
        }
        Err(NoAnswer::NotUnderstood)
    }

    /// Asks for one of several, by number or by word; the first word of each option.
    pub(super) fn choose<T: Copy>(
        &mut self,
        question: &Question<'_>,
        options: &[(&str, &str, T)],
    ) -> Result<T, NoAnswer> {
        for (at, (word, about, _)) in options.iter().enumerate() {
            self.tell(&format!("  {} {word:9} {about}", at + 1));
        }
        self.ask(question, |line| {
            let by_number = line.parse::<usize>().ok().and_then(|n| options.get(n.checked_sub(1)?));
            let by_word = || options.iter().find(|(word, _, _)| word.eq_ignore_ascii_case(line));
            by_number.or_else(by_word).map(|(_, _, value)| *value).ok_or_else(|| {
                let words: Vec<_> = options.iter().map(|(word, _, _)| *word).collect();
                format!("write a number from 1 to {}, or a word: {}", words.len(), words.join(", "))
            })
        })
    }

    pub(super) fn confirm(&mut self, words: &str, help: &str) -> Result<bool, NoAnswer> {
        let question = Question { words, default: "yes", nothing: "", help };
        self.ask(&question, |line| match line.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("write yes or no".to_owned()),
        })
    }

    fn line(&mut self) -> Result<String, NoAnswer> {
        let mut bytes = Vec::new();
        let read = std::io::Read::take(&mut *self.input, LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        read.map_err(|error| NoAnswer::Unreadable(error.to_string()))?;
        if bytes.last() != Some(&b'\n') {
            // The cursor stands behind the question.
            self.tell("");
            return Err(NoAnswer::Ended);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question<'_> = Question { words: "Port", default: "80", nothing: "", help: "A number." };

    fn port(typed: &str) -> Result<u16, NoAnswer> {
        let terminal = Terminal::default();
        let mut input = typed.as_bytes();
        Dialog::new(&mut input, &terminal)
            .ask(&QUESTION, |line| line.parse().map_err(|_| "a number".to_owned()))
    }

    #[test]
    fn lines_and_defaults() {
        assert_eq!(port(" 443 \n"), Ok(443));
        assert_eq!(port("\n"), Ok(80));
        assert_eq!(port("x\n?\n\n"), Ok(80));
        assert_eq!(port(""), Err(NoAnswer::Ended));
        assert_eq!(port("443"), Err(NoAnswer::Ended), "a line that was not sent is no answer");
        assert_eq!(port(&"x\n".repeat(9)), Err(NoAnswer::NotUnderstood));
        assert_eq!(port(&format!("{}\n80\n", "9".repeat(5_000))), Err(NoAnswer::Ended), "a line is bounded");
        assert_eq!(port("\u{fc}\n81\n"), Ok(81));
    }

    #[test]
    fn one_of_several() {
        let options = [("certbot", "", 1), ("files", "", 2)];
        let chosen = |typed: &str| {
            let terminal = Terminal::default();
            let mut input = typed.as_bytes();
            let question = Question { default: "certbot", ..QUESTION };
            Dialog::new(&mut input, &terminal).choose(&question, &options)
        };
        assert_eq!(chosen("2\n"), Ok(2));
        assert_eq!(chosen("FILES\n"), Ok(2));
        assert_eq!(chosen("\n"), Ok(1));
        assert_eq!(chosen("0\n3\nfile\n1\n"), Ok(1));
    }

    #[test]
    fn yes_or_no() {
        let said = |typed: &str| {
            let terminal = Terminal::default();
            let mut input = typed.as_bytes();
            Dialog::new(&mut input, &terminal).confirm("Write?", "It is written.")
        };
        assert_eq!((said("\n"), said("maybe\nN\n"), said("")), (Ok(true), Ok(false), Err(NoAnswer::Ended)));
    }
}
