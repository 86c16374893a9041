//! Reads a chat completions request: every field by name, each checked for type and range.
//!
//! What this dialect allows and another cannot express is kept in the request and refused by that dialect's writer.
//!
//! Never here: what an upstream supports.

use super::message;
use super::tools;
use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Kind, Raw, Text};
use crate::media::Media;
use crate::request::{
    Effort, Extra, ModelRequest, Places, ReadLimits, Sampling, SamplingDefaults, Shape, UsagePlace,
};

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

/// Of those, what only runtimes know: nobody may send it who was not allowed to.
pub(crate) const EXTENSIONS: &[&str] = &[
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

/// Its name in the list of what was dropped.
pub(super) fn extension(name: &str) -> &'static str {
    EXTENSIONS.iter().copied().find(|known| *known == name).unwrap_or("(unknown)")
}

/// The walk over members keeps one bit for each.
const _: () = assert!(KNOWN.len() <= 64);

/// Largest cap on an answer: what runtimes hold in a signed 32-bit number.
const OUTPUT_TOKENS_MAX: u64 = i32::MAX as u64;
const CHOICES_MAX: u64 = 128;
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
        Name::Known(name) if !EXTENSIONS.contains(&name) => {
            member(body, name, &mut draft, &mut media, limits)
        }
        Name::Known(name) => body.outsider(name.into(), &mut draft.request.outsiders),
        Name::Other(name) => body.outsider(name, &mut draft.request.outsiders),
    })?;
    body.json.finish()?;
    settle(draft, body, &media)
}

fn settle<'a>(draft: Draft<'a>, body: Body<'a>, media: &Media<'_>) -> Result<ModelRequest<'a>, Fault> {
    let Draft { mut request, max_tokens, nested_effort } = draft;
    if request.places.model.is_empty() {
        return Err(Path::Root.key("model").missing());
    }
    if request.messages.is_empty() {
        return Err(Path::Root.key("messages").missing());
    }
    if request.top_logprobs.is_some() && !request.logprobs {
        return Err(Path::Root.key("top_logprobs").invalid("it needs 'logprobs' to be true"));
    }
    request.sampling.max_output_tokens = request.sampling.max_output_tokens.or(max_tokens);
    request.effort = request.effort.or(nested_effort);
    request.dropped = body.dropped;
    request.look_alike = body.look_alike;
    request.prompt_chars = body.prompt_chars;
    request.prompt_bytes = body.prompt_bytes;
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
        "model" => model(body, request)?,
        "messages" => request.messages = message::list(body, &at, limits, media)?,
        "stream" => request.stream = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "stream_options" => stream_options(body, request)?,
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
        "logit_bias" | "functions" | "function_call" | "prediction" | "audio" | "web_search_options"
        | "modalities" => {
            extra(body, name, request)?;
        }
        _ => body.ignore(name)?,
    }
    Ok(())
}

pub(crate) fn model<'a>(body: &mut Body<'a>, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let at = Path::Root.key("model");
    let start = body.json.position();
    let Some(name) = body.optional(|body| body.string(&at))? else { return Ok(()) };
    if name.is_empty() {
        return Err(at.invalid("a model's name is expected"));
    }
    request.model = name.decode();
    request.places.model = start..body.json.passed();
    Ok(())
}

fn stream_options<'a>(body: &mut Body<'a>, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let at = Path::Root.key("stream_options");
    let start = body.json.position();
    if body.json.kind()? == Kind::Null {
        body.json.null()?;
        request.places.usage = UsagePlace::Null(start..body.json.passed());
        return Ok(());
    }
    let mut flag = None;
    body.members(&at, &["include_usage", "include_obfuscation"], |body, name| {
        if name != "include_usage" {
            return body.ignore("stream_options.include_obfuscation");
        }
        let start = body.json.position();
        let wanted = body.optional(|body| body.boolean(&at.key("include_usage")))?;
        request.include_usage = wanted.unwrap_or(false);
        flag = Some(start..body.json.passed());
        Ok(())
    })?;
    let inside = start + 1..body.json.passed() - 1;
    let alone = body.json.between(inside.start, inside.end).trim_ascii().is_empty();
    request.places.usage = flag.map_or(UsagePlace::Object { at: inside.start, alone }, UsagePlace::Flag);
    Ok(())
}

pub(crate) fn cap(body: &mut Body<'_>, at: &Path<'_>, places: &mut Places) -> Result<Option<u64>, Fault> {
    let start = body.json.position();
    let cap = body.optional(|body| body.integer(at, 1, OUTPUT_TOKENS_MAX))?;
    places.caps.push((start..body.json.passed(), cap));
    Ok(cap)
}

fn sampling<'a>(body: &mut Body<'a>, name: &'static str, sampling: &mut Sampling<'a>) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    match name {
        "temperature" => sampling.temperature = body.optional(|body| body.number(&at, 0.0, 2.0))?,
        "top_p" => sampling.top_p = body.optional(|body| body.number(&at, 0.0, 1.0))?,
        "frequency_penalty" => {
            sampling.frequency_penalty = body.optional(|body| body.number(&at, -2.0, 2.0))?;
        }
        "presence_penalty" => {
            sampling.presence_penalty = body.optional(|body| body.number(&at, -2.0, 2.0))?;
        }
        "seed" => sampling.seed = body.optional(|body| body.signed(&at))?,
        _ => sampling.stop = body.optional(|body| stop(body, &at))?.unwrap_or_default(),
    }
    Ok(())
}

fn stop<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<Text<'a>>, Fault> {
    let mut stops = Vec::new();
    match body.json.kind()? {
        Kind::String => stops.push(body.string(at)?),
        Kind::Array => body.elements(at, STOPS_MAX, |body, index| {
            stops.push(body.string(&at.index(index))?);
            Ok(())
        })?,
        other => return Err(wrong_type(at, "a string or an array of strings", noun(other))),
    }
    let given = stops.len();
    // An empty one is found in every text: the answer would end before it begins.
    stops.retain(|stop| !stop.is_empty());
    if stops.len() < given {
        body.drop_field("stop");
    }
    Ok(stops)
}

const STOPS_MAX: usize = 64;

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
        "logit_bias" => body.optional(|body| body.object(&at))?.is_some_and(|map| !map.is_hollow()),
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
