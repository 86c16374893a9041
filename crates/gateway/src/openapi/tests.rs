//! The description is whole, refers to nothing that is not there, and is what the repository shows.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use wire::Format;

use super::{document, printed, refusals, schemas, words};
use crate::rate_headers::{Rated, rate_headers};
use crate::routes::{ROUTES, Verb};
use crate::standing::Standing;

fn read() -> Value {
    serde_json::from_slice(&document()).unwrap()
}

fn operation<'d>(document: &'d Value, path: &str, method: Verb) -> &'d Value {
    &document["paths"][path][method.as_str().to_ascii_lowercase()]
}

#[test]
fn the_file_in_the_repository_is_this_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == printed(), "docs/openapi.json is stale: run `cargo xtask docs`");
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), read());
}

#[test]
fn every_route_is_described() {
    let document = read();
    let mut described = 0;
    for route in ROUTES {
        let operation = operation(&document, route.path, route.method);
        let place = format!("{} {}", route.method.as_str(), route.path);
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
        let tags = operation["tags"].as_array().unwrap();
        assert!(tags.iter().any(|tag| tag == route.format.as_str()), "{place}");
        let good = operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'));
        let never = route.operation == wire::Operation::Manage(wire::Manage::Other);
        assert_eq!(good, !never, "{place}");
        let has_name = route.path.contains('{');
        let names = operation["parameters"].as_array().into_iter().flatten();
        let in_path = names.filter(|name| resolve(&document, name)["in"] == "path").count();
        assert_eq!(in_path, usize::from(has_name), "{place}");
        assert_eq!(operation["security"].as_array().unwrap().is_empty(), route.path == "/openapi.json");
        described += 1;
    }
    let paths = document["paths"].as_object().unwrap();
    let operations: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    // Two rows each for the list of models and for one of them.
    assert_eq!(operations, described - 2);
}

#[test]
fn operations_have_names_of_their_own() {
    let document = read();
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        ids.insert(
            operation(&document, route.path, route.method)["operationId"].as_str().unwrap().to_owned(),
        );
    }
    assert_eq!(ids.len(), ROUTES.len() - 2);
}

#[test]
fn two_dialects_of_one_path_are_one_operation() {
    let document = read();
    let list = operation(&document, "/v1/models", Verb::Get);
    let schema = &list["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"];
    let names = ["AnthropicModelList", "OpenAiModelList"];
    for (place, name) in names.into_iter().enumerate() {
        assert_eq!(schema[place]["$ref"], format!("#/components/schemas/{name}"));
    }
    // Overload is told by two statuses, a wrong key by one.
    assert_eq!(list["responses"]["503"]["$ref"], "#/components/responses/OpenAi503");
    assert_eq!(list["responses"]["529"]["$ref"], "#/components/responses/Anthropic529");
    assert_eq!(list["responses"]["401"]["$ref"], "#/components/responses/AnthropicOrOpenAi401");
}

#[test]
fn every_status_of_every_error_is_described() {
    let document = read();
    for format in Format::ALL {
        for error in refusals::samples() {
            let status = refusals::told(&error, format).status.as_u16().to_string();
            for route in ROUTES.iter().filter(|route| route.format == format) {
                let described = &operation(&document, route.path, route.method)["responses"][&status];
                if refusals::meets(route, &error) {
                    assert!(described["$ref"].is_string(), "{status} of {}: {error}", route.path);
                }
            }
            assert!(ROUTES.iter().any(|route| refusals::meets(route, &error)), "nobody meets: {error}");
        }
    }
}

#[test]
fn statuses_are_those_of_the_dialect() {
    #[track_caller]
    fn check(path: &str, method: Verb, expected: &[u16]) {
        let route = ROUTES.iter().find(|route| route.path == path && route.method == method).unwrap();
        let statuses: Vec<u16> = refusals::statuses(route).into_iter().collect();
        assert_eq!(statuses, expected, "{path}");
    }
    let works = [400, 401, 403, 404, 405, 408, 413, 414, 415, 429, 500, 502, 503, 504];
    check("/v1/chat/completions", Verb::Post, &works);
    check("/api/chat", Verb::Post, &works);
    // An unknown model is a 400, and only who cannot record says 503.
    let responses = [400, 401, 403, 405, 408, 413, 414, 415, 429, 500, 502, 503, 504];
    check("/v1/responses", Verb::Post, &responses);
    let anthropic = [400, 401, 403, 404, 405, 408, 413, 414, 415, 429, 500, 502, 504, 529];
    check("/v1/messages", Verb::Post, &anthropic);
    check("/v1/messages/count_tokens", Verb::Post, &[400, 401, 403, 405, 408, 413, 414, 415, 429, 500, 529]);
    check("/api/ps", Verb::Get, &[400, 401, 403, 405, 408, 413, 414, 415, 429, 500, 503]);
    check("/openapi.json", Verb::Get, &[400, 403, 405, 408, 413, 414, 415, 500, 503]);
    check("/api/me", Verb::Post, &[400, 401, 403, 405, 408, 413, 414, 415, 500, 503]);
}

