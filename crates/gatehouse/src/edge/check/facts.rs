//! The facts: what a good site keeps, by stable id.
//!
//! Why here: one table says for each fact its sentence, who makes it true, how it is seen and what to do when it is not.
//! The output, `docs/edge.md`, `--only` and `edge apply` (which puts a site back only for what the site makes) all stand on
//! it.
//!
//! Never here: looking.

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// A promise to scripts: never renamed.
    pub id: &'static str,
    /// True when all is well.
    pub holds: &'static str,
    pub made_by: MadeBy,
    /// How it is seen.
    pub seen_by: &'static str,
    pub fix: &'static str,
}

/// Who makes it true: where a fix belongs, and whether another site file could cure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeBy {
    /// The site file that is rendered.
    Site,
    /// nginx's main file, and the machine around it.
    Machine,
    Certificate,
    /// The gateway or the page: their configuration, or that they run.
    House,
}

impl MadeBy {
    fn word(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Machine => "machine",
            Self::Certificate => "certificate",
            Self::House => "gateway, page",
        }
    }
}

/// How one fact stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok(String),
    Warn(String),
    Fail(String),
    /// Fails, and is mended in another way than the fact's own.
    Mend {
        seen: String,
        fix: &'static str,
    },
    /// Cannot be known, and why.
    Skip(String),
}

/// What a group of questions has found.
pub(crate) type Said = Vec<(&'static str, Verdict)>;

impl Verdict {
    pub(crate) fn ok(seen: impl Into<String>) -> Self {
        Self::Ok(seen.into())
    }

    pub(crate) fn warn(seen: impl Into<String>) -> Self {
        Self::Warn(seen.into())
    }

    pub(crate) fn fail(seen: impl Into<String>) -> Self {
        Self::Fail(seen.into())
    }

    pub(crate) fn skip(why: impl Into<String>) -> Self {
        Self::Skip(why.into())
    }

    /// Fails with all of them, or is well with `good`.
    pub(crate) fn of(wrong: &[String], good: impl Into<String>) -> Self {
        if wrong.is_empty() { Self::Ok(good.into()) } else { Self::Fail(wrong.join("\n")) }
    }
}

/// The row of an id.
pub(crate) fn fact(id: &str) -> Option<&'static Fact> {
    FACTS.iter().find(|fact| fact.id == id)
}

/// The table of `docs/edge.md`.
pub(crate) fn markdown() -> String {
    let mut text = String::from("| id | fact | made by | seen by |\n|---|---|---|---|\n");
    for fact in FACTS {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            fact.id,
            fact.holds,
            fact.made_by.word(),
            fact.seen_by
        ));
    }
    text
}

const fn row(
    id: &'static str,
    made_by: MadeBy,
    holds: &'static str,
    seen_by: &'static str,
    fix: &'static str,
) -> Fact {
    Fact { id, holds, made_by, seen_by, fix }
}

const APPLY: &str = "write the site anew: `gatehouse edge apply`";

use MadeBy::{Certificate, House, Machine, Site};

