//! Reads a chat completions request: every field by name, each checked for type and range.
//!
//! What this dialect allows and another cannot express is kept in the request and refused by that dialect's writer.
//!
//! Never here: what an upstream supports.

use super::fields::{self, CHOICES_MAX, STOPS_MAX, cap, sampling};
use super::message;
use super::tools;
use crate::body::{Body, Name, Path};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Kind, Raw};
use crate::media::Media;
use crate::request::{Effort, Extra, ModelRequest, ReadLimits, SamplingDefaults, Shape};

/// What we act on or know by name; anything else is noted as unknown.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "n",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "reasoning_effort",
    "reasoning",
    "logit_bias",
    "prediction",
    "audio",
    "web_search_options",
    "modalities",
    "parallel_tool_calls",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "verbosity",
    "moderation",
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

pub(crate) const TOP_LOGPROBS_MAX: u64 = 20;

/// The request as far as it is read, with pairs of fields that are settled at the end.
struct Draft<'a> {
    request: ModelRequest<'a>,
    max_tokens: Option<u64>,
    nested_effort: Option<Effort>,
}

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut media = Media::new(limits);
    let mut request = ModelRequest::blank(Format::OpenAi, Operation::Chat, bytes);
    request.defaults = SamplingDefaults { temperature: true, top_p: true, penalties: false };
    let mut draft = Draft { request, max_tokens: None, nested_effort: None };
    body.members_and(&Path::Root, KNOWN, |body, name| match name {
        Name::Known(name) if fields::is_of_the_format(name) => {
            member(body, name, &mut draft, &mut media, limits)
        }
        name => fields::outsider(body, name, &mut draft.request.outsiders),
    })?;
    body.json.finish()?;
    settle(draft, body, &media)
}

fn settle<'a>(draft: Draft<'a>, body: Body<'a>, media: &Media<'_>) -> Result<ModelRequest<'a>, Fault> {
    let Draft { mut request, max_tokens, nested_effort } = draft;
    fields::settle(&mut request, body)?;
    if request.messages.is_empty() {
        return Err(Path::Root.key("messages").missing());
    }
    if request.top_logprobs.is_some() && !request.logprobs {
        return Err(Path::Root.key("top_logprobs").invalid("it needs 'logprobs' to be true"));
    }
    request.sampling.max_output_tokens = request.sampling.max_output_tokens.or(max_tokens);
    request.effort = request.effort.or(nested_effort);
    request.images = media.count();
    Ok(request)
}

fn member<'a>(
    body: &mut Body<'a>,
    name: &'static str,
    draft: &mut Draft<'a>,
    media: &mut Media<'_>,
    limits: &ReadLimits,
) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    let request = &mut draft.request;
    match name {
        "model" => fields::model(body, request)?,
        "messages" => request.messages = message::list(body, &at, limits, media)?,
        "stream" => request.stream = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "stream_options" => fields::stream_options(body, request)?,
        "max_completion_tokens" => {
            request.sampling.max_output_tokens = cap(body, &at, &mut request.places)?;
        }
        "max_tokens" => draft.max_tokens = cap(body, &at, &mut request.places)?,
        "n" => request.choices = body.optional(|body| body.integer(&at, 1, CHOICES_MAX))?.unwrap_or(1),
        "logprobs" => request.logprobs = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "top_logprobs" => {
            request.top_logprobs = body.optional(|body| body.integer(&at, 0, TOP_LOGPROBS_MAX))?;
        }
        "response_format" => request.shape = body.optional(|body| shape(body, &at))?.unwrap_or_default(),
        "tools" => {
            request.tools = body.optional(|body| tools::list(body, &at, limits.tools))?.unwrap_or_default();
        }
        "tool_choice" => {
            request.tool_choice = body.optional(|body| tools::choice(body, &at))?.unwrap_or_default();
        }
        "reasoning_effort" => request.effort = body.optional(|body| effort(body, &at))?,
        "reasoning" => draft.nested_effort = nested_effort(body, &at)?,
        "temperature" | "top_p" | "frequency_penalty" | "presence_penalty" | "seed" | "stop" => {
            sampling(body, name, &mut request.sampling)?;
        }
        "logit_bias" => fields::logit_bias(body, "unsupported_parameter", request)?,
        "functions" | "function_call" | "prediction" | "audio" | "web_search_options" | "modalities" => {
            extra(body, name, request)?;
        }
        _ => body.ignore(name)?,
    }
    Ok(())
}

