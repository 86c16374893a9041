//! Heads: what a request's must be, and what a response's holds.
//!
//! Why here: every answer of the gateway, refusal or stream, carries the same few headers, made in one place from an
//! allow-list; nothing of an upstream's head ever goes out.
//!
//! Never here: bodies' meaning.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use wire::{Fault, Format, Metered};

use super::{Head, unpack};
use crate::allow::AddressRules;
use crate::budget::{Budget, Held};
use crate::config::InputLimits;
use crate::error::{Error, ErrorRender};
use crate::exchange::{End, Exchange};
use crate::guard::Conn;
use crate::rate_headers::{Rated, rate_headers};
use crate::relay::Body;

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const X_CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Anthropic's SDKs read this one.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// The id of a request: the trusted proxy's if it gave a plain one, else a new one.
pub(super) fn request_id(addresses: &AddressRules, peer: IpAddr, headers: &HeaderMap) -> Arc<str> {
    let stated = || {
        let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
        let plain = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        plain.then_some(text)
    };
    match addresses.trusts(peer).then(stated).flatten() {
        Some(text) => text.into(),
        None => format!("req_{}", random_hex()).into(),
    }
}

/// 0 to `max`; without randomness 0.
fn random_upto(max: u64) -> u64 {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_or(0, |()| u64::from_ne_bytes(bytes) % (max + 1))
}

/// 128 random bits as text.
pub(super) fn random_hex() -> String {
    let mut bytes = [0u8; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Ids only have to differ: without randomness the clock does.
        tracing::error!(%error, "no randomness for ids");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bytes = now.map_or(bytes, |elapsed| elapsed.as_nanos().to_be_bytes());
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Refuses heads that two servers could read in two ways; hands on the path, byte for byte as it came.
pub(super) fn sound(
    conn: &Conn,
    parts: http::request::Parts,
    limits: &InputLimits,
) -> Result<(Head, String), Error> {
    let request = http::Request::from_parts(parts, ());
    if !is_sound(conn, &request) {
        return Err(Error::AmbiguousHead);
    }
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > limits.uri_bytes_max {
        return Err(Error::UriTooLong);
    }
    if uri.query().is_some_and(|query| query.contains("key=")) {
        return Err(fault("key_in_url", "send keys in a header, not in the address: addresses are logged"));
    }
    let path = uri.path().to_owned();
    let (parts, ()) = request.into_parts();
    Ok((Head { method: parts.method, headers: parts.headers }, path))
}

/// Whether a head is one that a careful server answers: one reading of its bytes, exactly one Host that is a host.
fn is_sound<B>(conn: &Conn, request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host_ok = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, None) => request.version() == http::Version::HTTP_10,
        _ => false,
    };
    // Absolute form would name a second host; nobody but a forward proxy's client sends it.
    conn.head_is_sound(request.headers().len()) && host_ok && request.uri().authority().is_none()
}

/// A host and port, without anything that could be taken for a path, a query or a credential.
fn is_host(host: &[u8]) -> bool {
    !host.is_empty()
        && host.len() <= 255
        && host.iter().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(b))
}

fn fault(code: &'static str, message: &str) -> Error {
    Error::Request(Fault { code, param: None, message: message.to_owned() })
}

/// A request's body and its share of the memory for buffers.
pub(super) struct Whole {
    pub bytes: Bytes,
    pub held: Held,
}

/// The whole body, bounded in size, time and what all bodies may hold together. Taken only when it has been read to its end.
pub(super) async fn read_body(
    head: &Head,
    format: Format,
    body: &mut Option<Incoming>,
    limits: &InputLimits,
    budget: &Budget,
) -> Result<Whole, Error> {
    let mut held = budget.hold();
    let Some(incoming) = body else { return Ok(Whole { bytes: Bytes::new(), held }) };
    let max = limits.body_bytes_max;
    let packed = is_packed(&head.headers, format)?;
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > max as u64) {
        return Err(Error::BodyTooLarge { max });
    }
    let collected =
        tokio::time::timeout(limits.body_time, collect(incoming, max, announced, &mut held)).await;
    let mut bytes = collected.map_err(|_| Error::BodyTooSlow)??;
    *body = None;
    if packed {
        bytes = unpack::zstd(&bytes, max, &mut held)?;
        held.own_up_to(bytes.len());
    }
    Ok(Whole { bytes, held })
}

/// Whether the body is compressed in the one way that a client of its dialect compresses.
fn is_packed(headers: &HeaderMap, format: Format) -> Result<bool, Error> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    match (encodings.next().map(HeaderValue::as_bytes), encodings.next()) {
        (None, _) => Ok(false),
        (Some(encoding), None) if encoding.eq_ignore_ascii_case(b"identity") => Ok(false),
        (Some(encoding), None) if format == Format::Responses && encoding.eq_ignore_ascii_case(b"zstd") => {
            Ok(true)
        }
        _ => Err(Error::BodyEncoded),
    }
}

