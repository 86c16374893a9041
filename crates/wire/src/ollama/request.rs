//! Writes the body of `/api/chat` from the neutral request: an allow-list by construction.
//!
//! Why nothing is copied from the client's body but texts, schemas and arguments: Ollama's decoder ignores the case of
//! keys and lets the last duplicate win, and fields such as `keep_alive` or `options.num_ctx` act on everybody's model.
//!
//! Never here: validity of the request in itself (the reader's), a field that the caller or the gateway did not decide.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::body::Path;
use crate::chat::{
    AskedCall, ChatRequest, Dropped, Effort, Message, Outbound, Part, Role, Sampling, Shape, Tool, ToolChoice,
};
use crate::error::Fault;
use crate::json::{Kind, Raw, Reader, Text, write};

/// Nesting allowed inside a call's arguments, which come as text.
const ARGUMENTS_DEPTH_MAX: usize = 64;

pub(crate) fn write(
    request: &ChatRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    refuse(request)?;
    let mut dropped = request.dropped.clone();
    out.extend_from_slice(b"{\"model\":");
    write::string(out, to.model);
    out.extend_from_slice(b",\"messages\":[");
    messages(&request.messages, out)?;
    out.extend_from_slice(if request.stream { b"],\"stream\":true" } else { b"],\"stream\":false" });
    if request.tool_choice == ToolChoice::Auto && !request.tools.is_empty() {
        tools(&request.tools, out);
    }
    match request.shape {
        Shape::Text => {}
        Shape::Json => out.extend_from_slice(b",\"format\":\"json\""),
        Shape::Schema(schema) => {
            out.extend_from_slice(b",\"format\":");
            write::raw(out, schema);
        }
    }
    think(request.effort, to.thinks, &mut dropped, out);
    if request.logprobs {
        out.extend_from_slice(b",\"logprobs\":true");
    }
    if let Some(count) = request.top_logprobs {
        out.extend_from_slice(b",\"top_logprobs\":");
        write::number(out, count);
    }
    options(&request.sampling, to.openai_sampling_defaults, out);
    out.push(b'}');
    Ok(dropped)
}

/// What this dialect cannot say must not be silently lost.
fn refuse(request: &ChatRequest<'_>) -> Result<(), Fault> {
    if request.choices > 1 {
        return Err(Fault::new("unsupported_value", "n", "This model gives one choice: 'n' must be 1."));
    }
    if let Some(extra) = request.extras.first() {
        let message = format!("'{}' is not supported by this model.", extra.field);
        return Err(Fault::new(extra.code, extra.field, message));
    }
    if request.tool_choice == ToolChoice::Forced {
        let message = "This model cannot be forced to call a tool: 'tool_choice' must be 'auto' or 'none'.";
        return Err(Fault::new("unsupported_value", "tool_choice", message));
    }
    match request.tools.iter().position(|tool| matches!(tool, Tool::Custom)) {
        Some(index) => {
            let message = "This model takes tools of type 'function' only.";
            Err(Fault::new("unsupported_value", format!("tools[{index}].type"), message))
        }
        None => Ok(()),
    }
}

fn messages(messages: &[Message<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    // Names of the tools called so far by call id; of equal ids the last wins.
    let mut called: HashMap<Cow<'_, str>, Text<'_>> = HashMap::new();
    let mut first = true;
    for (index, message) in messages.iter().enumerate() {
        write::comma(out, &mut first);
        head(message, out);
        if !message.calls.is_empty() {
            calls(&message.calls, &Path::Root.key("messages").index(index), out)?;
            called.extend(message.calls.iter().filter_map(|call| Some((call.id?.decode(), call.name))));
        }
        if message.role == Role::Tool {
            let looked_up = || message.call_id.and_then(|id| called.get(&id.decode()).copied());
            member(out, b",\"tool_name\":", message.tool_name.or_else(looked_up));
            member(out, b",\"tool_call_id\":", message.call_id);
        }
        out.push(b'}');
    }
    Ok(())
}

/// Role, content (one string, texts joined by a line end), thinking and images.
fn head(message: &Message<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(match message.role {
        Role::System => b"{\"role\":\"system\",\"content\":\"".as_slice(),
        Role::User => b"{\"role\":\"user\",\"content\":\"",
        Role::Assistant => b"{\"role\":\"assistant\",\"content\":\"",
        Role::Tool => b"{\"role\":\"tool\",\"content\":\"",
    });
    let mut first = true;
    for part in &message.parts {
        if let Part::Text(text) = part {
            if !std::mem::take(&mut first) {
                out.extend_from_slice(b"\\n");
            }
            write::text_body(out, *text);
        }
    }
    out.push(b'"');
    member(out, b",\"thinking\":", message.thinking);
    let mut first = true;
    for part in &message.parts {
        if let Part::Media(base64) = part {
            out.extend_from_slice(if first { b",\"images\":[\"".as_slice() } else { b",\"" });
            first = false;
            out.extend_from_slice(base64.as_bytes());
            out.push(b'"');
        }
    }
    if !first {
        out.push(b']');
    }
}

fn member(out: &mut Vec<u8>, key: &[u8], value: Option<Text<'_>>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        write::text(out, value);
    }
}

