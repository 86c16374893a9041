//! Which fact owns a line of the site.
//!
//! Why here: a line that is not as it was written belongs to the fact whose fix mends it. The first of several owners says it,
//! unless another one of them is red already: then that one does, so that one defect stays one line.
//!
//! Never here: comparing.

use crate::edge::check::reading::Directive;

pub(super) type Owners = &'static [&'static str];

/// A part of the site in which the same word means something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Beside the servers.
    Http,
    Upstream,
    /// The default of every socket.
    Refusing,
    /// The redirect on plain HTTP.
    Plain,
    Served,
    Api,
    Page,
    Files,
    /// Bodies of nginx's own refusals.
    Refusal,
    Acme,
}

/// Nobody else's: a warning, since what it does is not known.
pub(super) const NOBODY: Owners = &["site.unchanged"];
const HEADERS: Owners = &[
    "headers.every-place",
    "headers.every-status",
    "headers.values",
    "headers.once",
    "tls.hsts",
    "page.fresh",
    "static.immutable",
    "log.request-id",
];
const HEADERS_OF_REFUSALS: Owners = &["headers.every-status", "headers.every-place", "headers.values"];
const FOREIGN_READERS: Owners = &["headers.values", "headers.every-place"];
const PATHS: Owners = &["path.closed", "path.untouched", "path.api-first", "path.traversal", "static.served"];
const FOLDERS: Owners = &["path.traversal", "path.closed", "static.served", "static.immutable"];
const EXPRESSIONS: Owners =
    &["path.api-first", "static.served", "path.closed", "path.untouched", "path.traversal"];
const UNKNOWN_NAMES: Owners = &["names.unknown"];
const LOG: Owners = &["log.secrets", "log.lines", "log.request-id"];
const GUARD: Owners = &["page.guarded", "page.answers", "api.answers"];
const EXPIRES: Owners = &["page.fresh", "static.immutable", "headers.once"];
const SOCKETS: Owners =
    &["names.own", "names.unknown", "http2.works", "tls.on", "address.outer", "config.included"];
/// What serves a folder or an answer of nginx's own.
const FROM_DISK: [&str; 6] = ["root", "alias", "autoindex", "try_files", "index", "dav_methods"];

/// A `*` stands for anything. Clocks have bounds that their facts read: another value within them is no failure. These mean the same in every server.
const EVERYWHERE: [(&[&str], Owners); 31] = [
    (&["if", "rewrite", "set", "break", "rewrite_log"], &["config.plain", "path.untouched"]),
    (&["listen"], SOCKETS),
    (&["server_name"], &["names.unknown", "names.own", "config.included"]),
    (&["ssl_protocols"], &["tls.versions", "tls.suites"]),
    (&["ssl_ciphers", "ssl_conf_command"], &["tls.suites", "tls.versions"]),
    (&["ssl_prefer_server_ciphers"], &["tls.order"]),
    (&["ssl_ecdh_curve"], &["tls.curves"]),
    (&["ssl_session_ticket*"], &["tls.tickets"]),
    (&["ssl_session_*"], &["tls.cache"]),
    (&["ssl_stapling*"], &["tls.stapling"]),
    // What comes before the handshake ends can be sent again by anybody on the way.
    (&["ssl_early_data"], &["upstream.once"]),
    (&["ssl_reject_handshake"], UNKNOWN_NAMES),
    (&["set_real_ip_from", "real_ip_*"], &["address.outer", "address.overwritten"]),
    (&["server_tokens"], &["headers.server"]),
    (&["access_log", "log_format"], LOG),
    (&["client_header_timeout"], &["site.unchanged", "clock.head"]),
    (&["client_header_buffer_size", "large_client_header_buffers"], &["size.head"]),
    (&["keepalive_time*", "keepalive_requests"], &["site.unchanged", "clock.idle"]),
    (&["reset_timedout_connection", "lingering_*"], &["clock.reset"]),
    (&["client_body_timeout"], &["site.unchanged", "clock.body"]),
    (&["send_timeout"], &["site.unchanged", "clock.send"]),
    (&["client_max_body_size"], &["size.body"]),
    (&["client_body_*"], &["upload.memory"]),
    (&["gzip_static", "gzip_vary", "gunzip"], &["static.compressed"]),
    (&["gzip*", "brotli*", "zstd*"], &["api.uncompressed"]),
    (&["limit_conn*"], &["rate.connections", "rate.key"]),
    (&["limit_req*"], &["rate.requests", "rate.key"]),
    (&["limit_except"], PATHS),
    (&["allow", "deny", "satisfy", "auth_*"], GUARD),
    (&["expires"], EXPIRES),
    (&["types", "default_type"], &["static.served", "api.errors"]),
];

