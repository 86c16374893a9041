//! The pieces of an OpenAPI document, as far as this one has them.
//!
//! Never here: what they say.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// In the order of the alphabet, so that the printed document does not change by itself.
pub(super) type Map<T> = BTreeMap<String, T>;

#[derive(Serialize)]
pub(super) struct Document {
    pub openapi: &'static str,
    pub info: Info,
    pub tags: Vec<Tag>,
    pub paths: Map<Map<Operation>>,
    pub components: Components,
}

#[derive(Serialize)]
pub(super) struct Info {
    pub title: &'static str,
    pub version: &'static str,
    pub description: &'static str,
    pub license: License,
}

#[derive(Serialize)]
pub(super) struct License {
    pub name: &'static str,
    pub identifier: &'static str,
}

#[derive(Serialize)]
pub(super) struct Tag {
    pub name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Components {
    /// Untyped because it is data: read once from files of our own, and never on a request's way.
    pub schemas: Map<Value>,
    pub responses: Map<Response>,
    pub headers: Map<Header>,
    pub parameters: Map<Parameter>,
    pub security_schemes: Map<Scheme>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum Scheme {
    Http {
        scheme: &'static str,
        description: &'static str,
    },
    ApiKey {
        #[serde(rename = "in")]
        place: &'static str,
        name: &'static str,
        description: &'static str,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub operation_id: String,
    pub summary: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    pub tags: Vec<&'static str>,
    pub security: Vec<Map<[&'static str; 0]>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<RequestBody>,
    pub responses: Map<Answer>,
}

#[derive(Serialize)]
pub(super) struct RequestBody {
    pub required: bool,
    pub content: Map<Media>,
}

/// A parameter as it is written down in the table of words.
pub(super) struct ParameterRow {
    pub key: &'static str,
    pub name: &'static str,
    pub place: &'static str,
    pub pattern: &'static str,
    pub example: &'static str,
    pub about: &'static str,
}

#[derive(Serialize)]
pub(super) struct Parameter {
    name: &'static str,
    #[serde(rename = "in")]
    place: &'static str,
    required: bool,
    description: &'static str,
    schema: Scalar,
    example: &'static str,
}

impl Parameter {
    pub fn of(row: &'static ParameterRow) -> Self {
        Self {
            name: row.name,
            place: row.place,
            required: row.place == "path",
            description: row.about,
            schema: Scalar::Text { pattern: row.pattern },
            example: row.example,
        }
    }
}

/// What a header or a parameter holds.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type")]
pub(super) enum Scalar {
    #[serde(rename = "string")]
    Text {
        #[serde(skip_serializing_if = "str::is_empty")]
        pattern: &'static str,
    },
    #[serde(rename = "integer")]
    Whole { minimum: u8 },
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Header {
    pub description: &'static str,
    pub required: bool,
    pub schema: Scalar,
}

/// Said here, or among the components.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Here(Response),
    There(Reference),
}

#[derive(Serialize)]
pub(super) struct Response {
    pub description: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Map<Reference>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub content: Map<Media>,
}

#[derive(Serialize)]
pub(super) struct Media {
    pub schema: Schema,
    /// What each piece of a stream holds. This release of OpenAPI has no word of its own for it; the next calls it so.
    #[serde(rename = "x-itemSchema", skip_serializing_if = "Option::is_none")]
    pub item: Option<Reference>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Schema {
    One(Reference),
    OneOf {
        #[serde(rename = "oneOf")]
        one_of: Vec<Reference>,
    },
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
        description: &'static str,
    },
    /// Bytes of any kind: a schema has nothing to say of them.
    Bytes {},
}

impl Schema {
    pub fn text(description: &'static str) -> Self {
        Self::Text { kind: "string", description }
    }

    /// One of several where there are several.
    pub fn any(names: &[&'static str]) -> Self {
        match names {
            [one] => Self::One(Reference::schema(one)),
            several => Self::OneOf { one_of: several.iter().copied().map(Reference::schema).collect() },
        }
    }
}

#[derive(Clone, Serialize)]
pub(super) struct Reference {
    #[serde(rename = "$ref")]
    to: String,
}

impl Reference {
    pub fn schema(name: &str) -> Self {
        Self::within("schemas", name)
    }

    pub fn response(name: &str) -> Self {
        Self::within("responses", name)
    }

    pub fn header(name: &str) -> Self {
        Self::within("headers", name)
    }

    pub fn parameter(name: &str) -> Self {
        Self::within("parameters", name)
    }

    fn within(part: &str, name: &str) -> Self {
        Self { to: format!("#/components/{part}/{name}") }
    }
}
