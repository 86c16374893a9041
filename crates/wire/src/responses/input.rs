//! Reads the input: a text, or the items of a conversation, which become messages.
//!
//! Items are finer than messages: a thought, a text and each call of one turn stand alone. They are put together as they
//! were said, so that a model reads the turn as one.
//!
//! Never here: parts of content (`content`), definitions of tools (`tools`).

use super::content;
use super::tools::{filled, spaced};
use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::json::{Kind, Text};
use crate::media::Media;
use crate::openai::content::PARTS_MAX;
use crate::request::{Arguments, AskedCall, Message, ModelRequest, Part, ReadLimits, Role};

/// Items about work that OpenAI's servers do, or that a tool of theirs asks of a client. No model of ours did it.
const LEFT_OUT: &[&str] = &[
    "web_search_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "code_interpreter_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "tool_search_call",
    "tool_search_output",
    "additional_tools",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "program",
    "program_output",
    "configuration_update",
];

pub(super) fn read<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    request: &mut ModelRequest<'a>,
    media: &mut Media<'_>,
    limits: &ReadLimits,
) -> Result<(), Fault> {
    match body.json.kind()? {
        Kind::Null => Ok(body.json.null()?),
        Kind::String => {
            let text = body.string(at)?;
            let parts = vec![Part::Text(body.prompt(text))];
            request.messages.push(Message::plain(Role::User, parts));
            Ok(())
        }
        Kind::Array => {
            let mut thread = Thread { request, thinking: Vec::new(), calls: 0 };
            body.elements(at, limits.messages, |body, index| {
                let calls = thread.calls;
                item(body, &at.index(index), &mut thread, media)?;
                if thread.calls > calls {
                    thread.request.call_items.push(index);
                }
                Ok(())
            })?;
            thread.flush();
            if request.messages.is_empty() {
                return Err(at.fault("empty_array", format!("'{at}' must hold at least one message.")));
            }
            Ok(())
        }
        other => Err(wrong_type(at, "a string or an array of items", noun(other))),
    }
}

/// Messages so far, and a thought that waits for what was said after it.
struct Thread<'r, 'a> {
    request: &'r mut ModelRequest<'a>,
    thinking: Vec<Text<'a>>,
    calls: usize,
}

impl<'a> Thread<'_, 'a> {
    fn message(&mut self, role: Role, parts: Vec<Part<'a>>) {
        let mut message = Message::plain(role, parts);
        if role == Role::Assistant {
            message.thinking = std::mem::take(&mut self.thinking);
        }
        self.push(message);
    }

    /// Of several calls in a row, and of a text before them, one turn is made.
    fn call(&mut self, call: AskedCall<'a>) {
        self.calls += 1;
        if !matches!(self.request.messages.last(), Some(Message { role: Role::Assistant, .. })) {
            self.request.messages.push(Message::plain(Role::Assistant, Vec::new()));
        }
        if let Some(last) = self.request.messages.last_mut() {
            last.thinking.append(&mut self.thinking);
            last.calls.push(call);
        }
    }

    fn push(&mut self, message: Message<'a>) {
        self.flush();
        self.request.messages.push(message);
    }

    /// A thought after which nothing was said is a turn of its own.
    fn flush(&mut self) {
        if !self.thinking.is_empty() {
            let mut message = Message::plain(Role::Assistant, Vec::new());
            message.thinking = std::mem::take(&mut self.thinking);
            self.request.messages.push(message);
        }
    }
}

fn item<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    thread: &mut Thread<'_, 'a>,
    media: &mut Media<'_>,
) -> Result<(), Fault> {
    let kind = body.ahead(at, "type")?.map(Text::decode);
    match kind.as_deref() {
        Some("message") => message(body, at, thread, media),
        Some("reasoning") => reasoning(body, at, thread),
        Some("function_call") => call(body, at, thread),
        Some("function_call_output") => output(body, at, thread, media),
        Some("custom_tool_call" | "custom_tool_call_output") => {
            let message = "Calls of custom tools cannot be carried: models here call functions only.";
            Err(at.key("type").fault("unsupported_value", message))
        }
        Some("item_reference") => Err(kept_nowhere(at, "items", "Send the item itself.")),
        Some("compaction" | "compaction_trigger") => {
            Err(kept_nowhere(at, "conversations", "Send the items themselves."))
        }
        Some(other) => match LEFT_OUT.iter().find(|known| **known == other) {
            Some(known) => {
                body.drop_field(known);
                Ok(body.json.skip()?)
            }
            None => {
                let why = "expected 'message', 'reasoning', 'function_call' or 'function_call_output'";
                Err(at.key("type").invalid(why))
            }
        },
        None if body.ahead(at, "role")?.is_some() => message(body, at, thread, media),
        None if body.ahead(at, "id")?.is_some() => Err(kept_nowhere(at, "items", "Send the item itself.")),
        None => Err(at.key("type").missing()),
    }
}