/// Of the server that answers.
const SERVED: [(&[&str], Owners); 20] = [
    (&["proxy_http_version"], &["upstream.reuse"]),
    (&["proxy_connect_timeout"], &["site.unchanged", "clock.connect"]),
    (&["proxy_read_timeout", "proxy_send_timeout"], &["site.unchanged", "clock.read", "clock.send"]),
    (&["proxy_request_buffering"], &["upload.whole"]),
    (&["proxy_buffer*", "proxy_cache*", "proxy_ignore_headers", "proxy_store*"], &["stream.h1", "stream.h2"]),
    (&["proxy_max_temp_file_size", "proxy_limit_rate", "limit_rate*"], &["stream.h1", "stream.h2"]),
    (&["proxy_next_upstream*"], &["upstream.once"]),
    (&["proxy_intercept_errors", "error_page", "recursive_error_pages"], &["api.errors"]),
    (&["proxy_hide_header", "proxy_pass_header"], &["headers.once", "headers.every-place"]),
    (&["proxy_pass_request_*", "proxy_method", "proxy_set_body"], &["path.untouched"]),
    (&["proxy_pass", "merge_slashes"], &["path.untouched", "path.closed", "upstream.reuse"]),
    (&["return"], &["path.closed", "api.errors", "path.untouched"]),
    (&["stub_status", "*_pass"], PATHS),
    (&["root", "alias", "autoindex*", "index", "dav_*", "disable_symlinks"], FOLDERS),
    (&["try_files"], &["static.immutable", "path.traversal", "static.served"]),
    (&["map", "geo", "split_clients"], &["config.plain", "site.unchanged"]),
    (&["max_fails"], &["upstream.fails"]),
    (&["sub_filter*", "addition_*", "add_*_body"], &["headers.values"]),
    (&["mirror*"], &["upstream.once"]),
    (&["internal"], PATHS),
];

/// Of nginx's own maps, by the variable they set.
const MAPS: [(&str, Owners); 5] = [
    ("$gatehouse_cache_control", &["page.fresh", "headers.once"]),
    ("$gatehouse_answer_id", &["log.request-id"]),
    ("$gatehouse_retry_after", &["api.errors", "rate.requests"]),
    ("$gatehouse_from_outer", &["address.outer"]),
    ("$gatehouse_scheme", &["address.overwritten"]),
];

/// Of what is told to gateway and page.
const TOLD: [(&str, Owners); 8] = [
    ("host", &["upstream.host"]),
    ("x-request-id", &["log.request-id"]),
    ("connection", &["upstream.reuse", "upgrade.none"]),
    ("te", &["upgrade.none"]),
    ("upgrade", &["upgrade.none"]),
    ("forwarded", &["address.overwritten"]),
    ("x-real-ip", &["address.overwritten"]),
    ("proxy", &["address.overwritten"]),
];

/// The owners of a line in a room.
pub(super) fn of(room: Room, line: &Directive) -> Owners {
    let name = line.name.as_str();
    match (room, name) {
        (Room::Acme, _) => return &["plain.acme"],
        (Room::Upstream, "server") => return &["upstream.fails", "api.answers", "page.answers"],
        (Room::Upstream, name) if name.starts_with("keepalive") => return &["upstream.reuse"],
        (Room::Upstream, _) => return &["upstream.reuse", "upstream.fails", "upstream.once"],
        (_, "limit_req_zone" | "limit_conn_zone") if !line.arg(0).ends_with("remote_addr") => {
            return &["rate.key", "rate.requests", "rate.connections"];
        }
        (_, "location") => return location(room, line),
        (_, "proxy_set_header") => return told(room, line),
        (Room::Api, "allow" | "deny" | "satisfy" | "auth_basic" | "auth_request") => {
            return &["api.answers", "page.guarded"];
        }
        _ => {}
    }
    if let Some(owners) = listed(&EVERYWHERE, name) {
        return owners;
    }
    match room {
        Room::Plain => &["plain.redirect", "plain.acme"],
        Room::Refusing => UNKNOWN_NAMES,
        Room::Refusal if name == "return" => &["api.errors"],
        Room::Refusal if name == "add_header" => HEADERS_OF_REFUSALS,
        _ if name == "add_header" && is_for_foreign_readers(line) => FOREIGN_READERS,
        _ if name == "add_header" => HEADERS,
        _ if ["map", "geo"].contains(&name) => map(line.arg(1)),
        _ => listed(&SERVED, name).unwrap_or(NOBODY),
    }
}

