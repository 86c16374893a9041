//! Requests of who runs a runtime (pull, push, create, copy, delete), read from a client and written anew.
//!
//! Why anew: these change what everybody's runtime has, and its decoder takes keys in any case and the last of two. A field that
//! is not in this list (a user's name and password for a registry, a path on the disk) cannot be written.
//!
//! Never here: who may; blobs, which are bytes.

use std::borrow::Cow;

use crate::body::{Body, Path, noun, wrong_type};
use crate::error::Fault;
use crate::format::Manage;
use crate::json::{Broken, Kind, Raw, Text, write};
use crate::request::{Dropped, ReadLimits};

const NAME_BYTES_MAX: usize = 512;
/// Files, adapters, licences and parameters of one model.
const ENTRIES_MAX: usize = 256;

/// What is to be done to which model.
#[derive(Debug)]
pub struct ManageRequest<'a> {
    fields: Vec<(&'static str, Value<'a>)>,
    stream: bool,
    dropped: Dropped,
}

#[derive(Debug)]
enum Value<'a> {
    Text(Text<'a>),
    Texts(Vec<Text<'a>>),
    Flag(bool),
    /// Of scalars and lists of them, checked.
    Object(Raw<'a>),
    /// File names and the digests of their blobs.
    Digests(Vec<(Text<'a>, Text<'a>)>),
    /// Role and content of each.
    Messages(Vec<(Text<'a>, Text<'a>)>),
}

/// Names of models, by their fields.
const NAMES: &[&str] = &["model", "from", "source", "destination"];

impl ManageRequest<'_> {
    /// Every model that is named: what is made or taken, and what it is made of.
    pub fn models(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.fields.iter().filter_map(|(name, value)| match value {
            Value::Text(text) if NAMES.contains(name) => Some(text.decode()),
            _ => None,
        })
    }

    /// The caller wants to be told how it goes.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Fields that are not sent.
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }
}

/// `None`: there is no body to read.
fn known(which: Manage) -> Option<&'static [&'static str]> {
    match which {
        Manage::Pull | Manage::Push => Some(&["model", "name", "insecure", "stream"]),
        Manage::Create => Some(&[
            "model",
            "name",
            "from",
            "files",
            "adapters",
            "template",
            "license",
            "system",
            "parameters",
            "messages",
            "quantize",
            "stream",
        ]),
        Manage::Copy => Some(&["source", "destination"]),
        Manage::Delete => Some(&["model", "name"]),
        Manage::Blobs | Manage::Show | Manage::Other => None,
    }
}

pub(crate) fn read<'a>(
    which: Manage,
    bytes: &'a [u8],
    limits: &ReadLimits,
) -> Result<ManageRequest<'a>, Fault> {
    let Some(known) = known(which) else {
        return Err(Fault::whole("unsupported_format", "This operation has no body of fields."));
    };
    let mut body = Body::new(bytes, limits.depth)?;
    let mut fields = Vec::new();
    body.members(&Path::Root, known, |body, name| {
        let at = Path::Root.key(name);
        if let Some(value) = body.optional(|body| value(body, &at, name, limits))? {
            fields.push((name, value));
        }
        Ok(())
    })?;
    body.json.finish()?;
    if let Some(name) = body.look_alike {
        return Err(Fault::look_alike(name));
    }
    named(which, &mut fields)?;
    let mut stream = matches!(which, Manage::Pull | Manage::Push | Manage::Create);
    fields.retain(|(name, value)| match value {
        Value::Flag(flag) if *name == "stream" => {
            stream = *flag;
            false
        }
        _ => true,
    });
    if known.contains(&"stream") {
        fields.push(("stream", Value::Flag(stream)));
    }
    Ok(ManageRequest { fields, stream, dropped: body.dropped })
}

/// `name` is how older clients say `model`.
fn named(which: Manage, fields: &mut Vec<(&'static str, Value<'_>)>) -> Result<(), Fault> {
    let wanted: &[&'static str] = if which == Manage::Copy { &["source", "destination"] } else { &["model"] };
    let has = |fields: &[(&str, Value<'_>)], wanted| fields.iter().any(|(name, _)| *name == wanted);
    if has(fields, "model") && has(fields, "name") {
        return Err(Fault::new("duplicate_parameter", "model", "'model' and 'name' are the same field."));
    }
    if let Some((name, _)) = fields.iter_mut().find(|(name, _)| *name == "name") {
        *name = "model";
    }
    match wanted.iter().find(|wanted| !has(fields, wanted)) {
        Some(missing) => Err(Path::Root.key(missing).missing()),
        None => Ok(()),
    }
}

fn value<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    name: &str,
    limits: &ReadLimits,
) -> Result<Value<'a>, Fault> {
    Ok(match name {
        "model" | "name" | "from" | "source" | "destination" => Value::Text(model(body, at)?),
        "insecure" | "stream" => Value::Flag(body.boolean(at)?),
        "files" | "adapters" => Value::Digests(digests(body, at)?),
        "license" => licence(body, at)?,
        "parameters" => Value::Object(parameters(body, at)?),
        "messages" => Value::Messages(messages(body, at, limits.messages)?),
        _ => Value::Text(body.string(at)?),
    })
}

fn model<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Text<'a>, Fault> {
    let name = body.string(at)?;
    let decoded = name.decode();
    let fits = !decoded.is_empty() && decoded.len() <= NAME_BYTES_MAX && !decoded.contains(char::is_control);
    if fits { Ok(name) } else { Err(at.invalid("a model's name is expected")) }
}

