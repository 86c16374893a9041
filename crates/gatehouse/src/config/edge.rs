//! The `edge` section: names, certificates, what stands in front and behind, and where nginx lives.
//!
//! Why here: nginx site, certificates, firewall and their checks are all made from this one checked form. What goes into
//! files of other programs is held to characters that mean nothing there.
//!
//! Never here: defaults that come from the other sections (`crate::edge::Site` joins them), rendering, files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::Context;
use super::addresses::{address, is_everybody, networks};
use super::document::{Mark, Node, Value};
use super::report::Report;
use super::section::{At, Reading, Section, clipped};

/// Debian's places.
const CERTBOT: &str = "/etc/letsencrypt";

/// What the edge is made from, as far as this section says it.
#[derive(Clone, Debug)]
pub(crate) struct EdgeSettings {
    /// Server names; the first is the canonical one. Empty where only flags name it.
    pub names: Vec<Name>,
    pub http_listen: Vec<SocketAddr>,
    pub https_listen: Vec<SocketAddr>,
    /// `None`: the port of `https_listen`, or the usual one behind a proxy.
    pub public_port: Option<u16>,
    pub tls: Tls,
    /// `None`: not sent.
    pub hsts: Option<Duration>,
    pub outer: Outer,
    /// `None`: where the `gateway` section listens.
    pub gateways: Option<Vec<SocketAddr>>,
    pub page: Page,
    pub assets_dir: PathBuf,
    /// `None`: not written.
    pub access_log: Option<PathBuf>,
    pub rates: Rates,
    pub acme: Acme,
    pub nginx: NginxFiles,
    pub firewall: Firewall,
    /// What the edge's commands keep.
    pub state_dir: PathBuf,
}

/// A host name that means itself in every file it is written to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= 253 && name.split('.').all(label) {
            Ok(Self(name))
        } else {
            Err(format!("`{}` is not a host name", clipped(text)))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// certbot keeps it under the canonical name.
    Certbot {
        folder: PathBuf,
    },
    Files(CertificateFiles),
    /// Plain HTTP, for a LAN without names.
    Off,
}

/// A chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// Who stands in front of nginx and states its client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outer {
    Nobody,
    /// A proxy that writes `X-Forwarded-For`.
    Header(Vec<IpNet>),
    /// A balancer that speaks the PROXY protocol.
    ProxyProtocol(Vec<IpNet>),
}

/// The chat page behind the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub at: PageAt,
    /// Networks that may open it; empty: everybody who reaches the edge.
    pub allow: Vec<IpNet>,
    /// Names and passwords, as htpasswd writes them.
    pub password_file: Option<PathBuf>,
}

impl Page {
    /// Whether it asks who somebody is, or where from. A list that keeps nobody out is none.
    pub(crate) fn is_guarded(&self) -> bool {
        self.password_file.is_some() || !(self.allow.is_empty() || is_everybody(&self.allow))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageAt {
    /// Where the `chat` section serves it.
    ChatSection,
    Address(SocketAddr),
    /// The API alone.
    Off,
}

/// What one address may ask at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    pub requests_per_second: u64,
    pub burst: u64,
    pub connections: u64,
}

/// How certificates are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acme {
    pub email: Option<String>,
    /// URL of the CA's directory.
    pub directory: String,
    pub webroot: PathBuf,
    /// Roots that the CA's own certificate is checked against; `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

/// The nginx that serves the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NginxFiles {
    pub program: PathBuf,
    pub main_file: PathBuf,
    pub site_file: PathBuf,
}

/// What the packet filter lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Firewall {
    pub ssh_port: u16,
    /// Empty: from everywhere.
    pub ssh_from: Vec<IpNet>,
    /// `None`: the gateway's `whitelist`.
    pub gateway_from: Option<Vec<IpNet>>,
    /// Further ports of TCP.
    pub open_ports: Vec<u16>,
    /// Further ports of UDP.
    pub open_udp_ports: Vec<u16>,
}

impl Default for EdgeSettings {
    /// An empty section.
    fn default() -> Self {
        let file = Path::new("");
        let report = Report::new(file);
        let reading = Reading::new(&report);
        let nothing = Node { mark: Mark { line: 1, column: 1 }, value: Value::Table(Vec::new()) };
        let environment = |_: &str| None;
        read(&Section::open(&reading, &nothing, "edge", "edge"), &Context::new(file, &environment))
    }
}

