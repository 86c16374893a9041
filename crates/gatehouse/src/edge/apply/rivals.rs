//! Other sites that answer to one of our names.
//!
//! Why here: of two servers with one name and one port nginx takes the first that it reads, and says so only in a warning. The
//! site is then in place and serves nobody, and whatever is asked of it fails.
//!
//! Never here: which of the two is right.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::edge::check::reading::{Directive, Read};
use crate::edge::site::Site;

pub(super) const FIX: &str = "take the name out there, or remove that site; then apply again";

/// One line for each, with its place.
pub(super) fn of(site: &Site, read: &Read, site_file: &Path) -> Vec<String> {
    let ports: Vec<u16> = site.http_listen.iter().chain(&site.https_listen).map(SocketAddr::port).collect();
    let ours = |line: &Directive| fs::canonicalize(&*line.file).is_ok_and(|real| real == site_file);
    let servers = read.on_ports(&ports);
    let named = servers.iter().filter_map(|server| server.own("server_name")).filter(|line| !ours(line));
    let both = named.flat_map(|line| {
        let names = site.names.iter().map(|name| name.as_str());
        names
            .filter(|name| line.args.iter().any(|arg| arg.eq_ignore_ascii_case(name)))
            .map(|name| (name, line.place()))
    });
    let conflict = |name: &str| {
        let words = format!("conflicting server name \"{name}\"");
        read.warnings.iter().any(|warning| warning.contains(&words))
    };
    both.filter(|(name, _)| conflict(name))
        .map(|(name, place)| {
            format!("another site answers to {name} as well ({place}), and nginx takes one of the two alone")
        })
        .collect()
}
