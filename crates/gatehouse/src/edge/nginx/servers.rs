//! The servers of the site: who refuses, who redirects, who serves.
//!
//! Why here: everything that holds for a connection before its path counts: names, TLS, clocks, bounds, headers.
//!
//! Never here: paths.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::headers;
use super::places;
use super::writer::Writer;
use super::{Extent, Nginx, networks};
use crate::config::edge::{CertificateFiles, Outer, Tls};
use crate::edge::site::Site;

/// Mozilla's intermediate profile.
const PROTOCOLS: &str = "TLSv1.2 TLSv1.3";
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
const CURVES: &str = "X25519:prime256v1:secp384r1";

/// How a server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
}

pub(super) fn all(site: &Site, nginx: &Nginx, extent: Extent, out: &mut Writer) {
    let names: Vec<&str> = site.names.iter().map(|name| name.as_str()).collect();
    let names = names.join(" ");
    let certificate = site.certificate().filter(|_| extent == Extent::Whole);
    refusing(site, nginx, certificate.is_some(), out);
    match certificate {
        Some(files) => encrypted(site, nginx, &names, &files, out),
        None if site.tls == Tls::Off => {
            out.block("server", |out| {
                listen(site, nginx, Kind::Plain, false, out);
                out.line(format_args!("server_name {names}"));
                serving(site, out);
                places::all(site, nginx, out);
            });
        }
        None => plain(site, nginx, &names, "return 503".to_owned(), out),
    }
}

/// The default of every socket. Its clocks and bounds count until a name is known.
fn refusing(site: &Site, nginx: &Nginx, encrypted: bool, out: &mut Writer) {
    out.comment("Whoever asks for another name, or for none, is not served: no certificate in the handshake, 421 after it. A CA may look.");
    out.block("server", |out| {
        listen(site, nginx, Kind::Plain, true, out);
        if encrypted {
            listen(site, nginx, Kind::Tls, true, out);
            out.line("ssl_reject_handshake on");
            tls(out);
        }
        connection(site, out);
        if site.tls != Tls::Off {
            // For a name that is new here, before there is a certificate for it.
            places::challenge(site, out);
        }
        out.block("location /", |out| {
            out.line("return 421");
        });
    });
    out.gap();
}

fn encrypted(site: &Site, nginx: &Nginx, names: &str, files: &CertificateFiles, out: &mut Writer) {
    out.comment("Plain HTTP: the challenge, and the way to HTTPS.");
    plain(site, nginx, names, format!("return 308 https://$host{}$request_uri", site.shown_port()), out);
    out.gap();
    out.block("server", |out| {
        listen(site, nginx, Kind::Tls, false, out);
        out.line(format_args!("server_name {names}"));
        out.line(format_args!("ssl_certificate {}", files.chain.display()));
        out.line(format_args!("ssl_certificate_key {}", files.key.display()));
        tls(out);
        serving(site, out);
        places::all(site, nginx, out);
    });
}

fn plain(site: &Site, nginx: &Nginx, names: &str, rest: String, out: &mut Writer) {
    out.block("server", |out| {
        listen(site, nginx, Kind::Plain, false, out);
        out.line(format_args!("server_name {names}"));
        connection(site, out);
        places::challenge(site, out);
        out.block("location /", |out| {
            out.line(rest);
        });
    });
}

fn listen(site: &Site, nginx: &Nginx, kind: Kind, default: bool, out: &mut Writer) {
    let addresses = if kind == Kind::Plain { &site.http_listen } else { &site.https_listen };
    let directive = nginx.version.has_http2_directive();
    let mut words = String::new();
    if kind == Kind::Tls {
        words.push_str(if directive { " ssl" } else { " ssl http2" });
    }
    if matches!(site.outer, Outer::ProxyProtocol(_)) {
        words.push_str(" proxy_protocol");
    }
    if default {
        words.push_str(" default_server");
    }
    out.lines(addresses.iter().flat_map(|at| sockets(*at)).map(|at| format!("listen {at}{words}")));
    if kind == Kind::Tls && directive {
        out.line("http2 on");
    }
}

/// Every interface is two sockets: nginx's `[::]` takes IPv6 alone.
fn sockets(at: SocketAddr) -> Vec<String> {
    match at.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => vec![at.port().to_string(), format!("[::]:{}", at.port())],
        IpAddr::V4(ip) if ip.is_unspecified() => vec![at.port().to_string()],
        _ => vec![at.to_string()],
    }
}

fn tls(out: &mut Writer) {
    out.line(format_args!("ssl_protocols {PROTOCOLS}"));
    out.line(format_args!("ssl_ciphers {CIPHERS}"));
    out.line("ssl_prefer_server_ciphers off");
    out.line(format_args!("ssl_ecdh_curve {CURVES}"));
    out.line("ssl_session_timeout 1d")
        .line("ssl_session_cache shared:gatehouse_tls:10m")
        .line("ssl_session_tickets off");
}

/// Bounds and clocks of a connection, whoever it turns out to be.
fn connection(site: &Site, out: &mut Writer) {
    match &site.outer {
        Outer::Nobody => {}
        Outer::Header(proxies) => {
            out.comment("The proxy in front states its client's address; nobody else's word counts.");
            out.lines(networks("set_real_ip_from", proxies));
            out.line("real_ip_header X-Forwarded-For").line("real_ip_recursive on");
        }
        Outer::ProxyProtocol(proxies) => {
            out.comment("The balancer states its client's address before the first byte.");
            out.lines(networks("set_real_ip_from", proxies)).line("real_ip_header proxy_protocol");
        }
    }
    out.line("server_tokens off");
    match &site.access_log {
        Some(file) => out.line(format_args!("access_log {} gatehouse", file.display())),
        None => out.line("access_log off"),
    };
    out.lines([
        "client_header_timeout 10s",
        "client_header_buffer_size 1k",
        "large_client_header_buffers 4 8k",
    ]);
    out.lines(["keepalive_timeout 75s", "keepalive_requests 10000", "reset_timedout_connection on"]);
}

/// What holds for every path of the served site.
fn serving(site: &Site, out: &mut Writer) {
    connection(site, out);
    out.line("client_body_timeout 10s")
        .line(format_args!("send_timeout {}", seconds(site.clocks.client_write)));
    out.line(format_args!("client_max_body_size {}", site.body_bytes()));
    out.comment(
        "A longer body goes through a file, and is then sent in small pieces that wait for each other.",
    );
    out.line("client_body_buffer_size 1m");
    out.comment("Compressed answers beside secrets can be guessed from their length.");
    out.line("gzip off");
    out.line(format_args!("limit_conn gatehouse_connections {}", site.rates.connections));
    out.line(format_args!("limit_req zone=gatehouse_requests burst={} nodelay", site.rates.burst));
    out.lines(["limit_conn_status 429", "limit_req_status 429"]);
    out.gap();
    out.comment("How requests go on: piece by piece, and with nginx's own word on who asks.");
    out.lines(["proxy_http_version 1.1", "proxy_connect_timeout 2s", "proxy_send_timeout 30s"]);
    out.line(format_args!("proxy_read_timeout {}", seconds(site.read_patience())));
    out.lines(["proxy_buffering off", "proxy_cache off", "proxy_request_buffering on"]);
    match site.gateways.len() {
        1 => out.line("proxy_next_upstream off"),
        _ => out
            .comment("Elsewhere only while nothing has been sent: a generation never runs twice.")
            .lines(["proxy_next_upstream error", "proxy_next_upstream_tries 2"]),
    };
    out.gap();
    headers::on_server(site, out);
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
