//! Who a request comes from, as an address, and whether that address may speak to us.
//!
//! Why here: an allow-list is worth what its address is worth. Which header states an address, and from whom it is
//! believed, is decided in this one place; everything later takes a [`Client`], which only [`AddressRules::client`] makes.
//!
//! Never here: name look-ups, the `Forwarded` header (no proxy in front of this service writes it, so it is always the
//! caller's own word), or a guess: a trusted proxy that states nonsense gets a refusal, not its own address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

use crate::config::{Addresses, canonical};
use crate::error::Error;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const LOOPBACK_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The allow-list and the proxies whose word about an address is taken.
#[derive(Clone, Debug)]
pub struct AddressRules {
    /// `None`: everybody.
    allow: Option<Networks>,
    trusted: Networks,
}

/// Proof that the caller's address is known and allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// The peer is a trusted proxy; its other headers (`X-Request-Id`) are believed as well.
    pub via_proxy: bool,
    _checked: Checked,
}

/// Nobody else can name it, so nobody else can make a [`Client`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checked;

impl AddressRules {
    pub fn new(addresses: &Addresses) -> Self {
        Self {
            allow: addresses.allow.as_deref().map(Networks::new),
            trusted: Networks::new(&addresses.trusted_proxies),
        }
    }

    /// Whether a connection of this peer is kept at accept. A trusted proxy is: whom it speaks for is checked per request.
    pub fn accepts(&self, peer: IpAddr) -> bool {
        self.allows(peer) || self.trusts(peer)
    }

    /// Whether this peer's headers about the client are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.hold(canonical(peer))
    }

    /// The address a request counts for.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Client, Error> {
        let via_proxy = self.trusts(peer);
        let address = match via_proxy {
            true => self.stated(headers)?.unwrap_or(peer),
            false => peer,
        };
        let address = canonical(address);
        match self.allows(address) {
            true => Ok(Client { address, via_proxy, _checked: Checked }),
            false => Err(Error::AddressRefused),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|networks| networks.hold(canonical(address)))
    }

    /// What a trusted proxy says about its client; `None` where it says nothing.
    fn stated(&self, headers: &HeaderMap) -> Result<Option<IpAddr>, Error> {
        let mut real = headers.get_all(X_REAL_IP).iter();
        match (real.next(), real.next()) {
            (Some(value), None) => parse(value.as_bytes()).map(Some),
            (Some(_), Some(_)) => Err(Error::AddressRefused),
            (None, _) => self.forwarded(headers),
        }
    }

    /// The right-most entry that is not one of our proxies: everything left of it was written by that very client. Where
    /// all are ours, the left-most began the request.
    fn forwarded(&self, headers: &HeaderMap) -> Result<Option<IpAddr>, Error> {
        let mut furthest = None;
        for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            for entry in value.as_bytes().rsplit(|byte| *byte == b',') {
                let address = parse(entry)?;
                furthest = Some(address);
                if !self.trusts(address) {
                    return Ok(furthest);
                }
            }
        }
        Ok(furthest)
    }
}

/// One bare address. The standard parsers refuse what must be refused: zone ids, leading zeros, ports, brackets.
fn parse(text: &[u8]) -> Result<IpAddr, Error> {
    let address = std::str::from_utf8(text.trim_ascii())
        .ok()
        .and_then(|text| text.parse::<IpAddr>().ok())
        .ok_or(Error::AddressRefused)?;
    let address = canonical(address);
    // Nobody can connect from these; they only ever mean that something else wrote the header.
    let nobody = address.is_unspecified() || address.is_multicast() || address == Ipv4Addr::BROADCAST;
    if nobody { Err(Error::AddressRefused) } else { Ok(address) }
}

/// Networks in canonical form.
#[derive(Clone, Debug)]
struct Networks(Vec<IpNet>);

impl Networks {
    fn new(networks: &[IpNet]) -> Self {
        let mut held = Self(networks.iter().copied().map(canonical_network).collect());
        // "This machine" is meant: a client that resolves localhost to ::1 is the same caller, and a proxy that
        // connects over ::1 must be a proxy still, or everybody behind it would pass as this machine.
        if held.hold(LOOPBACK_V4) && !held.hold(LOOPBACK_V6) {
            held.0.push(IpNet::from(LOOPBACK_V6));
        }
        held
    }

    fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: peers are compared in IPv4 form.
fn canonical_network(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else { return network };
    let mapped = wide.network().to_ipv4_mapped();
    match (mapped, wide.prefix_len().checked_sub(96)) {
        (Some(address), Some(prefix)) => Ipv4Net::new(address, prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests;
