//! Reads what a message or a result of a tool holds: a string, or parts of text and images.
//!
//! Never here: bounds on images (`media`), what an image shows.

use std::borrow::Cow;

use crate::body::{Body, Path};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::media::Media;
use crate::openai::content::{data_url, read_parts};
use crate::request::Part;

pub(super) fn read<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    media: &mut Media<'_>,
) -> Result<Vec<Part<'a>>, Fault> {
    read_parts(body, at, |body, at| part(body, at, media))
}

/// A part as far as it is read: its type may come last.
#[derive(Default)]
struct Draft<'a> {
    kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    image: Option<Cow<'a, str>>,
    by_id: bool,
}

const PART: &[&str] = &[
    "type",
    "text",
    "refusal",
    "image_url",
    "detail",
    "file_id",
    "annotations",
    "logprobs",
    "prompt_cache_breakpoint",
    "filename",
    "file_data",
    "file_url",
];

fn part<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Part<'a>, Fault> {
    let mut draft = Draft::default();
    body.members(at, PART, |body, name| {
        let at = at.key(name);
        match name {
            "type" => draft.kind = Some(body.string(&at)?),
            "text" => draft.text = body.optional(|body| body.string(&at))?,
            "refusal" => draft.refusal = body.optional(|body| body.string(&at))?,
            "image_url" => {
                draft.image = body.optional(|body| data_url(body.string(&at)?, &at, media))?;
            }
            "detail" => body.ignore("input[].content[].detail")?,
            "prompt_cache_breakpoint" => body.ignore("input[].content[].prompt_cache_breakpoint")?,
            "file_id" => {
                draft.by_id = body.json.kind()? != Kind::Null;
                body.json.skip()?;
            }
            // An answer's part comes back with what we put there; a file is refused by its type.
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let Some(kind) = draft.kind else { return Err(at.key("type").missing()) };
    match &*kind.decode() {
        "input_text" | "output_text" => text_part(body, draft.text, &at.key("text")),
        "refusal" => text_part(body, draft.refusal, &at.key("refusal")),
        "input_image" => match draft.image {
            Some(image) => Ok(Part::Media(image)),
            None if draft.by_id => Err(kept_nowhere(&at.key("file_id"))),
            None => Err(at.key("image_url").missing()),
        },
        "input_file" => {
            Err(at.fault("unsupported_value", "Files cannot be carried. Send text or images as data URLs."))
        }
        _ => Err(at.key("type").invalid("expected 'input_text', 'output_text', 'refusal' or 'input_image'")),
    }
}

fn text_part<'a>(body: &mut Body<'a>, text: Option<Text<'a>>, at: &Path<'_>) -> Result<Part<'a>, Fault> {
    text.map(|text| Part::Text(body.prompt(text))).ok_or_else(|| at.missing())
}

fn kept_nowhere(at: &Path<'_>) -> Fault {
    at.fault("unsupported_value", "This gateway keeps no files. Send the image itself, as a data URL.")
}
