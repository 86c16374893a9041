//! Writes the body of `/api/chat` from the neutral request: an allow-list by construction.
//!
//! Why nothing is copied from the client's body but texts, schemas and arguments: Ollama's decoder ignores the case of
//! keys and lets the last duplicate win, and fields such as `keep_alive` or `options.num_ctx` act on everybody's model.
//!
//! Never here: validity of the request in itself (the reader's), a field that the caller or the gateway did not decide.

use std::borrow::Cow;
use std::collections::HashMap;

use super::options::{Asked, twice, write_keep_alive};
use crate::body::Path;
use crate::error::Fault;
use crate::json::{Raw, Text, object_text, write};
use crate::request::{
    Arguments, AskedCall, Dropped, Effort, Message, ModelRequest, Outbound, Part, Role, Shape, Tool,
    ToolChoice, note,
};

pub(crate) fn write(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    refuse(request)?;
    let mut dropped = request.dropped.clone();
    let asked = Asked::read(request, to, &mut dropped)?;
    unambiguous(request, &asked)?;
    out.extend_from_slice(b"{\"model\":");
    write::string(out, to.model);
    out.extend_from_slice(b",\"messages\":[");
    messages(request, out)?;
    out.extend_from_slice(if request.stream { b"],\"stream\":true" } else { b"],\"stream\":false" });
    tools(request, to, &mut dropped, out)?;
    format(request, &asked, out);
    think(request, asked.think, to, &mut dropped, out);
    logprobs(request, out);
    runtime(&asked, to, out);
    options(request, &asked, to, out);
    out.push(b'}');
    Ok(dropped)
}

/// A wish that is made in the client's own format and again in Ollama's.
pub(super) fn unambiguous(request: &ModelRequest<'_>, asked: &Asked<'_>) -> Result<(), Fault> {
    let sampling = &request.sampling;
    let pairs = [
        ("temperature", sampling.temperature.is_some()),
        ("top_p", sampling.top_p.is_some()),
        ("seed", sampling.seed.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("top_k", sampling.top_k.is_some()),
        ("min_p", sampling.min_p.is_some()),
        ("num_predict", sampling.max_output_tokens.is_some()),
    ];
    if let Some((name, _)) = pairs.iter().find(|(name, given)| *given && asked.option(name).is_some()) {
        return Err(twice(name));
    }
    match () {
        () if asked.think.is_some() && request.effort.is_some() => Err(twice("think")),
        () if asked.format.is_some() && !matches!(request.shape, Shape::Text) => Err(twice("format")),
        () => Ok(()),
    }
}

pub(super) fn format(request: &ModelRequest<'_>, asked: &Asked<'_>, out: &mut Vec<u8>) {
    let schema = match (request.shape, asked.format) {
        (Shape::Text, None) => return,
        (Shape::Json, _) => return out.extend_from_slice(b",\"format\":\"json\""),
        (Shape::Schema(schema), _) | (Shape::Text, Some(schema)) => schema,
    };
    out.extend_from_slice(b",\"format\":");
    request.masks.copy(schema, out);
}

pub(super) fn logprobs(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    if request.logprobs {
        out.extend_from_slice(b",\"logprobs\":true");
    }
    if let Some(count) = request.top_logprobs {
        out.extend_from_slice(b",\"top_logprobs\":");
        write::number(out, count);
    }
}

/// What concerns the runtime, not the answer. A caller that may ask has the last word.
pub(super) fn runtime(asked: &Asked<'_>, to: &Outbound<'_>, out: &mut Vec<u8>) {
    let mut member = |key: &[u8], value: &[u8]| {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    };
    if let Some(shift) = asked.shift {
        member(b",\"shift\":", shift.as_str().as_bytes());
    }
    match asked.truncate {
        Some(truncate) => member(b",\"truncate\":", truncate.as_str().as_bytes()),
        None if to.refuse_truncation => member(b",\"truncate\":", b"false"),
        None => {}
    }
    match asked.keep_alive {
        Some(time) => member(b",\"keep_alive\":", time.as_str().as_bytes()),
        None => write_keep_alive(to.keep_alive, out),
    }
}

/// What this dialect cannot say must not be silently lost.
pub(super) fn refuse(request: &ModelRequest<'_>) -> Result<(), Fault> {
    if request.choices > 1 {
        return Err(Fault::new("unsupported_value", "n", "This model gives one choice: 'n' must be 1."));
    }
    if let Some(extra) = request.extras.first() {
        let message = format!("'{}' is not supported by this model.", extra.field);
        return Err(Fault::new(extra.code, extra.field, message));
    }
    match request.tools.iter().position(|tool| matches!(tool, Tool::Custom(_))) {
        Some(index) => {
            let message = "This model takes tools of type 'function' only.";
            Err(Fault::new("unsupported_value", format!("tools[{index}].type"), message))
        }
        None => Ok(()),
    }
}

fn messages(request: &ModelRequest<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    // Names of the tools called so far by call id; of equal ids the last wins.
    let mut called: HashMap<Cow<'_, str>, Text<'_>> = HashMap::new();
    let mut first = true;
    let mut before = 0;
    for (index, message) in request.messages.iter().enumerate() {
        write::comma(out, &mut first);
        head(message, request, out);
        if !message.calls.is_empty() {
            let at = Path::Root.key("messages");
            calls(&message.calls, before, request, &at.index(index), out)?;
            before += message.calls.len();
            called.extend(message.calls.iter().filter_map(|call| Some((call.id?.decode(), call.name))));
        }
        if message.role == Role::Tool {
            let looked_up = || message.call_id.and_then(|id| called.get(&id.decode()).copied());
            let name = message.tool_name.or_else(looked_up);
            member(out, b",\"tool_name\":", name.map(|name| request.tool_name(name)));
            member(out, b",\"tool_call_id\":", message.call_id);
        }
        out.push(b'}');
    }
    Ok(())
}

/// Role, content (one string, texts joined by a line end), thinking and images.
fn head(message: &Message<'_>, request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(match message.role {
        Role::System => b"{\"role\":\"system\",\"content\":\"".as_slice(),
        Role::User => b"{\"role\":\"user\",\"content\":\"",
        Role::Assistant => b"{\"role\":\"assistant\",\"content\":\"",
        Role::Tool => b"{\"role\":\"tool\",\"content\":\"",
    });
    texts(&message.parts, request, out);
    out.push(b'"');
    if !message.thinking.is_empty() {
        out.extend_from_slice(b",\"thinking\":\"");
        message.thinking.iter().for_each(|text| write::text_body(out, request.masks.shown(*text)));
        out.push(b'"');
    }
    images(&message.parts, out);
}

