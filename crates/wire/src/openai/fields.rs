//! Members of a request that mean the same in each of this format's operations, and what is done with those that none knows.
//!
//! Why here: a chat, a completion and a list of texts are read by readers of their own, but who may ask for which cap, how a
//! stream's options are spliced and what counts as outside the format must not differ between them.
//!
//! Never here: a member that only one operation has.

use crate::body::{Body, Name, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::request::{Extra, ModelRequest, Outsider, Places, Sampling, UsagePlace};

/// Known by name in every operation, and only to runtimes: nobody may send it who was not allowed to.
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
pub(crate) fn extension(name: &str) -> &'static str {
    EXTENSIONS.iter().copied().find(|known| *known == name).unwrap_or("(unknown)")
}

/// Largest number of tokens that is taken: what runtimes hold in a signed 32-bit number.
const TOKENS_MAX: u64 = i32::MAX as u64;
pub(crate) const CHOICES_MAX: u64 = 128;
pub(crate) const STOPS_MAX: usize = 64;

/// Whether a name that a reader knows belongs to the format, or to runtimes only.
pub(crate) fn is_of_the_format(name: &str) -> bool {
    !EXTENSIONS.contains(&name)
}

/// Keeps a member apart that is outside the format: who may send which is decided when the request is written.
pub(crate) fn outsider<'a>(
    body: &mut Body<'a>,
    name: Name<'a>,
    outsiders: &mut Vec<Outsider<'a>>,
) -> Result<(), Fault> {
    match name {
        Name::Known(name) => body.outsider(name.into(), outsiders),
        Name::Other(name) => body.outsider(name, outsiders),
    }
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

pub(crate) fn stream_options<'a>(body: &mut Body<'a>, request: &mut ModelRequest<'a>) -> Result<(), Fault> {
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
    let cap = body.optional(|body| body.integer(at, 1, TOKENS_MAX))?;
    places.caps.push((start..body.json.passed(), cap));
    Ok(cap)
}

pub(crate) fn sampling<'a>(
    body: &mut Body<'a>,
    name: &'static str,
    sampling: &mut Sampling<'a>,
) -> Result<(), Fault> {
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

/// A map that asks for nothing asks for nothing; any other is a wish that few dialects can express.
pub(crate) fn logit_bias<'a>(
    body: &mut Body<'a>,
    code: &'static str,
    request: &mut ModelRequest<'a>,
) -> Result<(), Fault> {
    let at = Path::Root.key("logit_bias");
    if body.optional(|body| body.object(&at))?.is_some_and(|map| !map.is_hollow()) {
        request.extras.push(Extra { field: "logit_bias", code });
    }
    Ok(())
}

/// What the walk has noticed becomes the request's; a request without a model is none.
pub(crate) fn settle<'a>(request: &mut ModelRequest<'a>, body: Body<'a>) -> Result<(), Fault> {
    if request.places.model.is_empty() {
        return Err(Path::Root.key("model").missing());
    }
    body.hand_over(request);
    Ok(())
}
