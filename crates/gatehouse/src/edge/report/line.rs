//! A finding about several places at once: the worst mark counts, and each place is evidence.
//!
//! Why here: a machine may have three gateways or two runtimes, and still a check is one line with one stable id.
//!
//! Never here: what is good or bad.

use crate::edge::findings::{Finding, Mark};

#[derive(Debug)]
pub(super) struct Line {
    id: &'static str,
    fact: &'static str,
    worst: Mark,
    seen: Vec<String>,
    fix: Option<String>,
}

impl Line {
    pub(super) fn new(id: &'static str, fact: &'static str) -> Self {
        Self { id, fact, worst: Mark::Ok, seen: Vec::new(), fix: None }
    }

    pub(super) fn ok(&mut self, seen: impl Into<String>) {
        self.seen.push(seen.into());
    }

    pub(super) fn skip(&mut self, why: impl Into<String>) {
        self.put(Mark::Skip, why.into(), None);
    }

    pub(super) fn warn(&mut self, seen: impl Into<String>, fix: impl Into<String>) {
        self.put(Mark::Warn, seen.into(), Some(fix.into()));
    }

    pub(super) fn fail(&mut self, seen: impl Into<String>, fix: impl Into<String>) {
        self.put(Mark::Fail, seen.into(), Some(fix.into()));
    }

    fn put(&mut self, mark: Mark, seen: String, fix: Option<String>) {
        if weight(mark) > weight(self.worst) || self.seen.is_empty() {
            self.worst = mark;
            self.fix = fix;
            // What is wrong is read first.
            self.seen.insert(0, seen);
        } else {
            self.seen.push(seen);
        }
    }

    pub(super) fn finding(self) -> Finding {
        let (mark, seen) = match self.seen.is_empty() {
            true => (Mark::Skip, "there is nothing of this here".to_owned()),
            false => (self.worst, self.seen.join("; ")),
        };
        Finding { id: self.id, mark, fact: self.fact.to_owned(), seen, fix: self.fix }
    }
}

fn weight(mark: Mark) -> u8 {
    match mark {
        Mark::Ok => 0,
        Mark::Skip => 1,
        Mark::Warn => 2,
        Mark::Fail => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_place_decides_and_is_read_first() {
        let mut line = Line::new("a.b", "it holds");
        line.ok("one");
        line.fail("two", "mend it");
        line.warn("three", "look at it");
        let finding = line.finding();
        assert_eq!((finding.mark, finding.seen.as_str()), (Mark::Fail, "two; one; three"));
        assert_eq!(finding.fix.as_deref(), Some("mend it"));
        assert_eq!(Line::new("a.b", "it holds").finding().mark, Mark::Skip);
    }
}