/// Reads the section. The result is only to be used when the report holds no error.
pub(crate) fn read(section: &Section<'_>, context: &Context<'_>) -> EdgeSettings {
    let acme = acme(&section.section("acme"), context);
    EdgeSettings {
        names: names(section),
        http_listen: listeners(section, "http_listen", 80),
        https_listen: listeners(section, "https_listen", 443),
        public_port: section.number("public_port").and_then(|at| u16::try_from(at.value).ok()),
        tls: tls(section, context),
        hsts: section.number("hsts_seconds").map(|at| at.value).filter(|s| *s > 0).map(Duration::from_secs),
        outer: outer(section),
        gateways: section.texts("gateways").map(|at| addresses(section, at.value)),
        page: page(&section.section("page"), context),
        assets_dir: path(section, context, "assets_dir").unwrap_or_default(),
        access_log: path(section, context, "access_log")
            .filter(|log| log.file_name() != Some("off".as_ref())),
        rates: rates(&section.section("rates")),
        acme,
        nginx: nginx(&section.section("nginx"), context),
        firewall: firewall(&section.section("firewall")),
        state_dir: path(section, context, "state_dir").unwrap_or_default(),
    }
}

fn names(section: &Section<'_>) -> Vec<Name> {
    let mut all: Vec<Name> = Vec::new();
    for text in section.texts("domain").map(|at| at.value).unwrap_or_default() {
        match Name::parse(&text.value) {
            Ok(name) if all.contains(&name) => {
                section.report().error(&text.place, format!("{name} is listed twice"), "keep one of the two");
            }
            Ok(name) => all.push(name),
            Err(what) => {
                let fix = "write the name alone, such as `ai.example.com`, without scheme, port or wildcard";
                section.report().error(&text.place, what, fix);
            }
        }
    }
    all
}

fn listeners(section: &Section<'_>, key: &str, port: u16) -> Vec<SocketAddr> {
    let mut all = match section.texts(key) {
        Some(texts) => addresses(section, texts.value),
        None => address(&format!(":{port}")).into_iter().collect(),
    };
    // Every interface in both families is one listener here, however it is written.
    let both: Vec<u16> =
        all.iter().filter(|at| at.is_ipv6() && at.ip().is_unspecified()).map(SocketAddr::port).collect();
    all.retain(|at| !(at.is_ipv4() && at.ip().is_unspecified() && both.contains(&at.port())));
    all
}

fn addresses(section: &Section<'_>, texts: Vec<At<String>>) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for text in texts {
        match address(&text.value) {
            Ok(found) => all.push(found),
            Err(what) => {
                section.report().error(
                    &text.place,
                    what,
                    "write `:443`, or an address and a port such as `127.0.0.1:8443`",
                );
            }
        }
    }
    all
}

fn tls(section: &Section<'_>, context: &Context<'_>) -> Tls {
    let chosen = section.choice("tls");
    let chain = path(section, context, "certificate");
    let key = path(section, context, "certificate_key");
    let files = (chain, key);
    let folder = path(section, context, "certbot_dir").unwrap_or_else(|| PathBuf::from(CERTBOT));
    match (chosen.value, files) {
        ("files", (Some(chain), Some(key))) => Tls::Files(CertificateFiles { chain, key }),
        ("certbot", (None, None)) => Tls::Certbot { folder },
        ("off", _) => {
            let what = "everything, keys and passwords included, travels readable for whoever is on the way";
            section.report().warning(
                &chosen.place,
                what,
                "use `certbot`, or `files` with a certificate of your own",
            );
            Tls::Off
        }
        ("files", _) => {
            let fix = "give both `certificate` (the chain) and `certificate_key`";
            section.report().error(&chosen.place, "needs the files", fix);
            Tls::Off
        }
        _ => {
            let place = section.place_of("certificate");
            section.report().error(
                &place,
                "is not read while `tls` is `certbot`",
                "set `tls: files`, or remove it",
            );
            Tls::Certbot { folder }
        }
    }
}

fn outer(section: &Section<'_>) -> Outer {
    let proxies = networks(section, "trusted_proxies");
    let protocol = section.flag("proxy_protocol");
    for at in proxies.iter().filter(|at| at.value.prefix_len() == 0) {
        let what = "trusts the whole internet to say who it is";
        section.report().error(&at.place, what, "name only the addresses of the proxy in front");
    }
    let proxies: Vec<IpNet> = proxies.into_iter().map(|at| at.value).collect();
    match (proxies.is_empty(), protocol.value) {
        (true, false) => Outer::Nobody,
        (false, false) => Outer::Header(proxies),
        (false, true) => Outer::ProxyProtocol(proxies),
        (true, true) => {
            let fix = "name the balancer's addresses in `trusted_proxies`";
            section.report().error(&protocol.place, "believes whoever connects", fix);
            Outer::Nobody
        }
    }
}

fn page(section: &Section<'_>, context: &Context<'_>) -> Page {
    let at = match section.text("address") {
        None => PageAt::ChatSection,
        Some(text) if text.value == "off" => PageAt::Off,
        Some(text) => match address(&text.value) {
            Ok(found) => PageAt::Address(found),
            Err(what) => {
                section.report().error(&text.place, what, "write `127.0.0.1:8080`, or `off`");
                PageAt::ChatSection
            }
        },
    };
    let allow = networks(section, "allow").into_iter().map(|at| at.value).collect();
    Page { at, allow, password_file: path(section, context, "password_file") }
}

