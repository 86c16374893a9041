//! Reads a completions request: every field by name, each checked for type and range. The prompt becomes a user's message.
//!
//! One prompt, as text: several ones or tokens would be carried unseen, for they can neither be counted nor looked at.
//!
//! Never here: what an upstream supports.

use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Kind, Text};
use crate::openai::fields::{self, CHOICES_MAX};
use crate::request::{Extra, Message, ModelRequest, Part, ReadLimits, Role, SamplingDefaults};

/// What we act on or know by name; anything else is noted as unknown.
const KNOWN: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "n",
    "best_of",
    "logprobs",
    "echo",
    "logit_bias",
    "user",
    "keep_alive",
    "options",
    "num_ctx",
    "top_k",
    "min_p",
    "repeat_penalty",
    "think",
    "format",
    "truncate",
    "shift",
];

/// The walk over members keeps one bit for each.
const _: () = assert!(KNOWN.len() <= 64);

const BEST_OF_MAX: u64 = 20;
const LOGPROBS_MAX: u64 = 5;
/// One code for all that another server of this operation may do.
const UNSUPPORTED: &str = "unsupported_value";

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut request = ModelRequest::blank(Format::OpenAi, Operation::Complete, bytes);
    request.defaults = SamplingDefaults { temperature: true, top_p: true, penalties: true };
    body.members_and(&Path::Root, KNOWN, |body, name| match name {
        Name::Known(name) if fields::is_of_the_format(name) => member(body, name, &mut request),
        name => fields::outsider(body, name, &mut request.outsiders),
    })?;
    body.json.finish()?;
    fields::settle(&mut request, body)?;
    if request.messages.is_empty() {
        return Err(Path::Root.key("prompt").missing());
    }
    Ok(request)
}

fn member<'a>(body: &mut Body<'a>, name: &'static str, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    match name {
        "model" => fields::model(body, request)?,
        "prompt" => {
            if let Some(text) = body.optional(|body| prompt(body, &at))? {
                request.messages = vec![Message::plain(Role::User, vec![Part::Text(body.prompt(text))])];
            }
        }
        "suffix" => {
            let suffix = body.optional(|body| body.string(&at))?.filter(|suffix| !suffix.is_empty());
            request.suffix = suffix.map(|suffix| body.prompt(suffix));
        }
        "stream" => request.stream = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "stream_options" => fields::stream_options(body, request)?,
        "max_tokens" => {
            request.sampling.max_output_tokens = fields::cap(body, &at, &mut request.places)?;
        }
        "n" => request.choices = body.optional(|body| body.integer(&at, 1, CHOICES_MAX))?.unwrap_or(1),
        "best_of" => {
            request.drafts = body.optional(|body| body.integer(&at, 0, BEST_OF_MAX))?.unwrap_or(1);
            wish(request.drafts > 1, name, request);
        }
        "logprobs" => {
            request.top_logprobs = body.optional(|body| body.integer(&at, 0, LOGPROBS_MAX))?;
            request.logprobs = request.top_logprobs.is_some();
        }
        "echo" => {
            let asked = body.optional(|body| body.boolean(&at))?.unwrap_or(false);
            wish(asked, name, request);
        }
        "logit_bias" => fields::logit_bias(body, UNSUPPORTED, request)?,
        "temperature" | "top_p" | "frequency_penalty" | "presence_penalty" | "seed" | "stop" => {
            fields::sampling(body, name, &mut request.sampling)?;
        }
        _ => body.ignore(name)?,
    }
    Ok(())
}

/// What few dialects can express; the value that asks for nothing is none.
fn wish(asked: bool, field: &'static str, request: &mut ModelRequest<'_>) {
    if asked {
        request.extras.push(Extra { field, code: UNSUPPORTED });
    }
}

/// A text, or a list of one text.
fn prompt<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    let text = match body.json.kind()? {
        Kind::String => body.string(at)?,
        Kind::Array => only_one(body, at)?,
        other => return Err(wrong_type(at, "a string", noun(other))),
    };
    if text.is_empty() {
        // To a runtime it means to load the model and to say nothing.
        return Err(at.invalid("a text is expected"));
    }
    Ok(text)
}

fn only_one<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    let mut found = None;
    body.elements(at, usize::MAX, |body, index| {
        match body.json.kind()? {
            Kind::String if index == 0 => found = Some(body.string(&at.index(index))?),
            Kind::String => return Err(several(at)),
            Kind::Number | Kind::Array => return Err(tokens(at)),
            other => return Err(wrong_type(&at.index(index), "a string", noun(other))),
        }
        Ok(())
    })?;
    found.ok_or_else(|| at.fault("empty_array", format!("Invalid '{at}': empty array. A text is expected.")))
}

fn several(at: &Path<'_>) -> Fault {
    at.fault("unsupported_value", format!("'{at}' holds several texts. Send one request for each."))
}

fn tokens(at: &Path<'_>) -> Fault {
    at.fault("unsupported_value", format!("'{at}' holds tokens. Send it as text."))
}

#[cfg(test)]
mod tests;
