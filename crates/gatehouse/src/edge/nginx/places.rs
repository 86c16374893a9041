//! The paths of the site: a closed list, made from the parts' own tables.
//!
//! Why here: what is not in the gateway's or the page's table does not exist outside. A path is compared, never rewritten.
//!
//! Never here: what holds for every path; that stands on the server.

use http::HeaderName;
use wire::Format;

use super::headers::added;
use super::writer::{Writer, quoted};
use super::{GATEWAY, Nginx, PAGE, networks};
use crate::chat;
use crate::config::edge::Outer;
use crate::edge::refusals::{API, REFUSALS, Refusal, dialects};
use crate::edge::site::{Page, Site};

const CHALLENGES: &str = "/.well-known/acme-challenge/";
const ASSETS: &str = "/assets/";
/// The API's description, which needs no key.
const OPENAPI: &str = "/openapi.json";
/// What opens the API is nothing to the page, whose own key never leaves its server.
const CREDENTIALS: [&str; 2] = ["Authorization", "X-Api-Key"];

/// Everything that the served site has.
pub(super) fn all(site: &Site, nginx: &Nginx, out: &mut Writer) {
    out.gap();
    out.comment("What the parts are told. The page gets no credentials: it has none of its callers'.");
    out.lines(told(site)).lines(credentials(site).map(|name| format!("proxy_set_header {name} \"\"")));
    out.gap();
    out.comment(
        "The API. `^~`: nothing else catches its paths. No path behind the name: it goes on byte for byte.",
    );
    for (prefix, format) in dialects() {
        out.block(format_args!("location ^~ {prefix}"), |out| {
            api(site, out);
            let own = REFUSALS.iter().filter(|refusal| refusal.status != 404);
            out.lines(own.map(|refusal| format!("error_page {} {}", refusal.status, named(refusal, format))));
        });
    }
    out.block(format_args!("location = {}", API.trim_end_matches('/')), |out| {
        out.comment("Without this nginx would answer with a redirect to the path above.");
        out.line(format_args!("error_page 404 @{}_404", Format::OpenAi.as_str())).line("return 404");
    });
    out.block(format_args!("location = {OPENAPI}"), |out| api(site, out));
    if let Some(served) = &site.page {
        page(site, served, nginx, out);
    }
    out.gap();
    out.comment("Nothing else exists.");
    out.block("location /", |out| {
        out.line("return 404");
    });
    errors(out);
}

/// Headers that hold a caller's key; the gateway's may have a name of its own.
pub(crate) fn credentials(site: &Site) -> impl Iterator<Item = &str> {
    let own = site.key_header.as_ref().map(HeaderName::as_str);
    let own = own.filter(|own| !CREDENTIALS.iter().any(|known| known.eq_ignore_ascii_case(own)));
    CREDENTIALS.into_iter().chain(own)
}

/// The folder that the CA looks into, and nothing beside it.
pub(super) fn challenge(site: &Site, out: &mut Writer) {
    out.block(format_args!("location ^~ {CHALLENGES}"), |out| {
        out.line(format_args!("root {}", site.acme.webroot.display()));
        out.lines(["default_type text/plain", "disable_symlinks on", "try_files $uri =404"]);
        out.block("limit_except GET", |out| {
            out.line("deny all");
        });
    });
}

fn api(site: &Site, out: &mut Writer) {
    out.line(format_args!("proxy_pass http://{GATEWAY}")).lines(told(site));
}

/// Headers that nginx writes itself. A caller's own word on any of these ends here.
fn told(site: &Site) -> Vec<String> {
    let host = format!("$host{}", site.shown_port());
    let scheme = if matches!(site.outer, Outer::Header(_)) { "$gatehouse_scheme" } else { "$scheme" };
    let nothing = "\"\"";
    let all = [
        ("Host", host.as_str()),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", "$remote_addr"),
        ("X-Forwarded-Proto", scheme),
        ("X-Request-Id", "$request_id"),
        ("X-Forwarded-Host", nothing),
        ("X-Forwarded-Port", nothing),
        ("Forwarded", nothing),
        ("Connection", nothing),
        ("Upgrade", nothing),
        ("TE", nothing),
        ("Proxy", nothing),
    ];
    all.iter().map(|(name, value)| format!("proxy_set_header {name} {value}")).collect()
}

