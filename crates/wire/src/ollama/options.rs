//! Ollama's own fields: what a caller asked for by them, and what the gateway wants of the runtime.
//!
//! Why one table: a field that is not in it cannot be written, whatever an operator allows. So nobody reaches `raw`,
//! `template`, `system`, `context` or the runtime's debugging, and a field of a later release waits until it is understood.
//!
//! Never here: fields that the client's own format knows.

use super::duration::is_duration;
use crate::error::Fault;
use crate::json::{Kind, Raw, Reader, write};
use crate::request::{Dropped, ModelRequest, Outbound, Outsider, note};

/// What a value must be.
#[derive(Clone, Copy)]
enum Rule {
    Whole(i64, i64),
    Number(f64, f64),
    Flag,
}

const TOKENS_MAX: i64 = i32::MAX as i64;

/// Members of `options`: name, name in the list of what was dropped, rule. What loads the model anew (`num_ctx`, `num_gpu`,
/// `num_thread`, ...) is here as well: whether it passes is the operator's word.
const OPTIONS: &[(&str, &str, Rule)] = &[
    ("num_ctx", "options.num_ctx", Rule::Whole(1, TOKENS_MAX)),
    ("num_predict", "options.num_predict", Rule::Whole(1, TOKENS_MAX)),
    ("num_keep", "options.num_keep", Rule::Whole(-1, TOKENS_MAX)),
    ("seed", "options.seed", Rule::Whole(i64::MIN, i64::MAX)),
    ("temperature", "options.temperature", Rule::Number(0.0, 2.0)),
    ("top_k", "options.top_k", Rule::Whole(0, TOKENS_MAX)),
    ("top_p", "options.top_p", Rule::Number(0.0, 1.0)),
    ("min_p", "options.min_p", Rule::Number(0.0, 1.0)),
    ("typical_p", "options.typical_p", Rule::Number(0.0, 1.0)),
    ("repeat_last_n", "options.repeat_last_n", Rule::Whole(-1, TOKENS_MAX)),
    ("repeat_penalty", "options.repeat_penalty", Rule::Number(0.0, 10.0)),
    ("presence_penalty", "options.presence_penalty", Rule::Number(-2.0, 2.0)),
    ("frequency_penalty", "options.frequency_penalty", Rule::Number(-2.0, 2.0)),
    ("num_batch", "options.num_batch", Rule::Whole(1, TOKENS_MAX)),
    ("num_gpu", "options.num_gpu", Rule::Whole(-1, TOKENS_MAX)),
    ("main_gpu", "options.main_gpu", Rule::Whole(0, 1024)),
    ("num_thread", "options.num_thread", Rule::Whole(0, 4096)),
    ("use_mmap", "options.use_mmap", Rule::Flag),
];

/// Those of them that stand at the top of the body too: the name stands for both places.
const AT_TOP: &[&str] = &["num_ctx", "top_k", "min_p", "repeat_penalty"];

/// What a caller asked for and may have.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    pub(super) keep_alive: Option<Raw<'a>>,
    pub(super) think: Option<Raw<'a>>,
    pub(super) format: Option<Raw<'a>>,
    pub(super) truncate: Option<Raw<'a>>,
    pub(super) shift: Option<Raw<'a>>,
    pub(super) options: Vec<(&'static str, &'a str)>,
}

impl<'a> Asked<'a> {
    /// Reads what is outside the client's format; what may not pass is noted as dropped.
    pub(super) fn read(
        request: &'a ModelRequest<'_>,
        to: &Outbound<'_>,
        dropped: &mut Dropped,
    ) -> Result<Self, Fault> {
        let mut asked = Self::default();
        // What the client's own dialect lets everybody say of the answer.
        asked.options.extend(request.sampling.further.iter().copied());
        for (name, value) in &request.runtime {
            let full = OPTIONS.iter().find(|(known, ..)| known == name).map_or(*name, |(_, full, _)| *full);
            asked.one(name, full, *value, to, dropped)?;
        }
        for outsider in request.outsiders.iter().filter(|outsider| !outsider.is_null()) {
            asked.take(outsider, to, dropped)?;
        }
        Ok(asked)
    }

    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        self.options.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn take(
        &mut self,
        outsider: &'a Outsider<'_>,
        to: &Outbound<'_>,
        dropped: &mut Dropped,
    ) -> Result<(), Fault> {
        let value = outsider.value;
        let (slot, name): (&mut Option<Raw<'a>>, _) = match &*outsider.name {
            "options" => return self.members(value, to, dropped),
            "keep_alive" => (&mut self.keep_alive, "keep_alive"),
            "think" => (&mut self.think, "think"),
            "format" => (&mut self.format, "format"),
            "truncate" => (&mut self.truncate, "truncate"),
            "shift" => (&mut self.shift, "shift"),
            name => {
                let Some(name) = AT_TOP.iter().copied().find(|known| *known == name) else {
                    note(dropped, "(unknown)");
                    return Ok(());
                };
                return self.one(name, name, value, to, dropped);
            }
        };
        if !allowed(to, name) {
            note(dropped, name);
            return Ok(());
        }
        let fits = match name {
            "keep_alive" => is_keep_alive(value),
            "think" => {
                matches!(value.as_str(), "true" | "false" | "\"low\"" | "\"medium\"" | "\"high\"" | "\"max\"")
            }
            "format" => value.as_str() == "\"json\"" || kind(value) == Some(Kind::Object),
            _ => kind(value) == Some(Kind::Bool),
        };
        if !fits {
            return Err(Fault::new("invalid_value", name, format!("Invalid value for '{name}'.")));
        }
        *slot = Some(value);
        Ok(())
    }

