//! The site as a file: what stands in it, and what must never stand there. What it does is proved by requests, in
//! `tests/test_edge_nginx.py`.

use super::*;
use crate::config::Settings;
use crate::config::edge::{CertificateFiles, EdgeSettings, Name};

fn settings(change: impl FnOnce(&mut EdgeSettings)) -> Site {
    let tls = Tls::Files(CertificateFiles { chain: "/c/chain.pem".into(), key: "/c/key.pem".into() });
    let mut edge = EdgeSettings { tls, ..EdgeSettings::default() };
    change(&mut edge);
    Site::new(&Settings::default(), &edge, vec![Name::parse("ai.example.com").unwrap()]).unwrap()
}

fn rendered(version: Version, change: impl FnOnce(&mut EdgeSettings)) -> String {
    site(&settings(change), &of(version), Extent::Whole).unwrap()
}

fn of(version: Version) -> Nginx {
    Nginx::of_version(version).unwrap()
}

const OLD: Version = Version(1, 22, 1);

#[test]
fn the_site_of_a_plain_configuration() {
    insta::assert_snapshot!(rendered(OLD, |edge| {
        edge.http_listen = vec!["127.0.0.1:80".parse().unwrap()];
        edge.https_listen = vec!["127.0.0.1:443".parse().unwrap()];
    }));
}

#[test]
fn each_version_gets_its_own_words() {
    let old = rendered(OLD, |_| {});
    assert!(old.contains("ssl http2") && !old.contains("http2 on"));
    let new = rendered(Version(1, 25, 1), |_| {});
    assert!(new.contains("http2 on;") && !new.contains("ssl http2"));
}

#[test]
fn the_port_that_browsers_know() {
    let at = |change: fn(&mut EdgeSettings)| {
        rendered(OLD, |edge| {
            edge.https_listen = vec!["127.0.0.1:8443".parse().unwrap()];
            change(edge);
        })
    };
    assert!(at(|_| {}).contains("return 308 https://$host:8443$request_uri;"));
    let behind = at(|edge| edge.outer = Outer::ProxyProtocol(vec!["192.0.2.1/32".parse().unwrap()]));
    assert!(behind.contains("return 308 https://$host$request_uri;") && behind.contains("Host $host;"));
    assert!(at(|edge| edge.public_port = Some(444)).contains("Host $host:444;"));
    assert!(at(|edge| edge.public_port = Some(443)).contains("Host $host;"));
}

#[test]
fn what_no_site_holds() {
    let text = rendered(OLD, |_| {});
    for wrong in [
        "rewrite",
        " if ",
        "proxy_add_x_forwarded_for",
        "$http_upgrade",
        "location ~",
        "ssl_stapling",
        "X-Api-Key $",
    ] {
        assert!(!text.contains(wrong), "{wrong}");
    }
    let directives = text.lines().map(str::trim).filter(|line| line.starts_with("proxy_pass"));
    for line in directives {
        assert!(
            line.ends_with("gateway;") || line.ends_with("page;"),
            "a path behind the name rewrites: {line}"
        );
    }
    // Whoever adds a header of his own repeats the others.
    for block in text.split("location ").skip(1).filter(|block| block.contains("add_header")) {
        let block = block.split('}').next_back().map_or(block, |_| block);
        assert!(
            block.contains("x-content-type-options") && block.contains("strict-transport-security"),
            "{block}"
        );
    }
}

#[test]
fn the_page_may_be_absent_or_guarded() {
    use crate::config::edge::PageAt;
    let without = rendered(OLD, |edge| edge.page.at = PageAt::Off);
    assert!(!without.contains(PAGE) && !without.contains("/assets/"));
    let guarded = rendered(OLD, |edge| {
        edge.page.allow = vec!["10.0.0.0/8".parse().unwrap()];
        edge.page.password_file = Some("/etc/gatehouse/people".into());
    });
    let api = guarded.split("location ^~ /v1/ ").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    assert!(!api.contains("allow") && !api.contains("auth_basic"), "the API asks for keys: {api}");
    let home = guarded.split("location = / ").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    assert!(
        home.contains("allow 10.0.0.0/8")
            && home.contains("deny all")
            && home.contains("auth_basic_user_file")
    );
}

#[test]
fn before_there_is_a_certificate_only_the_challenge_is_served() {
    let nginx = of(OLD);
    let text = site(&settings(|_| {}), &nginx, Extent::Challenge).unwrap();
    assert!(
        text.contains("acme-challenge") && !text.contains("ssl_certificate") && !text.contains("proxy_pass")
    );
}

#[test]
fn a_file_says_how_much_of_the_site_it_holds() {
    let nginx = of(OLD);
    for extent in [Extent::Whole, Extent::Challenge] {
        assert_eq!(Extent::written(&site(&settings(|_| {}), &nginx, extent).unwrap()), Some(extent));
    }
    for foreign in ["", "server {}", "# mine\n# Written by `gatehouse edge` for nginx\n"] {
        assert_eq!(Extent::written(foreign), None, "{foreign}");
    }
}

