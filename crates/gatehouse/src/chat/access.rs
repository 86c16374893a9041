//! Who is asking, and whether a browser was tricked into asking.
//!
//! Why here: without accounts two things stand between a stranger's web page and somebody's chats: the `Host` check
//! (against DNS rebinding) and the same-origin check (against cross-site requests). Both are applied to every route by one
//! function, and every handler gets its owner from the one extractor below.
//!
//! Never here: accounts and sign-in; they will be another [`Access`].

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};

use super::Site;
use super::api::FailureAction;
use super::clock::fresh_id;
use super::failure::ApiError;

/// How visitors are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// One person on this machine. Listens on loopback only and answers to loopback names only.
    Loopback,
    /// Behind a proxy on this machine, under these host names, each browser with chats of its own.
    Proxied {
        names: Vec<String>,
        /// The proxy lets in only known networks, or who has a password.
        guarded: bool,
    },
    /// Everybody who can reach the port, each browser with chats of its own. Said loudly at start and on the page.
    OpenWithWarning,
}

impl Access {
    /// Without this a page of somebody else's could reach the chat under a name of its own (DNS rebinding).
    fn answers_to(&self, host: &str) -> bool {
        match self {
            Self::Loopback => is_loopback(host),
            Self::Proxied { names, .. } => is_loopback(host) || names.iter().any(|name| is_named(host, name)),
            Self::OpenWithWarning => true,
        }
    }

    fn own_names(&self) -> &'static str {
        match self {
            Self::Proxied { .. } => "This chat is not served under this name.",
            _ => "This chat is served on this machine only, under a name such as localhost.",
        }
    }

    /// Whether everybody who reaches it can use the models.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Loopback | Self::Proxied { guarded: true, .. } => false,
            Self::Proxied { .. } | Self::OpenWithWarning => true,
        }
    }
}

const COOKIE: &str = "gatehouse_chat";
const COOKIE_AGE_S: u32 = 365 * 24 * 3600;

/// Refuses what a foreign page could have caused.
pub(super) fn check(access: &Access, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = one(headers, &header::HOST).unwrap_or_default();
    if !access.answers_to(host) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "wrong_host",
            access.own_names(),
            FailureAction::Operator,
        ));
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    if !same_origin(headers, host) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "This request did not come from this chat's own page.",
            FailureAction::Retry,
        ));
    }
    if *method != Method::DELETE && !is_json(headers) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "json_required",
            "The content type must be application/json.",
            FailureAction::Retry,
        ));
    }
    Ok(())
}

/// The header's only value; two are as good as none.
fn one<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return port_fits
                && address.parse::<Ipv6Addr>().is_ok_and(|a| IpAddr::V6(a).to_canonical().is_loopback());
        }
        None => match host.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
}

/// The name, with whatever port the proxy listens on.
fn is_named(host: &str, name: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if is_port(port) => bare,
        _ => host,
    };
    bare.eq_ignore_ascii_case(name)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// Browsers state where a request comes from; one that states nothing is not from our page.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = one(headers, &header::ORIGIN) else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    !host.is_empty() && authority.is_some_and(|a| a.eq_ignore_ascii_case(host))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = one(headers, &header::CONTENT_TYPE) else { return false };
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Whose chats a request may see: part of every query of the store.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub id: String,
    /// A new browser's cookie, for the two answers that hand it out.
    pub set_cookie: Option<HeaderValue>,
}

impl FromRequestParts<Arc<Site>> for Owner {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Infallible> {
        Ok(match site.access {
            Access::Loopback => Self { id: "local".to_owned(), set_cookie: None },
            Access::Proxied { .. } | Access::OpenWithWarning => by_cookie(&parts.headers),
        })
    }
}

/// The owner is a digest of the cookie: owner ids travel to the gateway and its logs, the cookie must not.
fn by_cookie(headers: &HeaderMap) -> Owner {
    if let Some(secret) = read_cookie(headers) {
        return Owner { id: digest(secret), set_cookie: None };
    }
    // Without randomness nobody can be told apart: an empty owner has nothing, and gets no cookie.
    let Some(secret) = fresh_id() else { return Owner { id: String::new(), set_cookie: None } };
    let secure = headers.get("x-forwarded-proto").is_some_and(|p| p.as_bytes() == b"https");
    let cookie = format!(
        "{COOKIE}={secret}; Path=/; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Strict{}",
        if secure { "; Secure" } else { "" }
    );
    Owner { id: digest(&secret), set_cookie: HeaderValue::try_from(cookie).ok() }
}

fn read_cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs =
        headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let ours = |v: &&str| v.len() == 26 && v.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    values.find(ours)
}

fn digest(secret: &str) -> String {
    use std::fmt::Write as _;
    let mut id = "browser-".to_owned();
    for byte in Sha256::digest(secret).iter().take(16) {
        // Writing to a String cannot fail.
        let _written = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_and_nothing_that_looks_like_them() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "chat.localhost:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:8080",
            "10.0.0.1",
            "[::]",
            "[::1",
            "[::1]x",
            "localhost:",
            "localhost:80:80",
            "127.1",
            "2130706433",
            "localhost@evil.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn behind_a_proxy_it_answers_to_its_names() {
        let access = Access::Proxied { names: vec!["ai.example.com".into()], guarded: true };
        for host in ["ai.example.com", "AI.example.com", "ai.example.com:8443", "localhost:8080", "127.0.0.1"]
        {
            assert!(access.answers_to(host), "{host}");
        }
        for host in [
            "",
            "ai.example.com.evil.example",
            "evil.example",
            "ai.example.com:x",
            "ai.example.com:1:2",
            "10.0.0.1",
        ] {
            assert!(!access.answers_to(host), "{host}");
        }
    }

    #[test]
    fn a_cookie_is_one_owner_and_never_its_own_name() {
        let mut headers = HeaderMap::new();
        let made = by_cookie(&headers);
        let cookie = made.set_cookie.unwrap();
        let secret = cookie.to_str().unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
        headers.insert(header::COOKIE, HeaderValue::try_from(format!("a=b; {COOKIE}={secret}")).unwrap());
        let again = by_cookie(&headers);
        assert_eq!((again.id.as_str(), again.set_cookie), (made.id.as_str(), None));
        assert!(!made.id.contains(&secret));
        headers.insert(header::COOKIE, HeaderValue::from_static("gatehouse_chat=short"));
        assert!(by_cookie(&headers).set_cookie.is_some(), "a malformed cookie is replaced");
    }
}
