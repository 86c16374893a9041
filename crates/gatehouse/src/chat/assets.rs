//! The page and its files, built into the program.
//!
//! Why here: one binary serves the chat with no folder beside it. Files were compressed when the program was built
//! (`build.rs`), so serving one is choosing an encoding and handing out static bytes.
//!
//! Never here: reading the disk.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::api::Locale;
use super::failure::ApiError;

/// One file, in every encoding that made it smaller.
pub(crate) struct Asset {
    pub path: &'static str,
    pub media_type: &'static str,
    /// Digest of the plain bytes, without quotes.
    pub digest: &'static str,
    pub plain: &'static [u8],
    pub brotli: Option<&'static [u8]>,
    pub gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/web_assets.rs"));

pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Every file, for who serves them in the page's place.
pub(crate) fn all() -> &'static [Asset] {
    ASSETS
}

pub(super) fn serve(path: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|a| a.path == path) else {
        return ApiError::not_found().into_response();
    };
    let (encoding, bytes) = choose(asset, headers);
    // A strong tag names exact bytes, so each encoding has its own.
    let tag = format!("\"{}{}\"", asset.digest, encoding.map(|e| format!("-{e}")).unwrap_or_default());
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.split(',').any(|t| t.trim() == tag || t.trim() == "*")));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(Bytes::from_static(bytes)))
    };
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        out.insert(header::ETAG, tag);
    }
    if !known {
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        if let Some(encoding) = encoding {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
    }
    response
}

fn choose(asset: &Asset, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
    match (asset.brotli, asset.gzip) {
        (Some(bytes), _) if accepts(headers, "br") => (Some("br"), bytes),
        (_, Some(bytes)) if accepts(headers, "gzip") => (Some("gzip"), bytes),
        _ => (None, asset.plain),
    }
}

/// Named, and not with `q=0`.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32)));
        named && !refused
    })
}

/// The built page does not have exactly one of each mark.
#[derive(Debug, thiserror::Error)]
#[error("the built page must hold {mark} exactly once")]
pub struct PageError {
    mark: &'static str,
}

/// The page with this site's title and language, made once at start.
pub(super) fn page(title: &str, locale: Option<Locale>, base: &str) -> Result<Bytes, PageError> {
    let locale = match locale {
        Some(Locale::En) => "en",
        Some(Locale::Zh) => "zh",
        None => "",
    };
    let marks = [
        ("data-locale=\"\"", format!("data-locale=\"{locale}\"")),
        ("data-base=\"\"", format!("data-base=\"{}\"", escape(base))),
        ("<title>Gatehouse</title>", format!("<title>{}</title>", escape(title))),
    ];
    // Each mark is looked for in the built page, so that a title which looks like a mark changes nothing.
    let mut places = Vec::with_capacity(marks.len());
    for (mark, text) in &marks {
        let mut found = INDEX_HTML.match_indices(mark);
        let (Some((at, _)), None) = (found.next(), found.next()) else { return Err(PageError { mark }) };
        places.push((at, mark.len(), text));
    }
    places.sort_unstable_by_key(|(at, ..)| *at);
    let (mut html, mut rest, mut taken) = (String::with_capacity(INDEX_HTML.len() + 256), INDEX_HTML, 0);
    for (at, len, text) in places {
        let (before, from) = rest.split_at(at - taken);
        html.push_str(before);
        html.push_str(text);
        rest = from.split_at(len).1;
        taken = at + len;
    }
    html.push_str(rest);
    Ok(Bytes::from(html))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_leave_its_element() {
        let html = page("</title><script>x\" data-base=\"\"", Some(Locale::Zh), "/a\"b").unwrap();
        let html = std::str::from_utf8(&html).unwrap();
        assert!(html.contains("data-locale=\"zh\""));
        assert!(html.contains("data-base=\"/a&quot;b\""));
        assert!(
            html.contains("<title>&lt;/title&gt;&lt;script&gt;x&quot; data-base=&quot;&quot;</title>"),
            "{html}"
        );
    }

    #[test]
    fn encodings_are_negotiated_and_tagged() {
        let asset = Asset {
            path: "assets/a.js",
            media_type: "text/javascript",
            digest: "d",
            plain: b"plain",
            brotli: Some(b"br"),
            gzip: Some(b"gz"),
        };
        for (accept, want) in [
            ("", None),
            ("gzip, deflate", Some("gzip")),
            ("gzip, deflate, br", Some("br")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("BR", Some("br")),
            ("*", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(choose(&asset, &headers).0, want, "{accept}");
        }
    }

    #[test]
    fn what_is_built_in_is_served_whole() {
        for asset in ASSETS {
            let response = serve(asset.path, &HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK);
            let tag = response.headers().get(header::ETAG).unwrap().clone();
            let mut again = HeaderMap::new();
            again.insert(header::IF_NONE_MATCH, tag);
            assert_eq!(serve(asset.path, &again).status(), StatusCode::NOT_MODIFIED, "{}", asset.path);
        }
        assert_eq!(serve("assets/../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
