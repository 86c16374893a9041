//! Reads the body of `/api/show`, which names a model.
//!
//! Never here: what is told of it; a template or an instruction to try on it, which older releases took.

use std::borrow::Cow;

use super::message::text;
use crate::body::{Body, Path};
use crate::error::Fault;
use crate::request::ReadLimits;

/// `name` is how older clients say `model`. All else is passed: the answer is the same.
pub(crate) fn read<'a>(bytes: &'a [u8], limits: &ReadLimits) -> Result<Cow<'a, str>, Fault> {
    let mut body = Body::new(bytes, limits.depth)?;
    let mut names = (Cow::Borrowed(""), Cow::Borrowed(""));
    body.members(&Path::Root, &["model", "name"], |body, name| {
        let given = text(body, &Path::Root.key(name))?.decode();
        match name {
            "model" => names.0 = given,
            _ => names.1 = given,
        }
        Ok(())
    })?;
    body.json.finish()?;
    if let Some(name) = body.look_alike {
        return Err(Fault::look_alike(name));
    }
    match names {
        (model, name) if model.is_empty() && name.is_empty() => Err(Path::Root.key("model").missing()),
        (model, name) if !model.is_empty() && !name.is_empty() && model != name => {
            Err(Fault::new("duplicate_parameter", "model", "'model' and 'name' are the same field."))
        }
        (model, name) => Ok(if model.is_empty() { name } else { model }),
    }
}