fn rates(section: &Section<'_>) -> Rates {
    let number = |key| section.number(key).map(|at| at.value).unwrap_or_default();
    Rates {
        requests_per_second: number("requests_per_second"),
        burst: number("burst"),
        connections: number("connections"),
    }
}

fn acme(section: &Section<'_>, context: &Context<'_>) -> Acme {
    let email = section.text("email").filter(|at| {
        let good = at.value.contains('@') && at.value.bytes().all(|b| b.is_ascii_graphic());
        if !good {
            section.report().error(
                &at.place,
                "is not an address for mail",
                "write `name@example.com`, or leave it out",
            );
        }
        good
    });
    let directory = section.text("directory");
    if let Some(at) = directory.as_ref().filter(|at| !at.value.starts_with("https://")) {
        section.report().error(
            &at.place,
            "is not a URL that begins with https://",
            "write the CA's directory URL",
        );
    }
    Acme {
        email: email.map(|at| at.value),
        directory: directory.map(|at| at.value).unwrap_or_default(),
        webroot: path(section, context, "webroot").unwrap_or_default(),
        ca_file: path(section, context, "ca_file"),
    }
}

fn nginx(section: &Section<'_>, context: &Context<'_>) -> NginxFiles {
    let program = section.text("program").map(|at| at.value).unwrap_or_default();
    NginxFiles {
        program: if program.contains('/') { context.path(&program) } else { PathBuf::from(program) },
        main_file: path(section, context, "main_file").unwrap_or_default(),
        site_file: path(section, context, "site_file").unwrap_or_default(),
    }
}

fn firewall(section: &Section<'_>) -> Firewall {
    let plain = |key| networks(section, key).into_iter().map(|at| at.value).collect();
    let ssh_port = section.number("ssh_port").and_then(|at| u16::try_from(at.value).ok()).unwrap_or_default();
    let (mut open_ports, mut open_udp_ports) = (Vec::new(), Vec::new());
    for text in section.texts("open_ports").map(|at| at.value).unwrap_or_default() {
        let (port, protocol) = text.value.split_once('/').unwrap_or((&text.value, "tcp"));
        match (port.parse::<u16>(), protocol) {
            (Ok(port), "tcp") if port > 0 => open_ports.push(port),
            (Ok(port), "udp") if port > 0 => open_udp_ports.push(port),
            _ => section.report().error(
                &text.place,
                "is not a port",
                "write a number from 1 to 65535 in quotes, for UDP as `51820/udp`",
            ),
        }
    }
    Firewall {
        ssh_port,
        ssh_from: plain("ssh_from"),
        gateway_from: section.texts("gateway_from").map(|_| plain("gateway_from")),
        open_ports,
        open_udp_ports,
    }
}

/// A path that can be written into another program's file: absolute once joined, without characters that mean something
/// there.
fn path(section: &Section<'_>, context: &Context<'_>, key: &str) -> Option<PathBuf> {
    let text = section.text(key)?;
    let joined = context.path(&text.value);
    if let Err(what) = plain_path(&joined) {
        section.report().error(&text.place, what, "use letters, digits and `-_./@+,` only");
    }
    Some(joined)
}

fn plain_path(path: &Path) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_./@+,~:".contains(&b);
    match path.to_str() {
        Some(text) if text.bytes().all(good) => Ok(()),
        _ => Err("holds characters that other programs' files read differently".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_people_write() {
        for (text, good) in [
            ("ai.example.com", true),
            ("AI.Example.com", true),
            ("localhost", true),
            ("a-b.c1", true),
            ("", false),
            ("https://ai.example.com", false),
            ("ai.example.com:443", false),
            ("*.example.com", false),
            ("ai.example.com.", false),
            ("-a.b", false),
            ("a b", false),
            ("a;return 200", false),
            ("$host", false),
        ] {
            assert_eq!(Name::parse(text).is_ok(), good, "{text}");
        }
        assert_eq!(Name::parse("AI.Example.com").unwrap().as_str(), "ai.example.com");
    }

    #[test]
    fn paths_mean_themselves() {
        for (text, good) in [
            ("/etc/letsencrypt/live/a/fullchain.pem", true),
            ("/srv/a b", false),
            ("/srv/$host", false),
            ("/srv/a;", false),
            ("/srv/\"", false),
            ("/srv/{x}", false),
            ("/srv/a\nb", false),
        ] {
            assert_eq!(plain_path(Path::new(text)).is_ok(), good, "{text}");
        }
    }
}
