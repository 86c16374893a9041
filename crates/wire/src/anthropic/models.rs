//! Writes Anthropic's model objects.
//!
//! Why all models are one page: a client that asks for the next one by a name would get the same names again.
//!
//! Never here: which models a key may see.

use crate::json::write;
use crate::models::ListedModel;

pub(crate) fn write_list<'a>(models: impl Iterator<Item = ListedModel<'a>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"data\":[");
    let mut first = true;
    let mut ends: Option<(&str, &str)> = None;
    for model in models {
        write::comma(out, &mut first);
        write_one(&model, out);
        ends = Some((ends.map_or(model.name, |(first, _)| first), model.name));
    }
    out.extend_from_slice(b"],\"has_more\":false,\"first_id\":");
    name(ends.map(|(first, _)| first), out);
    out.extend_from_slice(b",\"last_id\":");
    name(ends.map(|(_, last)| last), out);
    out.push(b'}');
}

fn name(name: Option<&str>, out: &mut Vec<u8>) {
    match name {
        Some(name) => write::string(out, name),
        None => out.extend_from_slice(b"null"),
    }
}

pub(crate) fn write_one(model: &ListedModel<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"model\",\"id\":");
    write::string(out, model.name);
    out.extend_from_slice(b",\"display_name\":");
    write::string(out, model.name);
    out.extend_from_slice(b",\"created_at\":");
    write::string(out, &rfc3339(model.created));
    out.push(b'}');
}

/// A time that nobody can mean counts as unknown, which is the epoch here.
fn rfc3339(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or(0);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
