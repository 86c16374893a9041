//! Reads a request for a response: every member by name, each checked for type and range.
//!
//! What needs something kept on the server is refused here, for no upstream of ours could do it; what only steers OpenAI's
//! own service is noted as dropped.
//!
//! Never here: what an upstream supports.

use super::echo::Echo;
use super::{input, tools};
use crate::body::{Body, Name, Path};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Kind, Raw, Text};
use crate::media::Media;
use crate::openai::fields::{EXTENSIONS, cap, model};
use crate::openai::request::{TOP_LOGPROBS_MAX, effort};
use crate::request::{Effort, Joint, Message, ModelRequest, Part, ReadLimits, Role, SamplingDefaults, Shape};

/// What we act on or know by name; anything else is noted as unknown.
const KNOWN: &[&str] = &[
    "model",
    "input",
    "instructions",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_tool_calls",
    "reasoning",
    "text",
    "temperature",
    "top_p",
    "top_logprobs",
    "max_output_tokens",
    "include",
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "store",
    "metadata",
    "truncation",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "background_options",
    "context_management",
    "moderation",
    "access_programs",
    "image",
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

/// More has no honest use.
const INCLUDES_MAX: usize = 64;

/// The request as far as it is read, with what is settled at the end.
struct Draft<'a> {
    request: ModelRequest<'a>,
    instructions: Option<Text<'a>>,
    echo: Echo<'a>,
}

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut media = Media::new(limits);
    let mut request = ModelRequest::blank(Format::Responses, Operation::Chat, bytes);
    request.joint = Joint::Nothing;
    request.defaults = SamplingDefaults { temperature: true, top_p: false, penalties: false };
    let mut draft = Draft { request, instructions: None, echo: Echo::default() };
    body.members_and(&Path::Root, KNOWN, |body, name| match name {
        Name::Known(name) if !EXTENSIONS.contains(&name) => {
            let start = body.json.position();
            member(body, name, &mut draft, &mut media, limits)?;
            draft.echo.note(name, body.json.between(start, body.json.passed()));
            Ok(())
        }
        Name::Known(name) => body.outsider(name.into(), &mut draft.request.outsiders),
        Name::Other(name) => body.outsider(name, &mut draft.request.outsiders),
    })?;
    body.json.finish()?;
    settle(draft, body, &media)
}

fn settle<'a>(draft: Draft<'a>, mut body: Body<'a>, media: &Media<'_>) -> Result<ModelRequest<'a>, Fault> {
    let Draft { mut request, instructions, echo } = draft;
    if request.places.model.is_empty() {
        return Err(Path::Root.key("model").missing());
    }
    // Without a message a runtime would only load the model.
    if request.messages.is_empty() {
        return Err(Path::Root.key("input").missing());
    }
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        let parts = vec![Part::Text(body.prompt(text))];
        request.messages.insert(0, Message::plain(Role::System, parts));
    }
    // How many, of what was not asked for.
    if request.top_logprobs.is_some() && !request.logprobs {
        request.top_logprobs = None;
        body.drop_field("top_logprobs");
    }
    request.manner.echo = Some(echo.written());
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
        "input" => input::read(body, &at, request, media, limits)?,
        "instructions" => draft.instructions = body.optional(|body| body.string(&at))?,
        "stream" => request.stream = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "stream_options" => stream_options(body, &at)?,
        "tools" => tools::read(body, &at, request, limits.tools)?,
        "tool_choice" => {
            request.tool_choice = body.optional(|body| tools::choice(body, &at))?.unwrap_or_default();
        }
        "reasoning" => request.effort = body.optional(|body| reasoning(body, &at))?.flatten(),
        "text" => request.shape = body.optional(|body| text(body, &at))?.unwrap_or_default(),
        "temperature" => request.sampling.temperature = body.optional(|body| body.number(&at, 0.0, 2.0))?,
        "top_p" => request.sampling.top_p = body.optional(|body| body.number(&at, 0.0, 1.0))?,
        "top_logprobs" => {
            request.top_logprobs = body.optional(|body| body.integer(&at, 0, TOP_LOGPROBS_MAX))?;
        }
        "max_output_tokens" => {
            request.sampling.max_output_tokens = cap(body, &at, &mut request.places)?;
        }
        "include" => include(body, &at, request)?,
        _ => service(body, name, &at)?,
    }
    Ok(())
}

