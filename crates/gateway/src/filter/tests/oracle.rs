//! The meaning of the rules, written a second time: over a whole text, with the regex library's own automata and loops.

use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, MatchKind, util::start};
use regex_syntax::hir::{Class, ClassUnicode, HirKind};

use super::super::builtin::Builtin;
use super::super::expression::parse;
use super::super::numbers::{BANK_CARD, MOBILE, RESIDENT_ID};
use super::super::secrets::SECRETS;
use super::super::symbols::{fold, lower};
use crate::config::{FilterAction, FilterRule, Pattern};

/// One expression.
struct Form {
    dfa: dense::DFA<Vec<u32>>,
    not_after: Option<ClassUnicode>,
    not_before: Option<ClassUnicode>,
    valid: Option<fn(&[u8]) -> bool>,
}

/// What looks for one rule.
enum Looks {
    Literals(Vec<Vec<char>>),
    Forms(Vec<Form>),
}

pub struct Oracle {
    rules: Vec<(FilterAction, Looks)>,
}

#[derive(Clone, Copy, Debug)]
struct Match {
    action: FilterAction,
    start: usize,
    end: usize,
    /// Symbols that must be known to decide.
    known_at: usize,
}

/// The text as symbols: each with its source and the invisible source after it.
struct Symbols<'a> {
    before: Vec<&'a str>,
    list: Vec<(char, &'a str, Vec<&'a str>)>,
    folded: String,
    /// Byte of each symbol in `folded`, and its length.
    bytes: Vec<usize>,
}

impl<'a> Symbols<'a> {
    fn new(text: &'a str) -> Self {
        let (mut before, mut list) = (Vec::new(), Vec::<(char, &str, Vec<&str>)>::new());
        for (at, c) in text.char_indices() {
            let source = &text[at..at + c.len_utf8()];
            match (fold(c), list.last_mut()) {
                (Some(folded), _) => list.push((folded, source, Vec::new())),
                (None, Some(last)) => last.2.push(source),
                (None, None) => before.push(source),
            }
        }
        let folded: String = list.iter().map(|(c, ..)| *c).collect();
        let mut bytes: Vec<usize> = folded.char_indices().map(|(at, _)| at).collect();
        bytes.push(folded.len());
        Self { before, list, folded, bytes }
    }

    fn at(&self, symbol: usize) -> Option<char> {
        self.list.get(symbol).map(|(c, ..)| *c)
    }
}

fn dfa(text: &str) -> dense::DFA<Vec<u32>> {
    let config =
        dense::Config::new().match_kind(MatchKind::All).start_kind(regex_automata::dfa::StartKind::Anchored);
    dense::Builder::new().configure(config).build(text).expect("an expression of the test")
}

fn form(builtin: &Builtin) -> Form {
    Form {
        dfa: dfa(builtin.text),
        not_after: builtin.not_after.map(class),
        not_before: builtin.not_before.map(class),
        valid: builtin.valid,
    }
}

fn class(text: &str) -> ClassUnicode {
    let hir = parse(text).expect("a class");
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        panic!("{text} is no class of characters")
    };
    class.clone()
}

fn in_class(class: Option<&ClassUnicode>, c: Option<char>) -> bool {
    let (Some(class), Some(c)) = (class, c) else { return false };
    class.iter().any(|range| (range.start()..=range.end()).contains(&c))
}

impl Form {
    fn start(&self, symbols: &Symbols<'_>, from: usize) -> StateID {
        let mut config = start::Config::new().anchored(Anchored::Yes);
        let from = symbols.bytes[from];
        config = config.look_behind(from.checked_sub(1).map(|at| symbols.folded.as_bytes()[at]));
        self.dfa.start_state(&config).expect("anchored")
    }

    fn matches(&self, symbols: &Symbols<'_>, action: FilterAction, all: &mut Vec<Match>) {
        for start in 0..symbols.list.len() {
            if in_class(self.not_after.as_ref(), start.checked_sub(1).and_then(|at| symbols.at(at))) {
                continue;
            }
            let mut state = self.start(symbols, start);
            for end in start + 1..=symbols.list.len() {
                let span = symbols.bytes[start]..symbols.bytes[end];
                for byte in symbols.folded[symbols.bytes[end - 1]..symbols.bytes[end]].bytes() {
                    state = self.dfa.next_state(state, byte);
                }
                if self.dfa.is_dead_state(state) {
                    break;
                }
                let ended = self.dfa.next_eoi_state(state);
                let ended = match symbols.folded.as_bytes().get(span.end) {
                    Some(byte) => self.dfa.next_state(state, *byte),
                    None => ended,
                };
                let bordered = !in_class(self.not_before.as_ref(), symbols.at(end));
                let text = &symbols.folded.as_bytes()[span];
                if self.dfa.is_match_state(ended) && bordered && self.valid.is_none_or(|valid| valid(text)) {
                    let known_at = end + usize::from(self.not_before.is_some());
                    all.push(Match { action, start, end, known_at });
                }
            }
        }
    }

    /// Whether a match that begins here may still come, or wait for its border, when so many symbols are known.
    fn is_possible(&self, symbols: &Symbols<'_>, start: usize, known: usize) -> bool {
        if in_class(self.not_after.as_ref(), start.checked_sub(1).and_then(|at| symbols.at(at))) {
            return false;
        }
        let mut state = self.start(symbols, start);
        for byte in symbols.folded[symbols.bytes[start]..symbols.bytes[known]].bytes() {
            state = self.dfa.next_state(state, byte);
        }
        if self.not_before.is_some() && self.dfa.is_match_state(self.dfa.next_eoi_state(state)) {
            return true;
        }
        let one_of_each: Vec<u8> =
            self.dfa.byte_classes().representatives(0..=255).filter_map(|unit| unit.as_u8()).collect();
        one_of_each.iter().any(|byte| {
            let next = self.dfa.next_state(state, *byte);
            self.dfa.is_match_state(self.dfa.next_eoi_state(next))
                || one_of_each.iter().any(|byte| !self.dfa.is_dead_state(self.dfa.next_state(next, *byte)))
        })
    }
}

