//! Writes a chat completions body from the neutral request, for clients of other dialects.
//!
//! Why every member by name: what is not decided here is not sent. What the three well-known servers (vLLM, llama.cpp,
//! SGLang) read beyond OpenAI's own fields is sent only where the caller asked for it.
//!
//! Never here: validity of the request in itself (the reader's); a client of this dialect (`splice`).

use crate::error::Fault;
use crate::json::{Text, write};
use crate::masks::Masks;
use crate::request::{
    Arguments, AskedCall, Dropped, Effort, Message, ModelRequest, Outbound, Part, Role, Shape, Tool,
    ToolChoice, note,
};

pub(crate) fn write(
    request: &ModelRequest<'_>,
    to: &Outbound<'_>,
    out: &mut Vec<u8>,
) -> Result<Dropped, Fault> {
    if let Some(extra) = request.extras.first() {
        let message = format!("'{}' is not supported by this model's server.", extra.field);
        return Err(Fault::new(extra.code, extra.field, message));
    }
    if request.suffix.is_some() {
        let message = "This model's server cannot fill in text before a suffix.";
        return Err(Fault::new("unsupported_parameter", "suffix", message));
    }
    let mut dropped = request.dropped.clone();
    out.extend_from_slice(b"{\"model\":");
    write::string(out, to.model);
    messages(request, out);
    if request.stream {
        // The upstream is always asked for usage: it is what is metered.
        out.extend_from_slice(b",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    } else {
        out.extend_from_slice(b",\"stream\":false");
    }
    tools(request, out);
    shape(request, out);
    if let Some(effort) = request.effort {
        out.extend_from_slice(b",\"reasoning_effort\":");
        write::string(out, effort_word(effort));
    }
    logprobs(request, out);
    sampling(request, to, &mut dropped, out);
    outsiders(request, to, &mut dropped, out);
    out.push(b'}');
    Ok(dropped)
}

fn messages(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"messages\":[");
    let mut first = true;
    let mut asked = Asked::default();
    for message in &request.messages {
        write::comma(out, &mut first);
        if !message.calls.is_empty() {
            asked = Asked { calls: &message.calls, answered: vec![false; message.calls.len()] };
        }
        one_message(message, request, &mut asked, out);
    }
    out.push(b']');
}

/// The calls that wait for results. A dialect may have no ids; servers of this one want a result to name its call.
#[derive(Default)]
struct Asked<'r> {
    calls: &'r [AskedCall<'r>],
    answered: Vec<bool>,
}

impl Asked<'_> {
    /// Writes the id of the call that a result without one answers: the first that waits, of the tool's name where
    /// the result says one.
    fn id(&mut self, result: &Message<'_>, out: &mut Vec<u8>) {
        let named =
            |call: &AskedCall<'_>| result.tool_name.is_some_and(|name| name.decode() == call.name.decode());
        let mut waiting =
            (0u64..).zip(self.calls).zip(&mut self.answered).filter(|(_, answered)| !**answered);
        let found = match result.tool_name {
            Some(_) => waiting.find(|((_, call), _)| named(call)),
            None => waiting.next(),
        };
        match found {
            Some(((position, call), answered)) => {
                *answered = true;
                call_id(call, position, out);
            }
            None => write::text(out, result.tool_name.unwrap_or_default()),
        }
    }
}

fn call_id(call: &AskedCall<'_>, position: u64, out: &mut Vec<u8>) {
    match call.id {
        Some(id) => write::text(out, id),
        None => {
            out.extend_from_slice(b"\"call_");
            write::number(out, position);
            out.push(b'"');
        }
    }
}