fn calls(calls: &[AskedCall<'_>], at: &Path<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(b",\"tool_calls\":[");
    for (index, call) in calls.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        if let Some(id) = call.id {
            out.extend_from_slice(b"\"id\":");
            write::text(out, id);
            out.push(b',');
        }
        out.extend_from_slice(b"\"function\":{\"index\":");
        write::number(out, u64::try_from(index).unwrap_or(u64::MAX));
        out.extend_from_slice(b",\"name\":");
        write::text(out, call.name);
        out.extend_from_slice(b",\"arguments\":");
        arguments(call.arguments, &at.key("tool_calls").index(index), out)?;
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
    Ok(())
}

/// A string that holds an object becomes the object, its keys in their order and its numbers as written.
fn arguments(text: Text<'_>, at: &Path<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let decoded = text.decode();
    if decoded.trim_ascii().is_empty() {
        out.extend_from_slice(b"{}");
        return Ok(());
    }
    match object(&decoded) {
        Some(object) => {
            write::raw(out, object);
            Ok(())
        }
        None => {
            Err(at.key("function").key("arguments").invalid("expected a string that holds a JSON object"))
        }
    }
}

fn object(text: &str) -> Option<Raw<'_>> {
    let mut reader = Reader::over(text, ARGUMENTS_DEPTH_MAX);
    if reader.kind() != Ok(Kind::Object) {
        return None;
    }
    let object = reader.raw().ok()?;
    reader.finish().is_ok().then_some(object)
}

fn tools(tools: &[Tool<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"tools\":[");
    let mut first = true;
    for tool in tools {
        let Tool::Function { name, description, parameters } = tool else { continue };
        write::comma(out, &mut first);
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        write::text(out, *name);
        member(out, b",\"description\":", *description);
        out.extend_from_slice(b",\"parameters\":");
        match parameters {
            Some(parameters) => write::raw(out, *parameters),
            // Left out means "none" to OpenAI; Ollama would tell the model a schema without a type.
            None => out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{}}"),
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
}

/// Any truthy value is a 400 for a model that cannot think.
fn think(effort: Option<Effort>, thinks: Option<bool>, dropped: &mut Dropped, out: &mut Vec<u8>) {
    let value: &[u8] = match effort {
        None => return,
        Some(Effort::None) if thinks == Some(false) => return,
        Some(_) if thinks == Some(false) => return dropped.push("reasoning_effort"),
        Some(Effort::None) => b"false",
        Some(Effort::Low) => b"\"low\"",
        Some(Effort::Medium) => b"\"medium\"",
        Some(Effort::High) => b"\"high\"",
        Some(Effort::Max) => b"\"max\"",
    };
    out.extend_from_slice(b",\"think\":");
    out.extend_from_slice(value);
}

fn options(sampling: &Sampling<'_>, openai_defaults: bool, out: &mut Vec<u8>) {
    let default = openai_defaults.then_some("1.0");
    let numbers = [
        ("temperature", sampling.temperature.or(default)),
        ("top_p", sampling.top_p.or(default)),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
        ("seed", sampling.seed),
    ];
    let mut first = true;
    let mut option = |out: &mut Vec<u8>, name: &str| {
        out.extend_from_slice(if std::mem::take(&mut first) { b",\"options\":{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    };
    for (name, number) in numbers {
        if let Some(number) = number {
            option(out, name);
            out.extend_from_slice(number.as_bytes());
        }
    }
    if let Some(cap) = sampling.max_output_tokens {
        option(out, "num_predict");
        write::number(out, cap);
    }
    if !sampling.stop.is_empty() {
        option(out, "stop");
        let mut first = true;
        out.push(b'[');
        for stop in &sampling.stop {
            write::comma(out, &mut first);
            write::text(out, *stop);
        }
        out.push(b']');
    }
    if !first {
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests;
