//! Addresses and networks as people write them.
//!
//! Why here: the gateway's listeners and lists and the edge's are written in the same ways.
//!
//! Never here: what an address may be used for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use http::uri::Authority;
use ipnet::IpNet;

use super::section::{At, Section, clipped};

const FORM: &str = "write an address or a network, such as `10.0.0.7` or `10.0.0.0/16`";

/// `:port`, `localhost:port` or `address:port`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{}` is not an address and a port", clipped(text));
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    match host {
        "" => Ok(SocketAddr::new(every_interface(), port)),
        "localhost" => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        _ => Err(wrong()),
    }
}

/// The IPv6 wildcard takes IPv4 as well, but a machine without IPv6 cannot bind it.
fn every_interface() -> IpAddr {
    if Path::new("/proc/self/net/if_inet6").exists() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    }
}

/// Why nothing can be reached at the host and port of a URL, if that is so.
pub(crate) fn unreachable(authority: &Authority) -> Option<&'static str> {
    let at = authority.as_str().rsplit('@').next().unwrap_or_default();
    let port = at.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    if authority.host().is_empty() {
        Some("names no host")
    } else if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
        Some("has no port from 1 to 65535")
    } else {
        None
    }
}

/// The networks of a list.
pub(crate) fn networks(section: &Section<'_>, key: &str) -> Vec<At<IpNet>> {
    let texts = section.texts(key).map(|at| at.value).unwrap_or_default();
    let mut found = Vec::new();
    for text in texts {
        match network(&text.value) {
            Ok(net) => found.push(text.map(|_| net)),
            Err(what) => section.report().error(&text.place, what, FORM),
        }
    }
    found
}

fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("`{}` is not an address or a network", clipped(text));
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let net: IpNet = text.parse().map_err(|_| wrong())?;
    if net.addr() != net.network() {
        // Half of the readers would take it for one address, the other half for the network.
        return Err(format!(
            "`{}` has bits behind its prefix; did you mean `{}`?",
            clipped(text),
            net.trunc()
        ));
    }
    Ok(net)
}

/// Whether a list keeps nobody out: it holds a whole family of addresses, in one network or in parts (`0.0.0.0/1` and
/// `128.0.0.0/1`). Who stands in front of a door with such a list stands in front of an open one.
pub(crate) fn is_everybody(nets: &[IpNet]) -> bool {
    IpNet::aggregate(&nets.to_vec()).iter().any(|net| net.prefix_len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_people_write() {
        for (text, expected) in [
            ("127.0.0.1:18789", Some("127.0.0.1:18789")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:80", Some("[::1]:80")),
            ("18789", None),
            ("gateway.internal:80", None),
            (":99999", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok().map(|a| a.to_string()).as_deref(), expected, "{text}");
        }
        let every = address(":18789").unwrap();
        assert!(every.ip().is_unspecified() && every.port() == 18_789);
    }

    #[test]
    fn a_list_that_keeps_nobody_out() {
        for (list, everybody) in [
            (&["0.0.0.0/0"][..], true),
            (&["10.0.0.0/8", "::/0"], true),
            (&["0.0.0.0/1", "128.0.0.0/1"], true),
            (&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"], true),
            (&["::/1", "8000::/1"], true),
            (&["0.0.0.0/1", "8000::/1"], false),
            (&["10.0.0.0/8", "fd00::/8"], false),
            (&[], false),
        ] {
            let nets: Vec<IpNet> = list.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(is_everybody(&nets), everybody, "{list:?}");
        }
    }

    #[test]
    fn networks_people_write() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("10.0.0.0/16", "10.0.0.0/16"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["10.0.0.1/16", "10.0.0.0/33", "localhost", "010.0.0.1", "fe80::1%eth0", ""] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
