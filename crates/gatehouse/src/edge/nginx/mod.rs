//! The site for nginx: one file in its `http` context, or a whole main configuration around it.
//!
//! Why here: names, ports, clocks, bounds, paths and headers come from [`Site`] and the parts' own tables, so the site
//! cannot promise what the gateway does not keep. `edge check` proves by requests what is written here.
//!
//! Never here: running nginx. Nothing that a client writes decides what goes on; no rewrite, no `if`, no regex.

mod hash;
mod headers;
mod places;
mod servers;
mod version;
mod writer;

use std::path::Path;

use ipnet::IpNet;

use super::refusals::REFUSALS;
use super::site::Site;
use crate::config::edge::{Outer, Tls};

pub(crate) use hash::DIRECTIVES as NAMES_HASH;
pub(crate) use places::credentials;
pub(crate) use version::{Nginx, Version, program};
use writer::Writer;

/// Named addresses of upstreams in the file.
const GATEWAY: &str = "gatehouse_gateway";
const PAGE: &str = "gatehouse_page";
/// Idle connections that each worker keeps to a gateway. The gateway keeps its side open for longer than nginx does.
const KEPT: u32 = 64;
const KEPT_SECONDS: u32 = 60;

/// The first words of every site that is written here.
const WRITTEN: &str = "# Written by `gatehouse edge`";
/// What one without HTTPS says about itself.
const UNTIL_THEN: &str = "There is no certificate yet";

/// How much of a site is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Before there is a certificate: the challenge's folder alone, so that one can be asked for.
    Challenge,
}

impl Extent {
    /// How much can be written now. nginx does not start with a server whose certificate is not there.
    pub(crate) fn of(site: &Site) -> Self {
        // A folder that this user may not look into is not an empty one.
        let there = |file: &Path| file.try_exists().unwrap_or(true);
        match (&site.tls, site.certificate()) {
            (Tls::Certbot { .. }, Some(files)) if !there(&files.chain) || !there(&files.key) => {
                Self::Challenge
            }
            _ => Self::Whole,
        }
    }

    /// How much stands in a file; `None`: it was not written here.
    pub(crate) fn written(text: &str) -> Option<Self> {
        let comments =
            text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with('#'));
        let mut comments = comments.filter(|line| !line.is_empty());
        comments.next().filter(|line| line.starts_with(WRITTEN))?;
        let waits = comments.any(|line| line.contains(UNTIL_THEN));
        Some(if waits { Self::Challenge } else { Self::Whole })
    }
}

/// Whether a file was written here, whatever somebody has put around it since.
pub(crate) fn is_ours(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(WRITTEN))
}

/// Why a site cannot be written for this nginx.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RenderError {
    #[error(
        "nginx {0} was built without `{1}`, which this configuration needs: install a fuller package (Debian: nginx), or remove {2}"
    )]
    Module(Version, &'static str, &'static str),
}

/// The site as a file of the `http` context.
pub(crate) fn site(site: &Site, nginx: &Nginx, extent: Extent) -> Result<String, RenderError> {
    check_modules(site, nginx)?;
    let mut out = Writer::default();
    head(site, nginx, extent, &mut out);
    hash::room(site, nginx, &mut out);
    context(site, &mut out);
    servers::all(site, nginx, extent, &mut out);
    Ok(out.into_text())
}

