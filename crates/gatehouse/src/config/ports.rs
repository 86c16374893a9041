//! Listeners that take each other's place, and ways that lead back to where they begin.
//!
//! Why here: each section alone is right; that two of them want one port is only seen when both are read. Found when nginx
//! starts, it is told of the wrong one.
//!
//! Never here: whether a port is free on this machine.

use std::net::SocketAddr;

use super::Settings;
use super::edge::{EdgeSettings, PageAt, Tls};

/// Two settings that cannot both be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    /// The setting that is named to the operator.
    pub key: &'static str,
    pub what: String,
    pub fix: &'static str,
}

/// A setting and the addresses that it names.
type Named = (&'static str, Vec<SocketAddr>);

pub(crate) fn clashes(settings: &Settings) -> Vec<Clash> {
    let Some(edge) = &settings.edge else { return Vec::new() };
    let own = listeners(edge);
    let mut all = twice(&own);
    for (key, at) in &own {
        for (other, taken) in others(settings) {
            if let Some((mine, theirs)) = pair(at, &taken, overlap) {
                let fix = "one port is one program's: change one of the two";
                all.push(Clash { key, what: format!("{mine} is also `{other}` ({theirs})"), fix });
            }
        }
    }
    for (key, behind) in onward(edge) {
        if let Some((mine, door)) = own.iter().find_map(|(_, doors)| pair(&behind, doors, leads_to)) {
            let fix = "name the address at which the part behind listens, such as `127.0.0.1:18789`";
            all.push(Clash { key, what: format!("{mine} leads back to the site's own {door}"), fix });
        }
    }
    all
}

/// What nginx, or `gatehouse up`, listens on.
fn listeners(edge: &EdgeSettings) -> Vec<Named> {
    let mut own = vec![("edge.http_listen", edge.http_listen.clone())];
    if edge.tls != Tls::Off {
        own.push(("edge.https_listen", edge.https_listen.clone()));
    }
    own
}

fn twice(own: &[Named]) -> Vec<Clash> {
    let (Some((_, plain)), Some((key, encrypted))) = (own.first(), own.get(1)) else { return Vec::new() };
    let fix = "plain HTTP and HTTPS need a port each";
    let both = pair(encrypted, plain, same);
    both.map(|(at, _)| Clash { key, what: format!("{at} is also `edge.http_listen`"), fix })
        .into_iter()
        .collect()
}

/// What the other parts listen on.
fn others(settings: &Settings) -> Vec<Named> {
    let mut all = Vec::new();
    if let Some(gateway) = &settings.gateway {
        all.push(("gateway.listen", gateway.config.listen.clone()));
        all.push(("gateway.admin_listen", gateway.config.admin_listen.into_iter().collect()));
    }
    if let Some(chat) = &settings.chat {
        all.push(("chat.server", vec![chat.listen]));
    }
    all
}

/// Where requests go on to, as the section itself says.
fn onward(edge: &EdgeSettings) -> Vec<Named> {
    let page = match edge.page.at {
        PageAt::Address(at) => vec![at],
        PageAt::ChatSection | PageAt::Off => Vec::new(),
    };
    vec![("edge.gateways", edge.gateways.clone().unwrap_or_default()), ("edge.page.address", page)]
}

fn pair(
    these: &[SocketAddr],
    those: &[SocketAddr],
    clash: impl Fn(&SocketAddr, &SocketAddr) -> bool,
) -> Option<(SocketAddr, SocketAddr)> {
    let both = these.iter().flat_map(|one| those.iter().map(move |other| (*one, *other)));
    // Port 0 is whichever is free.
    both.into_iter().find(|(one, other)| one.port() != 0 && one.port() == other.port() && clash(one, other))
}

/// One program has both: an address beside every interface is told apart.
fn same(one: &SocketAddr, other: &SocketAddr) -> bool {
    one.ip() == other.ip() || (one.ip().is_unspecified() && other.ip().is_unspecified())
}

/// Two programs: every interface leaves nothing to others.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified()
}

/// Whether who connects to `at` comes to the listener. Another machine may well have the same port.
fn leads_to(at: &SocketAddr, listener: &SocketAddr) -> bool {
    let here = at.ip().is_loopback() || at.ip().is_unspecified();
    at.ip() == listener.ip() || (here && listener.ip().is_unspecified())
}
