//! The site: everything that the edge's files are made from, joined from the sections of a configuration.
//!
//! Why here: nginx, its checks, the packet filter and the certificates must not disagree on a name, a port or a clock.
//! What one section leaves out another one says; what follows from the parts' own tables (paths, headers) is asked there.
//!
//! Never here: how any file is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use gateway::config::{Auth, Clocks, InputLimits};
use http::HeaderName;
use ipnet::IpNet;

use crate::config::Settings;
use crate::config::edge::{
    ADDRESS_FIX, Acme, CertificateFiles, EdgeSettings, Firewall, Name, NginxFiles, Outer, PageAt, Rates, Tls,
};
use crate::config::ports::{Clash, clashes};

const GATEWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18_789);
const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8_080);
/// What a proxy may know later than the gateway, which speaks first and in the caller's format.
const MARGIN: Duration = Duration::from_secs(10);
/// A request's head and form data around its body.
const BODY_MARGIN_BYTES: usize = 64 << 10;

/// One served site.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The first is canonical. None where no site is served, and then no listener either.
    pub names: Vec<Name>,
    pub http_listen: Vec<SocketAddr>,
    pub https_listen: Vec<SocketAddr>,
    /// The port that browsers come to, where another program maps it to ours.
    pub shown: Option<u16>,
    pub tls: Tls,
    pub hsts: Option<Duration>,
    pub outer: Outer,
    /// Where each gateway is reached; at least one.
    pub gateways: Vec<SocketAddr>,
    /// Where the gateway says how it is; `None` where that is not known here.
    pub gateway_admin: Option<SocketAddr>,
    /// The gateway's audit file, where one is configured here.
    pub audit_file: Option<PathBuf>,
    /// Whether the gateway believes nginx's word about addresses; `None` where that is not known here.
    pub gateway_trusts_nginx: Option<bool>,
    /// The header in which callers may show the gateway their key, beside `Authorization`.
    pub key_header: Option<HeaderName>,
    /// Whether the gateway lets in nobody without a key; `None` where that is not known here.
    pub gateway_asks_for_keys: Option<bool>,
    /// Where the gateway's sockets are bound, as far as this machine's configuration says.
    pub gateway_listen: Vec<SocketAddr>,
    /// Networks that reach the gateway's port directly.
    pub gateway_from: Vec<IpNet>,
    /// Where models run.
    pub upstreams: Vec<String>,
    pub page: Option<Page>,
    pub assets_dir: PathBuf,
    pub access_log: Option<PathBuf>,
    pub rates: Rates,
    pub acme: Acme,
    pub nginx: NginxFiles,
    pub firewall: Firewall,
    pub state_dir: PathBuf,
    pub clocks: Clocks,
    pub body_bytes_max: usize,
}

/// The chat page behind it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub at: SocketAddr,
    pub allow: Vec<IpNet>,
    pub password_file: Option<PathBuf>,
    /// Somebody is kept out: there is a password, or a list that is one.
    pub guarded: bool,
}

/// Why no site can be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SiteError {
    #[error(
        "no domain: give --domain, or `edge.domain` in a configuration (`--config`; without it /etc/gatehouse/gatehouse.yaml is read if it is there)"
    )]
    Unnamed,
    #[error("`edge.gateways` is empty: name at least one `address:port`")]
    NoGateway,
    #[error("`edge.{0}` is empty: name at least one `:port`")]
    NoListener(&'static str),
    #[error("{0} is an address, and HTTPS is served by name: {ADDRESS_FIX}")]
    Address(Name),
    #[error("`{}`: {}: {}", .0.key, .0.what, .0.fix)]
    Clash(Clash),
}

impl Site {
    /// Joins the sections. `names` are those of the command line and count instead of the file's.
    pub(crate) fn new(settings: &Settings, edge: &EdgeSettings, names: Vec<Name>) -> Result<Self, SiteError> {
        let site = Self::perhaps_unnamed(settings, edge, names)?;
        if site.names.is_empty() { Err(SiteError::Unnamed) } else { Ok(site) }
    }