fn licence<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Value<'a>, Fault> {
    if body.json.kind()? == Kind::String {
        return Ok(Value::Text(body.string(at)?));
    }
    let mut texts = Vec::new();
    body.elements(at, ENTRIES_MAX, |body, index| {
        texts.push(body.string(&at.index(index))?);
        Ok(())
    })?;
    Ok(Value::Texts(texts))
}

/// Names of files are the runtime's to judge; what they stand for must be a digest.
fn digests<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Vec<(Text<'a>, Text<'a>)>, Fault> {
    body.expect(at, Kind::Object)?;
    let mut files: Vec<(Text<'a>, Text<'a>)> = Vec::new();
    let mut more = body.json.enter_object()?;
    while more {
        let name = body.json.key()?;
        let digest = body.string(at)?;
        if files.iter().any(|(known, _)| known.decode() == name.decode()) || files.len() == ENTRIES_MAX {
            return Err(at.invalid("each file is named once, and not too many are"));
        }
        if !is_digest(&digest.decode()) {
            return Err(at.invalid("expected names of files with digests (sha256:...)"));
        }
        files.push((name, digest));
        more = body.json.next_member()?;
    }
    Ok(files)
}

/// `sha256:` and its 64 digits.
pub(super) fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha256-"));
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Scalars, and lists of scalars, by any names: which there are changes from release to release.
fn parameters<'a>(body: &mut Body<'a>, at: &Path<'_>) -> Result<Raw<'a>, Fault> {
    body.expect(at, Kind::Object)?;
    let start = body.json.position();
    let mut count = 0;
    let mut nested = false;
    body.json.object(|reader, _| -> Result<(), Broken> {
        count += 1;
        match reader.kind()? {
            Kind::Object => nested = true,
            Kind::Array => {
                return reader.array(|reader, _| {
                    nested |= matches!(reader.kind()?, Kind::Object | Kind::Array);
                    reader.skip()
                });
            }
            _ => {}
        }
        reader.skip()
    })?;
    if nested || count > ENTRIES_MAX {
        return Err(at.invalid("expected parameters with plain values"));
    }
    Ok(body.json.walked(start, body.json.passed()))
}

fn messages<'a>(
    body: &mut Body<'a>,
    at: &Path<'_>,
    count_max: usize,
) -> Result<Vec<(Text<'a>, Text<'a>)>, Fault> {
    let mut messages = Vec::new();
    body.elements(at, count_max, |body, index| {
        let at = at.index(index);
        let mut message = (None, Text::default());
        if body.json.kind()? != Kind::Object {
            return Err(wrong_type(&at, "an object", noun(body.json.kind()?)));
        }
        body.members(&at, &["role", "content"], |body, name| {
            let at = at.key(name);
            match name {
                "role" => message.0 = Some(body.string(&at)?),
                _ => message.1 = body.string(&at)?,
            }
            Ok(())
        })?;
        let Some(role) = message.0 else { return Err(at.key("role").missing()) };
        messages.push((role, message.1));
        Ok(())
    })?;
    Ok(messages)
}

pub(crate) fn write(request: &ManageRequest<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in &request.fields {
        write::comma(out, &mut first);
        write::string(out, name);
        out.push(b':');
        value.write(out);
    }
    out.push(b'}');
}

impl Value<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write::text(out, *text),
            Self::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Object(raw) => write::raw(out, *raw),
            Self::Texts(texts) => list(texts, out, |text, out| write::text(out, *text)),
            Self::Messages(messages) => list(messages, out, |(role, content), out| {
                out.extend_from_slice(b"{\"role\":");
                write::text(out, *role);
                out.extend_from_slice(b",\"content\":");
                write::text(out, *content);
                out.push(b'}');
            }),
            Self::Digests(files) => {
                let mut first = true;
                out.push(b'{');
                for (name, digest) in files {
                    write::comma(out, &mut first);
                    write::text(out, *name);
                    out.push(b':');
                    write::text(out, *digest);
                }
                out.push(b'}');
            }
        }
    }
}

fn list<T>(items: &[T], out: &mut Vec<u8>, mut each: impl FnMut(&T, &mut Vec<u8>)) {
    let mut first = true;
    out.push(b'[');
    for item in items {
        write::comma(out, &mut first);
        each(item, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests;