/// The inside of one string that holds all texts.
pub(super) fn texts(parts: &[Part<'_>], request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    for part in parts {
        let Part::Text(text) = part else { continue };
        if !std::mem::take(&mut first) {
            out.extend_from_slice(request.joint.as_json().as_bytes());
        }
        write::text_body(out, request.masks.shown(*text));
    }
}

pub(super) fn images(parts: &[Part<'_>], out: &mut Vec<u8>) {
    let mut first = true;
    for part in parts {
        let Part::Media(base64) = part else { continue };
        out.extend_from_slice(if first { b",\"images\":[\"".as_slice() } else { b",\"" });
        first = false;
        out.extend_from_slice(base64.as_bytes());
        out.push(b'"');
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

/// `before`: calls of earlier messages.
fn calls(
    calls: &[AskedCall<'_>],
    before: usize,
    request: &ModelRequest<'_>,
    at: &Path<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let masks = &request.masks;
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
        write::text(out, request.tool_name(call.name));
        out.extend_from_slice(b",\"arguments\":");
        match call.arguments {
            Arguments::Object(object) => masks.copy(object, out),
            Arguments::Text(text) => arguments(masks.shown(text), &at.key("tool_calls").index(index), out)
                .map_err(|fault| where_it_stood(fault, request, before + index))?,
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
    Ok(())
}

/// A dialect whose calls are no members of messages is told the item.
fn where_it_stood(fault: Fault, request: &ModelRequest<'_>, call: usize) -> Fault {
    let Some(item) = request.call_items.get(call) else { return fault };
    Path::Root.key("input").index(*item).key("arguments").invalid(NO_OBJECT)
}

const NO_OBJECT: &str = "expected a string that holds a JSON object";

/// A string that holds an object becomes the object, its keys in their order and its numbers as written.
fn arguments(text: Text<'_>, at: &Path<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let decoded = text.decode();
    let object =
        object_text(&decoded).ok_or_else(|| at.key("function").key("arguments").invalid(NO_OBJECT))?;
    out.extend_from_slice(object.as_bytes());
    Ok(())
}

/// A choice among the tools that this dialect cannot say is a fault, or the nearest that it can.
fn tools(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    dropped: &mut Dropped,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let only: Option<&[Text<'_>]> = match &request.tool_choice {
        ToolChoice::None => return Ok(()),
        ToolChoice::Auto => None,
        _ if !to.lenient_tool_choice => {
            let message =
                "This model cannot be forced to call a tool: 'tool_choice' must be 'auto' or 'none'.";
            return Err(Fault::new("unsupported_value", "tool_choice", message));
        }
        ToolChoice::Required => None,
        ToolChoice::Named(name) => Some(std::slice::from_ref(name)),
        ToolChoice::Allowed { names, .. } => Some(names),
    };
    if !matches!(request.tool_choice, ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) {
        note(dropped, "tool_choice");
    }
    let chosen = |tool: &&Tool<'_>| match (only, tool) {
        (Some(only), Tool::Function { name, .. }) => {
            let name = request.tool_name(*name).decode();
            only.iter().any(|allowed| allowed.decode() == name)
        }
        _ => true,
    };
    let tools: Vec<_> = request.tools.iter().filter(chosen).collect();
    if tools.is_empty() {
        return Ok(());
    }
    out.extend_from_slice(b",\"tools\":[");
    let mut first = true;
    for tool in tools {
        let Tool::Function { name, description, parameters } = tool else { continue };
        write::comma(out, &mut first);
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        write::text(out, request.tool_name(*name));
        member(out, b",\"description\":", description.map(|text| request.masks.shown(text)));
        out.extend_from_slice(b",\"parameters\":");
        match parameters {
            Some(parameters) => request.masks.copy(*parameters, out),
            // Left out means "none" to OpenAI; Ollama would tell the model a schema without a type.
            None => out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{}}"),
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
    Ok(())
}

/// Any truthy value is a 400 for a model that cannot think.
pub(super) fn think(
    request: &ModelRequest<'_>,
    asked: Option<Raw<'_>>,
    to: &Outbound<'_>,
    dropped: &mut Dropped,
    out: &mut Vec<u8>,
) {
    let (value, field) = match (request.effort, asked) {
        (None, None) => return,
        (None, Some(asked)) => (asked.as_str(), "think"),
        (Some(effort), _) => (think_word(effort), request.effort_field()),
    };
    if to.thinks == Some(false) {
        if value != "false" {
            note(dropped, field);
        }
        return;
    }
    let value = if value == MOST && !to.thinks_max { think_word(Effort::High) } else { value };
    out.extend_from_slice(b",\"think\":");
    out.extend_from_slice(value.as_bytes());
}

const MOST: &str = "\"max\"";

fn think_word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "false",
        Effort::Some => "true",
        Effort::Low => "\"low\"",
        Effort::Medium => "\"medium\"",
        Effort::High => "\"high\"",
        Effort::Max => MOST,
    }
}

/// The members of `options`, which is left out when it has none.
struct Options<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Options<'_> {
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        let first = std::mem::take(&mut self.first);
        self.out.extend_from_slice(if first { b",\"options\":{\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn written(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name).extend_from_slice(value.as_bytes());
        }
    }
}

pub(super) fn options(request: &ModelRequest<'_>, asked: &Asked<'_>, to: &Outbound<'_>, out: &mut Vec<u8>) {
    let sampling = &request.sampling;
    let promised = |promised: bool, value| Some(value).filter(|_| to.sampling_defaults && promised);
    let one = promised(request.defaults.temperature, "1.0");
    let all = promised(request.defaults.top_p, "1.0");
    let none = promised(request.defaults.penalties, "0.0");
    let mut options = Options { out, first: true };
    for (name, own, default) in [
        ("temperature", sampling.temperature, one),
        ("top_p", sampling.top_p, all),
        ("frequency_penalty", sampling.frequency_penalty, none),
        ("presence_penalty", sampling.presence_penalty, none),
        ("seed", sampling.seed, None),
    ] {
        options.written(name, own.or_else(|| asked.option(name)).or(default));
    }
    options.written("top_k", sampling.top_k);
    options.written("min_p", sampling.min_p);
    let asked_cap = || asked.option("num_predict").and_then(|written| written.parse().ok());
    let cap = sampling.max_output_tokens.or_else(asked_cap);
    if let Some(cap) = cap.into_iter().chain(to.output_tokens_max).min() {
        write::number(options.name("num_predict"), cap);
    }
    match asked.option("num_ctx") {
        None => {
            if let Some(tokens) = to.num_ctx {
                write::number(options.name("num_ctx"), tokens);
            }
        }
        asked => options.written("num_ctx", asked),
    }
    const WRITTEN: &[&str] =
        &["temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "num_predict", "num_ctx"];
    for (name, value) in asked.options.iter().filter(|(name, _)| !WRITTEN.contains(name)) {
        options.written(name, Some(value));
    }
    if !sampling.stop.is_empty() {
        stops(&sampling.stop, options.name("stop"));
    }
    if !options.first {
        options.out.push(b'}');
    }
}

fn stops(stops: &[Text<'_>], out: &mut Vec<u8>) {
    let mut first = true;
    out.push(b'[');
    for stop in stops {
        write::comma(out, &mut first);
        write::text(out, *stop);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests;
