//! What Ollama tells of one model when it is asked to show it (`/api/show`), read and written anew.
//!
//! Why in two halves: what a model is (details, capabilities, numbers) tells a client how to use it; the texts that an operator
//! gave it (system prompt, template, modelfile with the place of its files) are somebody's work and for whom the operator names.
//!
//! Never here: `projector_info` and `tensors`, and the tables of a tokenizer.

use super::facts::{write_details, write_words};
use super::{models, time};
use crate::error::UpstreamFault;
use crate::json::{Broken, Kind, Raw, Reader, Text, write};
use crate::models::ModelEntry;

/// As in lists.
const DEPTH_MAX: usize = 64;
/// Members of `model_info`.
const INFO_MAX: usize = 1024;
/// A scalar of `model_info` in JSON: a name or a number, no document.
const SCALAR_BYTES_MAX: usize = 256;

/// One model, as a runtime shows it. Lent from the upstream's body.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    pub entry: ModelEntry,
    /// Scalars of `model_info`.
    info: Vec<(Text<'a>, Raw<'a>)>,
    /// Texts by their names.
    texts: Vec<(&'static str, Text<'a>)>,
    messages: Vec<(Text<'a>, Text<'a>)>,
}

/// For whom may see them.
const TEXTS: &[&str] = &["license", "modelfile", "parameters", "template", "system"];

impl From<ModelEntry> for Shown<'_> {
    /// All that is known of a model where the upstream shows none.
    fn from(entry: ModelEntry) -> Self {
        Self { entry, info: Vec::new(), texts: Vec::new(), messages: Vec::new() }
    }
}

pub(crate) fn read<'a>(name: &str, body: &'a [u8]) -> Result<Shown<'a>, UpstreamFault> {
    let mut shown = Shown::from(models::read_one(name, body)?);
    let mut reader = Reader::new(body, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), Broken> {
        let kind = reader.kind()?;
        match (key.raw(), kind) {
            ("model_info", Kind::Object) => shown.info = scalars(reader)?,
            ("messages", Kind::Array) => shown.messages = messages(reader)?,
            (name, Kind::String) if TEXTS.contains(&name) => {
                let name = TEXTS.iter().copied().find(|known| *known == name).unwrap_or_default();
                shown.texts.retain(|(known, _)| *known != name);
                shown.texts.push((name, reader.string()?));
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    Ok(shown)
}

fn scalars<'a>(reader: &mut Reader<'a>) -> Result<Vec<(Text<'a>, Raw<'a>)>, Broken> {
    let mut info = Vec::new();
    reader.object(|reader, key| -> Result<(), Broken> {
        let is_scalar = matches!(reader.kind()?, Kind::Bool | Kind::Number | Kind::String);
        let value = reader.raw()?;
        // A template is an operator's text wherever it stands.
        let is_text = key.raw().ends_with("chat_template");
        if is_scalar && !is_text && value.as_str().len() <= SCALAR_BYTES_MAX && info.len() < INFO_MAX {
            info.push((key, value));
        }
        Ok(())
    })?;
    Ok(info)
}

/// Role and content of each: what a model was given to begin with.
fn messages<'a>(reader: &mut Reader<'a>) -> Result<Vec<(Text<'a>, Text<'a>)>, Broken> {
    let mut messages = Vec::new();
    reader.array(|reader, _| -> Result<(), Broken> {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let mut message = (Text::default(), Text::default());
        reader.object(|reader, key| -> Result<(), Broken> {
            match (key.raw(), reader.kind()?) {
                ("role", Kind::String) => message.0 = reader.string()?,
                ("content", Kind::String) => message.1 = reader.string()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        messages.push(message);
        Ok(())
    })?;
    Ok(messages)
}

pub(crate) fn write(shown: &Shown<'_>, with_texts: bool, out: &mut Vec<u8>) {
    let facts = &shown.entry.facts;
    out.push(b'{');
    if with_texts {
        texts(shown, out);
    }
    write_details(&facts.details, out);
    out.extend_from_slice(b",\"model_info\":{");
    let mut first = true;
    for (name, value) in &shown.info {
        write::comma(out, &mut first);
        write::text(out, *name);
        out.push(b':');
        write::raw(out, *value);
    }
    out.push(b'}');
    if let Some(capabilities) = &facts.capabilities {
        out.extend_from_slice(b",\"capabilities\":");
        write_words(capabilities, out);
    }
    out.extend_from_slice(b",\"modified_at\":");
    time::write(shown.entry.created, out);
    out.push(b'}');
}

fn texts(shown: &Shown<'_>, out: &mut Vec<u8>) {
    for (name, text) in &shown.texts {
        write::string(out, name);
        out.push(b':');
        write::text(out, *text);
        out.push(b',');
    }
    if shown.messages.is_empty() {
        return;
    }
    out.extend_from_slice(b"\"messages\":[");
    let mut first = true;
    for (role, content) in &shown.messages {
        write::comma(out, &mut first);
        out.extend_from_slice(b"{\"role\":");
        write::text(out, *role);
        out.extend_from_slice(b",\"content\":");
        write::text(out, *content);
        out.push(b'}');
    }
    out.extend_from_slice(b"],");
}

/// `/api/version`.
pub(crate) fn write_version(version: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"version\":");
    write::string(out, version);
    out.push(b'}');
}