    fn members(&mut self, value: Raw<'a>, to: &Outbound<'_>, dropped: &mut Dropped) -> Result<(), Fault> {
        if kind(value) != Some(Kind::Object) {
            note(dropped, "options");
            return Ok(());
        }
        let mut reader = Reader::over(value.as_str(), usize::MAX);
        reader.object(|reader, key| {
            let value = reader.raw()?;
            match OPTIONS.iter().find(|(name, _, _)| *name == key.decode()) {
                Some((name, full, _)) if value.as_str() != "null" => self.one(name, full, value, to, dropped),
                Some(_) => Ok(()),
                None => {
                    note(dropped, "options");
                    Ok(())
                }
            }
        })
    }

    fn one(
        &mut self,
        name: &'static str,
        full: &'static str,
        value: Raw<'a>,
        to: &Outbound<'_>,
        dropped: &mut Dropped,
    ) -> Result<(), Fault> {
        if !allowed(to, name) {
            note(dropped, full);
            return Ok(());
        }
        if self.option(name).is_some() {
            return Err(twice(name));
        }
        let value = admit(name, value.as_str()).map_err(|why| invalid(full, &why))?;
        self.options.push((name, value));
        Ok(())
    }
}

/// An option's value as it is written on, or what is expected instead.
pub(super) fn admit<'a>(name: &str, written: &'a str) -> Result<&'a str, String> {
    let rule = OPTIONS.iter().find(|(known, ..)| *known == name).map(|(.., rule)| *rule);
    let rule = rule.ok_or_else(|| "no such option is known".to_owned())?;
    rule.admit(written).ok_or_else(|| rule.expected())
}

impl Rule {
    fn admit(self, written: &str) -> Option<&str> {
        match self {
            Self::Whole(min, max) => {
                let whole = without_point(written);
                let fits = whole.parse::<i64>().is_ok_and(|value| (min..=max).contains(&value));
                fits.then_some(whole)
            }
            Self::Number(min, max) => {
                let fits = written.parse::<f64>().is_ok_and(|value| value >= min && value <= max);
                fits.then_some(written)
            }
            Self::Flag => Some(written).filter(|word| matches!(*word, "true" | "false")),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Whole(i64::MIN, _) => "expected an integer of 64 bits".into(),
            Self::Whole(min, max) => format!("expected an integer from {min} to {max}"),
            Self::Number(min, max) => format!("expected a number from {min} to {max}"),
            Self::Flag => "expected true or false".into(),
        }
    }
}

/// Some clients write every number with a point, and Ollama's decoder takes `8.0` for 8.
fn without_point(written: &str) -> &str {
    match written.split_once('.') {
        Some((whole, rest)) if rest.bytes().all(|digit| digit == b'0') => whole,
        _ => written,
    }
}

fn allowed(to: &Outbound<'_>, name: &str) -> bool {
    to.options.iter().any(|allowed| allowed == name)
}

fn kind(value: Raw<'_>) -> Option<Kind> {
    Reader::over(value.as_str(), 1).kind().ok()
}

fn invalid(name: &'static str, why: &str) -> Fault {
    Fault::new("invalid_value", name, format!("Invalid value for '{name}': {why}."))
}

/// One wish in two places could mean two things.
pub(super) fn twice(name: &'static str) -> Fault {
    Fault::new("duplicate_parameter", name, format!("'{name}' is given twice."))
}

/// Seconds, also with a fraction: a client that types the field as a float writes `300.0`.
fn is_keep_alive(value: Raw<'_>) -> bool {
    match kind(value) {
        Some(Kind::Number) => value.as_str().parse::<f64>().is_ok_and(f64::is_finite),
        Some(Kind::String) => value.as_str().get(1..value.as_str().len() - 1).is_some_and(is_duration),
        _ => false,
    }
}

/// The gateway's wish for how long a model stays: a duration as Ollama writes it, or bare seconds, negative for ever.
pub(super) fn write_keep_alive(keep_alive: Option<&str>, out: &mut Vec<u8>) {
    let Some(time) = keep_alive else { return };
    out.extend_from_slice(b",\"keep_alive\":");
    match time.parse::<i64>() {
        Ok(seconds) => out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes()),
        Err(_) => write::string(out, time),
    }
}

#[cfg(test)]
mod tests;
