//! What the texts of refusals mean, where runtimes of both dialects say the same in other words.
//!
//! Why texts at all: runtimes answer 400 or 500 to very different faults, and a caller can only act on a prompt that is
//! too long if it is told so. Status comes first everywhere; these texts decide only within one status.
//!
//! Never here: the upstream's words in what a caller is shown. Two numbers at most pass.

use std::borrow::Cow;

use crate::error::{UpstreamFault, UpstreamFaultKind};
use crate::json::{Broken, Kind, Reader};

const CONTEXT_TEXTS: &[&str] = &[
    "context length",
    "context size",
    "context window",
    "exceed_context_size",
    "prompt is too long",
    "prompt too long",
];

pub(crate) fn invalid(code: &'static str, param: Option<&'static str>) -> UpstreamFaultKind {
    UpstreamFaultKind::InvalidRequest { code, param }
}

/// A prompt beyond the model's context, whoever says it.
pub(crate) fn context_exceeded(text: &str) -> Option<UpstreamFault> {
    let lower = text.to_ascii_lowercase();
    CONTEXT_TEXTS.iter().any(|known| lower.contains(known)).then(|| {
        let message: Cow<'static, str> = match members(text).or_else(|| token_counts(&lower)) {
            Some((prompt, context)) => {
                format!("The prompt has {prompt} tokens; the model's context holds {context}. Shorten it.")
                    .into()
            }
            None => "The prompt is longer than the model's context. Shorten it.".into(),
        };
        UpstreamFault::saying(invalid("context_length_exceeded", Some("messages")), message, text)
    })
}

/// llama.cpp's own error object, which Ollama passes on as a string.
fn members(text: &str) -> Option<(u64, u64)> {
    let mut found = (None, None);
    let mut reader = Reader::over(text, 8);
    counts(&mut reader, &mut found).ok()?;
    found.0.zip(found.1)
}

fn counts(reader: &mut Reader<'_>, found: &mut (Option<u64>, Option<u64>)) -> Result<(), Broken> {
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("n_prompt_tokens", Kind::Number) => {
            found.0 = reader.number()?.parse().ok();
            Ok(())
        }
        ("n_ctx", Kind::Number) => {
            found.1 = reader.number()?.parse().ok();
            Ok(())
        }
        ("error", Kind::Object) => counts(reader, found),
        _ => reader.skip(),
    })
}

/// The two numbers that stand before the word "tokens": the larger is the prompt's.
fn token_counts(lower: &str) -> Option<(u64, u64)> {
    let mut numbers = lower.split("tokens").filter_map(|before| {
        let digits = before.trim_end();
        let start = digits.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        digits.get(start..)?.parse::<u64>().ok()
    });
    let (one, other) = (numbers.next()?, numbers.next()?);
    (one != other).then_some((one.max(other), one.min(other)))
}
