//! Reads an embeddings request: every field by name, each checked for type and range. Each text becomes a user's message.
//!
//! Texts only: tokens of a tokenizer that the model does not have would give vectors of something else, and nobody could look
//! at them.
//!
//! Never here: what an upstream supports.

use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::{Format, Operation};
use crate::json::{Kind, Text};
use crate::openai::fields;
use crate::request::{Message, ModelRequest, Part, ReadLimits, Role};

/// What we act on or know by name; anything else is noted as unknown.
const KNOWN: &[&str] = &[
    "model",
    "input",
    "dimensions",
    "encoding_format",
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

/// As many as the format allows.
const INPUTS_MAX: usize = 2048;
/// What runtimes hold in a signed 32-bit number.
const DIMENSIONS_MAX: u64 = i32::MAX as u64;

pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<ModelRequest<'a>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut request = ModelRequest::blank(Format::OpenAi, Operation::Embed, bytes);
    body.members_and(&Path::Root, KNOWN, |body, name| match name {
        Name::Known(name) if fields::is_of_the_format(name) => member(body, name, &mut request),
        name => fields::outsider(body, name, &mut request.outsiders),
    })?;
    body.json.finish()?;
    fields::settle(&mut request, body)?;
    if request.messages.is_empty() {
        return Err(Path::Root.key("input").missing());
    }
    Ok(request)
}

fn member<'a>(body: &mut Body<'a>, name: &'static str, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let at = Path::Root.key(name);
    match name {
        "model" => fields::model(body, request)?,
        "input" => {
            body.optional(|body| input(body, &at, request))?;
        }
        "dimensions" => {
            request.embedding.dimensions = body.optional(|body| body.integer(&at, 1, DIMENSIONS_MAX))?;
        }
        "encoding_format" => {
            request.manner.base64 = body.optional(|body| is_base64(body, &at))?.unwrap_or(false);
        }
        _ => body.ignore(name)?,
    }
    Ok(())
}

fn input<'a>(body: &mut Body<'a>, at: &Path<'_>, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
    let mut take = |body: &mut Body<'a>, text: Text<'a>| {
        request.messages.push(Message::plain(Role::User, vec![Part::Text(body.prompt(text))]));
    };
    match body.json.kind()? {
        Kind::String => {
            let text = body.string(at)?;
            take(body, text);
            request.embedding.single = true;
            Ok(())
        }
        Kind::Array => body.elements(at, INPUTS_MAX, |body, index| {
            let at_index = at.index(index);
            match body.json.kind()? {
                Kind::String => {
                    let text = body.string(&at_index)?;
                    take(body, text);
                    Ok(())
                }
                Kind::Number | Kind::Array => Err(tokens(at)),
                other => Err(wrong_type(&at_index, "a string", noun(other))),
            }
        }),
        other => Err(wrong_type(at, "a string or an array of strings", noun(other))),
    }
}

fn tokens(at: &Path<'_>) -> Fault {
    let message = format!(
        "'{at}' holds tokens. Send it as text (in LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))."
    );
    at.fault("unsupported_value", message)
}

/// SDKs ask for base64 by themselves and take floats where they did not.
fn is_base64(body: &mut Body<'_>, at: &Path<'_>) -> Result<bool, Fault> {
    let word = body.string(at)?.decode();
    match word {
        word if word.eq_ignore_ascii_case("float") => Ok(false),
        word if word.eq_ignore_ascii_case("base64") => Ok(true),
        _ => Err(at.invalid("expected 'float' or 'base64'")),
    }
}

#[cfg(test)]
mod tests;