    /// The same without a name as well: then nothing is served to browsers, and this machine has a gateway at most. For what
    /// closes and looks, which such a machine needs no less.
    pub(crate) fn perhaps_unnamed(
        settings: &Settings,
        edge: &EdgeSettings,
        names: Vec<Name>,
    ) -> Result<Self, SiteError> {
        let gateway = settings.gateway.as_ref().map(|gateway| &gateway.config);
        let gateway_listen = gateway.map(|config| config.listen.clone()).unwrap_or_default();
        // A list of who may come is none of who may come past nginx, where no listener could be reached so.
        let direct = gateway_listen.iter().any(|at| !at.ip().is_loopback());
        let listed = gateway_listen.iter().copied().map(reached).collect::<Vec<_>>();
        let gateways =
            edge.gateways.clone().unwrap_or(if listed.is_empty() { vec![GATEWAY] } else { listed });
        let names = if names.is_empty() { edge.names.clone() } else { names };
        let allow = gateway.and_then(|config| config.addresses.allow.clone());
        if let Some(name) = names.iter().find(|name| name.is_address() && edge.tls != Tls::Off) {
            return Err(SiteError::Address(name.clone()));
        }
        if gateways.is_empty() {
            return Err(SiteError::NoGateway);
        }
        for (key, listen) in [("http_listen", &edge.http_listen), ("https_listen", &edge.https_listen)] {
            if listen.is_empty() {
                return Err(SiteError::NoListener(key));
            }
        }
        // Sections of several files meet here for the first time.
        if let Some(clash) = clashes(settings).into_iter().find(|_| !names.is_empty()) {
            return Err(SiteError::Clash(clash));
        }
        let listen = |listen: &[SocketAddr]| if names.is_empty() { Vec::new() } else { listen.to_vec() };
        Ok(Self {
            http_listen: listen(&edge.http_listen),
            https_listen: listen(&edge.https_listen),
            names,
            shown: edge.public_port,
            tls: edge.tls.clone(),
            hsts: edge.hsts,
            outer: edge.outer.clone(),
            gateways,
            gateway_admin: gateway.and_then(|config| config.admin_listen),
            audit_file: gateway.and_then(|config| config.audit.file.clone()),
            gateway_trusts_nginx: gateway.map(|config| {
                // nginx asks a listener of one interface from that interface's own address.
                let trusted = &config.addresses.trusted_proxies;
                let asked = config.listen.iter().map(|at| reached(*at).ip());
                asked.into_iter().all(|from| trusted.iter().any(|net| net.contains(&from)))
            }),
            key_header: gateway.and_then(|config| match &config.auth {
                Auth::Keys { header, .. } => header.clone(),
                Auth::Open => None,
            }),
            gateway_asks_for_keys: gateway.map(|config| !matches!(config.auth, gateway::config::Auth::Open)),
            gateway_listen,
            gateway_from: edge.firewall.gateway_from.clone().or(allow.filter(|_| direct)).unwrap_or_default(),
            upstreams: gateway
                .map(|config| {
                    config.upstreams.iter().map(|upstream| upstream.authority.to_string()).collect()
                })
                .unwrap_or_default(),
            page: page(settings, edge),
            assets_dir: edge.assets_dir.clone(),
            access_log: edge.access_log.clone(),
            rates: edge.rates,
            acme: edge.acme.clone(),
            nginx: edge.nginx.clone(),
            firewall: edge.firewall.clone(),
            state_dir: edge.state_dir.clone(),
            clocks: gateway.map(|config| config.clocks).unwrap_or_default(),
            body_bytes_max: gateway
                .map_or_else(InputLimits::default, |config| config.input.clone())
                .body_bytes_max,
        })
    }

    /// The name that certificates are kept under.
    pub(crate) fn canonical(&self) -> Option<&Name> {
        self.names.first()
    }

    /// The certificate's files; `None` without TLS.
    pub(crate) fn certificate(&self) -> Option<CertificateFiles> {
        match &self.tls {
            Tls::Files(files) => Some(files.clone()),
            Tls::Certbot { folder } => {
                let live = folder.join("live").join(self.canonical()?.as_str());
                Some(CertificateFiles { chain: live.join("fullchain.pem"), key: live.join("privkey.pem") })
            }
            Tls::Off => None,
        }
    }

    /// The port on which browsers are served here.
    pub(crate) fn public_port(&self) -> u16 {
        let listen = if self.tls == Tls::Off { &self.http_listen } else { &self.https_listen };
        listen.first().map_or(443, SocketAddr::port)
    }

    /// The part of a URL that names the port, where it is not the usual one.
    pub(crate) fn shown_port(&self) -> String {
        match (self.shown, &self.outer, &self.tls) {
            // Whoever stands in front has the usual one, unless the configuration says otherwise.
            (None, Outer::Header(_) | Outer::ProxyProtocol(_), _) => String::new(),
            (shown, _, tls) => match (shown.unwrap_or_else(|| self.public_port()), tls) {
                (443, _) | (80, Tls::Off) => String::new(),
                (port, _) => format!(":{port}"),
            },
        }
    }

    /// The largest body that nginx takes: a little more than the gateway, whose refusal is the better one.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes_max.saturating_add(BODY_MARGIN_BYTES)
    }

    /// How long nginx waits for the gateway's next byte. A stream shows one at each heartbeat, a whole answer only at its end.
    pub(crate) fn read_patience(&self) -> Duration {
        let clocks = &self.clocks;
        let first = clocks.queue.saturating_add(clocks.load).saturating_add(clocks.first_byte);
        first.max(clocks.total).saturating_add(MARGIN)
    }
}

fn page(settings: &Settings, edge: &EdgeSettings) -> Option<Page> {
    let at = match edge.page.at {
        PageAt::Off => return None,
        PageAt::Address(at) => at,
        PageAt::ChatSection => settings.chat.as_ref().map_or(PAGE, |chat| chat.listen),
    };
    Some(Page {
        at: reached(at),
        allow: edge.page.allow.clone(),
        password_file: edge.page.password_file.clone(),
        guarded: edge.page.is_guarded(),
    })
}

/// Where a listener for every interface is reached on this machine.
pub(crate) fn reached(at: SocketAddr) -> SocketAddr {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port()),
        // A socket for `[::]` takes IPv4 as well.
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port()),
        IpAddr::V6(ip) if ip == Ipv6Addr::LOCALHOST => SocketAddr::new(ip.into(), at.port()),
        _ => at,
    }
}