/// So much of an announced body is made room for at once; what grows further is copied as it grows.
const AT_ONCE_BYTES: usize = 256 << 10;

/// Only what has come is counted: announcing a large body must not keep others out.
async fn collect(
    incoming: &mut Incoming,
    max: usize,
    announced: Option<u64>,
    held: &mut Held,
) -> Result<Bytes, Error> {
    let mut first: Option<Bytes> = None;
    let mut all = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| fault("invalid_request", "the request body broke off"))?;
        // Trailers are not ours to interpret.
        let Ok(bytes) = frame.into_data() else { continue };
        let so_far = first.as_ref().map_or(all.len(), Bytes::len);
        if so_far + bytes.len() > max {
            return Err(Error::BodyTooLarge { max });
        }
        held.grow(bytes.len()).map_err(|_| Error::Crowded)?;
        // Most bodies come in one piece and need no copy.
        match (&mut first, all.is_empty()) {
            (None, true) => first = Some(bytes),
            (Some(piece), _) => {
                let whole = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                all.reserve((piece.len() + bytes.len()).max(whole.min(AT_ONCE_BYTES)));
                all.extend_from_slice(piece);
                all.extend_from_slice(&bytes);
                first = None;
            }
            (None, false) => all.extend_from_slice(&bytes),
        }
    }
    Ok(first.unwrap_or_else(|| all.into()))
}

/// A few words, for who only looks whether somebody is there.
pub(super) fn text(words: &'static str, exchange: Exchange) -> Response<Body> {
    let mut response = whole(words.into(), exchange);
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// A whole JSON answer.
pub(super) fn whole(bytes: Bytes, exchange: Exchange) -> Response<Body> {
    answered(bytes, exchange, Metered::default())
}

/// A whole JSON answer with its counts.
pub(super) fn answered(bytes: Bytes, mut exchange: Exchange, metered: Metered) -> Response<Body> {
    exchange.first_byte();
    let mut response = Response::new(Body::whole(Bytes::new()));
    common(response.headers_mut(), JSON);
    exchange.headers(response.headers_mut());
    *response.body_mut() = Body::settled(bytes, exchange, End::Complete, metered);
    response
}

/// The head of a stream in the caller's dialect.
pub(super) fn stream(client: Format, exchange_headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = match client {
        Format::OpenAi | Format::Responses | Format::Anthropic => EVENT_STREAM,
        Format::Ollama => LINES,
    };
    common(response.headers_mut(), kind);
    response.headers_mut().extend(exchange_headers);
    response
}

/// A refusal in the caller's dialect.
pub(super) fn refusal(error: &Error, exchange: Exchange) -> Response<Body> {
    let mut response = refused(error, exchange.errors(), exchange.id());
    exchange.headers(response.headers_mut());
    exchange.refuse(error);
    response
}

/// A refusal of a request that cannot be recorded.
pub(super) fn unrecorded(error: &Error, errors: ErrorRender, id: &str) -> Response<Body> {
    let mut response = refused(error, errors, id);
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(X_REQUEST_ID, id.clone());
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What is left to say after a panic.
pub fn internal_error(format: wire::Format) -> Response<Body> {
    let errors = ErrorRender { format, operation: wire::Operation::Chat, bare: false };
    refused(&Error::Internal, errors, "")
}

fn refused(error: &Error, errors: ErrorRender, request_id: &str) -> Response<Body> {
    let verdict = errors.verdict(error);
    let mut response = Response::new(Body::whole(errors.body(error, request_id)));
    *response.status_mut() = verdict.status;
    let headers = response.headers_mut();
    common(headers, JSON);
    if let Some(seconds) = verdict.retry_after_s {
        // Who was turned away together must not come back together; a limit's time is exact.
        let spread = if is_exact(error) { 0 } else { random_upto(seconds) };
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds + spread));
    }
    if let Some(retry) = verdict.should_retry {
        headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(if retry { "true" } else { "false" }));
    }
    match error {
        Error::WrongMethod { allow } => {
            if let Ok(allow) = HeaderValue::from_str(allow) {
                headers.insert(ALLOW, allow);
            }
        }
        Error::RateLimited(refusal) => {
            if let Some(rated) = Rated::of(refusal.counts) {
                rate_headers(errors.format, &refusal.standing(), rated, headers);
            }
        }
        _ => {}
    }
    if verdict.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(error, Error::AmbiguousHead) {
        close_after(&mut response);
    }
    response
}

/// Whether a wait is known to the second.
fn is_exact(error: &Error) -> bool {
    error.verdict().status != StatusCode::SERVICE_UNAVAILABLE
}

/// What was not read to its end, or could be read in two ways, must not be taken for the next request.
pub(super) fn close_after(response: &mut Response<Body>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

fn common(headers: &mut HeaderMap, content_type: HeaderValue) {
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
