//! What the edge itself answers under the API's paths: a status, and a body that the caller's SDK can read.
//!
//! Why here: SDKs parse error bodies. nginx's own are HTML, so the site brings these; whoever stands in nginx's place
//! answers the same.
//!
//! Never here: the gateway's refusals; they pass as they are.

use gateway::routes;
use http::HeaderMap;
use wire::{ErrorBody, ErrorType, Format};

/// One refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub kind: ErrorType,
    pub code: &'static str,
    pub message: &'static str,
    /// Seconds that are worth waiting.
    pub retry_after: Option<u32>,
}

const fn refusal(status: u16, kind: ErrorType, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, kind, code, message, retry_after: None }
}

const fn later(mut refusal: Refusal, seconds: u32) -> Refusal {
    refusal.retry_after = Some(seconds);
    refusal
}

/// All of them, by status.
pub(crate) const REFUSALS: &[Refusal] = {
    use ErrorType::{InvalidRequest, Permission, RateLimit, Server};
    &[
        refusal(400, InvalidRequest, "bad_request", "The request is not HTTP as it should be."),
        refusal(403, Permission, "forbidden", "This is not open to this address."),
        refusal(404, InvalidRequest, "not_found", "There is nothing under this path."),
        refusal(408, InvalidRequest, "request_timeout", "The request took too long to arrive."),
        refusal(
            413,
            InvalidRequest,
            "request_too_large",
            "The request body is larger than this service takes.",
        ),
        later(
            refusal(
                429,
                RateLimit,
                "rate_limit_exceeded",
                "Too many requests from this address. Wait, then try again.",
            ),
            1,
        ),
        refusal(
            500,
            Server,
            "edge_error",
            "The front door failed. Its operator finds more in nginx's error log.",
        ),
        later(
            refusal(502, Server, "gateway_unreachable", "The gateway does not answer. Try again shortly."),
            2,
        ),
        later(
            refusal(503, Server, "gateway_unavailable", "The gateway is not available. Try again shortly."),
            5,
        ),
        refusal(504, Server, "gateway_timeout", "The gateway took too long to answer."),
    ]
};

impl Refusal {
    pub(crate) fn of(status: u16) -> Option<&'static Self> {
        REFUSALS.iter().find(|refusal| refusal.status == status)
    }

    /// The body in a dialect.
    pub(crate) fn body(&self, format: Format) -> String {
        let body =
            ErrorBody { code: Some(self.code), ..ErrorBody::new(self.kind, self.message, self.status) };
        let mut out = Vec::new();
        wire::write_error(format, &body, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Beginnings of the API's paths that speak another dialect than the rest, the longest first, and the rest.
pub(crate) fn dialects() -> Vec<(&'static str, Format)> {
    let rest = (API, Format::OpenAi);
    let speaks = |path: &str| routes::dialect(path, &HeaderMap::new());
    let mut all: Vec<(&'static str, Format)> = Vec::new();
    for route in routes::ROUTES.iter().filter(|route| route.path.starts_with(API)) {
        let format = speaks(route.path);
        let begins = |(known, same): &(&str, Format)| *same == format && route.path.starts_with(known);
        if format != rest.1 && !all.iter().any(begins) {
            all.push((route.path, format));
        }
    }
    all.push(rest);
    all
}

/// Under this lies the API that the edge lets through.
pub(crate) const API: &str = "/v1/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_shape() {
        let refusal = Refusal::of(429).unwrap();
        let openai: serde_json::Value = serde_json::from_str(&refusal.body(Format::OpenAi)).unwrap();
        assert_eq!(openai["error"]["code"], "rate_limit_exceeded");
        let anthropic: serde_json::Value = serde_json::from_str(&refusal.body(Format::Anthropic)).unwrap();
        assert_eq!(anthropic["type"], "error");
        assert_eq!(Refusal::of(418), None);
    }

    #[test]
    fn the_dialects_come_from_the_route_table() {
        assert_eq!(dialects(), [("/v1/messages", Format::Anthropic), (API, Format::OpenAi)]);
    }
}
