//! The closed route table: which method and path is which operation in which dialect, and who may call it.
//!
//! Why here: the router, metric labels and the list of paths an edge may pass are all made from this one table. A path is
//! compared byte for byte: nothing is normalised, so nothing can be smuggled past a check by spelling it differently.
//!
//! Never here: handlers.

use std::borrow::Cow;

use http::Method;
use wire::{Format, Operation};

use crate::error::Error;

/// One row: what a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Label in metrics and audit; also the path itself, `{model}` standing for one name.
    pub path: &'static str,
    pub method: Verb,
    pub format: Format,
    pub operation: Operation,
}

/// The methods the table uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// Every route of the API listener. All of them need a key.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/chat/completions",
        method: Verb::Post,
        format: Format::OpenAi,
        operation: Operation::Chat,
    },
    Route { path: "/v1/models", method: Verb::Get, format: Format::OpenAi, operation: Operation::ListModels },
    Route {
        path: "/v1/models/{model}",
        method: Verb::Get,
        format: Format::OpenAi,
        operation: Operation::RetrieveModel,
    },
    Route { path: "/v1/usage", method: Verb::Get, format: Format::OpenAi, operation: Operation::Usage },
];

/// Label of requests that match no route.
pub const NO_ROUTE: &str = "none";

/// A matched route, with the model named in the path if the route has one.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'p> {
    pub route: &'static Route,
    pub model: Option<Cow<'p, str>>,
}

/// Finds the route of a request. The dialect of an error about an unknown path is the one its prefix suggests.
pub fn find<'p>(method: &Method, path: &'p str) -> Result<Match<'p>, Error> {
    let mut allow = None;
    for route in ROUTES {
        let Some(model) = matches(route.path, path) else { continue };
        if route.method.as_str() == method.as_str() {
            return Ok(Match { route, model });
        }
        allow = Some(route.method.as_str());
    }
    Err(allow.map_or(Error::NoRoute, |allow| Error::WrongMethod { allow }))
}

/// `Some(None)`: the fixed path. `Some(Some(model))`: the pattern, with its decoded name.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<Option<Cow<'p, str>>> {
    match pattern.strip_suffix("{model}") {
        None => (pattern == path).then_some(None),
        Some(prefix) => path.strip_prefix(prefix).and_then(model_name).map(Some),
    }
}

/// SDKs send the slash of `namespace/model` encoded and leave the colon; both spellings of the slash are the same name.
/// Nothing else may be encoded, so there is one spelling of every name.
fn model_name(raw: &str) -> Option<Cow<'_, str>> {
    let name: Cow<'_, str> = if raw.contains('%') {
        Cow::Owned(raw.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":").replace("%3a", ":"))
    } else {
        Cow::Borrowed(raw)
    };
    is_model_name(&name).then_some(name)
}

/// Whether text can be a model name at all: what registries accept, no path tricks, bounded.
pub fn is_model_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/@+".contains(&b))
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_paths_match_byte_for_byte() {
        let check = |method: Method, path: &str, expected: Option<(&str, Option<&str>)>| {
            let found = find(&method, path).ok().map(|m| (m.route.path, m.model.map(Cow::into_owned)));
            assert_eq!(found, expected.map(|(p, m)| (p, m.map(str::to_owned))), "{method} {path}");
        };
        check(Method::POST, "/v1/chat/completions", Some(("/v1/chat/completions", None)));
        check(Method::GET, "/v1/models", Some(("/v1/models", None)));
        check(Method::GET, "/v1/models/m", Some(("/v1/models/{model}", Some("m"))));
        check(Method::GET, "/v1/models/ns%2Fm:tag", Some(("/v1/models/{model}", Some("ns/m:tag"))));
        check(Method::GET, "/v1/models/ns/m:tag", Some(("/v1/models/{model}", Some("ns/m:tag"))));
        for path in [
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/chat/%63ompletions",
            "/V1/chat/completions",
            "/v1/./chat/completions",
            "/v1/chat/completions;x",
            "/v1/models/",
            "/v1/models/../api/tags",
            "/v1/models/%2e%2e/api",
            "/v1/models/.hidden",
            "/v1/models/a//b",
            "/api/tags",
            "/v1/api/pull",
            "/metrics",
            "/",
            "",
        ] {
            check(Method::POST, path, None);
            check(Method::GET, path, None);
        }
    }

    #[test]
    fn a_known_path_with_a_wrong_method_says_which_is_right() {
        assert!(matches!(
            find(&Method::GET, "/v1/chat/completions"),
            Err(Error::WrongMethod { allow: "POST" })
        ));
        assert!(matches!(find(&Method::TRACE, "/v1/models"), Err(Error::WrongMethod { allow: "GET" })));
    }
}