fn shape<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Shape<'a>, Fault> {
    let mut kind = None;
    let mut schema = None;
    let mut described = false;
    body.members(at, &["type", "json_schema"], |body, name| {
        if name == "type" {
            kind = Some(body.string(&at.key("type"))?.decode());
            return Ok(());
        }
        described = body.json.kind()? != Kind::Null;
        schema = body.optional(|body| json_schema(body, &at.key("json_schema")))?.flatten();
        Ok(())
    })?;
    match kind.as_deref() {
        Some("text") => Ok(Shape::Text),
        Some("json_object") => Ok(Shape::Json),
        Some("json_schema") => match schema {
            Some(schema) => Ok(Shape::Schema(schema)),
            None if described => Err(at.key("json_schema").key("schema").missing()),
            None => Err(at.key("json_schema").missing()),
        },
        Some(_) => Err(at.key("type").invalid("expected 'text', 'json_object' or 'json_schema'")),
        None => Err(at.key("type").missing()),
    }
}

fn json_schema<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Option<Raw<'a>>, Fault> {
    let mut schema = None;
    body.members(at, &["schema", "name", "description", "strict"], |body, name| match name {
        "schema" => {
            schema = body.optional(|body| body.object(&at.key("schema")))?.map(|raw| body.prompt_raw(raw));
            Ok(())
        }
        "name" => body.ignore("response_format.json_schema.name"),
        "description" => body.ignore("response_format.json_schema.description"),
        _ => body.ignore("response_format.json_schema.strict"),
    })?;
    Ok(schema)
}

pub(crate) fn effort(body: &mut Body<'_>, at: &Path<'_>) -> Result<Effort, Fault> {
    match &*body.string(at)?.decode() {
        "none" => Ok(Effort::None),
        "minimal" | "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" => Ok(Effort::High),
        "xhigh" | "ultra" | "max" => Ok(Effort::Max),
        _ => Err(at.invalid("expected 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'")),
    }
}

fn nested_effort(body: &mut Body<'_>, at: &Path<'_>) -> Result<Option<Effort>, Fault> {
    let mut found = None;
    body.optional(|body| {
        body.members(at, &["effort", "summary"], |body, name| {
            if name == "summary" {
                return body.ignore("reasoning.summary");
            }
            found = body.optional(|body| effort(body, &at.key("effort")))?;
            Ok(())
        })
    })?;
    Ok(found)
}

/// A wish that few dialects can express. An empty one asks for nothing.
fn extra<'a>(body: &mut Body<'a>, name: &'static str, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    let asked = match name {
        "modalities" => body.optional(|body| modalities(body, &at))?.unwrap_or(false),
        // Both are read by the model where they are taken at all.
        "functions" => unheld(body, request, |body| body.array(&at))?.is_some_and(|list| !list.is_hollow()),
        "prediction" => unheld(body, request, |body| Ok(body.json.raw()?))?.is_some(),
        _ => {
            let asked = body.json.kind()? != Kind::Null;
            body.json.skip()?;
            asked
        }
    };
    if asked {
        let code = if name == "modalities" { "unsupported_value" } else { "unsupported_parameter" };
        request.extras.push(Extra { field: name, code });
    }
    Ok(())
}

/// Counts what is kept nowhere but in the body.
fn unheld<'a>(
    body: &mut Body<'a>,
    request: &mut ModelRequest<'a>,
    read: impl FnOnce(&mut Body<'a>) -> Result<Raw<'a>, Fault>,
) -> Result<Option<Raw<'a>>, Fault> {
    let value = body.optional(read)?.map(|value| body.prompt_raw(value));
    request.unheld_bytes = request.unheld_bytes.saturating_add(value.map_or(0, |raw| raw.as_str().len()));
    Ok(value)
}

/// Whether anything but text is asked for.
fn modalities(body: &mut Body<'_>, at: &Path<'_>) -> Result<bool, Fault> {
    let mut other = false;
    body.elements(at, STOPS_MAX, |body, index| {
        other |= body.string(&at.index(index))?.decode() != "text";
        Ok(())
    })?;
    Ok(other)
}

#[cfg(test)]
mod tests;
