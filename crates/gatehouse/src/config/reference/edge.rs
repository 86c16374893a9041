//! The keys of the `edge` section.
//!
//! Why here: see [`super`].

use crate::config::setting::{Setting, choice, flag, number, optional_number, table, text, texts};

const PATH: &str = "file path";
const FOLDER: &str = "folder path";
const NETWORKS: &str = "list of addresses and networks";

pub(super) const ROWS: &[Setting] = &[
    texts(
        "edge.domain",
        "none",
        "host name, or a list",
        "Names under which the service is reached. The first is the canonical one: certificates are kept under it. Also the names that the chat page answers to, when both sections stand in one file.",
    ),
    texts(
        "edge.http_listen",
        ":80",
        "`:port`, `address:port`, or a list",
        "Where plain HTTP is answered: the ACME challenge, and a redirect to HTTPS.",
    ),
    texts("edge.https_listen", ":443", "`:port`, `address:port`, or a list", "Where HTTPS is answered."),
    optional_number(
        "edge.public_port",
        (1, 65_535),
        "port",
        "The port that browsers come to, where a balancer or a container maps it to ours. Absent: that of `https_listen`, and 443 behind `trusted_proxies`.",
    ),
    choice(
        "edge.tls",
        "certbot",
        &["certbot", "files", "off"],
        "`certbot`: certificates that `gatehouse edge cert` asks for. `files`: your own. `off`: plain HTTP inside a LAN, with a warning each time.",
    ),
    text("edge.certificate", "", PATH, "With `tls: files`: certificate and chain, PEM."),
    text("edge.certificate_key", "", PATH, "With `tls: files`: the key, PEM, readable for root alone."),
    text("edge.certbot_dir", "/etc/letsencrypt", FOLDER, "certbot's configuration folder."),
    number(
        "edge.hsts_seconds",
        63_072_000,
        (0, 630_720_000),
        "seconds",
        "How long browsers refuse plain HTTP for these names. Begin with 300 until all works; 0 leaves the header out.",
    ),
    texts(
        "edge.trusted_proxies",
        "none",
        NETWORKS,
        "A proxy or balancer in front of nginx, whose word about the client's address is taken. Name exactly its addresses.",
    ),
    flag(
        "edge.proxy_protocol",
        false,
        "The balancer speaks the PROXY protocol instead of `X-Forwarded-For`; connections without it are dropped.",
    ),
    texts(
        "edge.gateways",
        "`gateway.listen`",
        "list of `address:port`",
        "The gateways that share the API's requests.",
    ),
    table("edge.page", "The chat page at `/`."),
    text(
        "edge.page.address",
        "",
        "`address:port` or `off`",
        "Where the page is served. Absent: `chat.server`. `off`: the API alone.",
    ),
    texts(
        "edge.page.allow",
        "everybody",
        NETWORKS,
        "Networks that may open the page, which has no accounts of its own. The API asks for keys and is not concerned.",
    ),
    text(
        "edge.page.password_file",
        "",
        PATH,
        "Names and passwords for the page; the browser asks for them. A line is `name:` and what `openssl passwd -6` prints, as `gatehouse init` writes it; nginx reads other forms as well.",
    ),
    text(
        "edge.assets_dir",
        "/var/lib/gatehouse-edge/assets",
        FOLDER,
        "Where `gatehouse edge assets` writes the page's files, and nginx reads them.",
    ),
    text(
        "edge.access_log",
        "/var/log/nginx/gatehouse.log",
        "file path or `off`",
        "One JSON line per request, without query, key or text.",
    ),
    text(
        "edge.state_dir",
        "/var/lib/gatehouse-edge",
        FOLDER,
        "What the edge's commands keep: how the last `gatehouse cert deploy` ended.",
    ),
    table(
        "edge.rates",
        "What one address may ask at most; further requests are answered 429. The gateway's own limits count by key.",
    ),
    number(
        "edge.rates.requests_per_second",
        50,
        (1, 100_000),
        "requests",
        "Requests per second and address, in the long run.",
    ),
    number("edge.rates.burst", 200, (1, 1_000_000), "requests", "Requests that may come at once."),
    number(
        "edge.rates.connections",
        256,
        (1, 65_535),
        "connections",
        "Open requests and connections per address. An office behind one address shares it.",
    ),
    table("edge.acme", "How certificates are asked for."),
    text("edge.acme.email", "", "address for mail", "Told to the CA. Absent: an account without an address."),
    text(
        "edge.acme.directory",
        "https://acme-v02.api.letsencrypt.org/directory",
        "URL",
        "The CA's ACME directory.",
    ),
    text(
        "edge.acme.webroot",
        "/var/lib/gatehouse-edge/acme",
        FOLDER,
        "Where challenges are laid, and served at `/.well-known/acme-challenge/`.",
    ),
    text("edge.acme.ca_file", "", PATH, "Roots for a private CA. Absent: the system's."),
    table("edge.nginx", "The nginx that serves the site."),
    text(
        "edge.nginx.program",
        "nginx",
        "program",
        "Asked for its version, tested with `-t`, reloaded with `-s reload`.",
    ),
    text(
        "edge.nginx.main_file",
        "/etc/nginx/nginx.conf",
        PATH,
        "Its main configuration, which includes the site in its `http` block.",
    ),
    text(
        "edge.nginx.site_file",
        "/etc/nginx/conf.d/gatehouse.conf",
        PATH,
        "The file that `gatehouse edge apply` writes.",
    ),
    table("edge.firewall", "What `gatehouse edge firewall` lets in beside 80 and 443."),
    number("edge.firewall.ssh_port", 22, (1, 65_535), "port", "Port of SSH."),
    texts("edge.firewall.ssh_from", "everywhere", NETWORKS, "Networks from which SSH is reached."),
    texts(
        "edge.firewall.gateway_from",
        "`gateway.whitelist.ips`",
        NETWORKS,
        "Networks that reach the gateway's own port without nginx. Without either list nobody does, and a gateway on loopback needs none.",
    ),
    texts(
        "edge.firewall.open_ports",
        "none",
        "list of ports",
        "Further ports that stay open for everybody: `\"9100\"` or `\"9100/tcp\"`, and `\"51820/udp\"` for UDP, of which nothing else is open.",
    ),
];
