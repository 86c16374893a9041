//! What an expression that comes with the program consists of.
//!
//! Why here: secrets and numbers of people are written in the same four parts, and in nothing else of each other.
//!
//! Never here: an expression.

use super::expression::parse;
use super::program::{Program, Source};

/// One form. Unlike an operator's, it may go on without bound where its beginning is enough to know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Builtin {
    pub text: &'static str,
    /// A class of characters; none of them may stand directly before.
    pub not_after: Option<&'static str>,
    /// The same behind it.
    pub not_before: Option<&'static str>,
    pub valid: Option<fn(&[u8]) -> bool>,
}

impl Builtin {
    pub fn add_to(&self, program: &mut Program, rule: u16) -> Result<(), String> {
        let hir = parse(self.text)?;
        let not_after = self.not_after.map(parse).transpose()?;
        let not_before = self.not_before.map(parse).transpose()?;
        let source = Source {
            hir: &hir,
            not_after: not_after.as_ref(),
            not_before: not_before.as_ref(),
            valid: self.valid,
        };
        program.add(rule, source).map_err(|_| super::TOO_LARGE.to_owned())
    }
}
