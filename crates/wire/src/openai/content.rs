//! Reads the content of a message: a string, or parts of text, images and sound.
//!
//! Why addresses are refused here, for every lane: whoever fetched one would fetch it from inside the network.
//!
//! Never here: bounds on images (`media`), what an image shows.

use std::borrow::Cow;

use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::media::Media;
use crate::request::Part;

const PREFIXES: &[&str] = &[
    "data:image/jpeg;base64,",
    "data:image/jpg;base64,",
    "data:image/png;base64,",
    "data:image/webp;base64,",
    "data:;base64,",
];

/// Parts of one message; text in so many pieces has no honest use.
pub(crate) const PARTS_MAX: usize = 4096;

pub(super) fn read<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    media: &mut Media<'_>,
) -> Result<Vec<Part<'a>>, Fault> {
    read_parts(body, at, |body, at| part(body, at, media))
}

/// A string, or a list of parts, each read by its dialect's own reader.
pub(crate) fn read_parts<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    mut part: impl FnMut(&mut Body<'a>, &Path<'_>) -> Result<Part<'a>, Fault>,
) -> Result<Vec<Part<'a>>, Fault> {
    match body.json.kind()? {
        Kind::String => {
            let text = body.string(at)?;
            Ok(vec![Part::Text(body.prompt(text))])
        }
        Kind::Array => {
            let mut parts = Vec::new();
            body.elements(at, PARTS_MAX, |body, index| {
                parts.push(part(body, &at.index(index))?);
                Ok(())
            })?;
            Ok(parts)
        }
        other => Err(wrong_type(at, "a string or an array of parts", noun(other))),
    }
}

#[derive(Default)]
struct Draft<'a> {
    kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    image: Option<Cow<'a, str>>,
    sound: Option<Cow<'a, str>>,
}

fn part<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Part<'a>, Fault> {
    let mut draft = Draft::default();
    body.members(at, &["type", "text", "refusal", "image_url", "input_audio"], |body, name| {
        let at = at.key(name);
        match name {
            "type" => draft.kind = Some(body.string(&at)?),
            "text" => draft.text = body.optional(|body| body.string(&at))?,
            "refusal" => draft.refusal = body.optional(|body| body.string(&at))?,
            "image_url" => draft.image = body.optional(|body| image(body, &at, media))?,
            _ => draft.sound = body.optional(|body| sound(body, &at, media))?,
        }
        Ok(())
    })?;
    let Some(kind) = draft.kind else { return Err(at.key("type").missing()) };
    match &*kind.decode() {
        "text" => text_part(body, draft.text, &at.key("text")),
        "refusal" => text_part(body, draft.refusal, &at.key("refusal")),
        "image_url" => draft.image.map(Part::Media).ok_or_else(|| at.key("image_url").missing()),
        "input_audio" => draft.sound.map(Part::Media).ok_or_else(|| at.key("input_audio").missing()),
        "file" => Err(at.fault("unsupported_value", "Files cannot be carried. Send text or images.")),
        _ => Err(at.key("type").invalid("expected 'text', 'image_url' or 'input_audio'")),
    }
}

fn text_part<'a>(body: &mut Body<'a>, text: Option<Text<'a>>, at: &Path<'_>) -> Result<Part<'a>, Fault> {
    text.map(|text| Part::Text(body.prompt(text))).ok_or_else(|| at.missing())
}

/// An object with the address, or the address alone, as Ollama's documentation writes it.
fn image<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Cow<'a, str>, Fault> {
    let url = match body.json.kind()? {
        Kind::String => Some(body.string(at)?),
        Kind::Object => {
            let mut url = None;
            body.members(at, &["url", "detail"], |body, name| match name {
                "url" => {
                    url = Some(body.string(&at.key("url"))?);
                    Ok(())
                }
                _ => body.ignore("messages[].content[].image_url.detail"),
            })?;
            url
        }
        other => return Err(wrong_type(at, "an object or a string", noun(other))),
    };
    data_url(url.ok_or_else(|| at.key("url").missing())?, at, media)
}

/// The base64 of a data URL, admitted.
pub(crate) fn data_url<'a>(
    url: Text<'a>,
    at: &Path<'_>,
    media: &mut Media<'_>,
) -> Result<Cow<'a, str>, Fault> {
    let url = url.decode();
    let Some(prefix) = PREFIXES.iter().find(|prefix| url.starts_with(**prefix)).copied() else {
        return Err(refused(at, &url));
    };
    let base64 = match url {
        Cow::Borrowed(url) => Cow::Borrowed(url.get(prefix.len()..).unwrap_or("")),
        Cow::Owned(url) => Cow::Owned(url.get(prefix.len()..).unwrap_or("").to_owned()),
    };
    media.admit(at, &base64)?;
    Ok(base64)
}

fn refused(at: &Path<'_>, url: &str) -> Fault {
    if url.starts_with("data:") {
        let message = "Invalid image input: expected base64 of a JPEG, PNG or WebP image.";
        return at.fault("invalid_image_format", message);
    }
    at.fault(
        "invalid_image_url",
        "Images are not fetched from addresses. Send a data URL (data:image/png;base64,...).",
    )
}

fn sound<'a>(body: &mut Body<'a>, at: &Path<'_>, media: &mut Media<'_>) -> Result<Cow<'a, str>, Fault> {
    let mut data = None;
    body.members(at, &["data", "format"], |body, name| match name {
        "data" => {
            data = Some(body.string(&at.key("data"))?.decode());
            Ok(())
        }
        // The container says it itself.
        _ => body.ignore("messages[].content[].input_audio.format"),
    })?;
    let data = data.ok_or_else(|| at.key("data").missing())?;
    media.admit(at, &data)?;
    Ok(data)
}
