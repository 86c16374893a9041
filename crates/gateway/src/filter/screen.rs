//! The rules at work on the texts of one exchange.
//!
//! Why here: an answer's channels are texts of their own that come mixed; what one of them stops, stops all.
//!
//! Never here: a rule, or what makes a match.

use std::sync::Arc;

use wire::{Channel, Screen, Verdict};

use super::Filter;
use super::findings::Findings;
use super::rules::Rules;
use super::symbols::Reader;
use super::window::{Window, Work};

/// Texts of one answer that may be open at once; an answer with more is stopped rather than passed unseen.
const OPEN_MAX: usize = 1_024;
/// Characters after which what may leave is taken out of the window, however long the piece.
const STRIDE_CHARS: usize = 512;

/// One text.
#[derive(Debug)]
pub(super) struct Stream {
    reader: Reader,
    window: Window,
}

impl Stream {
    pub fn new(rules: &Rules, json: bool) -> Self {
        Self { reader: Reader::new(json), window: Window::new(rules) }
    }

    pub fn push(
        &mut self,
        text: &str,
        rules: &Rules,
        work: &mut Work,
        findings: &Findings,
        out: &mut String,
    ) -> Verdict {
        let Self { reader, window } = self;
        for (c, place) in text.chars().zip(1_usize..) {
            window.hold(c);
            reader.push(c, &mut |read| window.take(read, rules, work, findings));
            if window.is_stopped() {
                break;
            }
            if place.is_multiple_of(STRIDE_CHARS) {
                window.release(rules, out);
            }
        }
        self.release(rules, out)
    }

    pub fn finish(
        &mut self,
        rules: &Rules,
        work: &mut Work,
        findings: &Findings,
        out: &mut String,
    ) -> Verdict {
        let Self { reader, window } = self;
        reader.finish(&mut |read| window.take(read, rules, work, findings));
        window.finish(rules, work, findings);
        self.release(rules, out)
    }

    fn release(&mut self, rules: &Rules, out: &mut String) -> Verdict {
        self.window.release(rules, out);
        if self.window.is_stopped() { Verdict::Stop } else { Verdict::Pass }
    }
}

/// Which channels a screen looks at; others pass as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct LooksAt {
    pub texts: bool,
    pub arguments: bool,
}

/// The rules over one answer or one prompt.
#[derive(Debug)]
pub(super) struct RuleScreen {
    filter: Arc<Filter>,
    looks_at: LooksAt,
    findings: Arc<Findings>,
    open: Vec<(Channel, Stream)>,
    work: Work,
    stopped: bool,
}

impl RuleScreen {
    pub fn new(filter: &Arc<Filter>, findings: &Arc<Findings>, looks_at: LooksAt) -> Self {
        let work = Work::new(&filter.rules);
        let (filter, findings) = (Arc::clone(filter), Arc::clone(findings));
        Self { filter, looks_at, findings, open: Vec::new(), work, stopped: false }
    }

    fn looks_at(&self, channel: Channel) -> bool {
        match channel {
            Channel::Text | Channel::Thinking | Channel::Refusal => self.looks_at.texts,
            Channel::Arguments(_) => self.looks_at.arguments,
        }
    }

    fn note(&mut self, verdict: Verdict) -> Verdict {
        self.stopped |= verdict == Verdict::Stop;
        verdict
    }
}

impl Screen for RuleScreen {
    fn push(&mut self, channel: Channel, text: &str, out: &mut String) -> Verdict {
        if self.stopped {
            return Verdict::Stop;
        }
        if !self.looks_at(channel) {
            out.push_str(text);
            return Verdict::Pass;
        }
        let rules = &self.filter.rules;
        if !self.open.iter().any(|(of, _)| *of == channel) {
            if self.open.len() >= OPEN_MAX {
                return self.note(Verdict::Stop);
            }
            let json = matches!(channel, Channel::Arguments(_));
            self.open.push((channel, Stream::new(rules, json)));
        }
        let Some((_, stream)) = self.open.iter_mut().find(|(of, _)| *of == channel) else {
            return self.note(Verdict::Stop);
        };
        let verdict = stream.push(text, rules, &mut self.work, &self.findings, out);
        self.note(verdict)
    }

    fn finish(&mut self, channel: Channel, out: &mut String) -> Verdict {
        if self.stopped {
            return Verdict::Stop;
        }
        let Some(place) = self.open.iter().position(|(of, _)| *of == channel) else { return Verdict::Pass };
        let (_, mut stream) = self.open.swap_remove(place);
        let verdict = stream.finish(&self.filter.rules, &mut self.work, &self.findings, out);
        self.note(verdict)
    }
}
