//! Expressions as an operator writes them: parsed, folded like the text, and refused where they have no longest match.
//!
//! Why here: what is held back is as long as the longest match may become, so an expression without one would hold back
//! an answer to its end. That is said when the configuration is read, with the way to write it instead.
//!
//! Never here: matching.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use super::symbols::fold;

/// Longest match of one expression, in bytes of UTF-8.
const MATCH_BYTES_MAX: usize = 4_096;
const EXPRESSION_BYTES_MAX: usize = 16_384;
const NEST_MAX: u32 = 64;

/// An operator's expression; the error says what to write instead.
pub(super) fn bounded(text: &str) -> Result<Hir, String> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes"));
    }
    // Read as written first, so that a message quotes what the operator wrote.
    parse(text)?;
    let hir = parse(&folded(text))?;
    match (hir.properties().minimum_len(), hir.properties().maximum_len()) {
        (None, _) => Err("the expression can never match".to_owned()),
        (Some(0), _) => Err("the expression matches the empty text, so it would match everywhere".to_owned()),
        (_, None) => Err("the expression has no longest match, so an answer would have to wait for its end: \
                          write {0,40} instead of *, {1,40} instead of + and {3,40} instead of {3,}, with a bound that \
                          fits what is looked for"
            .to_owned()),
        (_, Some(longest)) if longest > MATCH_BYTES_MAX => {
            Err(format!("the longest match has {longest} bytes, more than {MATCH_BYTES_MAX}: write smaller bounds"))
        }
        _ => Ok(hir),
    }
}

pub(super) fn parse(text: &str) -> Result<Hir, String> {
    let parsed = ParserBuilder::new().nest_limit(NEST_MAX).build().parse(text);
    parsed.map_err(|error| match error {
        regex_syntax::Error::Parse(error) => {
            format!("{}, at character {}", error.kind(), error.span().start.column)
        }
        regex_syntax::Error::Translate(error) => {
            format!("{}, at character {}", error.kind(), error.span().start.column)
        }
        _ => "the expression cannot be read".to_owned(),
    })
}

/// The expression with its characters folded as the text's are; a character that folds to a sign of the expression
/// language keeps its meaning as a character.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match fold(c) {
            Some(same) if same == c => out.push(c),
            Some(other) => regex_syntax::escape_into(other.encode_utf8(&mut [0; 4]), &mut out),
            None => {}
        }
    }
    out
}