#[test]
fn https_is_written_once_there_is_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let site = settings(|edge| edge.tls = Tls::Certbot { folder: folder.path().into() });
    assert_eq!(Extent::of(&site), Extent::Challenge);
    let live = folder.path().join("live/ai.example.com");
    std::fs::create_dir_all(&live).unwrap();
    std::fs::write(live.join("fullchain.pem"), "").unwrap();
    assert_eq!(Extent::of(&site), Extent::Challenge, "a certificate without its key");
    std::fs::write(live.join("privkey.pem"), "").unwrap();
    assert_eq!(Extent::of(&site), Extent::Whole);
    assert_eq!(
        Extent::of(&settings(|_| {})),
        Extent::Whole,
        "files of one's own are named whether they are there or not"
    );
}

#[test]
fn plain_http_has_no_tls_and_a_warning() {
    let text = rendered(OLD, |edge| edge.tls = Tls::Off);
    assert!(
        text.contains("WARNING")
            && !text.contains("ssl_cert")
            && !text.contains("ssl_protocols ")
            && !text.contains("add_header strict-transport")
    );
}

#[test]
fn several_gateways_never_run_a_request_twice() {
    let text = rendered(OLD, |edge| {
        edge.gateways = Some(vec!["10.0.0.1:18789".parse().unwrap(), "10.0.0.2:18789".parse().unwrap()]);
    });
    assert!(text.contains("least_conn") && text.contains("server 10.0.0.2:18789 max_fails=2"));
    assert!(
        text.contains("proxy_next_upstream error;")
            && !text.contains("non_idempotent")
            && !text.contains("timeout;")
    );
    assert!(rendered(OLD, |_| {}).contains("proxy_next_upstream off"));
}

#[test]
fn an_outer_proxy_is_believed_by_name() {
    let nets = vec!["192.0.2.0/24".parse().unwrap()];
    let header = rendered(OLD, |edge| edge.outer = Outer::Header(nets.clone()));
    assert!(header.contains("set_real_ip_from 192.0.2.0/24;") && header.contains("real_ip_recursive on"));
    assert!(header.contains("X-Forwarded-Proto $gatehouse_scheme"));
    let protocol = rendered(OLD, |edge| edge.outer = Outer::ProxyProtocol(nets));
    assert!(protocol.contains("http2 proxy_protocol") && protocol.contains("real_ip_header proxy_protocol"));
    let poor = Nginx {
        version: OLD,
        built_with: vec!["--with-http_ssl_module".into(), "--with-http_v2_module".into()],
        stated: Vec::new(),
    };
    let edge = settings(|edge| edge.outer = Outer::Header(vec!["192.0.2.1/32".parse().unwrap()]));
    assert!(matches!(
        site(&edge, &poor, Extent::Whole),
        Err(RenderError::Module(_, "http_realip_module", _))
    ));
}

#[test]
fn long_names_and_many_get_room_unless_another_file_gives_it() {
    let named = |names: Vec<Name>, nginx: &Nginx| {
        let tls = Tls::Files(CertificateFiles { chain: "/c/chain.pem".into(), key: "/c/key.pem".into() });
        let edge = EdgeSettings { tls, ..EdgeSettings::default() };
        let served = Site::new(&Settings::default(), &edge, names).unwrap();
        let written = site(&served, nginx, Extent::Whole).unwrap();
        (written, whole(&served, nginx, Extent::Whole, None).unwrap())
    };
    let name = |length: usize| Name::parse(&format!("{}.example.com", "a".repeat(length - 12))).unwrap();
    let (bucket, table) = ("server_names_hash_bucket_size", "server_names_hash_max_size");
    assert!(!named(vec![name(46)], &of(OLD)).0.contains("server_names_hash"));
    assert!(named(vec![name(47)], &of(OLD)).0.contains(&format!("\n{bucket} 128;\n")));
    let many = (0..400).map(|number| Name::parse(&format!("a{number}.example")).unwrap()).collect();
    assert!(named(many, &of(OLD)).0.contains(&format!("\n{table} 2048;\n")));
    let stated = Nginx { stated: vec![bucket.to_owned()], ..of(OLD) };
    let (beside, alone) = named(vec![name(47)], &stated);
    assert!(!beside.contains(bucket), "a second line would be an error");
    assert!(alone.contains(bucket), "nothing stands beside a whole configuration");
}

#[test]
fn the_gateway_s_own_header_for_keys_ends_before_the_page() {
    let mut served = settings(|_| {});
    served.key_header = Some(http::HeaderName::from_static("x-company-key"));
    let text = site(&served, &of(OLD), Extent::Whole).unwrap();
    assert_eq!(text.matches("proxy_set_header x-company-key \"\";").count(), 1);
    served.key_header = Some(http::HeaderName::from_static("x-api-key"));
    let text = site(&served, &of(OLD), Extent::Whole).unwrap();
    assert!(text.contains("proxy_set_header X-Api-Key \"\";") && !text.contains("x-api-key"));
}
