//! The rules against every way of cutting a text, and against a second reading of the whole.

mod builtins;
mod configuration;
mod cuts;
mod json;
mod lag;
mod oracle;

use std::sync::Arc;

use wire::{Channel, Verdict};

use super::{Filter, FilterError, Findings};
use crate::config::{self, FilterAction, FilterRule, Pattern};

fn rule(name: &str, looks_for: Pattern, action: FilterAction) -> FilterRule {
    FilterRule { name: name.to_owned(), looks_for, action }
}

fn literals(texts: &[&str]) -> Pattern {
    Pattern::Literals(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn expression(text: &str) -> Pattern {
    Pattern::Expression(text.to_owned())
}

fn config(rules: &[FilterRule]) -> config::Filter {
    config::Filter { rules: rules.to_vec(), answers: true, tool_arguments: true, prompts: true }
}

fn try_filter(rules: &[FilterRule]) -> Result<Arc<Filter>, FilterError> {
    Filter::new(&config(rules)).map(Arc::new)
}

fn filter(rules: &[FilterRule]) -> Arc<Filter> {
    try_filter(rules).expect("rules that can be used")
}

/// What came out of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    text: String,
    verdict: Verdict,
    found: Vec<(String, u32)>,
}

fn found(findings: &Findings) -> Vec<(String, u32)> {
    findings.iter().map(|(label, count)| (label.name.to_string(), count)).collect()
}

/// Sends the pieces through a screen. After a stop nothing is sent any more, as no caller does.
fn run<'a>(filter: &Arc<Filter>, channel: Channel, pieces: impl IntoIterator<Item = &'a str>) -> Outcome {
    let findings = filter.findings();
    let mut screen = filter.answer(&findings);
    let mut text = String::new();
    for piece in pieces {
        if screen.push(channel, piece, &mut text) == Verdict::Stop {
            return Outcome { text, verdict: Verdict::Stop, found: found(&findings) };
        }
    }
    let verdict = screen.finish(channel, &mut text);
    Outcome { text, verdict, found: found(&findings) }
}

fn whole(filter: &Arc<Filter>, text: &str) -> Outcome {
    run(filter, Channel::Text, [text])
}

fn masked(filter: &Arc<Filter>, text: &str) -> String {
    whole(filter, text).text
}

/// Small numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).expect("small")).expect("small")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    /// The text in random pieces.
    fn cut<'a>(&mut self, text: &'a str, longest: usize) -> Vec<&'a str> {
        let (mut pieces, mut from) = (Vec::new(), 0);
        while from < text.len() {
            let mut to = (from + 1 + self.roll(longest)).min(text.len());
            while !text.is_char_boundary(to) {
                to += 1;
            }
            pieces.push(&text[from..to]);
            from = to;
        }
        pieces
    }
}