#[test]
fn headers_of_refusals_are_described() {
    let document = read();
    let headers = |name: &str| {
        let headers = document["components"]["responses"][name]["headers"].as_object().unwrap();
        headers.keys().cloned().collect::<Vec<_>>()
    };
    for (name, header) in [
        ("OpenAi401", "www-authenticate"),
        ("OpenAi405", "allow"),
        ("OpenAi429", "retry-after"),
        ("OpenAi503", "retry-after"),
        ("Responses429", "x-ratelimit-reset-tokens"),
        ("Anthropic429", "anthropic-ratelimit-requests-limit"),
        ("Anthropic529", "retry-after"),
        ("Ollama408", "x-should-retry"),
        ("Ollama500", "x-request-id"),
    ] {
        assert!(headers(name).iter().any(|known| known == header), "{name} {header}");
    }
    assert!(!headers("OpenAi502").iter().any(|known| known == "retry-after"));
}

#[test]
fn limits_are_told_in_the_described_headers() {
    for (format, described) in [(Format::OpenAi, words::RATES), (Format::Anthropic, words::ANTHROPIC_RATES)] {
        let standing = Standing { limit: 1, remaining: 0, reset: Duration::ZERO };
        let mut told = HeaderMap::new();
        for rated in [Rated::Requests, Rated::Tokens] {
            rate_headers(format, &standing, rated, &mut told);
        }
        let told: BTreeSet<&str> = told.keys().map(HeaderName::as_str).collect();
        assert_eq!(told, BTreeSet::from(described));
    }
}

#[test]
fn a_status_says_always_or_never_when_to_come_back() {
    for format in Format::ALL {
        for error in refusals::samples() {
            let verdict = refusals::told(&error, format);
            let same = refusals::samples().into_iter().map(|other| refusals::told(&other, format));
            for other in same.filter(|other| other.status == verdict.status) {
                assert_eq!(other.retry_after_s.is_some(), verdict.retry_after_s.is_some(), "{error}");
            }
        }
    }
}

#[test]
fn references_lead_somewhere_and_nothing_is_left_over() {
    let document = read();
    let mut used = BTreeSet::new();
    each(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(!resolve(&document, value).is_null(), "{reference}");
            used.insert(reference.to_owned());
        }
    });
    for part in ["schemas", "responses", "headers", "parameters"] {
        for name in document["components"][part].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{part}/{name}")), "{part}/{name} is used nowhere");
        }
    }
}

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
    document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or(&Value::Null)
}

/// Every object of the document.
fn each<'d>(value: &'d Value, look: &mut impl FnMut(&'d Value)) {
    match value {
        Value::Object(members) => {
            look(value);
            members.values().for_each(|member| each(member, look));
        }
        Value::Array(elements) => elements.iter().for_each(|element| each(element, look)),
        _ => {}
    }
}

#[test]
fn schemas_stand_in_one_file_each() {
    let mut names = BTreeSet::new();
    for (file, text) in schemas::FILES {
        let parsed: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for name in parsed.as_object().unwrap().keys() {
            assert!(names.insert(name.clone()), "{file}: {name} twice");
        }
    }
    assert_eq!(names.len(), schemas::all().len());
}

#[test]
fn schemas_are_well_formed() {
    for (name, schema) in schemas::all() {
        sound(&name, &schema);
    }
}

/// The keywords that these files use, each with what it must hold.
fn sound(at: &str, schema: &Value) {
    let Some(members) = schema.as_object() else {
        assert!(schema.is_boolean(), "{at}: neither an object nor true or false");
        return;
    };
    for (word, value) in members {
        let at = format!("{at}/{word}");
        match word.as_str() {
            "properties" => {
                for (name, inner) in value.as_object().expect(&at) {
                    sound(&format!("{at}/{name}"), inner);
                }
            }
            "oneOf" | "anyOf" | "allOf" => {
                let all = value.as_array().expect(&at);
                assert!(!all.is_empty(), "{at}");
                all.iter().enumerate().for_each(|(place, inner)| sound(&format!("{at}/{place}"), inner));
            }
            "items" | "additionalProperties" | "if" | "then" | "else" | "not" | "contentSchema" => {
                sound(&at, value);
            }
            "required" => {
                for name in value.as_array().expect(&at) {
                    let name = name.as_str().expect(&at);
                    // A name that no member describes is a slip, except where another schema describes it.
                    let apart = members.contains_key("allOf");
                    let described = schema["properties"].get(name).is_some();
                    let branch = at.contains("anyOf/") || at.contains("oneOf/") || at.contains("/then/");
                    assert!(described || apart || branch, "{at}: {name}");
                }
            }
            "type" => {
                let kinds: Vec<&Value> =
                    value.as_array().map_or_else(|| vec![value], |kinds| kinds.iter().collect());
                let known = ["object", "array", "string", "number", "integer", "boolean", "null"];
                assert!(kinds.iter().all(|kind| kind.as_str().is_some_and(|k| known.contains(&k))), "{at}");
            }
            "minimum" | "maximum" => assert!(value.is_number(), "{at}"),
            "minItems" | "maxItems" | "minLength" | "maxProperties" => assert!(value.is_u64(), "{at}"),
            "enum" | "examples" => assert!(value.as_array().is_some_and(|all| !all.is_empty()), "{at}"),
            "pattern" => {
                let pattern = value.as_str().expect(&at);
                assert!(regex_syntax::parse(pattern).is_ok(), "{at}");
            }
            "title" | "format" | "$ref" | "contentMediaType" => assert!(value.is_string(), "{at}"),
            "description" => {
                let text = value.as_str().expect(&at);
                assert!(text.ends_with(['.', ')']), "{at}: {text}");
            }
            "const" => {}
            _ => panic!("{at}: no keyword of these files"),
        }
    }
}