fn one_message<'r>(
    message: &'r Message<'_>,
    request: &ModelRequest<'_>,
    asked: &mut Asked<'r>,
    out: &mut Vec<u8>,
) {
    let masks = &request.masks;
    out.extend_from_slice(match message.role {
        Role::System => b"{\"role\":\"system\",\"content\":".as_slice(),
        Role::User => b"{\"role\":\"user\",\"content\":",
        Role::Assistant => b"{\"role\":\"assistant\",\"content\":",
        Role::Tool => b"{\"role\":\"tool\",\"content\":",
    });
    if message.parts.iter().any(|part| matches!(part, Part::Media(_))) {
        parts(&message.parts, masks, out);
    } else if message.parts.is_empty() && !message.calls.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        joined(&message.parts, request, out);
    }
    if !message.thinking.is_empty() {
        // The name that all three servers read.
        out.extend_from_slice(b",\"reasoning_content\":\"");
        message.thinking.iter().for_each(|text| write::text_body(out, masks.shown(*text)));
        out.push(b'"');
    }
    for (position, call) in (0u64..).zip(&message.calls) {
        out.extend_from_slice(if position == 0 { b",\"tool_calls\":[".as_slice() } else { b"," });
        asked_call(call, position, request, out);
    }
    if !message.calls.is_empty() {
        out.push(b']');
    }
    if message.role == Role::Tool {
        out.extend_from_slice(b",\"tool_call_id\":");
        match message.call_id {
            Some(id) => write::text(out, id),
            None => asked.id(message, out),
        }
    }
    out.push(b'}');
}

/// All texts as one string.
fn joined(parts: &[Part<'_>], request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut first = true;
    for part in parts {
        let Part::Text(text) = part else { continue };
        if !std::mem::take(&mut first) {
            out.extend_from_slice(request.joint.as_json().as_bytes());
        }
        write::text_body(out, request.masks.shown(*text));
    }
    out.push(b'"');
}

/// Texts and images in their order.
fn parts(parts: &[Part<'_>], masks: &Masks, out: &mut Vec<u8>) {
    out.push(b'[');
    let mut first = true;
    for part in parts {
        write::comma(out, &mut first);
        match part {
            Part::Text(text) => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                write::text(out, masks.shown(*text));
                out.push(b'}');
            }
            Part::Media(base64) => {
                out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:");
                out.extend_from_slice(media_type(base64).as_bytes());
                out.extend_from_slice(b";base64,");
                out.extend_from_slice(base64.as_bytes());
                out.extend_from_slice(b"\"}}");
            }
        }
    }
    out.push(b']');
}

/// By the first bytes of the picture, as base64 spells them.
fn media_type(base64: &str) -> &'static str {
    match base64 {
        _ if base64.starts_with("iVBORw0KGgo") => "image/png",
        _ if base64.starts_with("UklGR") => "image/webp",
        _ if base64.starts_with("R0lGOD") => "image/gif",
        _ => "image/jpeg",
    }
}

fn asked_call(call: &AskedCall<'_>, position: u64, request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    let masks = &request.masks;
    out.extend_from_slice(b"{\"id\":");
    call_id(call, position, out);
    out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
    write::text(out, request.tool_name(call.name));
    out.extend_from_slice(b",\"arguments\":");
    match call.arguments {
        // Clients replay a call of nothing so; servers parse the text.
        Arguments::Text(text) if text.is_empty() => out.extend_from_slice(b"\"{}\""),
        Arguments::Text(text) => write::text(out, masks.shown(text)),
        Arguments::Object(object) => {
            let mut shown = Vec::with_capacity(object.as_str().len());
            masks.copy(object, &mut shown);
            write::string(out, &String::from_utf8_lossy(&shown));
        }
    }
    out.extend_from_slice(b"}}");
}

fn tools(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    if request.tools.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"tools\":[");
    let mut first = true;
    for tool in &request.tools {
        let Tool::Function { name, description, parameters } = tool else { continue };
        write::comma(out, &mut first);
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        write::text(out, request.tool_name(*name));
        if let Some(description) = description {
            out.extend_from_slice(b",\"description\":");
            write::text(out, request.masks.shown(*description));
        }
        if let Some(parameters) = parameters {
            out.extend_from_slice(b",\"parameters\":");
            request.masks.copy(*parameters, out);
        }
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b"]");
    choice(&request.tool_choice, out);
}

