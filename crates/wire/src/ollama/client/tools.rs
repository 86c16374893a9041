//! Reads tool definitions.
//!
//! Never here: what a schema means; it is copied.

use crate::body::{Body, Path};
use crate::error::Fault;
use crate::request::Tool;

pub(super) fn list<'a>(body: &mut Body<'a>, at: &Path<'_>, count_max: usize) -> Result<Vec<Tool<'a>>, Fault> {
    let mut tools = Vec::new();
    body.elements(at, count_max, |body, index| {
        tools.push(tool(body, &at.index(index))?);
        Ok(())
    })?;
    Ok(tools)
}

/// The type may be left out: there is one only.
fn tool<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Tool<'a>, Fault> {
    let mut tool = None;
    body.members(at, &["type", "function"], |body, name| {
        let at = at.key(name);
        if name == "function" {
            tool = Some(function(body, &at)?);
            return Ok(());
        }
        match body.optional(|body| body.string(&at))? {
            Some(kind) if kind.decode() != "function" => {
                Err(at.fault("unsupported_value", "Only tools of type 'function' can be carried."))
            }
            _ => Ok(()),
        }
    })?;
    tool.ok_or_else(|| at.key("function").missing())
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
    let name = named.filter(|name| !name.is_empty()).ok_or_else(|| at.key("name").missing())?;
    body.prompt(name);
    body.prompt(description.unwrap_or_default());
    let parameters = parameters.map(|raw| body.prompt_raw(raw));
    Ok(Tool::Function { name, description, parameters })
}
