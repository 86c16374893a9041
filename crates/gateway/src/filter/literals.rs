//! Many fixed texts at once, without case.
//!
//! Why here: lists of words run to thousands, and a machine that knows the longest end of a text that begins one of them
//! needs one state for all. The machine is the library's; what is added is how long that end is.
//!
//! Never here: borders of words. A literal is found inside words too; an expression can say more.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::{Builder, NFA};
use aho_corasick::{Anchored, MatchKind};

use super::symbols::{fold, lower};

const LITERAL_CHARS_MAX: usize = 256;
const LITERALS_BYTES_MAX: usize = 4 << 20;

/// The literals of all rules with one action.
#[derive(Debug)]
pub(super) struct Literals {
    nfa: NFA,
    start: StateID,
    /// Of every state that a whole character leads to: characters since the literal began that it may become.
    depths: Vec<u16>,
    /// Rule and length in characters of each literal.
    owners: Vec<(u16, u16)>,
}

/// Collects literals.
#[derive(Debug, Default)]
pub(super) struct List {
    texts: Vec<String>,
    owners: Vec<(u16, u16)>,
    bytes: usize,
}

impl List {
    pub fn add(&mut self, rule: u16, literal: &str) -> Result<(), String> {
        let text: String = literal.chars().filter_map(fold).map(lower).collect();
        let chars = text.chars().count();
        if chars == 0 {
            return Err("a literal is empty, or has no visible character".to_owned());
        }
        let len = u16::try_from(chars).ok().filter(|_| chars <= LITERAL_CHARS_MAX);
        let len =
            len.ok_or_else(|| format!("a literal has {chars} characters, more than {LITERAL_CHARS_MAX}"))?;
        self.bytes += text.len();
        if self.bytes > LITERALS_BYTES_MAX {
            return Err(format!("the literals have more than {LITERALS_BYTES_MAX} bytes together"));
        }
        self.texts.push(text);
        self.owners.push((rule, len));
        Ok(())
    }

    /// `None` where there are none.
    pub fn build(self) -> Result<Option<Literals>, String> {
        if self.texts.is_empty() {
            return Ok(None);
        }
        let failed = |_| super::TOO_LARGE.to_owned();
        let nfa = Builder::new().match_kind(MatchKind::Standard).prefilter(false).build(&self.texts);
        let nfa = nfa.map_err(failed)?;
        let start = nfa.start_state(Anchored::No).map_err(|error| error.to_string())?;
        let mut depths = Vec::new();
        for text in &self.texts {
            let mut state = start;
            for (c, depth) in text.chars().zip(1..) {
                state = step(&nfa, state, c);
                if depths.len() <= state.as_usize() {
                    depths.resize(state.as_usize() + 1, 0);
                }
                if let Some(at) = depths.get_mut(state.as_usize()) {
                    *at = depth;
                }
            }
        }
        Ok(Some(Literals { nfa, start, depths, owners: self.owners }))
    }
}

impl Literals {
    pub fn start(&self) -> StateID {
        self.start
    }

    pub fn step(&self, state: StateID, c: char) -> StateID {
        step(&self.nfa, state, lower(c))
    }

    /// Symbols at the end of the text that a literal may begin with.
    pub fn depth(&self, state: StateID) -> u16 {
        self.depths.get(state.as_usize()).copied().unwrap_or(0)
    }

    /// Rule and length of every literal that the text now ends with.
    pub fn ends(&self, state: StateID) -> impl Iterator<Item = (u16, u16)> {
        let count = if self.nfa.is_match(state) { self.nfa.match_len(state) } else { 0 };
        (0..count).filter_map(move |index| {
            self.owners.get(self.nfa.match_pattern(state, index).as_usize()).copied()
        })
    }
}

fn step(nfa: &NFA, state: StateID, c: char) -> StateID {
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).bytes();
    bytes.fold(state, |state, byte| nfa.next_state(Anchored::No, state, byte))
}
