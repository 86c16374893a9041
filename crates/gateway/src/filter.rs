//! Rules over the text that passes: what must not be said is masked, stops the answer, or is only counted.
//!
//! Why here: a text leaves in pieces, and a rule that looks at pieces is walked around by cutting. Here the end of a text
//! waits as long as it may become a match, and no longer; for every way of cutting the same comes out, and no byte of what
//! is masked or stopped leaves before that is decided.
//!
//! From text to output: `symbols` reads and folds characters, `program` + `threads` (expressions) and `literals` say what
//! matched and what still may, `window` holds back and lets go, `screen` does so for all channels of an answer. The rules
//! that come with the program are `secrets` and `numbers`. What is not found by design stands in `docs/filter.md`.
//!
//! Never here: frames, formats, or a copy of what was found.

mod builtin;
mod expression;
mod findings;
mod literals;
mod numbers;
mod program;
mod recent;
mod rules;
mod screen;
mod secrets;
mod symbols;
#[cfg(test)]
mod tests;
mod threads;
mod window;

use std::sync::Arc;

use wire::Screen;

pub use self::findings::{Findings, Label};
use self::rules::Rules;
use self::screen::{LooksAt, RuleScreen};
use crate::config;

const TOO_LARGE: &str = "the rules are too large: use smaller bounds, fewer or shorter alternatives";

/// The configured rules, compiled. One for each configuration, shared by all exchanges.
#[derive(Debug)]
pub struct Filter {
    rules: Rules,
    answers: bool,
    tool_arguments: bool,
    prompts: bool,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filter rule `{rule}`: {why}")]
pub struct FilterError {
    pub rule: String,
    pub why: String,
}

impl Filter {
    pub fn new(config: &config::Filter) -> Result<Self, FilterError> {
        let rules = Rules::new(config)?;
        let config::Filter { answers, tool_arguments, prompts, .. } = *config;
        Ok(Self { rules, answers, tool_arguments, prompts })
    }

    /// An exchange's own count, for all its screens.
    pub fn findings(&self) -> Arc<Findings> {
        Arc::new(Findings::new(Arc::clone(&self.rules.labels)))
    }

    /// Whether an answer needs a screen at all.
    pub fn looks_at_answers(&self) -> bool {
        (self.answers || self.tool_arguments) && !self.rules.labels.is_empty()
    }

    pub fn looks_at_prompts(&self) -> bool {
        self.prompts && !self.rules.labels.is_empty()
    }

    /// A screen for one answer. Channels that the configuration leaves out pass as they are.
    pub fn answer(self: &Arc<Self>, findings: &Arc<Findings>) -> Box<dyn Screen> {
        let looks_at = LooksAt { texts: self.answers, arguments: self.tool_arguments };
        Box::new(RuleScreen::new(self, findings, looks_at))
    }

    /// A screen for the texts of one prompt, arguments of earlier tool calls among them.
    pub fn prompt(self: &Arc<Self>, findings: &Arc<Findings>) -> Box<dyn Screen> {
        Box::new(RuleScreen::new(self, findings, LooksAt { texts: self.prompts, arguments: self.prompts }))
    }
}
