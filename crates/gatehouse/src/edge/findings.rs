//! What a check found: one line each, with evidence, and a fix where something is wrong.
//!
//! Why here: the edge's checks, the certificates' and the report of the layers are read by the same people and the same
//! programs, so they look the same: stable ids, mark first, evidence always.
//!
//! Never here: looking.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Outcome;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    Ok,
    /// Works, but somebody should look at it.
    Warn,
    Fail,
    /// Could not be looked at; `seen` says why.
    Skip,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Ok => "  ok",
            Mark::Warn => "warn",
            Mark::Fail => "FAIL",
            Mark::Skip => "skip",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Mark::Ok => "32",
            Mark::Warn => "33",
            Mark::Fail => "31;1",
            Mark::Skip => "2",
        }
    }
}

/// One fact and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable, such as `headers.every-status`.
    pub id: &'static str,
    pub mark: Mark,
    /// The fact, as a sentence that is true when all is well.
    pub fact: String,
    /// The evidence.
    pub seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    pub(crate) fn ok(id: &'static str, fact: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { id, mark: Mark::Ok, fact: fact.into(), seen: seen.into(), fix: None }
    }

    pub(crate) fn skip(id: &'static str, fact: impl Into<String>, why: impl Into<String>) -> Self {
        Self { id, mark: Mark::Skip, fact: fact.into(), seen: why.into(), fix: None }
    }

    pub(crate) fn warn(
        id: &'static str,
        fact: impl Into<String>,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { id, mark: Mark::Warn, fact: fact.into(), seen: seen.into(), fix: Some(fix.into()) }
    }

    pub(crate) fn fail(
        id: &'static str,
        fact: impl Into<String>,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { id, mark: Mark::Fail, fact: fact.into(), seen: seen.into(), fix: Some(fix.into()) }
    }
}

/// All of a run, in the order in which they were looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Findings {
    pub findings: Vec<Finding>,
    /// Why not everything was looked at that could have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn count(&self, mark: Mark) -> usize {
        self.findings.iter().filter(|finding| finding.mark == mark).count()
    }

    /// Lines for people, the summary last.
    pub(crate) fn lines(&self, colour: bool) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let word = match colour {
                true => format!("\x1b[{}m{}\x1b[0m", finding.mark.colour(), finding.mark.word()),
                false => finding.mark.word().to_owned(),
            };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{word}  {}: {}", finding.id, finding.fact);
            let _ = writeln!(text, "      seen: {}", harmless(&finding.seen));
            if let Some(fix) = &finding.fix {
                let _ = writeln!(text, "      fix:  {}", harmless(fix));
            }
        }
        let counts =
            [(Mark::Ok, "ok"), (Mark::Warn, "warnings"), (Mark::Fail, "failures"), (Mark::Skip, "skipped")];
        let counts: Vec<_> =
            counts.iter().map(|(mark, word)| format!("{} {word}", self.count(*mark))).collect();
        text + &counts.join(", ")
    }

    /// One JSON document for programs.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// `strict`: warnings count as failures. One that did not come to its end proves nothing, whatever it found until then.
    pub(crate) fn outcome(&self, strict: bool) -> Outcome {
        if self.unfinished.is_some() {
            return Outcome::Failed;
        }
        let bad = self.count(Mark::Fail) + if strict { self.count(Mark::Warn) } else { 0 };
        if bad == 0 { Outcome::Done } else { Outcome::Refused }
    }
}

/// Evidence comes from servers and files: on a terminal it must stay text.
fn harmless(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if hostile(c) { '\u{fffd}' } else { c })
        .collect::<String>()
        .replace('\n', "\n            ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut all = Findings::default();
        all.push(Finding::ok("a.b", "it holds", "200"));
        all.push(Finding::fail("a.c", "it holds", "\x1b[31m404\u{202e}", "write it"));
        all.push(Finding::warn("a.d", "it is well", "5 days", "renew"));
        all
    }

    #[test]
    fn lines_begin_with_the_mark_and_stay_text() {
        let text = findings().lines(false);
        assert!(text.starts_with("  ok  a.b: it holds\n      seen: 200\nFAIL  a.c"), "{text}");
        assert!(text.ends_with("1 ok, 1 warnings, 1 failures, 0 skipped"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'));
    }

    #[test]
    fn failures_count_and_warnings_when_asked() {
        let mut all = findings();
        assert_eq!(all.outcome(false), Outcome::Refused);
        all.findings.retain(|f| f.mark != Mark::Fail);
        assert_eq!((all.outcome(false), all.outcome(true)), (Outcome::Done, Outcome::Refused));
        all.unfinished = Some("too late".to_owned());
        assert_eq!((all.outcome(false), all.outcome(true)), (Outcome::Failed, Outcome::Failed));
    }
}
