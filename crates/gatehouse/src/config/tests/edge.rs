//! The `edge` section: what is refused, and what the page learns from it.

use std::path::Path;

use super::{check, load};
use crate::config::Role;
use crate::config::edge::{EdgeSettings, Outer, PageAt, Tls};

fn edge(text: &str) -> EdgeSettings {
    match load(Role::Edge, text).settings() {
        Ok((settings, _)) => settings.edge.unwrap(),
        Err(report) => panic!("{}", report.render(false)),
    }
}

#[test]
fn what_an_empty_section_means() {
    let edge = edge("domain: ai.example.com\n");
    assert_eq!(edge.names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["ai.example.com"]);
    assert_eq!(edge.tls, Tls::Certbot { folder: "/etc/letsencrypt".into() });
    assert_eq!((edge.http_listen[0].port(), edge.https_listen[0].port()), (80, 443));
    assert_eq!((edge.outer, edge.page.at), (Outer::Nobody, PageAt::ChatSection));
    assert_eq!(edge.hsts.unwrap().as_secs(), 63_072_000);
    assert!(edge.firewall.gateway_from.is_none() && edge.gateways.is_none());
}

#[test]
fn mistakes_are_named_with_their_line() {
    check(
        Role::Edge,
        "domain: [\"https://ai.example.com\", a.example, a.example]\nhttps_listen: [443]\ntls: files\n",
        &[
            "1 domain[0]: is not a host name",
            "1 domain[2]: is listed twice",
            "2 https_listen[0]: expects text",
            "3 tls: needs the files",
        ],
    );
    check(
        Role::Edge,
        "certificate: a.pem\ntrusted_proxies: [\"0.0.0.0/0\"]\nproxy_protocol: true\nassets_dir: \"/srv/$x\"\nacme: {email: nobody, directory: \"http://ca\"}\n",
        &[
            "1 certificate: is not read while",
            "2 trusted_proxies[0]: trusts the whole internet",
            "4 assets_dir: holds characters",
            "5 acme.email: is not an address for mail",
            "5 acme.directory: is not a URL",
        ],
    );
    check(Role::Edge, "proxy_protocol: true\n", &["1 proxy_protocol: believes whoever connects"]);
    check(Role::Edge, "tls: off\n", &["warning 1 tls: travels readable"]);
    for wrong in ["ssh", "\"0\"", "51820/sctp", "51820/", "/udp", "0/udp", "70000/udp"] {
        let text = format!("firewall: {{open_ports: [{wrong}]}}\n");
        check(Role::Edge, &text, &["1 firewall.open_ports[0]: is not a port"]);
    }
}

/// `[::]` takes both families here, so the pair that other programs want would be one socket twice.
#[test]
fn both_families_are_one_listener() {
    let listen = edge("https_listen: [\"0.0.0.0:443\", \"[::]:443\", \"0.0.0.0:8443\", \"127.0.0.1:443\"]\n")
        .https_listen;
    let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["[::]:443", "0.0.0.0:8443", "127.0.0.1:443"]);
}

#[test]
fn open_ports_are_of_tcp_unless_they_say_otherwise() {
    let firewall = edge("firewall: {open_ports: [\"9100\", 51820/udp, 25/tcp]}\n").firewall;
    assert_eq!((firewall.open_ports, firewall.open_udp_ports), (vec![9_100, 25], vec![51_820]));
}

#[test]
fn paths_are_relative_to_the_file() {
    let edge = edge(
        "tls: files\ncertificate: tls/chain.pem\ncertificate_key: tls/key.pem\nnginx: {program: ./nginx}\n",
    );
    let Tls::Files(files) = edge.tls else { panic!() };
    assert_eq!(files.chain, Path::new("tls/chain.pem"), "the file lies in the folder ``");
    assert_eq!(edge.nginx.program, Path::new("./nginx"));
}

#[test]
fn the_page_learns_its_names_and_its_door() {
    let chat = |edge: &str| {
        let text = format!(
            "gateway:\n  ollama_api: http://a:1\n  auth: {{enabled: false}}\nchat: {{}}\nedge:\n  domain: ai.example.com\n{edge}"
        );
        load(Role::Chat, &text).settings().unwrap().0.chat.unwrap()
    };
    assert_eq!((chat("").names, chat("").guarded), (vec!["ai.example.com".to_owned()], false));
    assert!(
        chat("  page: {allow: [10.0.0.0/8]}\n").guarded && chat("  page: {password_file: people}\n").guarded
    );
    assert!(!chat("  page: {allow: [10.0.0.0/8, \"0.0.0.0/0\"]}\n").guarded, "everybody is no list");
    assert!(chat("  page: {address: \"off\"}\n").names.is_empty(), "nobody reaches it by a name");
}