fn kept_nowhere(at: &Path<'_>, what: &str, instead: &str) -> Fault {
    at.fault("unsupported_value", format!("This gateway keeps no {what} between requests. {instead}"))
}

fn message<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    thread: &mut Thread<'_, 'a>,
    media: &mut Media<'_>,
) -> Result<(), Fault> {
    let mut role = None;
    let mut parts = None;
    body.members(at, &["type", "role", "content", "id", "status", "phase"], |body, name| {
        let at = at.key(name);
        match name {
            "role" => role = Some(body.string(&at)?),
            "content" => parts = body.optional(|body| content::read(body, &at, media))?,
            "phase" => body.ignore("input[].phase")?,
            // An answer's item comes back with what we put there.
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let Some(role) = role else { return Err(at.key("role").missing()) };
    let role = match &*role.decode() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            return Err(at.key("role").invalid("expected 'system', 'developer', 'user' or 'assistant'"));
        }
    };
    thread.message(role, parts.ok_or_else(|| at.key("content").missing())?);
    Ok(())
}

/// What was sent out as sealed is plain text; whoever did not ask for that sends the summary back.
fn reasoning<'a>(body: &mut Body<'a>, at: &Path<'_>, thread: &mut Thread<'_, 'a>) -> Result<(), Fault> {
    let mut sealed = None;
    let mut full = Vec::new();
    let mut summary = Vec::new();
    let members = &["type", "encrypted_content", "content", "summary", "id", "status"];
    body.members(at, members, |body, name| {
        let at = at.key(name);
        match name {
            "encrypted_content" => sealed = body.optional(|body| body.string(&at))?,
            "content" => full = body.optional(|body| texts(body, &at))?.unwrap_or_default(),
            "summary" => summary = body.optional(|body| texts(body, &at))?.unwrap_or_default(),
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let sealed: Vec<_> = sealed.into_iter().collect();
    let said = [sealed, full, summary].into_iter().find(|texts| texts.iter().any(|text| !text.is_empty()));
    for text in said.unwrap_or_default() {
        thread.thinking.push(body.prompt(text));
    }
    Ok(())
}

fn texts<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<Text<'a>>, Fault> {
    let mut texts = Vec::new();
    body.elements(at, PARTS_MAX, |body, index| {
        let at = at.index(index);
        let mut text = None;
        body.members(&at, &["type", "text"], |body, name| match name {
            "text" => {
                text = Some(body.string(&at.key(name))?);
                Ok(())
            }
            _ => Ok(body.json.skip()?),
        })?;
        texts.push(text.ok_or_else(|| at.key("text").missing())?);
        Ok(())
    })?;
    Ok(texts)
}

const CALL: &[&str] =
    &["type", "call_id", "name", "namespace", "arguments", "id", "status", "caller", "async"];

fn call<'a>(body: &mut Body<'a>, at: &Path<'_>, thread: &mut Thread<'_, 'a>) -> Result<(), Fault> {
    let (mut id, mut called, mut space, mut arguments) = (None, None, None, None);
    body.members(at, CALL, |body, name| {
        let at = at.key(name);
        match name {
            "call_id" => id = body.optional(|body| body.string(&at))?,
            "name" => called = body.optional(|body| body.string(&at))?,
            "namespace" => space = body.optional(|body| body.string(&at))?,
            "arguments" => arguments = body.optional(|body| body.string(&at))?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    let Some(id) = id else { return Err(at.key("call_id").missing()) };
    let name = filled(called, &at.key("name"))?;
    spaced(body, space, name, thread.request);
    let arguments = body.prompt(arguments.unwrap_or_default());
    let name = body.prompt(name);
    thread.call(AskedCall { id: Some(id), name, arguments: Arguments::Text(arguments) });
    Ok(())
}

const OUTPUT: &[&str] = &["type", "call_id", "output", "name", "namespace", "id", "status", "caller"];

fn output<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    thread: &mut Thread<'_, 'a>,
    media: &mut Media<'_>,
) -> Result<(), Fault> {
    let (mut id, mut called, mut space, mut parts) = (None, None, None, None);
    body.members(at, OUTPUT, |body, name| {
        let at = at.key(name);
        match name {
            "call_id" => id = body.optional(|body| body.string(&at))?,
            "name" => called = body.optional(|body| body.string(&at))?,
            "namespace" => space = body.optional(|body| body.string(&at))?,
            "output" => parts = body.optional(|body| content::read(body, &at, media))?,
            _ => body.json.skip()?,
        }
        Ok(())
    })?;
    if id.is_none() && called.is_none() {
        return Err(at.key("call_id").missing());
    }
    let parts = parts.ok_or_else(|| at.key("output").missing())?;
    if let Some(name) = called {
        spaced(body, space, name, thread.request);
    }
    thread.push(Message { call_id: id, tool_name: called, ..Message::plain(Role::Tool, parts) });
    Ok(())
}