/// Of rows of a map.
pub(super) fn map(variable: &str) -> Owners {
    MAPS.iter().find(|(known, _)| *known == variable).map_or(&["config.plain", "site.unchanged"], |row| row.1)
}

/// Where another page may read what this one answers.
fn is_for_foreign_readers(line: &Directive) -> bool {
    line.arg(0).to_ascii_lowercase().starts_with("access-control-")
}

fn told(room: Room, line: &Directive) -> Owners {
    let name = line.arg(0).to_ascii_lowercase();
    if let Some((_, owners)) = TOLD.iter().find(|(known, _)| *known == name) {
        return owners;
    }
    match room {
        _ if name.starts_with("x-forwarded-") => &["address.overwritten"],
        Room::Api => &["api.no-key-added", "page.no-key"],
        _ => &["page.no-key", "api.no-key-added"],
    }
}

/// Of a location that is there and should not be, or the other way round.
fn location(room: Room, line: &Directive) -> Owners {
    let expression = line.arg(0).starts_with('~');
    let disk = line.inside().iter().any(|inner| FROM_DISK.contains(&inner.name.as_str()));
    let challenge = line.args.iter().any(|arg| arg.starts_with("/.well-known/acme-challenge/"));
    match room {
        Room::Plain | Room::Refusing if challenge => &["plain.acme"],
        Room::Plain => &["plain.redirect", "plain.acme"],
        Room::Refusing => UNKNOWN_NAMES,
        _ if expression => EXPRESSIONS,
        _ if disk => FOLDERS,
        _ => PATHS,
    }
}

/// Of a location that is not there any more.
pub(super) fn lost(room: Room) -> Owners {
    match room {
        Room::Api => &["path.untouched", "path.api-first", "api.errors", "path.traversal", "api.answers"],
        Room::Page => &["page.answers", "path.closed", "path.traversal"],
        Room::Files => &["static.served", "path.traversal", "path.api-first", "static.immutable"],
        Room::Refusal => &["api.errors"],
        Room::Acme => &["plain.acme"],
        Room::Plain => &["plain.redirect"],
        Room::Refusing => UNKNOWN_NAMES,
        _ => PATHS,
    }
}

/// A prefix that an expression may overrule now, or one that overrules others.
pub(super) const SIGN: Owners = EXPRESSIONS;
/// A server that should not be there, under one of our names or under another.
pub(super) const SECOND: Owners = &["names.own", "names.unknown", "plain.redirect"];
pub(super) const STRANGER: Owners = UNKNOWN_NAMES;

fn listed(table: &[(&[&str], Owners)], name: &str) -> Option<Owners> {
    table.iter().find(|(names, _)| names.iter().any(|known| fits(known, name))).map(|(_, owners)| *owners)
}

fn fits(known: &str, name: &str) -> bool {
    match known.split_once('*') {
        None => known == name,
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::check::facts::fact;

    #[test]
    fn every_owner_is_a_fact() {
        let listed = EVERYWHERE.iter().chain(&SERVED).map(|row| row.1);
        let others = MAPS.iter().chain(&TOLD).map(|row| row.1);
        let all = listed.chain(others).chain([NOBODY, HEADERS, HEADERS_OF_REFUSALS, SECOND, STRANGER, SIGN]);
        let rooms = [Room::Api, Room::Page, Room::Files, Room::Refusal, Room::Acme, Room::Plain, Room::Http];
        for id in all.chain(rooms.map(lost)).flatten() {
            assert!(fact(id).is_some(), "{id}");
        }
    }

    #[test]
    fn endings() {
        assert!(fits("ssl_stapling*", "ssl_stapling_verify") && fits("*_pass", "fastcgi_pass"));
        assert!(!fits("limit_req*", "limit_conn") && fits("listen", "listen") && !fits("listen", "listens"));
    }
}
