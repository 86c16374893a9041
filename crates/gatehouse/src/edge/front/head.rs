//! What a request's head must be before anything is done for it, and what of it goes on.
//!
//! Why here: a name, an address or a request id that reaches the parts behind must be this process's word. What a client wrote about
//! those, and what concerned its connection alone, ends here.
//!
//! Never here: paths, rates, bodies.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, SERVER,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version};

use super::bounds;
use super::paths::Part;
use super::refuse::Refusal;
use crate::config::edge::Name;

/// What the front calls itself.
pub(crate) const SERVER_NAME: &str = "gatehouse";

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What concerns one connection.
static HOP_BY_HOP: [HeaderName; 11] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("alt-svc"),
];

/// What other proxies would say about a client; in front of this one there is none.
static HEARSAY: [HeaderName; 9] = [
    HeaderName::from_static("proxy"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("via"),
    HeaderName::from_static("client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-cluster-client-ip"),
];

/// Words of an upstream to its proxy.
const TO_THE_PROXY: &str = "x-accel-";

/// The host that a request names, or why it is not served. `Host` on HTTP/1, the authority on HTTP/2; exactly one, and ours.
pub(super) fn host(parts: &Parts, names: &[Name]) -> Result<HeaderValue, Refusal> {
    let long =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() > bounds::LINE_BYTES;
    if parts.headers.len() > bounds::HEADERS || parts.headers.iter().any(long) {
        return Err(Refusal::Headers);
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    if target_bytes(&parts.uri) > bounds::URI_BYTES {
        return Err(Refusal::LongTarget);
    }
    let host = stated_host(parts).ok_or(Refusal::BadHead)?;
    let text = host.to_str().ok().filter(|text| is_host(text)).ok_or(Refusal::BadHead)?;
    let bare = without_port(text);
    if names.iter().any(|name| name.as_str().eq_ignore_ascii_case(bare)) {
        Ok(host)
    } else {
        Err(Refusal::ForeignHost)
    }
}

fn target_bytes(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, str::len)
}

/// `None`: none, two, or two that differ.
fn stated_host(parts: &Parts) -> Option<HeaderValue> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (header, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return None;
    }
    match parts.uri.authority() {
        Some(authority) if parts.version == Version::HTTP_2 => {
            let same =
                |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            if header.is_some_and(|host| !same(host)) {
                return None;
            }
            HeaderValue::from_str(authority.as_str()).ok()
        }
        // Absolute form on HTTP/1 would name a second one.
        Some(_) => None,
        None => header.cloned(),
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
}

pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What the parts behind are told about a request.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) client: IpAddr,
    pub(super) host: HeaderValue,
    pub(super) id: &'a HeaderValue,
    pub(super) part: Part,
    /// The gateway's own name for a header with a key.
    pub(super) key_header: Option<&'a HeaderName>,
}

/// Makes a request's headers fit to go on.
pub(super) fn onward(headers: &mut HeaderMap, told: &Told<'_>) {
    without_hop(headers);
    for name in &HEARSAY {
        headers.remove(name);
    }
    let forwarded: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).cloned().collect();
    for name in forwarded {
        headers.remove(name);
    }
    // The library writes the length that it sends, and has answered an expectation when it began to read.
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    if told.part == Part::Page {
        // What opens the API is nothing to the page, whose own key never leaves its server.
        headers.remove(AUTHORIZATION);
        headers.remove(X_API_KEY);
        if let Some(name) = told.key_header {
            headers.remove(name);
        }
    }
    headers.insert(HOST, told.host.clone());
    headers.insert(X_REQUEST_ID, told.id.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    if let Ok(address) = HeaderValue::try_from(told.client.to_canonical().to_string()) {
        headers.insert(X_REAL_IP, address.clone());
        headers.insert(X_FORWARDED_FOR, address);
    }
}

