//! Headers that every answer of the site carries, whatever its status.
//!
//! Why here: the policy is one text. It is applied at the outermost layer, so a 404 or a refused body has it too.
//!
//! Never here: `Strict-Transport-Security`; who terminates TLS sets it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// What the page may load and do. Trusted Types: `svelte-trusted-html` is the framework's own static templates,
/// `app-worker-url` accepts exactly the page's worker.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
require-trusted-types-for 'script'; trusted-types svelte-trusted-html app-worker-url";

const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
microphone=(), midi=(), payment=(), usb=()";

static FIXED: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The same for who answers in the page's place: nginx on its own errors, and on the page's files.
pub(crate) fn fixed() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIXED.iter().map(|(name, value)| (name.as_str(), *value))
}

pub(super) fn apply(headers: &mut HeaderMap) {
    for (name, value) in &FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Only assets say otherwise: their names change with their content.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
