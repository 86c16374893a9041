//! Reads a Messages request, to be answered or only counted: every field by name, each checked for type and range.
//!
//! What steers Anthropic's own servers (caches, tiers, regions, containers) is noted and left out. What the answer depends
//! on and no upstream can give (servers of tools, threads kept elsewhere) is for the writers to refuse.
//!
//! Never here: what an upstream supports.

use super::{block, message, tools};
use crate::body::{Body, Name, Path};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Kind, Raw, Text};
use crate::media::Media;
use crate::request::{
    Effort, Extra, Joint, Message, ModelRequest, Part, ReadLimits, Role, Sampling, Shape, ToolChoice,
};

/// What we act on or know by name; anything else is noted as unknown.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "mcp_servers",
    "thread",
    "metadata",
    "cache_control",
    "service_tier",
    "container",
    "context_management",
    "compaction",
    "inference_geo",
    "speed",
    "diagnostics",
    "fallbacks",
    "fallback_credit_token",
    "billing_policy",
    "betas",
    "anthropic_beta",
    "anthropic_version",
    "user_profile_id",
    "workspace_id",
    "keep_alive",
    "options",
    "num_ctx",
    "min_p",
    "repeat_penalty",
    "think",
    "format",
    "truncate",
    "shift",
];

/// Of those, what only runtimes know: nobody may send it who was not allowed to.
const EXTENSIONS: &[&str] =
    &["keep_alive", "options", "num_ctx", "min_p", "repeat_penalty", "think", "format", "truncate", "shift"];

/// The walk over members keeps one bit for each.
const _: () = assert!(KNOWN.len() <= 64);

/// Largest cap on an answer: what runtimes hold in a signed 32-bit number.
const OUTPUT_TOKENS_MAX: u64 = i32::MAX as u64;
const TOP_K_MAX: i64 = i32::MAX as i64;
const STOPS_MAX: usize = 64;

/// The request as far as it is read, with what is settled at the end.
struct Draft<'a> {
    request: ModelRequest<'a>,
    system: Vec<Part<'a>>,
    thinking: Option<Thinking>,
    effort: Option<Effort>,
    /// From `output_config.format` and from the older `output_format`.
    schemas: [Option<Raw<'a>>; 2],
}

/// Whether to think. Anything between the two is the model's own choice.
#[derive(Clone, Copy)]
enum Thinking {
    Enabled,
    Disabled,
}

pub(crate) fn read<'a>(
    operation: Operation,
    bytes: &'a [u8],
    limits: &ReadLimits,
) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut media = Media::new(limits);
    let mut request = ModelRequest::blank(Format::Anthropic, operation, bytes);
    request.joint = Joint::Nothing;
    let mut draft = Draft { request, system: Vec::new(), thinking: None, effort: None, schemas: [None; 2] };
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

fn settle<'a>(draft: Draft<'a>, mut body: Body<'a>, media: &Media<'_>) -> Result<ModelRequest<'a>, Fault> {
    let Draft { mut request, system, thinking, effort, schemas } = draft;
    if request.model.is_empty() {
        return Err(Path::Root.key("model").missing());
    }
    if request.messages.is_empty() {
        return Err(Path::Root.key("messages").missing());
    }
    if request.operation == Operation::Chat && request.sampling.max_output_tokens.is_none() {
        return Err(Path::Root.key("max_tokens").missing());
    }
    tools::settle(&request.tool_choice, &request.tools)?;
    if !system.is_empty() {
        request.messages.insert(0, Message::plain(Role::System, system));
    }
    request.effort = match thinking {
        None => effort,
        Some(said) => {
            if effort.is_some() {
                body.drop_field("output_config.effort");
            }
            Some(if matches!(said, Thinking::Enabled) { Effort::Some } else { Effort::None })
        }
    };
    request.shape = match schemas {
        [Some(_), Some(_)] => {
            let message = "A format is given in 'output_config' and in 'output_format'.";
            return Err(Path::Root.key("output_format").fault("duplicate_parameter", message));
        }
        [newer, older] => newer.or(older).map_or(Shape::Text, Shape::Schema),
    };
    body.hand_over(&mut request);
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
        "messages" => {
            let messages = body.optional(|body| message::list(body, &at, limits, media))?;
            request.messages = messages.unwrap_or_default();
        }
        "system" => draft.system = body.optional(|body| block::texts(body, &at))?.unwrap_or_default(),
        "stream" => request.stream = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "max_tokens" | "temperature" | "top_p" | "top_k" | "stop_sequences" => {
            sampling(body, name, &mut request.sampling)?;
        }
        "tools" => {
            request.tools = body.optional(|body| tools::list(body, &at, limits.tools))?.unwrap_or_default();
        }
        "tool_choice" => {
            let choice = body.optional(|body| tools::choice(body, &at))?;
            request.tool_choice = choice.unwrap_or(ToolChoice::Auto);
        }
        "thinking" => draft.thinking = body.optional(|body| thinking(body, &at))?.flatten(),
        "output_config" => output_config(body, &at, draft)?,
        "output_format" => draft.schemas[1] = body.optional(|body| format(body, &at))?,
        "mcp_servers" => {
            let asked = body.optional(|body| body.array(&at))?.is_some_and(|list| !list.is_hollow());
            extra(name, asked, request);
        }
        "thread" => {
            let asked = body.json.kind()? != Kind::Null;
            body.json.skip()?;
            extra(name, asked, request);
        }
        _ => body.ignore(name)?,
    }
    Ok(())
}