fn choice(choice: &ToolChoice<'_>, out: &mut Vec<u8>) {
    match choice {
        ToolChoice::Auto => {}
        ToolChoice::None => out.extend_from_slice(b",\"tool_choice\":\"none\""),
        ToolChoice::Required => out.extend_from_slice(b",\"tool_choice\":\"required\""),
        ToolChoice::Named(name) => {
            out.extend_from_slice(b",\"tool_choice\":");
            named(*name, out);
        }
        ToolChoice::Allowed { names, required } => {
            out.extend_from_slice(
                b",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":",
            );
            out.extend_from_slice(if *required { b"\"required\"".as_slice() } else { b"\"auto\"" });
            out.extend_from_slice(b",\"tools\":[");
            let mut first = true;
            for name in names {
                write::comma(out, &mut first);
                named(*name, out);
            }
            out.extend_from_slice(b"]}}");
        }
    }
}

fn named(name: Text<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
    write::text(out, name);
    out.extend_from_slice(b"}}");
}

fn shape(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    match request.shape {
        Shape::Text => {}
        Shape::Json => out.extend_from_slice(b",\"response_format\":{\"type\":\"json_object\"}"),
        Shape::Schema(schema) => {
            // A name is required there, and says nothing.
            out.extend_from_slice(
                b",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":",
            );
            request.masks.copy(schema, out);
            out.extend_from_slice(b"}}");
        }
    }
}

fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Low => "low",
        // What this dialect does where nobody says how much.
        Effort::Some | Effort::Medium => "medium",
        Effort::High => "high",
        Effort::Max => "xhigh",
    }
}

fn logprobs(request: &ModelRequest<'_>, out: &mut Vec<u8>) {
    if request.logprobs {
        out.extend_from_slice(b",\"logprobs\":true");
    }
    if let Some(count) = request.top_logprobs {
        out.extend_from_slice(b",\"top_logprobs\":");
        write::number(out, count);
    }
}

fn sampling(request: &ModelRequest<'_>, to: &Outbound<'_>, dropped: &mut Dropped, out: &mut Vec<u8>) {
    let sampling = &request.sampling;
    for (name, value) in [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
        ("seed", sampling.seed),
        ("top_k", sampling.top_k),
        ("min_p", sampling.min_p),
    ] {
        if let Some(value) = value {
            member(name, value, out);
        }
    }
    if let Some(cap) = sampling.max_output_tokens.into_iter().chain(to.output_tokens_max).min() {
        out.extend_from_slice(b",\"max_tokens\":");
        write::number(out, cap);
    }
    if !sampling.stop.is_empty() {
        out.extend_from_slice(b",\"stop\":[");
        let mut first = true;
        for stop in &sampling.stop {
            write::comma(out, &mut first);
            write::text(out, *stop);
        }
        out.push(b']');
    }
    for (name, _) in &sampling.further {
        note(dropped, name);
    }
    for (name, _) in &request.runtime {
        note(dropped, name);
    }
}

/// What the client's dialect does not know; of Ollama's own fields only those that mean the same here.
fn outsiders(request: &ModelRequest<'_>, to: &Outbound<'_>, dropped: &mut Dropped, out: &mut Vec<u8>) {
    let may = |name: &str| to.options.iter().any(|allowed| allowed == name);
    for outsider in request.outsiders.iter().filter(|outsider| !outsider.is_null()) {
        let known = ["top_k", "min_p"].into_iter().find(|known| *known == outsider.name);
        let given = |name| match name {
            "top_k" => request.sampling.top_k.is_some(),
            _ => request.sampling.min_p.is_some(),
        };
        match known {
            Some(name) if may(name) && !given(name) && outsider.value.as_str().parse::<f64>().is_ok() => {
                member(name, outsider.value.as_str(), out);
            }
            _ => note(dropped, super::fields::extension(&outsider.name)),
        }
    }
}

fn member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value.as_bytes());
}
