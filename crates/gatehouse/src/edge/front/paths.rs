//! Which part of the program a path belongs to: what is served to the outside.
//!
//! Why here: the same as behind nginx. Below `/v1/` every path goes to the gateway, byte for byte, whose own table is exact and whose
//! records know of those who try others; Ollama's own paths are for the machine's programs. Of the page what its table lists, and nothing
//! else exists.
//!
//! Never here: methods. A wrong one is answered by whom the path belongs to.

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
pub(super) fn part(path: &str) -> Option<Part> {
    if path.starts_with(API) || path == OPENAPI {
        return Some(Part::Gateway);
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

    #[test]
    fn the_api_and_the_page_s_table_are_served() {
        for (_, pattern) in chat::paths() {
            let path = pattern
                .replace("{name}", "index-a1B2.js")
                .replace("{chat_id}", "abc")
                .replace("{run_id}", "x");
            assert_eq!(part(&path), Some(Part::Page), "{path}");
        }
        for route in gateway::routes::ROUTES {
            let wanted = match route.path {
                "/" => Some(Part::Page),
                path => is_api(path).then_some(Part::Gateway),
            };
            assert_eq!(part(route.path), wanted, "{}", route.path);
        }
        // What the gateway's own, exact table refuses.
        for path in ["/v1/", "/v1/metrics", "/v1/../api/pull", "/v1//models", "/v1/%6dodels"] {
            assert_eq!(part(path), Some(Part::Gateway), "{path}");
        }
    }

    #[test]
    fn what_is_spelt_otherwise_is_something_else() {
        for path in [
            "",
            "*",
            "/v1",
            "/V1/chat/completions",
            "/v1;/chat/completions",
            "//v1/chat/completions",
            "/x/../v1/models",
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
            assert_eq!(part(path), None, "{path}");
        }
    }
}