/// What concerns OpenAI's service and not the answer.
fn service(body: &mut Body<'_>, name: &'static str, at: &Path<'_>) -> Result<(), Fault> {
    match name {
        "previous_response_id" | "conversation" if body.json.kind()? != Kind::Null => {
            Err(stateless(at, "send the whole conversation in 'input'"))
        }
        "prompt" if body.json.kind()? != Kind::Null => {
            Err(stateless(at, "write the prompt out in 'instructions' and 'input'"))
        }
        "background" => match body.optional(|body| body.boolean(at))? {
            Some(true) => Err(stateless(at, "wait for the answer, or read it as a stream")),
            _ => Ok(()),
        },
        "store" => {
            // False is what happens anyway.
            if body.optional(|body| body.boolean(at))? == Some(true) {
                body.drop_field(name);
            }
            Ok(())
        }
        "truncation" => truncation(body, at),
        "metadata" => noted(body, name, |body| body.object(at).map(drop)),
        "parallel_tool_calls" => noted(body, name, |body| body.boolean(at).map(drop)),
        "max_tool_calls" => noted(body, name, |body| body.integer(at, 0, u32::MAX.into()).map(drop)),
        "user" | "safety_identifier" | "prompt_cache_key" => {
            noted(body, name, |body| body.string(at).map(drop))
        }
        _ => body.ignore(name),
    }
}

/// What the answer repeats has the right type, although nobody acts on it.
fn noted<'a>(
    body: &mut Body<'a>,
    name: &'static str,
    read: impl FnOnce(&mut Body<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if body.optional(read)?.is_some() {
        body.drop_field(name);
    }
    Ok(())
}

fn stateless(at: &Path<'_>, instead: &str) -> Fault {
    let message =
        format!("'{at}' is not supported: this gateway keeps no state between requests. Instead, {instead}.");
    at.fault("unsupported_parameter", message)
}

fn truncation(body: &mut Body<'_>, at: &Path<'_>) -> Result<(), Fault> {
    match body.optional(|body| body.string(at))?.map(Text::decode).as_deref() {
        None | Some("disabled") => {}
        Some("auto") => body.drop_field("truncation"),
        Some(_) => return Err(at.invalid("expected 'auto' or 'disabled'")),
    }
    Ok(())
}

fn stream_options(body: &mut Body<'_>, at: &Path<'_>) -> Result<(), Fault> {
    body.optional(|body| {
        body.members(at, &["include_obfuscation"], |body, _| {
            body.ignore("stream_options.include_obfuscation")
        })
    })?;
    Ok(())
}

fn include(body: &mut Body<'_>, at: &Path<'_>, request: &mut ModelRequest<'_>) -> Result<(), Fault> {
    body.optional(|body| {
        body.elements(at, INCLUDES_MAX, |body, index| {
            match &*body.string(&at.index(index))?.decode() {
                "reasoning.encrypted_content" => request.manner.sealed_reasoning = true,
                "message.output_text.logprobs" => request.logprobs = true,
                _ => body.drop_field("include"),
            }
            Ok(())
        })
    })?;
    Ok(())
}

const REASONING: &[&str] = &["effort", "summary", "generate_summary", "context", "mode"];

fn reasoning(body: &mut Body<'_>, at: &Path<'_>) -> Result<Option<Effort>, Fault> {
    let mut found = None;
    body.members(at, REASONING, |body, name| {
        match name {
            "effort" => found = body.optional(|body| effort(body, &at.key("effort")))?,
            // Whoever thinks says all of it.
            "summary" => body.ignore("reasoning.summary")?,
            "generate_summary" => body.ignore("reasoning.generate_summary")?,
            "context" => body.ignore("reasoning.context")?,
            _ => body.ignore("reasoning.mode")?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn text<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Shape<'a>, Fault> {
    let mut found = Shape::Text;
    body.members(at, &["format", "verbosity"], |body, name| {
        if name == "verbosity" {
            return body.ignore("text.verbosity");
        }
        found = body.optional(|body| shape(body, &at.key("format")))?.unwrap_or_default();
        Ok(())
    })?;
    Ok(found)
}

const FORMAT: &[&str] = &["type", "schema", "name", "description", "strict"];

fn shape<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Shape<'a>, Fault> {
    let mut kind = None;
    let mut schema: Option<Raw<'a>> = None;
    body.members(at, FORMAT, |body, name| {
        match name {
            "type" => kind = Some(body.string(&at.key("type"))?.decode()),
            "schema" => schema = body.optional(|body| body.object(&at.key("schema")))?,
            "name" => body.ignore("text.format.name")?,
            "description" => body.ignore("text.format.description")?,
            _ => body.ignore("text.format.strict")?,
        }
        Ok(())
    })?;
    match kind.as_deref() {
        Some("text") => Ok(Shape::Text),
        Some("json_object") => Ok(Shape::Json),
        Some("json_schema") => match schema {
            Some(schema) => Ok(Shape::Schema(body.prompt_raw(schema))),
            None => Err(at.key("schema").missing()),
        },
        Some(_) => Err(at.key("type").invalid("expected 'text', 'json_object' or 'json_schema'")),
        None => Err(at.key("type").missing()),
    }
}

#[cfg(test)]
mod tests;
