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

#[test]
fn one_port_is_one_listener_s() {
    check(
        Role::Edge,
        "domain: a.example\nhttp_listen: [\":8443\", \":8443\"]\nhttps_listen: \"127.0.0.1:443\"\n",
        &["2 http_listen[1]: is listed twice"],
    );
    let both = "1.2.3.4:443";
    let text = format!("domain: a.example\nhttp_listen: \"{both}\"\nhttps_listen: \"{both}\"\n");
    check(Role::Edge, &text, &["3 https_listen: is also `edge.http_listen`"]);
    // Without TLS nobody listens there.
    check(Role::Edge, &format!("{text}tls: off\n"), &["warning 4 tls: travels readable"]);
    let apart = "domain: a.example\nhttp_listen: \":443\"\nhttps_listen: \"127.0.0.1:443\"\n";
    check(Role::Edge, apart, &[]);
}

#[test]
fn what_another_part_listens_on_is_not_the_edge_s() {
    let house = |gateway: &str, edge: &str| {
        format!(
            "gateway:\n  ollama_api: http://127.0.0.1:11434\n  auth: {{enabled: false}}\n  listen: \"{gateway}\"\nchat: {{}}\nedge:\n  domain: a.example\n{edge}"
        )
    };
    check(
        None,
        &house("127.0.0.1:443", "  https_listen: \":443\"\n"),
        &["8 edge.https_listen: is also `gateway.listen`"],
    );
    check(
        None,
        &house("127.0.0.1:18789", "  http_listen: \":8080\"\n"),
        &["8 edge.http_listen: is also `chat.server`"],
    );
    check(
        None,
        &house("127.0.0.1:18789", "  gateways: [\"127.0.0.1:443\"]\n"),
        &["8 edge.gateways: leads back to the site's own"],
    );
    check(
        None,
        &house("127.0.0.1:18789", "  page: {address: \"127.0.0.1:80\"}\n"),
        &["8 edge.page.address: leads back to the site's own"],
    );
    // Another machine's port is its own.
    check(None, &house("127.0.0.1:18789", "  gateways: [\"10.0.0.5:443\"]\n"), &[]);
}

#[test]
fn names_that_https_cannot_serve() {
    check(
        Role::Edge,
        "domain: [127.0.0.1, \"10.1\", m\u{fc}ller.example]\ntls: certbot\n",
        &[
            "1 domain[2]: there it begins with `xn--`",
            "2 tls: 127.0.0.1 is an address, and HTTPS is served by name",
            "2 tls: 10.1 is an address, and HTTPS is served by name",
        ],
    );
    check(Role::Edge, "domain: 192.168.1.5\ntls: off\n", &["warning 2 tls: travels readable"]);
}

#[test]
fn halves_of_the_internet_are_the_internet() {
    check(
        Role::Edge,
        "domain: a.example\ntrusted_proxies: [\"0.0.0.0/1\", \"10.0.0.1\", \"128.0.0.0/1\"]\n",
        &["2 trusted_proxies: together they trust the whole internet"],
    );
}

#[test]
fn a_folder_that_other_programs_misread_is_named_for_it() {
    let none = |_: &str| None;
    let file = Path::new("/srv/a b/gatehouse.yaml");
    let context = crate::config::Context::new(file, &none);
    let read = crate::config::read(
        file,
        "edge: {domain: a.example, assets_dir: assets}",
        crate::config::Expectation::default(),
        &context,
    );
    let problems = read.report.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].what.contains("this file's folder `/srv/a b`"), "{}", problems[0].what);
}
