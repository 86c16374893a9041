//! OpenAI's model objects, read and written.
//!
//! Never here: an upstream's `owned_by` in what a client sees: it names the server's software.

use crate::error::UpstreamFault;
use crate::json::{Broken, Kind, Reader, write};
use crate::models::{ListedModel, ModelEntry};

const DEPTH_MAX: usize = 32;

pub(crate) fn read_list(body: &[u8]) -> Result<Vec<ModelEntry>, UpstreamFault> {
    let mut models = None;
    let mut reader = Reader::new(body, DEPTH_MAX)?;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("data", Kind::Array) => {
                let mut list = Vec::new();
                reader.array(|reader, _| -> Result<(), Broken> {
                    list.extend(entry(reader)?);
                    Ok(())
                })?;
                models = Some(list);
            }
            ("data", Kind::Null) => {
                reader.null()?;
                models = Some(Vec::new());
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    models.ok_or_else(|| UpstreamFault::protocol("a model list without 'data'"))
}

pub(crate) fn read_one(name: &str, body: &[u8]) -> Result<ModelEntry, UpstreamFault> {
    let found = entry(&mut Reader::new(body, DEPTH_MAX)?)?;
    let found = found.ok_or_else(|| UpstreamFault::protocol("a model object without 'id'"))?;
    Ok(ModelEntry::new(name, found.created, found.remote))
}

fn entry(reader: &mut Reader<'_>) -> Result<Option<ModelEntry>, Broken> {
    let mut id = None;
    let mut created = 0;
    reader.object(|reader, key| -> Result<(), Broken> {
        match (key.raw(), reader.kind()?) {
            ("id", Kind::String) => id = Some(reader.string()?),
            ("created", Kind::Number) => created = reader.number()?.parse().unwrap_or(0),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(id.map(|id| ModelEntry::new(&id.decode(), created, false)))
}

pub(crate) fn write_list<'a>(models: impl Iterator<Item = ListedModel<'a>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    let mut first = true;
    for model in models {
        write::comma(out, &mut first);
        write_one(&model, out);
    }
    out.extend_from_slice(b"]}");
}

pub(crate) fn write_one(model: &ListedModel<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    write::string(out, model.name);
    out.extend_from_slice(b",\"object\":\"model\",\"created\":");
    write::number(out, model.created);
    out.extend_from_slice(b",\"owned_by\":");
    write::string(out, model.owner);
    out.push(b'}');
}
