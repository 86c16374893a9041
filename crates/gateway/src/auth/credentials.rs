//! What a request's headers say about who asks, taken literally or refused.
//!
//! Why here: bypasses of other gateways came from a rule bound to one header while another was believed. All carriers are
//! read before anything is decided, and two that disagree are nobody's.
//!
//! Never here: query strings, cookies, or `Basic`; no trimming beyond what HTTP itself trims.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::{Fault, Format};

use crate::error::Error;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");
/// Bounds the work of one digest; no key is near it.
const KEY_BYTES_MAX: usize = 512;
const USER_CHARS_MAX: usize = 128;

/// The one credential of a request. Several carriers may show it, as long as they show the same.
pub(super) fn read<'a>(
    headers: &'a HeaderMap,
    header: Option<&HeaderName>,
    format: Format,
) -> Result<&'a str, Error> {
    // Anthropic's SDKs have a header of their own, whatever the operator calls his.
    let own_name = X_API_KEY;
    let own = (format == Format::Anthropic).then_some(&own_name);
    let named = header.filter(|name| **name != AUTHORIZATION && own != Some(*name));
    let in_header = |name: Option<&HeaderName>| -> Result<Option<Option<&'a str>>, Error> {
        let value = name.map(|name| only(headers, name)).transpose()?.flatten();
        Ok(value.map(|value| visible(value.as_bytes())))
    };
    let carriers = [only(headers, &AUTHORIZATION)?.map(bearer), in_header(own)?, in_header(named)?];
    let mut shown = carriers.into_iter().flatten();
    let Some(first) = shown.next() else { return Err(Error::BadKey) };
    match shown.next() {
        None => first.ok_or(Error::BadKey),
        Some(second) => {
            let same = first.is_some() && first == second && shown.all(|other| other == first);
            first.filter(|_| same).ok_or(Error::TwoCredentials)
        }
    }
}

/// Whom a key that may speak for users speaks for. Nonsense is a fault of that client's program: it is told.
pub(super) fn user(headers: &HeaderMap) -> Result<Option<Arc<str>>, Error> {
    let mut values = headers.get_all(X_USER_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| is_user(text));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(Arc::from(text))),
        _ => Err(Error::Request(Fault {
            code: "invalid_value",
            param: None,
            message: format!("X-User-Id must be sent once, as 1 to {USER_CHARS_MAX} printable characters"),
        })),
    }
}

fn is_user(text: &str) -> bool {
    let bounded = !text.is_empty() && text.chars().count() <= USER_CHARS_MAX;
    bounded && text.trim() == text && !text.chars().any(deceptive)
}

/// Characters that make a reader, a terminal or a log viewer see something else than what is there: controls, line
/// separators, invisible and direction-changing ones, and blanks that are not the blank.
pub fn deceptive(c: char) -> bool {
    let unlike_blank = c.is_whitespace() && c != ' ';
    c.is_control()
        || unlike_blank
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The value of a header that may come once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(Error::TwoCredentials),
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.as_bytes().split_at_checked(6)?;
    let blanks = token.iter().take_while(|byte| **byte == b' ').count();
    let token = token.get(blanks..).filter(|_| blanks > 0 && scheme.eq_ignore_ascii_case(b"bearer"))?;
    visible(token)
}

/// A key's text: visible ASCII without blanks. Anything else cannot be one.
fn visible(bytes: &[u8]) -> Option<&str> {
    let fits = (1..=KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(bytes).ok().filter(|_| fits)
}