/// Makes an answer's headers fit to go out. `ours` are those that every answer has.
pub(super) fn homeward(headers: &mut HeaderMap, ours: &[(HeaderName, HeaderValue)], id: &HeaderValue) {
    without_hop(headers);
    let inner: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(TO_THE_PROXY)).cloned().collect();
    for name in inner {
        headers.remove(name);
    }
    for (name, value) in ours {
        headers.insert(name, value.clone());
    }
    headers.insert(X_REQUEST_ID, id.clone());
    // Without a version: whoever looks for weak ones is told nothing, and `edge check` is told whom it asks.
    headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    // Files of the page say otherwise: their names change with their content.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Headers that concern one connection, by the list and by what `Connection` names.
fn without_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn names() -> Vec<Name> {
        vec![Name::parse("ai.example.com").unwrap(), Name::parse("chat.example.com").unwrap()]
    }

    fn asked(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<String, Refusal> {
        let mut request = Request::get(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        host(&parts, &names()).map(|host| host.to_str().unwrap().to_owned())
    }

    #[test]
    fn one_host_and_ours() {
        use Refusal::{BadHead, ForeignHost};
        let h1 = Version::HTTP_11;
        for (headers, wanted) in [
            (vec!["ai.example.com"], Ok("ai.example.com")),
            (vec!["AI.example.com:8443"], Ok("AI.example.com:8443")),
            (vec!["chat.example.com"], Ok("chat.example.com")),
            (vec![], Err(BadHead)),
            (vec![""], Err(BadHead)),
            (vec!["ai.example.com", "ai.example.com"], Err(BadHead)),
            (vec!["ai.example.com/x"], Err(BadHead)),
            (vec!["user@ai.example.com"], Err(BadHead)),
            (vec!["ai.example.com, evil.example"], Err(BadHead)),
            (vec!["ai.example.com."], Err(ForeignHost)),
            (vec!["evil.example"], Err(ForeignHost)),
            (vec!["ai.example.com.evil.example"], Err(ForeignHost)),
            (vec!["ai.example.com:x"], Err(ForeignHost)),
            (vec!["[::1]:443"], Err(ForeignHost)),
            (vec!["127.0.0.1"], Err(ForeignHost)),
        ] {
            let headers: Vec<_> = headers.iter().map(|host| ("host", *host)).collect();
            assert_eq!(asked(h1, "/", &headers), wanted.map(str::to_owned), "{headers:?}");
        }
        let absolute = asked(h1, "https://ai.example.com/", &[("host", "ai.example.com")]);
        assert_eq!(absolute, Err(BadHead), "absolute form names a second host");
    }

    #[test]
    fn on_http_2_the_authority_is_the_host() {
        let h2 = Version::HTTP_2;
        let at = "https://ai.example.com/";
        assert_eq!(asked(h2, at, &[]), Ok("ai.example.com".into()));
        assert_eq!(asked(h2, at, &[("host", "AI.example.com")]), Ok("ai.example.com".into()));
        assert_eq!(asked(h2, at, &[("host", "evil.example")]), Err(Refusal::BadHead));
        assert_eq!(asked(h2, "https://evil.example/", &[]), Err(Refusal::ForeignHost));
        assert_eq!(asked(h2, "/", &[("host", "ai.example.com")]), Ok("ai.example.com".into()));
        assert_eq!(asked(h2, "/", &[]), Err(Refusal::BadHead));
    }

    #[test]
    fn heads_are_bounded() {
        let h1 = Version::HTTP_11;
        let line = ("x-a", "b");
        let host = ("host", "ai.example.com");
        let with = |count: usize| [vec![host], vec![line; count]].concat();
        assert!(asked(h1, "/", &with(bounds::HEADERS - 1)).is_ok());
        assert_eq!(asked(h1, "/", &with(bounds::HEADERS)), Err(Refusal::Headers));
        let value = |bytes: usize| "b".repeat(bytes - "x-a".len());
        assert!(asked(h1, "/", &[host, ("x-a", &value(bounds::LINE_BYTES))]).is_ok());
        let long = asked(h1, "/", &[host, ("x-a", &value(bounds::LINE_BYTES + 1))]);
        assert_eq!(long, Err(Refusal::Headers));
        let target = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert!(asked(h1, &target(bounds::URI_BYTES), &[host]).is_ok());
        assert_eq!(asked(h1, &target(bounds::URI_BYTES + 1), &[host]), Err(Refusal::LongTarget));
        for method in [Method::CONNECT, Method::TRACE] {
            let (parts, ()) = Request::builder().method(method).body(()).unwrap().into_parts();
            assert_eq!(super::host(&parts, &names()), Err(Refusal::Method));
        }
    }

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers.iter().map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse().unwrap())).collect()
    }

    fn sent(headers: &[(&str, &str)], part: Part) -> HeaderMap {
        let mut headers = map(headers);
        let host = HeaderValue::from_static("ai.example.com");
        let id = HeaderValue::from_static("req_ours");
        let client = "::ffff:192.0.2.7".parse().unwrap();
        onward(
            &mut headers,
            &Told {
                client,
                host,
                id: &id,
                part,
                key_header: Some(&HeaderName::from_static("x-company-key")),
            },
        );
        headers
    }

    #[test]
    fn what_a_client_says_about_itself_is_not_passed_on() {
        let spoofed = [
            ("x-real-ip", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1, 127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-anything", "1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-request-id", "theirs"),
            ("via", "1.1 x"),
            ("true-client-ip", "10.0.0.1"),
            ("x-original-url", "/api/pull"),
            ("proxy", "http://evil.example"),
            ("connection", "upgrade, x-secret, x-real-ip"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("expect", "100-continue"),
            ("host", "evil.example"),
        ];
        let headers = sent(&spoofed, Part::Gateway);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "x-request-id"]);
        let one = |name: &str| {
            let all: Vec<_> = headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect();
            assert_eq!(all.len(), 1, "{name}");
            all[0].clone()
        };
        assert_eq!(one("x-real-ip"), "192.0.2.7");
        assert_eq!(one("x-forwarded-for"), "192.0.2.7");
        assert_eq!(one("x-forwarded-proto"), "https");
        assert_eq!(one("x-request-id"), "req_ours");
        assert_eq!(one("host"), "ai.example.com");
    }

    #[test]
    fn what_a_request_means_is_passed_on_and_keys_only_to_the_gateway() {
        let meant = [
            ("authorization", "Bearer k"),
            ("x-api-key", "k"),
            ("x-company-key", "k"),
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("cookie", "a=b"),
            ("x-user-id", "u"),
        ];
        let headers = sent(&meant, Part::Gateway);
        assert!(meant.iter().all(|(name, value)| headers.get(*name).unwrap() == value));
        let headers = sent(&meant, Part::Page);
        for name in ["authorization", "x-api-key", "x-company-key"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers.get("cookie").unwrap(), "a=b");
    }

    #[test]
    fn answers_are_dressed_and_the_inside_stays_inside() {
        let mut headers = map(&[
            ("connection", "close, x-inner"),
            ("x-inner", "1"),
            ("server", "x"),
            ("x-accel-buffering", "no"),
            ("x-frame-options", "ALLOWALL"),
            ("x-request-id", "other"),
            ("cache-control", "public, max-age=31536000, immutable"),
        ]);
        let ours = [(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY"))];
        homeward(&mut headers, &ours, &HeaderValue::from_static("req_1"));
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "server", "x-frame-options", "x-request-id"]);
        assert_eq!(headers.get("server").unwrap(), SERVER_NAME);
        assert_eq!(headers.get("x-frame-options").unwrap(), "DENY");
        assert_eq!(headers.get("x-request-id").unwrap(), "req_1");
    }
}
