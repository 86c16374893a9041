//! The front's own answers when a request goes no further: the words, the status, and in whose format.
//!
//! Why here: one table, so that a refusal reads the same wherever it is decided. Under `/v1/` a program reads the answer, in
//! the dialect that its path suggests; elsewhere a person does.
//!
//! Never here: deciding. Answers of the gateway and the page, which pass as they are.

use bytes::Bytes;
use gateway::routes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use wire::ErrorType;

use super::paths;
use crate::edge::refusals;

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Two readings, or none: hosts, targets.
    BadHead,
    ForeignHost,
    /// Too many, or one too long.
    Headers,
    LongTarget,
    Method,
    NoPath,
    /// The page is for known networks.
    PageClosed,
    TooLarge,
    TooMany,
    /// This process serves as many as it can.
    Crowded,
    /// The part of the program behind it does not answer.
    Unreachable,
    Late,
}

/// What nginx answers by itself, and so has no words for in the shared table.
const MORE: [refusals::Refusal; 4] = [
    invalid(405, "method_not_allowed", "This is no method of this service."),
    invalid(414, "uri_too_long", "The path is longer than this service takes."),
    invalid(421, "misdirected_request", "This service is not reached under this name."),
    invalid(431, "headers_too_large", "The request has more or longer headers than this service takes."),
];

const fn invalid(status: u16, code: &'static str, message: &'static str) -> refusals::Refusal {
    refusals::Refusal { status, kind: ErrorType::InvalidRequest, code, message, retry_after: None }
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::BadHead => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoPath => StatusCode::NOT_FOUND,
            Self::PageClosed => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn words(self) -> Option<&'static refusals::Refusal> {
        let status = self.status().as_u16();
        refusals::Refusal::of(status).or_else(|| MORE.iter().find(|refusal| refusal.status == status))
    }

    /// The answer to a request for `path`.
    pub(super) fn answer(self, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let status = self.status();
        let words = self.words();
        let (body, media_type) = match words {
            Some(words) if paths::is_api(path) => {
                (words.body(routes::dialect(path, headers)), "application/json")
            }
            _ => {
                let message = words.map_or("", |words| words.message);
                (format!("{status}\n{message}\n"), "text/plain; charset=utf-8")
            }
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(seconds) = words.and_then(|words| words.retry_after) {
            out.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::Method {
            out.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 12] = [
        Refusal::BadHead,
        Refusal::ForeignHost,
        Refusal::Headers,
        Refusal::LongTarget,
        Refusal::Method,
        Refusal::NoPath,
        Refusal::PageClosed,
        Refusal::TooLarge,
        Refusal::TooMany,
        Refusal::Crowded,
        Refusal::Unreachable,
        Refusal::Late,
    ];

    #[test]
    fn programs_read_json_in_their_dialect_and_people_a_line() {
        let headers = HeaderMap::new();
        for refusal in ALL {
            let openai = refusal.answer("/v1/x", &headers);
            let body: serde_json::Value = serde_json::from_slice(openai.body()).unwrap();
            assert!(body["error"]["message"].is_string(), "{refusal:?}");
            for key in ["type", "param", "code"] {
                assert!(body["error"].get(key).is_some(), "{refusal:?} {key}");
            }
            let anthropic = refusal.answer("/v1/messages", &headers);
            let body: serde_json::Value = serde_json::from_slice(anthropic.body()).unwrap();
            assert_eq!(body["type"], "error");
            let person = refusal.answer("/x", &headers);
            assert_eq!(person.status(), openai.status());
            let text = std::str::from_utf8(person.body()).unwrap();
            assert!(text.starts_with(person.status().as_str()) && text.lines().count() == 2, "{text}");
        }
    }

    #[test]
    fn what_passes_says_when_to_ask_again() {
        for refusal in ALL {
            let hinted = refusal.answer("/", &HeaderMap::new()).headers().contains_key(RETRY_AFTER);
            assert_eq!(hinted, [429, 502, 503].contains(&refusal.status().as_u16()), "{refusal:?}");
        }
    }
}