impl Looks {
    fn matches(&self, symbols: &Symbols<'_>, action: FilterAction, all: &mut Vec<Match>) {
        match self {
            Self::Forms(forms) => forms.iter().for_each(|form| form.matches(symbols, action, all)),
            Self::Literals(texts) => {
                let text: Vec<char> = symbols.list.iter().map(|(c, ..)| lower(*c)).collect();
                for literal in texts {
                    for (start, window) in text.windows(literal.len()).enumerate() {
                        let end = start + literal.len();
                        if window == literal.as_slice() {
                            all.push(Match { action, start, end, known_at: end });
                        }
                    }
                }
            }
        }
    }

    fn is_possible(&self, symbols: &Symbols<'_>, start: usize, known: usize) -> bool {
        match self {
            Self::Forms(forms) => forms.iter().any(|form| form.is_possible(symbols, start, known)),
            Self::Literals(texts) => {
                let text: Vec<char> = symbols.list[start..known].iter().map(|(c, ..)| lower(*c)).collect();
                texts.iter().any(|literal| literal.starts_with(&text))
            }
        }
    }
}

impl Oracle {
    pub fn new(rules: &[FilterRule]) -> Self {
        let looks = |rule: &FilterRule| match &rule.looks_for {
            Pattern::Literals(texts) => {
                let folded = |text: &String| text.chars().filter_map(fold).map(lower).collect();
                Looks::Literals(texts.iter().map(folded).collect())
            }
            Pattern::Expression(text) => {
                Looks::Forms(vec![Form { dfa: dfa(text), not_after: None, not_before: None, valid: None }])
            }
            // The two with long optional parts make automata of many megabytes.
            Pattern::Secrets => {
                let small = |form: &&Builtin| !form.text.contains("BEGIN") && !form.text.contains("2000");
                Looks::Forms(SECRETS.iter().filter(small).map(form).collect())
            }
            Pattern::ResidentId => Looks::Forms(RESIDENT_ID.iter().map(form).collect()),
            Pattern::MobileNumber => Looks::Forms(MOBILE.iter().map(form).collect()),
            Pattern::BankCard => Looks::Forms(BANK_CARD.iter().map(form).collect()),
        };
        Self { rules: rules.iter().map(|rule| (rule.action, looks(rule))).collect() }
    }

    /// What must come out, and whether it was stopped.
    pub fn outcome(&self, text: &str) -> (String, bool) {
        let symbols = Symbols::new(text);
        let mut all = Vec::new();
        for (action, looks) in &self.rules {
            looks.matches(&symbols, *action, &mut all);
        }
        let stops = || all.iter().filter(|found| found.action == FilterAction::Stop);
        let Some(stopped_at) = stops().map(|found| found.known_at).min() else {
            return (render(&symbols, &all, symbols.list.len()), false);
        };
        let known = stopped_at.min(symbols.list.len());
        all.retain(|found| found.known_at <= stopped_at);
        let stops = all.iter().filter(|found| found.action == FilterAction::Stop);
        let mut cut = stops.map(|found| found.start).min().expect("there is one");
        if stopped_at <= symbols.list.len() {
            cut = self.first_undecided(&symbols, &all, known).min(cut);
        }
        (render(&symbols, &all, cut), true)
    }

    /// What must have left, no more and no less, when so much of a text is known and nothing stops it.
    pub fn released(&self, text: &str) -> String {
        let symbols = Symbols::new(text);
        let (mut all, known) = (Vec::new(), symbols.list.len());
        for (action, looks) in &self.rules {
            looks.matches(&symbols, *action, &mut all);
        }
        all.retain(|found| found.known_at <= known);
        render(&symbols, &all, self.first_undecided(&symbols, &all, known))
    }

    fn first_undecided(&self, symbols: &Symbols<'_>, all: &[Match], known: usize) -> usize {
        let possible = |action, start| {
            let mut rules = self.rules.iter().filter(|(of, _)| *of == action);
            rules.any(|(_, looks)| looks.is_possible(symbols, start, known))
        };
        let stop = (0..known).find(|start| possible(FilterAction::Stop, *start)).unwrap_or(known);
        let mask = (0..known).find(|start| possible(FilterAction::Mask, *start)).unwrap_or(known);
        let open = (mask..known).find(|at| !is_masked(all, *at, *at)).unwrap_or(known);
        stop.min(open)
    }
}

fn is_masked(all: &[Match], first: usize, last: usize) -> bool {
    let masks = |found: &&Match| found.action == FilterAction::Mask;
    // Of matches that share a symbol every gap is inside of one.
    all.iter().filter(masks).any(|found| found.start <= first && last < found.end)
}

fn render(symbols: &Symbols<'_>, all: &[Match], cut: usize) -> String {
    let mut out = symbols.before.concat();
    for (at, (_, source, hidden)) in symbols.list.iter().enumerate().take(cut) {
        out.push_str(if is_masked(all, at, at) { "*" } else { source });
        for source in hidden {
            out.push_str(if is_masked(all, at, at + 1) { "*" } else { source });
        }
    }
    out
}
