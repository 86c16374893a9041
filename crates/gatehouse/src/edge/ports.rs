//! Which TCP ports of this machine are meant for whom, as the configuration says.
//!
//! Why here: the packet filter closes by this list, and the report judges what listens by the same one.
//!
//! Never here: how a filter is written, what listens.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use ipnet::IpNet;

use super::site::Site;
use crate::config::addresses::is_everybody;

/// Where Ollama listens unless told otherwise; closed whatever the configuration names.
pub(crate) const OLLAMA: u16 = 11_434;
/// Where the gateway tells its health, unless its section says otherwise.
const ADMIN: u16 = 18_790;

/// A part of the service that the network must not reach without its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Gateway,
    Page,
    Admin,
    Model,
}

impl Part {
    /// In names of counters and in messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Part::Gateway => "gateway",
            Part::Page => "page",
            Part::Admin => "admin",
            Part::Model => "model",
        }
    }
}

/// A port that everybody may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Public {
    pub at: SocketAddr,
    pub setting: &'static str,
}

/// A port that is closed, or open to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guarded {
    pub part: Part,
    pub port: u16,
    pub setting: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub public: Vec<Public>,
    /// Each port once, whatever several settings say of it.
    pub guarded: Vec<Guarded>,
    /// Of TCP, like everything else here but the next.
    pub open: Vec<u16>,
    pub open_udp: Vec<u16>,
    pub ssh: u16,
    /// Empty: from everywhere.
    pub ssh_from: Vec<IpNet>,
    pub gateway_from: Vec<IpNet>,
    /// Settings that contradict each other, in words; rules from them would open what one of them closes.
    pub conflicts: Vec<String>,
}

impl Ports {
    pub(crate) fn of(site: &Site) -> Self {
        let firewall = &site.firewall;
        let public = [("edge.http_listen", &site.http_listen), ("edge.https_listen", &site.https_listen)];
        let public = public.into_iter().flat_map(|(setting, listen)| {
            let outside = listen.iter().filter(|at| !at.ip().is_loopback());
            outside.map(move |at| Public { at: *at, setting })
        });
        let once = |ports: &[u16]| BTreeSet::from_iter(ports.iter().copied()).into_iter().collect();
        let mut ports = Self {
            public: public.collect(),
            guarded: Vec::new(),
            open: once(&firewall.open_ports),
            open_udp: once(&firewall.open_udp_ports),
            ssh: firewall.ssh_port,
            ssh_from: outside(&firewall.ssh_from),
            gateway_from: outside(&site.gateway_from),
            conflicts: Vec::new(),
        };
        ports.conflicts = ports.about_ssh(site);
        for guarded in candidates(site) {
            if !ports.guarded.iter().any(|known| known.port == guarded.port) {
                ports.guarded.push(guarded);
            }
        }
        // What is open to everybody cannot be closed at the same time; `notes` says so.
        ports.guarded.retain(|guarded| !everybody(&ports.public, &ports.open, guarded.port));
        ports
    }

    /// The part behind a guarded port.
    pub(crate) fn part(&self, port: u16) -> Option<Part> {
        self.guarded.iter().find(|guarded| guarded.port == port).map(|guarded| guarded.part)
    }

