//! Reads tool definitions and the choice among them.
//!
//! Functions are flat here, and may stand in a namespace: upstreams know no such thing and are told a longer name, which is
//! taken apart again when it is called. Tools that OpenAI's servers run are left out: an upstream would either not know them
//! or run them somewhere else.
//!
//! Never here: calls (they are items of the input).

use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::openai::tools::{ALLOWED_MAX, choice_word};
use crate::reply::Spaced;
use crate::request::{ModelRequest, Tool, ToolChoice};

/// Between a namespace and a name.
const DOT: char = '.';

pub(super) fn read<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
    count_max: usize,
) -> Result<(), Fault> {
    let mut full = Vec::new();
    body.optional(|body| {
        body.elements(at, count_max, |body, index| {
            tool(body, &at.index(index), request, count_max, &mut full)
        })
    })?;
    request.manner.spaced = (!full.is_empty()).then(|| full.into());
    Ok(())
}

fn tool<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
    count_max: usize,
    full: &mut Vec<Spaced>,
) -> Result<(), Fault> {
    if body.ahead(at, "type")?.is_some_and(|kind| kind.decode() == "namespace") {
        return namespace(body, at, request, count_max, full);
    }
    single(body, at, request).map(drop)
}

/// A function, whose name is given back, or a tool of another kind.
fn single<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
) -> Result<Option<Text<'a>>, Fault> {
    match body.ahead(at, "type")?.map(Text::decode).as_deref() {
        Some("function") => function(body, at, request).map(Some),
        Some("custom") => {
            let message =
                "Custom tools are not supported: models here call functions only. Offer a function instead.";
            Err(at.key("type").fault("unsupported_value", message))
        }
        Some(_) => {
            body.drop_field("tools");
            body.json.skip()?;
            Ok(None)
        }
        None => Err(at.key("type").missing()),
    }
}

const FUNCTION: &[&str] = &[
    "type",
    "name",
    "description",
    "parameters",
    "strict",
    "defer_loading",
    "allowed_callers",
    "output_schema",
    "async",
];

fn function<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
) -> Result<Text<'a>, Fault> {
    let (mut named, mut description, mut parameters) = (None, None, None);
    body.members(at, FUNCTION, |body, name| {
        let at = at.key(name);
        match name {
            "name" => named = Some(body.string(&at)?),
            "description" => description = body.optional(|body| body.string(&at))?,
            "parameters" => parameters = body.optional(|body| body.object(&at))?,
            "strict" => body.ignore("tools[].strict")?,
            "defer_loading" => body.ignore("tools[].defer_loading")?,
            "allowed_callers" => body.ignore("tools[].allowed_callers")?,
            "output_schema" => body.ignore("tools[].output_schema")?,
            "async" => body.ignore("tools[].async")?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let name = filled(named, &at.key("name"))?;
    body.prompt(name);
    body.prompt(description.unwrap_or_default());
    let parameters = parameters.map(|raw| body.prompt_raw(raw));
    request.tools.push(Tool::Function { name, description, parameters });
    Ok(name)
}

pub(super) fn filled<'a>(name: Option<Text<'a>>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    match name {
        Some(name) if name.is_empty() => Err(at.invalid("a name is expected")),
        Some(name) => Ok(name),
        None => Err(at.missing()),
    }
}

fn namespace<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
    count_max: usize,
    full: &mut Vec<Spaced>,
) -> Result<(), Fault> {
    let mut named = None;
    let mut members = Vec::new();
    body.members(at, &["type", "name", "description", "tools"], |body, name| {
        let at = at.key(name);
        match name {
            "name" => named = Some(body.string(&at)?),
            "description" => body.ignore("tools[].description")?,
            "tools" => body.elements(&at, count_max, |body, index| {
                members.extend(single(body, &at.index(index), request)?);
                Ok(())
            })?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    if request.tools.len() > count_max {
        let message = format!("The request has more than {count_max} tools.");
        return Err(at.key("tools").fault("array_above_max_length", message));
    }
    let space = filled(named, &at.key("name"))?;
    for name in members {
        spaced(body, Some(space), name, request);
        let own = space.decode().len() + DOT.len_utf8();
        full.push(Spaced { full: format!("{}{DOT}{}", space.decode(), name.decode()), own });
    }
    Ok(())
}

/// Notes that a name stands in a namespace, and counts what that adds for the model to read.
pub(super) fn spaced<'a>(
    body: &mut Body<'a>,
    space: Option<Text<'a>>,
    name: Text<'a>,
    request: &mut ModelRequest<'a>,
) {
    let Some(space) = space.filter(|space| !space.is_empty()) else { return };
    let added = space.raw().len() + DOT.len_utf8();
    body.prompt(space);
    body.prompt_bytes = body.prompt_bytes.saturating_add(DOT.len_utf8());
    request.unheld_bytes = request.unheld_bytes.saturating_add(added);
    request.spaced.replace(name, format!("{}{DOT}{}", space.raw(), name.raw()));
}

pub(super) fn choice<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<ToolChoice<'a>, Fault> {
    match body.json.kind()? {
        Kind::String => choice_word(body, at),
        Kind::Object => object_choice(body, at),
        other => Err(wrong_type(at, "a string or an object", noun(other))),
    }
}

const CHOICE: &[&str] = &["type", "name", "mode", "tools", "server_label"];

/// One function, or those that are allowed.
fn object_choice<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<ToolChoice<'a>, Fault> {
    let (mut kind, mut named, mut required, mut names) = (None, None, false, None);
    body.members(at, CHOICE, |body, name| {
        let at = at.key(name);
        match name {
            "type" => kind = Some(body.string(&at)?),
            "name" => named = body.optional(|body| body.string(&at))?,
            "mode" => required = mode(body, &at)?,
            "tools" => names = body.optional(|body| allowed(body, &at))?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let Some(kind) = kind else { return Err(at.key("type").missing()) };
    match &*kind.decode() {
        "function" => Ok(ToolChoice::Named(filled(named, &at.key("name"))?)),
        "allowed_tools" => {
            let names = names.ok_or_else(|| at.key("tools").missing())?;
            Ok(ToolChoice::Allowed { names, required })
        }
        _ => {
            let message = "Only functions can be chosen: 'type' must be 'function' or 'allowed_tools'.";
            Err(at.key("type").fault("unsupported_value", message))
        }
    }
}

fn mode(body: &mut Body<'_>, at: &Path<'_>) -> Result<bool, Fault> {
    match &*body.string(at)?.decode() {
        "auto" => Ok(false),
        "required" => Ok(true),
        _ => Err(at.invalid("expected 'auto' or 'required'")),
    }
}

/// The functions among the tools that are allowed; others are not offered anyway.
fn allowed<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<Text<'a>>, Fault> {
    let mut names = Vec::new();
    body.elements(at, ALLOWED_MAX, |body, index| {
        let at = at.index(index);
        let (mut kind, mut named) = (None, None);
        body.members(&at, &["type", "name", "server_label"], |body, name| {
            match name {
                "type" => kind = Some(body.string(&at.key(name))?),
                "name" => named = body.optional(|body| body.string(&at.key(name)))?,
                _ => body.json.skip()?,
            }
            Ok(())
        })?;
        let Some(kind) = kind else { return Err(at.key("type").missing()) };
        if kind.decode() == "function" {
            names.push(filled(named, &at.key("name"))?);
        } else {
            body.drop_field("tool_choice.tools");
        }
        Ok(())
    })?;
    Ok(names)
}
