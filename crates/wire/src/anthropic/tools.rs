//! Reads tool definitions and the choice among them.
//!
//! Tools with a type of their own (web search, shells, editors, screens, code execution) are left out: either Anthropic's
//! servers run them, or its models know their inputs by heart. Some runtimes would take the name for an order and search the
//! web themselves: it is never sent.
//!
//! Never here: calls (they stand in messages).

use super::block::word;
use crate::body::{Body, Path};
use crate::error::Fault;
use crate::request::{Tool, ToolChoice};

const KNOWN: &[&str] = &[
    "type",
    "name",
    "description",
    "input_schema",
    "cache_control",
    "strict",
    "eager_input_streaming",
    "defer_loading",
    "allowed_callers",
    "input_examples",
];

pub(super) fn list<'a>(body: &mut Body<'a>, at: &Path<'_>, count_max: usize) -> Result<Vec<Tool<'a>>, Fault> {
    let mut tools = Vec::new();
    body.elements(at, count_max, |body, index| {
        let at = at.index(index);
        match body.ahead(&at, "type")? {
            Some(kind) if kind.decode() != "custom" => body.ignore("tools"),
            _ => {
                tools.push(tool(body, &at)?);
                Ok(())
            }
        }
    })?;
    Ok(tools)
}

fn tool<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Tool<'a>, Fault> {
    let mut named = None;
    let mut description = None;
    let mut schema = None;
    body.members(at, KNOWN, |body, name| {
        let at = at.key(name);
        match name {
            "name" => named = body.optional(|body| body.string(&at))?,
            "description" => description = body.optional(|body| body.string(&at))?,
            "input_schema" => schema = body.optional(|body| body.object(&at))?,
            "cache_control" => body.ignore("cache_control")?,
            "strict" => body.ignore("tools[].strict")?,
            "eager_input_streaming" => body.ignore("tools[].eager_input_streaming")?,
            "defer_loading" => body.ignore("tools[].defer_loading")?,
            "allowed_callers" => body.ignore("tools[].allowed_callers")?,
            "input_examples" => body.ignore("tools[].input_examples")?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let name = word(named, &at.key("name"))?;
    let schema = schema.ok_or_else(|| at.key("input_schema").missing())?;
    body.prompt(name);
    body.prompt(description.unwrap_or_default());
    Ok(Tool::Function { name, description, parameters: Some(body.prompt_raw(schema)) })
}

pub(super) fn choice<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<ToolChoice<'a>, Fault> {
    let mut kind = None;
    let mut named = None;
    body.members(at, &["type", "name", "disable_parallel_tool_use"], |body, name| {
        let at = at.key(name);
        match name {
            "type" => kind = body.optional(|body| body.string(&at))?,
            "name" => named = body.optional(|body| body.string(&at))?,
            _ => {
                if body.optional(|body| body.boolean(&at))? == Some(true) {
                    body.drop_field("tool_choice.disable_parallel_tool_use");
                }
            }
        }
        Ok(())
    })?;
    match &*kind.ok_or_else(|| at.key("type").missing())?.decode() {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "any" => Ok(ToolChoice::Required),
        "tool" => Ok(ToolChoice::Named(word(named, &at.key("name"))?)),
        _ => Err(at.key("type").invalid("expected 'auto', 'any', 'tool' or 'none'")),
    }
}

/// Whether the tools that are carried leave anything to choose from. A call cannot be forced of a tool that was left out.
pub(super) fn settle(choice: &ToolChoice<'_>, tools: &[Tool<'_>]) -> Result<(), Fault> {
    let is = |tool: &Tool<'_>, wanted: &str| match tool {
        Tool::Function { name, .. } => name.decode() == wanted,
        Tool::Custom(_) => false,
    };
    let found = match choice {
        ToolChoice::Required => !tools.is_empty(),
        ToolChoice::Named(wanted) => {
            let wanted = wanted.decode();
            tools.iter().any(|tool| is(tool, &wanted))
        }
        _ => true,
    };
    if found {
        return Ok(());
    }
    Err(Path::Root.key("tool_choice").invalid("no tool that can be carried fits it"))
}