    /// Whether somebody at `from` is meant to reach `to`.
    pub(crate) fn admits(&self, from: IpAddr, to: SocketAddr) -> bool {
        let listed = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&from.to_canonical()));
        let port = to.port();
        from.to_canonical().is_loopback()
            || self.public.iter().any(|public| covers(public.at, to))
            || self.open.contains(&port)
            || port == self.ssh && (self.ssh_from.is_empty() || listed(&self.ssh_from))
            || self.part(port) == Some(Part::Gateway) && listed(&self.gateway_from)
    }

    /// A port is open to ssh's list before it is closed as a part's, and open to everybody before it asks for that list.
    fn about_ssh(&self, site: &Site) -> Vec<String> {
        let port = self.ssh;
        let part = candidates(site).into_iter().find(|guarded| guarded.port == port);
        let part = part.map(|guarded| {
            let (part, setting) = (guarded.part.word(), guarded.setting);
            format!("`edge.firewall.ssh_port` is {port}, which is the {part}'s ({setting}): where ssh is let in, the {part} would be, too. Give one of the two another port")
        });
        let public = self.public.iter().find(|public| public.at.port() == port).map(|public| public.setting);
        let open = self.open.contains(&port).then_some("edge.firewall.open_ports");
        let everybody = public.or(open).filter(|_| !self.ssh_from.is_empty()).map(|setting| {
            format!("`edge.firewall.ssh_port` is {port}, which `{setting}` opens to everybody: the list in `edge.firewall.ssh_from` would keep nobody out. Give one of the two another port")
        });
        // An empty list means everywhere, which is the opposite of what such a list says.
        let nobody = (self.ssh_from.is_empty() && !site.firewall.ssh_from.is_empty()).then(|| {
            "`edge.firewall.ssh_from` names loopback alone, which no filter sees: name the networks that you come from, or leave it out for everywhere".to_owned()
        });
        part.into_iter().chain(everybody).chain(nobody).collect()
    }

    /// What an operator may not have meant.
    pub(crate) fn notes(&self, site: &Site) -> Vec<String> {
        let mut notes = Vec::new();
        if site.names.is_empty() {
            notes.push("no domain is named (`edge.domain`, or --domain), so no site is served here: the ports of `edge.http_listen` and `edge.https_listen`, 80 and 443 as a rule, stay closed".to_owned());
        }
        for guarded in candidates(site) {
            if everybody(&self.public, &self.open, guarded.port) {
                notes.push(format!(
                    "port {} is the {}'s and is opened to everybody: remove it from `edge.firewall.open_ports` and from the listeners of `edge`",
                    guarded.port,
                    guarded.part.word()
                ));
            }
        }
        notes.sort();
        notes.dedup();
        if is_everybody(&self.gateway_from) {
            notes.push("the gateway's port is opened to the whole internet: name networks in `edge.firewall.gateway_from`, or `[]` for nobody".to_owned());
        }
        let loopback = |at: &SocketAddr| at.ip().is_loopback();
        if !self.gateway_from.is_empty()
            && !site.gateway_listen.is_empty()
            && site.gateway_listen.iter().all(loopback)
        {
            notes.push("the gateway listens on loopback alone, so what `edge.firewall.gateway_from` opens leads nowhere".to_owned());
        }
        notes
    }
}

fn everybody(public: &[Public], open: &[u16], port: u16) -> bool {
    open.contains(&port)
        || public.iter().any(|public| public.at.ip().is_unspecified() && public.at.port() == port)
}

/// Every port that some part uses here; the more telling part first.
fn candidates(site: &Site) -> Vec<Guarded> {
    let mut all = Vec::new();
    let mut put = |part, port, setting| all.push(Guarded { part, port, setting });
    for at in &site.gateway_listen {
        put(Part::Gateway, at.port(), "gateway.listen");
    }
    if site.gateway_listen.is_empty() {
        for at in site.gateways.iter().filter(|at| is_here(at.ip())) {
            put(Part::Gateway, at.port(), "edge.gateways");
        }
    }
    if let Some(page) = site.page.as_ref().filter(|page| is_here(page.at.ip())) {
        put(Part::Page, page.at.port(), "edge.page.address, or chat.server");
    }
    match (site.gateway_admin, site.gateway_trusts_nginx) {
        (Some(at), _) => put(Part::Admin, at.port(), "gateway.admin_listen"),
        // Without a gateway's section its usual place is all that is known.
        (None, None) => put(Part::Admin, ADMIN, "gateway.admin_listen"),
        (None, Some(_)) => {}
    }
    put(Part::Model, OLLAMA, "Ollama's own port, whatever is configured");
    for upstream in &site.upstreams {
        if let Some(at) = upstream_here(upstream) {
            put(Part::Model, at, "gateway.upstreams, or gateway.ollama_api");
        }
    }
    all
}