/// The chat page: its own table's paths, and its files from the disk.
fn page(site: &Site, served: &Page, nginx: &Nginx, out: &mut Writer) {
    out.gap();
    out.comment("The page.");
    let places = page_places();
    for place in bare(&places) {
        out.block(format_args!("location {place}"), |out| {
            out.line("return 404");
        });
    }
    for place in &places {
        out.block(format_args!("location {place}"), |out| {
            door(served, out);
            out.line(format_args!("client_max_body_size {}", chat::BODY_BYTES_MAX));
            out.line(format_args!("proxy_pass http://{PAGE}"));
        });
    }
    out.comment("Its files: their names change with their content. One that is not on the disk yet comes from the page itself.");
    out.block(format_args!("location ^~ {ASSETS}"), |out| {
        door(served, out);
        out.line(format_args!("root {}", site.assets_dir.display()));
        out.line("try_files $uri @page");
        if nginx.has("http_gzip_static_module") {
            out.line("gzip_static on").line("gzip_vary on");
        }
        types(out);
        out.lines(added(site));
        out.line(format_args!("add_header cache-control {} always", quoted(chat::IMMUTABLE)));
    });
    out.block("location @page", |out| {
        out.line(format_args!("proxy_pass http://{PAGE}"));
    });
}

/// Who may open the page.
fn door(served: &Page, out: &mut Writer) {
    if !served.allow.is_empty() {
        out.lines(networks("allow", &served.allow)).line("deny all");
    }
    if let Some(file) = &served.password_file {
        out.line("auth_basic \"Chat\"").line(format_args!("auth_basic_user_file {}", file.display()));
    }
}

/// The page's table as locations: a fixed path is exact, a name in braces opens what lies under it.
fn page_places() -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for (_, path) in chat::paths().filter(|(_, path)| !path.starts_with(ASSETS)) {
        let place = match path.split_once('{') {
            None => format!("= {path}"),
            Some((prefix, _)) => format!("^~ {prefix}"),
        };
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Beginnings without a page of their own: nginx would redirect to the path below.
fn bare(places: &[String]) -> impl Iterator<Item = String> + '_ {
    let cut = |place: &String| Some(format!("= {}", place.strip_prefix("^~ ")?.trim_end_matches('/')));
    places.iter().filter_map(cut).filter(|place| !places.contains(place))
}

/// Media types of the page's files, whatever the main configuration knows.
fn types(out: &mut Writer) {
    out.block("types", |out| {
        let mut known: Vec<(&str, &str)> = Vec::new();
        for asset in chat::assets() {
            let ending = asset.path.rsplit('.').next().unwrap_or_default();
            if !known.iter().any(|(_, e)| *e == ending) {
                known.push((asset.media_type, ending));
            }
        }
        out.lines(known.iter().map(|(media, ending)| format!("{} {ending}", quoted(media))));
    });
}

/// nginx's own answers under the API's paths, in the shape that SDKs read.
fn errors(out: &mut Writer) {
    out.gap();
    out.comment("nginx's own answers under the API's paths, in the shapes that SDKs read.");
    for (_, format) in dialects() {
        for refusal in REFUSALS {
            out.block(format_args!("location {}", named(refusal, format)), |out| {
                out.line("default_type application/json");
                out.line(format_args!("return {} {}", refusal.status, quoted(&refusal.body(format))));
            });
        }
    }
}

fn named(refusal: &Refusal, format: Format) -> String {
    format!("@{}_{}", format.as_str(), refusal.status)
}
