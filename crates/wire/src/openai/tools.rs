//! Reads tool definitions and the choice among them.
//!
//! Schemas stay raw: they are copied, not understood.
//!
//! Never here: calls (they stand in messages).

use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::request::{Tool, ToolChoice};

pub(super) fn list<'a>(body: &mut Body<'a>, at: &Path<'_>, count_max: usize) -> Result<Vec<Tool<'a>>, Fault> {
    let mut tools = Vec::new();
    body.elements(at, count_max, |body, index| {
        tools.push(tool(body, &at.index(index))?);
        Ok(())
    })?;
    Ok(tools)
}

fn tool<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Tool<'a>, Fault> {
    let mut kind = None;
    let mut tool = None;
    let mut custom = None;
    body.members(at, &["type", "function", "custom"], |body, name| {
        match name {
            "type" => kind = Some(body.string(&at.key("type"))?.decode()),
            "function" => tool = Some(function(body, &at.key("function"))?),
            _ => {
                let raw = body.json.raw()?;
                custom = Some(body.prompt_raw(raw));
            }
        }
        Ok(())
    })?;
    match kind.as_deref() {
        Some("function") => tool.ok_or_else(|| at.key("function").missing()),
        Some("custom") => Ok(Tool::Custom(custom)),
        Some(_) => Err(at.key("type").invalid("expected 'function' or 'custom'")),
        None => Err(at.key("type").missing()),
    }
}

fn function<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Tool<'a>, Fault> {
    let mut named = None;
    let mut description = None;
    let mut parameters = None;
    body.members(at, &["name", "description", "parameters", "strict"], |body, name| {
        let at = at.key(name);
        match name {
            "name" => named = Some(body.string(&at)?),
            "description" => description = body.optional(|body| body.string(&at))?,
            "parameters" => parameters = body.optional(|body| body.object(&at))?,
            _ => body.ignore("tools[].function.strict")?,
        }
        Ok(())
    })?;
    let Some(name) = named else { return Err(at.key("name").missing()) };
    if name.is_empty() {
        return Err(at.key("name").invalid("a function's name is expected"));
    }
    body.prompt(name);
    body.prompt(description.unwrap_or_default());
    let parameters = parameters.map(|raw| body.prompt_raw(raw));
    Ok(Tool::Function { name, description, parameters })
}

pub(super) fn choice<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<ToolChoice<'a>, Fault> {
    match body.json.kind()? {
        Kind::String => choice_word(body, at),
        Kind::Object => object_choice(body, at),
        other => Err(wrong_type(at, "a string or an object", noun(other))),
    }
}

/// A choice that names no tool.
pub(crate) fn choice_word<'a>(body: &mut Body<'_>, at: &Path<'_>) -> Result<ToolChoice<'a>, Fault> {
    match &*body.string(at)?.decode() {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Required),
        _ => Err(at.invalid("expected 'auto', 'none', 'required' or an object")),
    }
}

/// `{"type":"function","function":{"name":…}}`, or the tools that are allowed. What is chosen of another kind is forced by
/// no name that we know.
fn object_choice<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<ToolChoice<'a>, Fault> {
    let mut named = None;
    let mut allowed = None;
    body.members(at, &["type", "function", "custom", "allowed_tools"], |body, name| {
        let at = at.key(name);
        match name {
            "type" => drop(body.string(&at)?),
            "function" => named = Some(function_name(body, &at)?),
            "allowed_tools" => allowed = Some(allowed_tools(body, &at)?),
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    Ok(match (named, allowed) {
        (Some(name), _) => ToolChoice::Named(name),
        (None, Some((names, required))) => ToolChoice::Allowed { names, required },
        (None, None) => ToolChoice::Required,
    })
}

fn function_name<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    let mut named = None;
    body.members(at, &["name"], |body, name| {
        named = Some(body.string(&at.key(name))?);
        Ok(())
    })?;
    named.ok_or_else(|| at.key("name").missing())
}

/// Tools of one choice; more have no honest use.
pub(crate) const ALLOWED_MAX: usize = 1024;

fn allowed_tools<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<(Vec<Text<'a>>, bool), Fault> {
    let mut required = false;
    let mut names = Vec::new();
    body.members(at, &["mode", "tools"], |body, name| {
        let at = at.key(name);
        if name == "mode" {
            required = body.string(&at)?.decode() == "required";
            return Ok(());
        }
        body.elements(&at, ALLOWED_MAX, |body, index| {
            let at = at.index(index);
            body.members(&at, &["type", "function"], |body, name| match name {
                "function" => {
                    names.push(function_name(body, &at.key(name))?);
                    Ok(())
                }
                _ => Ok(body.json.skip()?),
            })
        })
    })?;
    Ok((names, required))
}