fn model<'a>(body: &mut Body<'a>, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let at = Path::Root.key("model");
    let Some(name) = body.optional(|body| body.string(&at))? else { return Ok(()) };
    if name.is_empty() {
        return Err(at.invalid("a model's name is expected"));
    }
    request.model = name.decode();
    Ok(())
}

fn extra(field: &'static str, asked: bool, request: &mut ModelRequest<'_>) {
    if asked {
        request.extras.push(Extra { field, code: "unsupported_parameter" });
    }
}

fn sampling<'a>(body: &mut Body<'a>, name: &'static str, sampling: &mut Sampling<'a>) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    match name {
        "max_tokens" => {
            sampling.max_output_tokens = body.optional(|body| body.integer(&at, 1, OUTPUT_TOKENS_MAX))?;
        }
        // 1 is Anthropic's own bound, which no upstream shares.
        "temperature" => sampling.temperature = body.optional(|body| body.number(&at, 0.0, 2.0))?,
        "top_p" => sampling.top_p = body.optional(|body| body.number(&at, 0.0, 1.0))?,
        "top_k" => sampling.top_k = body.optional(|body| top_k(body, &at))?,
        _ => sampling.stop = body.optional(|body| stops(body, &at))?.unwrap_or_default(),
    }
    Ok(())
}

fn top_k<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<&'a str, Fault> {
    let written = body.signed(at)?;
    match written.parse::<i64>() {
        Ok(0..=TOP_K_MAX) => Ok(written),
        _ => Err(at.invalid(&format!("expected an integer from 0 to {TOP_K_MAX}"))),
    }
}

fn stops<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<Text<'a>>, Fault> {
    let mut stops = Vec::new();
    body.elements(at, STOPS_MAX, |body, index| {
        let stop = body.string(&at.index(index))?;
        if stop.is_empty() {
            // It is found in every text: the answer would end before it begins.
            body.drop_field("stop_sequences");
        } else {
            stops.push(stop);
        }
        Ok(())
    })?;
    Ok(stops)
}

fn thinking(body: &mut Body<'_>, at: &Path<'_>) -> Result<Option<Thinking>, Fault> {
    let mut kind = None;
    body.members(at, &["type", "budget_tokens", "display"], |body, name| match name {
        "type" => {
            kind = body.optional(|body| body.string(&at.key("type")))?;
            Ok(())
        }
        "budget_tokens" => body.ignore("thinking.budget_tokens"),
        _ => body.ignore("thinking.display"),
    })?;
    match &*kind.ok_or_else(|| at.key("type").missing())?.decode() {
        "enabled" => Ok(Some(Thinking::Enabled)),
        "disabled" => Ok(Some(Thinking::Disabled)),
        "adaptive" | "between_tools" => Ok(None),
        _ => Err(at.key("type").invalid("expected 'enabled', 'disabled' or 'adaptive'")),
    }
}

fn output_config<'a>(body: &mut Body<'a>, at: &Path<'_>, draft: &mut Draft<'a>) -> Result<(), Fault> {
    body.optional(|body| {
        body.members(at, &["effort", "format"], |body, name| {
            let at = at.key(name);
            match name {
                "effort" => draft.effort = body.optional(|body| effort(body, &at))?,
                _ => draft.schemas[0] = body.optional(|body| format(body, &at))?,
            }
            Ok(())
        })
    })?;
    Ok(())
}

fn effort(body: &mut Body<'_>, at: &Path<'_>) -> Result<Effort, Fault> {
    match &*body.string(at)?.decode() {
        "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        // Not the most: `max` is above it here, and runtimes before Ollama 0.22 do not know that word.
        "high" | "xhigh" => Ok(Effort::High),
        "max" => Ok(Effort::Max),
        _ => Err(at.invalid("expected 'low', 'medium', 'high', 'xhigh' or 'max'")),
    }
}

fn format<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Raw<'a>, Fault> {
    let mut kind = None;
    let mut schema = None;
    body.members(at, &["type", "schema"], |body, name| {
        let at = at.key(name);
        match name {
            "type" => kind = body.optional(|body| body.string(&at))?,
            _ => schema = body.optional(|body| body.object(&at))?,
        }
        Ok(())
    })?;
    if kind.ok_or_else(|| at.key("type").missing())?.decode() != "json_schema" {
        return Err(at.key("type").invalid("expected 'json_schema'"));
    }
    let schema = schema.ok_or_else(|| at.key("schema").missing())?;
    Ok(body.prompt_raw(schema))
}

#[cfg(test)]
mod tests;