/// A main configuration that serves nothing else.
pub(crate) fn whole(
    served: &Site,
    nginx: &Nginx,
    extent: Extent,
    user: Option<&str>,
) -> Result<String, RenderError> {
    // Nothing else is read beside it.
    let alone = Nginx { stated: Vec::new(), ..nginx.clone() };
    let inner = site(served, &alone, extent)?;
    let mut out = Writer::default();
    out.comment("A whole main configuration: nginx serves this site alone.");
    if let Some(user) = user {
        out.line(format_args!("user {user}"));
    }
    out.lines([
        "worker_processes auto",
        "worker_rlimit_nofile 65536",
        "error_log /var/log/nginx/error.log warn",
        "pid /run/nginx.pid",
    ]);
    out.comment("No worker_shutdown_timeout: a reload must not cut answers that run.");
    out.block("events", |out| {
        out.line("worker_connections 16384");
    });
    out.gap();
    let mut text = out.into_text();
    text.push_str("http {\n");
    for line in inner.lines() {
        if !line.is_empty() {
            text.push_str("    ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("}\n");
    Ok(text)
}

fn check_modules(site: &Site, nginx: &Nginx) -> Result<(), RenderError> {
    let needs = |module, what| match nginx.has(module) {
        true => Ok(()),
        false => Err(RenderError::Module(nginx.version, module, what)),
    };
    if site.tls != Tls::Off {
        needs("http_ssl_module", "`edge.tls`")?;
        needs("http_v2_module", "`edge.tls`")?;
    }
    if site.outer != Outer::Nobody {
        needs("http_realip_module", "`edge.trusted_proxies`")?;
    }
    Ok(())
}

fn head(site: &Site, nginx: &Nginx, extent: Extent, out: &mut Writer) {
    out.comment(&format!(
        "Written by `gatehouse edge` for nginx {}. Change the configuration, not this file:",
        nginx.version
    ));
    out.comment("`gatehouse edge apply` writes it anew, tests it, and proves it by requests.");
    if site.tls == Tls::Off {
        out.comment(
            "WARNING: plain HTTP. Keys, passwords and answers travel readable for whoever is on the way.",
        );
    }
    if extent == Extent::Challenge {
        out.comment(&format!(
            "{UNTIL_THEN}: this is the part that one is asked for with (`gatehouse edge cert`)."
        ));
    }
    out.gap();
}

/// What stands beside the servers: upstreams, zones, maps, the log's format.
fn context(site: &Site, out: &mut Writer) {
    let many = site.gateways.len() > 1;
    out.block(format_args!("upstream {GATEWAY}"), |out| {
        if many {
            out.comment("A new request goes to the gateway with the fewest; one that refuses connections is left out for a while.");
            out.line("least_conn");
        }
        // With one server, marking it down would only turn one failure into ten seconds of them.
        let marks = if many { "max_fails=2 fail_timeout=5s" } else { "max_fails=0" };
        out.lines(site.gateways.iter().map(|at| format!("server {at} {marks}")));
        out.line(format_args!("keepalive {KEPT}")).line(format_args!("keepalive_timeout {KEPT_SECONDS}s"));
    });
    if let Some(page) = &site.page {
        out.block(format_args!("upstream {PAGE}"), |out| {
            out.line(format_args!("server {} max_fails=0", page.at));
            out.line("keepalive 16").line(format_args!("keepalive_timeout {KEPT_SECONDS}s"));
        });
    }
    out.gap();
    out.comment(
        "Counted by address: what a client writes is no key, or it would choose another for each request.",
    );
    let rate = site.rates.requests_per_second;
    out.line(format_args!("limit_req_zone $binary_remote_addr zone=gatehouse_requests:10m rate={rate}r/s"));
    out.line("limit_conn_zone $binary_remote_addr zone=gatehouse_connections:10m");
    out.gap();
    maps(site, out);
    log_format(out);
}

/// Variables that depend on an answer, and one on the proxy in front.
fn maps(site: &Site, out: &mut Writer) {
    out.comment("What an answer does not say for itself. An empty value is not sent.");
    out.block("map $upstream_http_cache_control $gatehouse_cache_control", |out| {
        out.line("\"\" no-store").line("default \"\"");
    });
    out.block("map $upstream_http_x_request_id $gatehouse_answer_id", |out| {
        out.line("\"\" $request_id").line("default \"\"");
    });
    out.block("map $status:$upstream_http_x_request_id $gatehouse_retry_after", |out| {
        let waits = REFUSALS.iter().filter_map(|refusal| Some((refusal.status, refusal.retry_after?)));
        out.comment("The gateway's answers have an id, and say themselves when to come again.");
        out.lines(waits.map(|(status, wait)| format!("{status}: {wait}"))).line("default \"\"");
    });
    if let Outer::Header(proxies) = &site.outer {
        out.comment("The proxy in front may have taken HTTPS off. Nobody else's word counts.");
        out.block("geo $realip_remote_addr $gatehouse_from_outer", |out| {
            out.line("default 0").lines(proxies.iter().map(|net| format!("{net} 1")));
        });
        out.block("map $gatehouse_from_outer:$http_x_forwarded_proto $gatehouse_scheme", |out| {
            out.line("default $scheme").line("1:https https");
        });
    }
    out.gap();
}

/// One JSON object a line: without query, key or text.
fn log_format(out: &mut Writer) {
    let text = [
        ("time", "$time_iso8601"),
        ("request_id", "$request_id"),
        ("client", "$remote_addr"),
        ("method", "$request_method"),
        ("host", "$host"),
        ("path", "$uri"),
        ("protocol", "$server_protocol"),
        ("tls", "$ssl_protocol"),
        ("upstream", "$upstream_addr"),
        ("upstream_status", "$upstream_status"),
        ("upstream_connect_s", "$upstream_connect_time"),
        ("upstream_header_s", "$upstream_header_time"),
        ("upstream_response_s", "$upstream_response_time"),
        ("user_agent", "$http_user_agent"),
    ];
    let numbers = [("status", "$status"), ("bytes", "$body_bytes_sent"), ("request_s", "$request_time")];
    let text = text.iter().map(|(name, value)| format!("\"{name}\":\"{value}\""));
    let all: Vec<String> =
        text.chain(numbers.iter().map(|(name, value)| format!("\"{name}\":{value}"))).collect();
    out.line(format_args!("log_format gatehouse escape=json '{{{}}}'", all.join(",")));
    out.gap();
}

/// Addresses as `allow` and `set_real_ip_from` take them.
fn networks<'a>(directive: &'a str, all: &'a [IpNet]) -> impl Iterator<Item = String> + 'a {
    all.iter().map(move |net| format!("{directive} {net}"))
}

#[cfg(test)]
mod tests;
