//! The description of this API in OpenAPI 3.1, made from the route table and the table of errors.
//!
//! Why made and not written: a description by hand would sooner or later promise a path, a status or a header that the program
//! does not have. What bodies hold is written by hand, as data (`openapi/schemas`), and held against real answers by the
//! end-to-end tests. `docs/openapi.json` is this document, laid out for people.
//!
//! Never here: a request's path beyond lending the finished bytes; anything of an installation (models, keys, limits).

mod answers;
mod bodies;
mod parts;
mod refusals;
mod rows;
mod schemas;
mod words;

use std::sync::LazyLock;

use bytes::Bytes;
use wire::{Format, Manage, Operation};

use crate::routes::{Access, Route};
use parts::{Document, Info, License, Map, Parameter, Reference, RequestBody, Scheme, Tag};

use rows::{Rows, operations};
pub use words::summary;

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(&document_parts()).unwrap_or_default().into());

/// The document as it is served.
pub fn document() -> Bytes {
    DOCUMENT.clone()
}

/// The document as it stands in the repository.
pub fn printed() -> String {
    let mut text = serde_json::to_string_pretty(&document_parts()).unwrap_or_default();
    text.push('\n');
    text
}

fn document_parts() -> Document {
    let operations = operations();
    let mut paths = Map::<Map<parts::Operation>>::new();
    for rows in &operations {
        if let Some(route) = rows.first() {
            let method = route.method.as_str().to_ascii_lowercase();
            paths.entry(route.path.into()).or_default().insert(method, operation(rows));
        }
    }
    Document {
        openapi: "3.1.1",
        info: Info {
            title: "Gatehouse",
            version: env!("CARGO_PKG_VERSION"),
            description: words::ABOUT,
            license: License { name: "Apache-2.0", identifier: "Apache-2.0" },
        },
        tags: Format::ALL.map(|format| Tag { name: format.as_str() }).into(),
        paths,
        components: parts::Components {
            schemas: schemas::all(),
            responses: answers::shared(&operations),
            headers: answers::headers(),
            parameters: parameters(),
            security_schemes: [
                ("bearer".into(), Scheme::Http { scheme: "bearer", description: words::BEARER }),
                (
                    "header".into(),
                    Scheme::ApiKey { place: "header", name: "X-Api-Key", description: words::HEADER },
                ),
            ]
            .into(),
        },
    }
}

fn operation(rows: &Rows) -> parts::Operation {
    let route = rows.last().copied();
    let open = rows.iter().all(|route| route.access == Access::Open);
    let either = ["bearer", "header"].map(|scheme| Map::from([(scheme.to_owned(), [])]));
    parts::Operation {
        operation_id: route.map(operation_id).unwrap_or_default(),
        summary: route.map(summary).unwrap_or_default(),
        description: words::description(rows),
        tags: rows.iter().map(|route| route.format.as_str()).collect(),
        security: if open { Vec::new() } else { either.into() },
        parameters: named(rows),
        request_body: route.and_then(request_body),
        responses: answers::of(rows),
    }
}

/// Unique because a path and a method are.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut id = route.method.as_str().to_ascii_lowercase();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn request_body(route: &Route) -> Option<RequestBody> {
    let (kind, media) = bodies::of(route).asked.media()?;
    Some(RequestBody { required: true, content: [(kind.to_owned(), media)].into() })
}

/// What an operation is told beside its body.
fn named(rows: &Rows) -> Vec<Reference> {
    let mut names = Vec::new();
    for route in rows {
        if let Some((_, name)) = route.path.split_once('{') {
            names.push(name.trim_end_matches('}'));
        }
        if route.format == Format::Anthropic {
            names.push(if route.header.is_some() { "dialect" } else { "anthropic-version" });
        }
        if route.access != Access::Open {
            names.push("x-user-id");
        }
        if matches!(route.operation, Operation::Manage(which) if which != Manage::Other) {
            names.push("x-gatehouse-upstream");
        }
        let streams = matches!(route.operation, Operation::Chat | Operation::Complete);
        if streams && route.format != Format::Ollama {
            names.push("x-gatehouse-progress");
        }
    }
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(Reference::parameter).collect()
}

fn parameters() -> Map<Parameter> {
    words::PARAMETERS.iter().map(|row| (row.key.to_owned(), Parameter::of(row))).collect()
}

#[cfg(test)]
mod tests;
