//! Ollama's lists of installed and of resident models, read and written, and a load without a question.
//!
//! Never here: licence, template, system prompt and parameters of `/api/show` (`show`); where a runtime keeps its files.

use super::facts::{details, positive, word, words, write_details, write_number, write_words};
use super::time::{self, unix_seconds};
use crate::error::UpstreamFault;
use crate::json::{Broken, Kind, Reader, Text, write};
use crate::models::{Capabilities, Details, Facts, ListedModel, ModelEntry, Resident};

/// `/api/show` nests tensors and tokenizer tables.
const DEPTH_MAX: usize = 64;

/// Letters of a digest that Ollama's own program shows; of a shorter one it breaks.
const DIGEST_SHOWN: usize = 12;
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// `/api/tags`.
pub(crate) fn read_list(body: &[u8]) -> Result<Vec<ModelEntry>, UpstreamFault> {
    entries(body, Entry::finish)
}

/// `/api/ps`.
pub(crate) fn read_resident(body: &[u8]) -> Result<Vec<Resident>, UpstreamFault> {
    entries(body, Entry::resident)
}

fn entries<'a, T>(body: &'a [u8], finish: impl Fn(Entry<'a>) -> Option<T>) -> Result<Vec<T>, UpstreamFault> {
    let mut models = None;
    let mut reader = Reader::new(body, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("models", Kind::Array) => {
                let mut list = Vec::new();
                reader.array(|reader, _| -> Result<(), Broken> {
                    list.extend(finish(Entry::read(reader)?));
                    Ok(())
                })?;
                models = Some(list);
            }
            ("models", Kind::Null) => {
                reader.null()?;
                models = Some(Vec::new());
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    models.ok_or_else(|| UpstreamFault::protocol("a model list without 'models'"))
}

/// `/api/show`, which does not repeat the name.
pub(crate) fn read_one(name: &str, body: &[u8]) -> Result<ModelEntry, UpstreamFault> {
    Ok(Entry::read(&mut Reader::new(body, DEPTH_MAX)?)?.named(name))
}

#[derive(Default)]
struct Entry<'a> {
    model: Option<Text<'a>>,
    name: Option<Text<'a>>,
    created: u64,
    is_stub: bool,
    size_bytes: u64,
    vram_bytes: u64,
    context_tokens: Option<u64>,
    digest: String,
    expires: Option<u64>,
    details: Details,
    capabilities: Option<Vec<String>>,
}

impl<'a> Entry<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Broken> {
        let mut entry = Entry::default();
        reader.object(|reader, key| -> Result<(), Broken> {
            match (key.raw(), reader.kind()?) {
                ("model", Kind::String) => {
                    entry.model = Some(reader.string()?).filter(|name| !name.is_empty());
                }
                ("name", Kind::String) => entry.name = Some(reader.string()?).filter(|name| !name.is_empty()),
                ("modified_at", Kind::String) => entry.created = unix_seconds(reader.string()?).unwrap_or(0),
                ("remote_host" | "remote_model", Kind::String) => {
                    entry.is_stub |= !reader.string()?.is_empty();
                }
                ("size", Kind::Number) => entry.size_bytes = reader.number()?.parse().unwrap_or(0),
                ("size_vram", Kind::Number) => entry.vram_bytes = reader.number()?.parse().unwrap_or(0),
                ("context_length", Kind::Number) => entry.context_tokens = positive(reader.number()?),
                ("digest", Kind::String) => entry.digest = word(reader.string()?),
                ("expires_at", Kind::String) => entry.expires = unix_seconds(reader.string()?),
                ("details", Kind::Object) => entry.details = details(reader)?,
                ("capabilities", Kind::Array) => entry.capabilities = Some(words(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(entry)
    }

    fn finish(self) -> Option<ModelEntry> {
        let name = self.model.or(self.name)?.decode();
        Some(self.named(&name))
    }

    fn named(self, name: &str) -> ModelEntry {
        let facts = Facts {
            size_bytes: self.size_bytes,
            digest: self.digest,
            details: self.details,
            capabilities: self.capabilities,
        };
        ModelEntry { facts, ..ModelEntry::new(name, self.created, self.is_stub) }
    }

    fn resident(self) -> Option<Resident> {
        let name = self.model.or(self.name)?.decode().into_owned();
        Some(Resident {
            name,
            context_tokens: self.context_tokens,
            size_bytes: self.size_bytes,
            vram_bytes: self.vram_bytes,
            digest: self.digest,
            expires: self.expires,
            details: self.details,
        })
    }
}

/// An empty question to `/api/generate` loads the model and answers when it is there.
pub(crate) fn write_load(model: &str, keep_alive: Option<&str>, num_ctx: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"model\":");
    write::string(out, model);
    out.extend_from_slice(b",\"stream\":false");
    super::options::write_keep_alive(keep_alive, out);
    if let Some(tokens) = num_ctx {
        out.extend_from_slice(b",\"options\":{\"num_ctx\":");
        write::number(out, tokens);
        out.push(b'}');
    }
    out.push(b'}');
}

pub(crate) fn read_capabilities(body: &[u8]) -> Result<Option<Capabilities>, UpstreamFault> {
    let mut found = None;
    let mut reader = Reader::new(body, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), Broken> {
        if key.raw() != "capabilities" || reader.kind()? != Kind::Array {
            return reader.skip();
        }
        let mut capabilities = Capabilities::default();
        reader.array(|reader, _| {
            if reader.kind()? != Kind::String {
                return reader.skip();
            }
            match reader.string()?.raw() {
                "thinking" => capabilities.thinking = true,
                "tools" => capabilities.tools = true,
                "vision" => capabilities.vision = true,
                _ => {}
            }
            Ok(())
        })?;
        found = Some(capabilities);
        Ok(())
    })?;
    Ok(found)
}

pub(crate) fn write_list<'a>(models: impl Iterator<Item = ListedModel<'a>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"models\":[");
    let mut first = true;
    for model in models {
        write::comma(out, &mut first);
        write_one(&model, out);
    }
    out.extend_from_slice(b"]}");
}

pub(crate) fn write_one(model: &ListedModel<'_>, out: &mut Vec<u8>) {
    names(model.name, out);
    out.extend_from_slice(b",\"modified_at\":");
    time::write(model.created, out);
    size(model.facts.size_bytes, &model.facts.digest, &model.facts.details, out);
    if let Some(capabilities) = &model.facts.capabilities {
        out.extend_from_slice(b",\"capabilities\":");
        write_words(capabilities, out);
    }
    out.push(b'}');
}

/// Each under the name that the client knows.
pub(crate) fn write_resident<'a>(models: impl Iterator<Item = (&'a str, &'a Resident)>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"models\":[");
    let mut first = true;
    for (name, model) in models {
        write::comma(out, &mut first);
        names(name, out);
        size(model.size_bytes, &model.digest, &model.details, out);
        if let Some(expires) = model.expires {
            out.extend_from_slice(b",\"expires_at\":");
            time::write(expires, out);
        }
        out.extend_from_slice(b",\"size_vram\":");
        write::number(out, model.vram_bytes);
        write_number(b",\"context_length\":", model.context_tokens, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// The dialect says it twice.
fn names(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    write::string(out, name);
    out.extend_from_slice(b",\"model\":");
    write::string(out, name);
}

fn size(bytes: u64, digest: &str, details: &Details, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"size\":");
    write::number(out, bytes);
    out.extend_from_slice(b",\"digest\":");
    write::string(out, if digest.len() < DIGEST_SHOWN { NO_DIGEST } else { digest });
    out.push(b',');
    write_details(details, out);
}