/// The port of a model runtime, when it runs on this machine.
pub(crate) fn upstream_here(authority: &str) -> Option<u16> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(is_here);
    here.then_some(port)
}

/// Whether an address is one of this machine's: only those can be bound. Nothing is sent.
pub(crate) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// A listener covers an address of its own family; `[::]` takes IPv4 as well.
pub(crate) fn covers(listener: SocketAddr, to: SocketAddr) -> bool {
    let wildcard = match listener.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() && to.ip().to_canonical().is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    listener.port() == to.port() && (wildcard || listener.ip().to_canonical() == to.ip().to_canonical())
}

/// Networks as a filter sees them: loopback never passes it, and what one network holds needs no second line.
fn outside(nets: &[IpNet]) -> Vec<IpNet> {
    let nets: Vec<IpNet> = nets.iter().filter(|net| !net.addr().is_loopback()).copied().collect();
    IpNet::aggregate(&nets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{EdgeSettings, Name};
    use crate::edge::site::SiteError;

    fn site(change: impl FnOnce(&mut Site)) -> Site {
        let names = vec![Name::parse("ai.example.com").unwrap()];
        let mut site = Site::new(&Settings::default(), &EdgeSettings::default(), names).unwrap();
        change(&mut site);
        site
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn an_empty_configuration_guards_the_usual_ports() {
        let ports = Ports::of(&site(|_| {}));
        let guarded: Vec<_> = ports.guarded.iter().map(|g| (g.part.word(), g.port)).collect();
        assert_eq!(guarded, [("gateway", 18_789), ("page", 8_080), ("admin", 18_790), ("model", 11_434)]);
        let to = |text: &str| text.parse().unwrap();
        let stranger = "203.0.113.9".parse().unwrap();
        for (target, admitted) in [
            ("192.0.2.1:80", true),
            ("192.0.2.1:443", true),
            ("192.0.2.1:22", true),
            ("192.0.2.1:18789", false),
            ("192.0.2.1:11434", false),
            ("192.0.2.1:8080", false),
            ("192.0.2.1:5432", false),
        ] {
            assert_eq!(ports.admits(stranger, to(target)), admitted, "{target}");
        }
        assert!(ports.admits("::ffff:127.0.0.1".parse().unwrap(), to("127.0.0.1:11434")));
    }

    #[test]
    fn lists_and_addresses_narrow() {
        let ports = Ports::of(&site(|site| {
            site.http_listen = vec!["192.0.2.1:80".parse().unwrap(), "127.0.0.1:8081".parse().unwrap()];
            site.https_listen = vec!["0.0.0.0:443".parse().unwrap()];
            site.gateway_from = vec![net("10.0.0.0/8"), net("10.1.0.0/16"), net("127.0.0.1/32")];
            site.firewall.ssh_from = vec![net("fd00::/8")];
        }));
        assert_eq!(ports.gateway_from, [net("10.0.0.0/8")]);
        for (from, to, admitted) in [
            ("203.0.113.9", "192.0.2.1:80", true),
            ("203.0.113.9", "192.0.2.2:80", false),
            ("203.0.113.9", "192.0.2.2:443", true),
            ("2001:db8::9", "[2001:db8::1]:443", false),
            ("203.0.113.9", "192.0.2.1:8081", false),
            ("203.0.113.9", "192.0.2.1:22", false),
            ("fd00::9", "[fd00::1]:22", true),
            ("10.9.9.9", "10.0.0.1:18789", true),
            ("::ffff:10.9.9.9", "10.0.0.1:18789", true),
            ("11.9.9.9", "10.0.0.1:18789", false),
            ("10.9.9.9", "10.0.0.1:11434", false),
        ] {
            assert_eq!(ports.admits(from.parse().unwrap(), to.parse().unwrap()), admitted, "{from} to {to}");
        }
    }

    #[test]
    fn what_is_opened_is_not_closed_and_is_told() {
        let site = site(|site| {
            site.firewall.open_ports = vec![11_434, 9_000];
            site.gateway_from = vec![net("0.0.0.0/0")];
            site.gateway_listen = vec!["127.0.0.1:18789".parse().unwrap()];
        });
        let ports = Ports::of(&site);
        assert_eq!(ports.part(11_434), None);
        let notes = ports.notes(&site).join("\n");
        for word in ["11434", "whole internet", "loopback alone"] {
            assert!(notes.contains(word), "{word}: {notes}");
        }
        assert!(!notes.contains("9000"));
    }

    #[test]
    fn without_a_domain_only_ssh_and_the_list_are_let_in() {
        let edge = EdgeSettings::default();
        let mut site = Site::perhaps_unnamed(&Settings::default(), &edge, Vec::new()).unwrap();
        assert_eq!(Site::new(&Settings::default(), &edge, Vec::new()).unwrap_err(), SiteError::Unnamed);
        site.gateway_from = vec![net("10.0.0.0/8")];
        let ports = Ports::of(&site);
        for (from, to, admitted) in [
            ("203.0.113.9", "192.0.2.1:443", false),
            ("203.0.113.9", "192.0.2.1:80", false),
            ("203.0.113.9", "192.0.2.1:22", true),
            ("10.9.9.9", "192.0.2.1:18789", true),
            ("203.0.113.9", "192.0.2.1:18789", false),
        ] {
            assert_eq!(ports.admits(from.parse().unwrap(), to.parse().unwrap()), admitted, "{from} to {to}");
        }
        assert!(ports.notes(&site).join("\n").contains("stay closed"));
    }

    #[test]
    fn ssh_at_another_part_s_port_is_a_contradiction() {
        let list = || vec![net("192.0.2.0/24")];
        for (ssh_port, ssh_from, open, keys) in [
            (18_789, vec![], vec![], vec!["edge.firewall.ssh_port", "edge.gateways"]),
            (11_434, list(), vec![], vec!["edge.firewall.ssh_port", "Ollama's own port"]),
            (8_080, vec![], vec![], vec!["edge.firewall.ssh_port", "chat.server"]),
            (18_790, vec![], vec![], vec!["edge.firewall.ssh_port", "gateway.admin_listen"]),
            (
                443,
                list(),
                vec![],
                vec!["edge.firewall.ssh_port", "edge.https_listen", "edge.firewall.ssh_from"],
            ),
            (22, list(), vec![22], vec!["edge.firewall.open_ports", "edge.firewall.ssh_from"]),
            (22, vec![], vec![22], vec![]),
            (22, list(), vec![], vec![]),
            (443, vec![], vec![], vec![]),
            (22, vec![net("127.0.0.1/32")], vec![], vec!["edge.firewall.ssh_from"]),
        ] {
            let ports = Ports::of(&site(|site| {
                site.firewall.ssh_port = ssh_port;
                site.firewall.ssh_from.clone_from(&ssh_from);
                site.firewall.open_ports.clone_from(&open);
            }));
            let said = ports.conflicts.join("\n");
            assert_eq!(said.is_empty(), keys.is_empty(), "{ssh_port}: {said}");
            assert!(keys.iter().all(|key| said.contains(key)), "{ssh_port}: {said}");
        }
    }

    #[test]
    fn runtimes_of_this_machine_are_known_by_their_address() {
        for (authority, port) in [
            ("127.0.0.1:9999", Some(9_999)),
            ("localhost:11434", Some(11_434)),
            ("[::1]:4321", Some(4_321)),
            ("127.0.0.1", Some(80)),
            ("192.0.2.7:11434", None),
            ("models.internal:11434", None),
        ] {
            assert_eq!(upstream_here(authority), port, "{authority}");
        }
        let ports = Ports::of(&site(|site| site.upstreams = vec!["127.0.0.1:9999".to_owned()]));
        assert_eq!(ports.part(9_999), Some(Part::Model));
    }
}
