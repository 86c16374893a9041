//! The front's own answers when a request goes no further: the words, the status, and in whose format.
//!
//! Why here: one table, so that a refusal reads the same wherever it is decided. Under `/v1/` a program reads the answer, in
//! the dialect that its path suggests; elsewhere a person does.
//!
//! Never here: deciding. Answers of the gateway and the page, which pass as they are.

use bytes::Bytes;
use gateway::routes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use wire::{ErrorBody, ErrorType};

use super::paths;

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Two readings, or none: hosts, targets.
    BadHead,
    ForeignHost,
    TooManyHeaders,
    LongTarget,
    Method,
    NoPath,
    /// The page is for known networks.
    PageClosed,
    TooLarge,
    TooMany {
        retry_after_s: u64,
    },
    /// This process serves as many as it can.
    Crowded,
    /// The part of the program behind it does not answer.
    Unreachable,
    Late,
}

struct Words {
    status: StatusCode,
    kind: ErrorType,
    code: Option<&'static str>,
    message: &'static str,
}

impl Refusal {
    fn words(self) -> Words {
        use ErrorType::{InvalidRequest, Permission, RateLimit, Server};
        type S = StatusCode;
        let row = |status, kind, code, message| Words { status, kind, code, message };
        match self {
            Self::BadHead => row(
                S::BAD_REQUEST,
                InvalidRequest,
                Some("invalid_request"),
                "the request head is ambiguous (Host or target)",
            ),
            Self::ForeignHost => row(
                S::MISDIRECTED_REQUEST,
                InvalidRequest,
                Some("misdirected_request"),
                "this service is not reached under this name",
            ),
            Self::TooManyHeaders => row(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                InvalidRequest,
                Some("headers_too_large"),
                "the request has too many headers",
            ),
            Self::LongTarget => {
                row(S::URI_TOO_LONG, InvalidRequest, Some("uri_too_long"), "the request path is too long")
            }
            Self::Method => row(S::METHOD_NOT_ALLOWED, InvalidRequest, None, "method not allowed"),
            Self::NoPath => row(
                S::NOT_FOUND,
                InvalidRequest,
                None,
                "unknown path; GET /openapi.json lists what is served",
            ),
            Self::PageClosed => row(
                S::FORBIDDEN,
                Permission,
                Some("address_not_allowed"),
                "this page is open to known networks only; its operator can add yours",
            ),
            Self::TooLarge => row(
                S::PAYLOAD_TOO_LARGE,
                InvalidRequest,
                Some("request_too_large"),
                "the request body is larger than this service takes",
            ),
            Self::TooMany { .. } => row(
                S::TOO_MANY_REQUESTS,
                RateLimit,
                Some("rate_limit_exceeded"),
                "too many requests from this address, please try again in a moment",
            ),
            Self::Crowded => row(
                S::SERVICE_UNAVAILABLE,
                Server,
                Some("overloaded"),
                "the service is busy, please try again in a moment",
            ),
            Self::Unreachable => row(
                S::BAD_GATEWAY,
                Server,
                Some("upstream_unavailable"),
                "the service behind this address does not answer, please try again in a moment",
            ),
            Self::Late => row(
                S::GATEWAY_TIMEOUT,
                Server,
                Some("upstream_timeout"),
                "the service behind this address took too long",
            ),
        }
    }

    fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::TooMany { retry_after_s } => Some(retry_after_s),
            Self::Crowded | Self::Unreachable => Some(5),
            _ => None,
        }
    }

    /// The answer to a request for `path`.
    pub(super) fn answer(self, path: &str, headers: &HeaderMap, request_id: &str) -> Response<Bytes> {
        let words = self.words();
        let (body, media_type) = if paths::is_api(path) {
            (json(&words, path, headers, request_id), "application/json")
        } else {
            (format!("{}: {}\n", words.status, words.message).into_bytes(), "text/plain; charset=utf-8")
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = words.status;
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s() {
            out.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::Method {
            out.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE"));
        }
        response
    }
}

fn json(words: &Words, path: &str, headers: &HeaderMap, request_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    let body = ErrorBody {
        kind: words.kind,
        message: words.message,
        param: None,
        code: words.code,
        status: words.status.as_u16(),
        request_id: Some(request_id),
    };
    wire::write_error(routes::dialect(path, headers), &body, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 12] = [
        Refusal::BadHead,
        Refusal::ForeignHost,
        Refusal::TooManyHeaders,
        Refusal::LongTarget,
        Refusal::Method,
        Refusal::NoPath,
        Refusal::PageClosed,
        Refusal::TooLarge,
        Refusal::TooMany { retry_after_s: 1 },
        Refusal::Crowded,
        Refusal::Unreachable,
        Refusal::Late,
    ];

    #[test]
    fn programs_read_json_in_their_dialect_and_people_a_line() {
        let headers = HeaderMap::new();
        for refusal in ALL {
            let openai = refusal.answer("/v1/x", &headers, "req_1");
            let body: serde_json::Value = serde_json::from_slice(openai.body()).unwrap();
            assert!(body["error"]["message"].is_string(), "{refusal:?}");
            for key in ["type", "param", "code"] {
                assert!(body["error"].get(key).is_some(), "{refusal:?} {key}");
            }
            let anthropic = refusal.answer("/v1/messages", &headers, "req_1");
            let body: serde_json::Value = serde_json::from_slice(anthropic.body()).unwrap();
            assert_eq!(body["type"], "error");
            let person = refusal.answer("/x", &headers, "req_1");
            assert_eq!(person.status(), openai.status());
            let line = std::str::from_utf8(person.body()).unwrap();
            assert!(line.starts_with(person.status().as_str()) && line.ends_with('\n'), "{line}");
        }
    }

    #[test]
    fn what_passes_says_when_to_ask_again() {
        for refusal in ALL {
            let status = refusal.words().status.as_u16();
            let hinted = refusal.answer("/", &HeaderMap::new(), "").headers().contains_key(RETRY_AFTER);
            assert_eq!(hinted, [429, 502, 503].contains(&status), "{refusal:?}");
        }
    }
}
