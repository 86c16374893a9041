//! Paths match byte for byte, and each row is one operation.

use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderMap, HeaderValue, Method};
use wire::Format;

use super::{ROUTES, dialect, find};
use crate::error::Error;

fn plain() -> HeaderMap {
    HeaderMap::new()
}

#[track_caller]
fn check(method: &Method, path: &str, expected: Option<(&str, Option<&str>)>) {
    let found = find(method, path, &plain()).ok().map(|m| (m.route.path, m.name.map(Cow::into_owned)));
    assert_eq!(found, expected.map(|(p, m)| (p, m.map(str::to_owned))), "{method} {path}");
}

#[test]
fn known_paths_match_byte_for_byte() {
    check(&Method::POST, "/v1/chat/completions", Some(("/v1/chat/completions", None)));
    check(&Method::GET, "/v1/models", Some(("/v1/models", None)));
    check(&Method::GET, "/v1/models/m", Some(("/v1/models/{model}", Some("m"))));
    check(&Method::GET, "/v1/models/ns%2Fm:tag", Some(("/v1/models/{model}", Some("ns/m:tag"))));
    check(&Method::GET, "/v1/models/ns/m:tag", Some(("/v1/models/{model}", Some("ns/m:tag"))));
    check(&Method::POST, "/v1/messages/count_tokens", Some(("/v1/messages/count_tokens", None)));
    check(&Method::GET, "/api/tags", Some(("/api/tags", None)));
    check(&Method::DELETE, "/api/delete", Some(("/api/delete", None)));
    check(&Method::HEAD, "/", Some(("/", None)));
    let blob = format!("/api/blobs/sha256:{}", "0f".repeat(32));
    check(&Method::HEAD, &blob, Some(("/api/blobs/{digest}", Some(&blob["/api/blobs/".len()..]))));
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
        "/v1/api/pull",
        "/api//pull",
        "/api/Pull",
        "/api/blobs/",
        "/api/blobs/sha256:00",
        "/api/blobs/../tags",
        "/metrics",
        "//",
        "",
    ] {
        check(&Method::POST, path, None);
        check(&Method::GET, path, None);
    }
}

#[test]
fn a_known_path_with_a_wrong_method_says_which_is_right() {
    #[track_caller]
    fn allowed(method: &Method, path: &str, expected: &str) {
        let Err(Error::WrongMethod { allow }) = find(method, path, &plain()) else {
            panic!("{method} {path}")
        };
        assert_eq!(allow, expected);
    }
    allowed(&Method::GET, "/v1/chat/completions", "POST");
    allowed(&Method::TRACE, "/v1/models", "GET");
    allowed(&Method::POST, "/", "GET, HEAD");
}

#[test]
fn one_path_speaks_the_dialect_of_its_header() {
    let mut headers = HeaderMap::new();
    let format = |headers: &HeaderMap| find(&Method::GET, "/v1/models", headers).unwrap().route.format;
    assert_eq!(format(&headers), Format::OpenAi);
    headers.insert("anthropic-version", HeaderValue::from_static("2026-10-21"));
    assert_eq!(format(&headers), Format::Anthropic);
}

#[test]
fn paths_that_are_not_served_have_a_dialect() {
    for (path, format) in [
        ("/api/nonsense", Format::Ollama),
        ("/v1/messages/batches", Format::Anthropic),
        ("/v1/files", Format::OpenAi),
        ("/apis", Format::OpenAi),
        ("", Format::OpenAi),
    ] {
        assert_eq!(dialect(path, &plain()), format, "{path}");
    }
}

#[test]
fn a_route_s_errors_speak_its_dialect_before_anybody_is_known() {
    for route in ROUTES {
        let mut headers = plain();
        if let Some(header) = route.header {
            headers.insert(header, HeaderValue::from_static("1"));
        }
        let path = route.path.split('{').next().unwrap();
        // Responses and OpenAI's chats word their errors alike.
        let wanted = if route.format == Format::Responses { Format::OpenAi } else { route.format };
        assert_eq!(dialect(path, &headers), wanted, "{}", route.path);
    }
}

#[test]
fn no_row_hides_another() {
    let mut seen = HashSet::new();
    for route in ROUTES {
        assert!(seen.insert((route.path, route.method.as_str(), route.header)), "{route:?}");
    }
}
