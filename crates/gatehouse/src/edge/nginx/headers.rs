//! The headers of the site's answers.
//!
//! Why here: nginx drops what a server adds as soon as a location adds something of its own, so that both have to say the same.
//!
//! Never here: headers of requests; those stand beside the paths.

use super::writer::{Writer, quoted};
use crate::chat;
use crate::config::edge::Tls;
use crate::edge::site::Site;

/// Security headers, once each, on every status. The parts' own are taken off.
pub(super) fn on_server(site: &Site, out: &mut Writer) {
    out.comment("On every answer and status, once: the parts' own are taken off.");
    out.lines(chat::security_headers().map(|(name, _)| format!("proxy_hide_header {name}")));
    out.line("proxy_hide_header strict-transport-security");
    out.lines(added(site));
    out.line("add_header cache-control $gatehouse_cache_control always");
    out.line("add_header x-request-id $gatehouse_answer_id always");
    out.line("add_header retry-after $gatehouse_retry_after always");
}

/// The headers of every answer. A location that adds one of its own loses these, and repeats them.
pub(super) fn added(site: &Site) -> Vec<String> {
    let fixed =
        chat::security_headers().map(|(name, value)| format!("add_header {name} {} always", quoted(value)));
    // It belongs to HTTPS alone.
    let hsts = site.hsts.filter(|_| site.tls != Tls::Off);
    let hsts = hsts
        .map(|time| format!("add_header strict-transport-security \"max-age={}\" always", time.as_secs()));
    fixed.chain(hsts).collect()
}