/// All of them, in the order of the output: what explains others comes first.
#[rustfmt::skip]
pub(crate) const FACTS: &[Fact] = &[
    // Whether there is anything to ask.
    row("site.answers", Machine, "every listener of the site takes connections", "connections to each address",
        "start nginx (`systemctl start nginx`) or reload it; its error log says why a port cannot be had"),
    row("config.loads", Machine, "nginx takes its configuration without a word", "`nginx -T`",
        "mend the named line, or write the site anew for this nginx: `gatehouse edge apply`; until then no reload, and no new certificate, takes effect"),
    row("config.included", Machine, "the site is part of nginx's configuration", "`nginx -T`",
        "write the site (`gatehouse edge apply`), and see that the `http` block of nginx's main file includes the folder it lies in (`edge.nginx.site_file`)"),
    row("config.foreign-proxy", Machine, "no other site of this nginx leads to gateway, page or model", "`nginx -T`",
        "remove that location, then `systemctl reload nginx`: it hands out what keys, lists and passwords of this site guard"),
    row("site.unchanged", Site, "the site holds no other line that `gatehouse edge` did not write", "the site as it is, against the site as it would be written now",
        "keep what belongs to the site in the configuration: the next `gatehouse edge apply` writes the file anew"),
    row("api.answers", House, "the gateway answers behind the site", "GET /v1/models without a key, at each gateway where there are several; `allow`, `deny`",
        "start the gateway (`systemctl start gatehouse-gateway`), and see that `edge.gateways` names where it listens; where nginx itself refuses, write the site anew: `gatehouse edge apply`"),
    row("page.answers", House, "the chat page answers behind the site", "GET /",
        "start the page (`systemctl start gatehouse-chat`), and list the site's name in `chat.server.names` where the page has a file of its own"),

    // Who is on the other side.
    row("cert.chain", Certificate, "the certificate's chain leads to a root that clients know", "the chain as served, against the system's roots or `--ca-file`",
        "serve the whole chain (`fullchain.pem`, or the file of `edge.certificate` with what your CA sends beside it), or get a certificate: `gatehouse edge cert`"),
    row("cert.name", Certificate, "the certificate is for every name of the site", "the certificate as served",
        "get one for all names: `gatehouse edge cert`; with `edge.tls: files` from whoever issued this one, then `gatehouse cert deploy`"),
    row("cert.dates", Certificate, "the certificate is valid now, with a third of its life left", "the certificate as served",
        "`gatehouse cert check` says what to do: with certbot, why it was not renewed by itself; with `edge.tls: files`, put a new one in its place and run `gatehouse cert deploy`; one that is not valid yet means a wrong clock, here or at its maker"),
    row("tls.on", Site, "the site is encrypted", "the configuration",
        "set `edge.tls: certbot`, or `files` with a certificate of your own"),
    row("tls.versions", Site, "TLS 1.2 and 1.3 are spoken, nothing older is", "a handshake with each version; `ssl_protocols`", APPLY),
    row("tls.suites", Site, "only the six suites of TLS 1.2 with forward secrecy and authenticated encryption are taken", "handshakes that offer all others", APPLY),
    row("tls.order", Site, "the client chooses among the suites", "the same two suites in both orders", APPLY),
    row("tls.curves", Site, "keys are agreed on X25519, P-256 or P-384 alone", "a handshake that offers other curves", APPLY),
    row("tls.tickets", Site, "no session tickets, whose key would undo forward secrecy", "a handshake that asks for one", APPLY),
    row("tls.cache", Site, "sessions are kept in a cache that all workers share", "`ssl_session_cache`", APPLY),
    row("tls.stapling", Site, "no OCSP stapling: CAs have ended OCSP", "`ssl_stapling`", APPLY),
    row("tls.hsts", Site, "browsers are told to stay with HTTPS, for two years", "`strict-transport-security` on GET /",
        "set `edge.hsts_seconds: 63072000` once all works, then `gatehouse edge apply`"),
    row("http2.works", Site, "HTTP/2 is chosen and works", "GET / and /v1/models over HTTP/2", APPLY),

    // Which names and ports.
    row("names.unknown", Site, "who asks for another name, or for none, gets no certificate and no page", "handshakes and requests under other names, on both ports",
        "there has to be a default server with `ssl_reject_handshake on` and `return 421`: `gatehouse edge apply`"),
    row("plain.redirect", Site, "plain HTTP leads to HTTPS with host and path kept, and does nothing else", "GET and POST for paths of page and API on the plain port; `proxy_pass`", APPLY),
    row("plain.acme", Site, "the challenge's folder is served on plain HTTP, and nothing beside it", "GET below /.well-known/acme-challenge/; its `root`", APPLY),

    row("names.own", Site, "every name of the site is served, at every listener", "a handshake and GET /v1/models for each name and each listener; `listen`, `server_name`",
        "`server_name` has to hold every name of `edge.domain`, and each server every listener: `gatehouse edge apply`"),

    // What every answer carries.
    row("headers.every-place", Site, "every place of the site sends the security headers", "page, file, API, description",
        "a location with an `add_header` of its own loses those around it and has to repeat them: `gatehouse edge apply`"),
    row("headers.every-status", Site, "refusals carry the security headers too", "404 and 413 made by nginx",
        "`add_header ... always`: `gatehouse edge apply`"),
    row("headers.once", Site, "no header is sent twice", "all answers of this check",
        "`proxy_hide_header` for each that the site adds: `gatehouse edge apply`"),
    row("headers.values", Site, "the headers say what the page needs, the content security policy to the letter", "all answers of this check", APPLY),
    row("headers.server", Site, "the version of nginx is not told", "`server` and error pages",
        "`server_tokens off;` for every server: `gatehouse edge apply`"),

    // Paths.
    row("path.untouched", Site, "a path below /v1/ reaches the gateway byte for byte, and never its other paths", "the dialect of the answers to /v1/messages, /v1/api/tags, /v1//api/tags; the audit file; `proxy_pass`",
        "`proxy_pass http://name;` without a path or a slash behind the name: `gatehouse edge apply`"),
    row("path.api-first", Site, "no rule for files catches a path of the API", "GET /v1/models/x.js, x.png, x.css; expressions beside the API's locations",
        "`location ^~ /v1/`: `gatehouse edge apply`"),
    row("path.closed", Site, "what is not in the tables of API and page does not exist", "GET /metrics, /api/pull, /.git/config and the like; locations that no table has", APPLY),
    row("path.traversal", Site, "no path leads out of a served folder", "dot segments, encoded and not, beside the files' folder; locations that serve another folder", APPLY),

    // The API.
    row("api.errors", Site, "nginx's own refusals below /v1/ are JSON that SDKs read", "413 in each dialect; `error_page` for 429, 502, 504", APPLY),
    row("api.uncompressed", Site, "answers of the API are not compressed, so that their length tells nothing", "GET /v1/models with `accept-encoding: gzip`; `gzip`",
        "`gzip off;` in the site: `gatehouse edge apply`"),
    row("api.no-key-added", Site, "the site adds no key: who has none is refused", "GET /v1/models without a key; `proxy_set_header`",
        "remove the line that sets `Authorization` or `X-Api-Key`: whoever can load the page spends that key"),
    row("stream.h1", Site, "a streamed answer arrives piece by piece over HTTP/1.1", "a short stream with `--key-file`; `proxy_buffering`",
        "`proxy_buffering off;` and no `proxy_ignore_headers X-Accel-Buffering`: `gatehouse edge apply`"),
    row("stream.h2", Site, "a streamed answer arrives piece by piece over HTTP/2", "a short stream with `--key-file`", APPLY),
    row("size.body", Site, "bodies may be as large as the gateway takes, and little larger", "announced lengths just below and above",
        "`client_max_body_size` a little above `gateway.input.body_bytes`: `gatehouse edge apply`"),
    row("size.head", Site, "large heads and addresses end at the edge, usual ones pass", "headers of 42 KB, an address of 9 KB, a header of 6 KB",
        "`large_client_header_buffers 4 8k;`: `gatehouse edge apply`"),
    row("upload.whole", Site, "the gateway is asked once a body is there whole", "`proxy_request_buffering`", APPLY),
    row("upload.memory", Site, "usual prompts need no temporary file", "`client_body_buffer_size`",
        "`client_body_buffer_size 1m;`: a longer body goes through a file and meets the delays of small packets: `gatehouse edge apply`"),

    // Who asks.
    row("address.overwritten", Site, "what a client says of its address is overwritten", "spoofed headers, against the gateway's audit file; `proxy_set_header`",
        "`$remote_addr` alone in X-Real-IP and X-Forwarded-For, Forwarded and X-Forwarded-Host emptied: `gatehouse edge apply`"),
    row("address.believed", House, "the gateway counts a request for its client, not for nginx", "the gateway's audit file",
        "`gateway.trusted_proxies: [\"127.0.0.1\"]`, then reload the gateway"),
    row("address.outer", Site, "only the proxies that are named state an address to nginx", "`set_real_ip_from`, `real_ip_header`; a connection without the PROXY line",
        "name exactly the proxies in `edge.trusted_proxies`, then `gatehouse edge apply`"),
    row("upgrade.none", Site, "no request for another protocol passes", "upgrades to h2c and websocket; `proxy_set_header Upgrade`", APPLY),
    row("upstream.reuse", Site, "connections to gateway and page are kept and used again", "the gateway's count of connections; `keepalive`, `proxy_http_version`, `Connection`",
        "`proxy_http_version 1.1;`, `proxy_set_header Connection \"\";`, and `keepalive` in the upstream: `gatehouse edge apply`"),
    row("upstream.host", Site, "what stands behind the site is asked under the site's own name", "a foreign Host beside an absolute address, a request of the page's own origin; `proxy_set_header Host`",
        "nginx's own reading (`$host`), neither the client's bytes nor the upstream's name: `gatehouse edge apply`"),
    row("upstream.once", Site, "a generation never runs twice", "`proxy_next_upstream`",
        "`proxy_next_upstream off;`, or `error` alone with several gateways: `gatehouse edge apply`"),
    row("upstream.fails", Site, "one failure does not shut the only gateway out", "`max_fails`",
        "`max_fails=0` on a server that has no other beside it: `gatehouse edge apply`"),

    // The page.
    row("page.fresh", Site, "the page itself is not cached", "`cache-control` on GET /", APPLY),
    row("page.guarded", Site, "the page opens to whom `edge.page` lets in, and to nobody else", "GET / without a password; `allow`, `auth_basic` and `satisfy` in every place of the page", APPLY),
    row("page.no-key", Site, "keys for the API do not reach the page", "`proxy_set_header Authorization` and `X-Api-Key`", APPLY),
    row("static.served", Site, "the page's files come, with their own types", "GET of a file that the page names",
        "`gatehouse edge assets` writes them, `gatehouse edge apply` serves them"),
    row("static.immutable", Site, "files whose name changes with their content are cached for good, and only they", "`cache-control` of a file and of a missing one", APPLY),
    row("static.compressed", Site, "files are sent compressed to who takes that", "GET with and without `accept-encoding: gzip`",
        "`gzip_static on;` and `gatehouse edge assets`: `gatehouse edge apply`"),

    // Bounds.
    row("rate.requests", Site, "requests of one address are bounded, and refused as 429", "with `--burst` more requests than that; `limit_req`",
        "`edge.rates`, then `gatehouse edge apply`"),
    row("rate.connections", Site, "open requests of one address are bounded, and refused as 429", "`limit_conn`",
        "`edge.rates`, then `gatehouse edge apply`"),
    row("rate.key", Site, "what is counted is the address, never something that a client writes", "`limit_req_zone`, `limit_conn_zone`",
        "`$binary_remote_addr` as the key; keys are counted by the gateway: `gatehouse edge apply`"),
    row("clock.head", Site, "a head has to arrive within seconds, in all", "with `--slow` a head in single bytes; `client_header_timeout`", APPLY),
    row("clock.body", Site, "a body must not pause for long", "`client_body_timeout`", APPLY),
    row("clock.send", Site, "a client that reads nothing is cut", "`send_timeout`", APPLY),
    row("clock.idle", Site, "idle connections end", "`keepalive_timeout`", APPLY),
    row("clock.reset", Site, "who ran out of time holds no memory", "`reset_timedout_connection`", APPLY),
    row("clock.connect", Site, "a gateway that is gone is noticed at once", "`proxy_connect_timeout`", APPLY),
    row("clock.read", Site, "nginx waits longer than the gateway's own clocks, whose refusal is the better one", "`proxy_read_timeout`, against `gateway.timeouts`",
        "`gatehouse edge apply` after each change of `gateway.timeouts`"),

    // Traces.
    row("log.lines", Site, "one line of JSON a request, with id, times and who it was", "the line of a request of this check; `log_format`", APPLY),
    row("log.secrets", Site, "no query and no key in the log", "a request with both, and its line; `log_format` of every `access_log` of the site",
        "no `$request`, `$request_uri`, `$args` or header of keys in `log_format`: `gatehouse edge apply`"),
    row("log.request-id", Site, "answer, log and audit file carry one id, which no client chooses", "an id of the client's own, against all three", APPLY),

    // The machine's own.
    row("main.connections", Machine, "a worker takes 4096 connections or more", "`worker_connections`",
        "`events { worker_connections 4096; }` in the main file, then `systemctl reload nginx`"),
    row("main.files", Machine, "a worker may open twice as many files as connections", "`worker_rlimit_nofile`, the limits of the running process",
        "`worker_rlimit_nofile 65536;` at the top of the main file, then `systemctl reload nginx`"),
    row("main.shutdown", Machine, "a reload cuts no answer", "`worker_shutdown_timeout`",
        "remove `worker_shutdown_timeout`, or set it above `gateway.timeouts.total_ms`"),
    row("main.stop", Machine, "a stop leaves answers time to end", "`systemctl show nginx`",
        "give its unit a longer stop: `gatehouse edge host nginx --apply`"),
    row("config.plain", Site, "no `if`, no rewrite with captures, no map with expressions", "the servers of the site",
        "such rules sit on memory faults of 2026; `return` and exact locations do without: `gatehouse edge apply`"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_words_fit_into_the_table() {
        let mut seen = HashSet::new();
        for fact in FACTS {
            assert!(seen.insert(fact.id), "{} twice", fact.id);
            let group = fact.id.split('.').next().unwrap();
            assert!(
                !group.is_empty()
                    && fact.id.bytes().all(|b| b.is_ascii_lowercase() || b"-.2019".contains(&b))
            );
            for text in [fact.holds, fact.seen_by, fact.fix] {
                assert!(!text.is_empty() && !text.contains(['|', '\n']), "{}", fact.id);
            }
            // A path of this repository helps nobody who has installed the package.
            assert!(!fact.fix.contains("deploy/"), "{}", fact.id);
        }
    }

    #[test]
    fn the_page_in_the_repository_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/edge.md");
        let page = std::fs::read_to_string(path).unwrap();
        let marked = format!("-->\n{}<!-- /facts -->", markdown());
        assert!(page.contains(&marked), "the facts in docs/edge.md are stale: run `cargo xtask docs`");
    }
}
