//! Which part of the program a path belongs to: the closed list of what is served to the outside.
//!
//! Why here: a path is compared byte for byte with the gateway's and the page's own tables, so that a new route of theirs
//! needs no change here, and nothing reaches them that they do not list. Of the gateway's only what lies under `/v1/` goes out,
//! and the description of it: Ollama's paths are for the machine's own programs.
//!
//! Never here: methods. A wrong one is answered by whom the path belongs to.

use http::{HeaderMap, Method};

use crate::chat;
use crate::edge::refusals::API;

/// The API's description, which needs no key.
const OPENAPI: &str = "/openapi.json";

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Gateway,
    Page,
}

/// Whether the caller expects the API's errors.
pub(super) fn is_api(path: &str) -> bool {
    path.starts_with(API) || path == OPENAPI || path == API.trim_end_matches('/')
}

/// The part that serves a path.
pub(super) fn part(method: &Method, path: &str, headers: &HeaderMap) -> Option<Part> {
    if is_api(path) {
        let known =
            !matches!(gateway::routes::find(method, path, headers), Err(gateway::error::Error::NoRoute));
        return known.then_some(Part::Gateway);
    }
    chat::paths().any(|(_, pattern)| fits(pattern, path)).then_some(Part::Page)
}

/// A name in braces stands for one segment of plain characters.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(wanted), Some(given)) if wanted.starts_with('{') && is_plain(given) => {}
            _ => return false,
        }
    }
}

fn is_plain(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Part> {
        part(&Method::POST, path, &HeaderMap::new())
    }

    #[test]
    fn whole_tables_are_served_and_nothing_else() {
        for (_, pattern) in chat::paths() {
            let path = pattern
                .replace("{name}", "index-a1B2.js")
                .replace("{chat_id}", "abc")
                .replace("{run_id}", "x");
            assert_eq!(of(&path), Some(Part::Page), "{path}");
        }
        for route in gateway::routes::ROUTES {
            let path = route
                .path
                .replace("{model}", "qwen3:32b")
                .replace("{digest}", "sha256:0")
                .replace("{name}", "n");
            let wanted = is_api(&path).then_some(Part::Gateway).or((path == "/").then_some(Part::Page));
            assert_eq!(of(&path), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_spelt_otherwise_is_something_else() {
        for path in [
            "",
            "*",
            "/v1",
            "/v1/",
            "/v1/metrics",
            "/v1/api/pull",
            "/v1//chat/completions",
            "/v1/chat/completions/",
            "/v1/./chat/completions",
            "/v1/../api/pull",
            "/v1/%63hat/completions",
            "/V1/chat/completions",
            "/v1/models/..",
            "/v1/models/a%252fb",
            "/v1;/chat/completions",
            "//v1/chat/completions",
            "/openapi.json/",
            "/metrics",
            "/healthz",
            "/admin",
            "/debug/pprof",
            "/api",
            "/api/chat",
            "/api/tags",
            "/api/pull",
            "/api/chats/",
            "/api/chats/a/b/c",
            "/api/chats/%2e%2e",
            "/api/chats/..",
            "/assets/",
            "/assets/.env",
            "/assets/../health",
            "/assets/a%2fb",
            "/index.html",
            "/.well-known/acme-challenge/x",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(of("/v1/models/ns%2Fmodel:tag"), Some(Part::Gateway), "one of its two spellings");
        assert_eq!(
            part(&Method::DELETE, "/v1/usage", &HeaderMap::new()),
            Some(Part::Gateway),
            "405 is its own word"
        );
    }
}
