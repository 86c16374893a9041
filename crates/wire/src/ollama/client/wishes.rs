//! What bodies of this dialect have in common: the model, how the answer is to be, and what is wished of the runtime.
//!
//! Never here: what the model is asked (`message`, `generate`, `embed`).

use super::options;
use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::Kind;
use crate::media::Media;
use crate::request::{Effort, Joint, ModelRequest, Shape};

const TOP_LOGPROBS_MAX: u64 = 20;

pub(super) fn blank(operation: Operation, bytes: &[u8]) -> ModelRequest<'_> {
    let mut request = ModelRequest::blank(Format::Ollama, operation, bytes);
    request.joint = Joint::Nothing;
    request
}

/// A member that is read in the same way wherever it stands.
pub(super) fn member<'a>(
    body: &mut Body<'a>,
    name: &'static str,
    request: &mut ModelRequest<'a>,
) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    match name {
        "model" => model(body, &at, request)?,
        // Left out, it means yes.
        "stream" => request.stream = body.optional(|body| body.boolean(&at))?.unwrap_or(true),
        "format" => request.shape = body.optional(|body| shape(body, &at))?.unwrap_or_default(),
        "think" => request.effort = body.optional(|body| think(body, &at))?,
        "logprobs" => request.logprobs = body.optional(|body| body.boolean(&at))?.unwrap_or(false),
        "top_logprobs" => {
            request.top_logprobs = body.optional(|body| body.integer(&at, 0, TOP_LOGPROBS_MAX))?;
        }
        "options" => {
            body.optional(|body| options::read(body, &at, request))?;
        }
        // Of everybody's model, or of its safety: who may say so is decided when the request is written.
        name => body.outsider(name.into(), &mut request.outsiders)?,
    }
    Ok(())
}

fn model<'a>(body: &mut Body<'a>, at: &Path<'_>, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let start = body.json.position();
    if let Some(name) = body.optional(|body| body.string(at))? {
        request.model = name.decode();
        request.places.model = start..body.json.passed();
    }
    Ok(())
}

/// The empty word is how some clients say nothing.
fn shape<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Shape<'a>, Fault> {
    match body.json.kind()? {
        Kind::Object => {
            let schema = body.object(at)?;
            Ok(Shape::Schema(body.prompt_raw(schema)))
        }
        Kind::String => match &*body.string(at)?.decode() {
            "" => Ok(Shape::Text),
            "json" => Ok(Shape::Json),
            _ => Err(at.invalid("expected 'json' or a JSON schema")),
        },
        other => Err(wrong_type(at, "'json' or a JSON schema", noun(other))),
    }
}

fn think(body: &mut Body<'_>, at: &Path<'_>) -> Result<Effort, Fault> {
    match body.json.kind()? {
        Kind::Bool => Ok(if body.boolean(at)? { Effort::Some } else { Effort::None }),
        Kind::String => match &*body.string(at)?.decode() {
            "low" => Ok(Effort::Low),
            "medium" => Ok(Effort::Medium),
            "high" => Ok(Effort::High),
            "max" => Ok(Effort::Max),
            _ => Err(at.invalid("expected true, false, 'low', 'medium', 'high' or 'max'")),
        },
        other => Err(wrong_type(at, "a boolean or a string", noun(other))),
    }
}

/// The end of the body, and what must hold of all of it.
pub(super) fn settle<'a>(
    mut request: ModelRequest<'a>,
    mut body: Body<'a>,
    media: &Media<'_>,
) -> Result<ModelRequest<'a>, Fault> {
    body.json.finish()?;
    if request.model.is_empty() {
        return Err(Path::Root.key("model").missing());
    }
    if !request.logprobs && request.top_logprobs.take().is_some_and(|count| count > 0) {
        body.drop_field("top_logprobs");
    }
    body.hand_over(&mut request);
    request.images = media.count();
    Ok(request)
}
