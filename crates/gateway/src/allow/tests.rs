//! Peers x headers: which address a request counts for.

use super::*;

const REFUSED: Option<(&str, bool)> = None;

fn rules(allow: Option<&[&str]>, trusted: &[&str]) -> AddressRules {
    let networks = |list: &[&str]| list.iter().map(|text| network(text)).collect::<Vec<_>>();
    AddressRules::new(&Addresses { allow: allow.map(networks), trusted_proxies: networks(trusted) })
}

fn network(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| IpNet::from(ip(text)))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The seed's list, with an nginx on a machine of its own and a second balancer before it.
fn company() -> AddressRules {
    rules(Some(&["127.0.0.1", "10.0.0.0/16", "2001:db8::/32"]), &["192.0.2.7", "192.0.2.8", "fd00::7"])
}

#[test]
fn accept_follows_the_list() {
    let company = company();
    let cases = [
        ("127.0.0.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("127.0.0.2", false),
        ("10.0.255.255", true),
        ("10.1.0.0", false),
        ("::ffff:10.0.3.4", true),
        ("::ffff:10.1.3.4", false),
        ("2001:db8::9", true),
        ("2001:db9::9", false),
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("192.0.2.9", false),
        ("0.0.0.0", false),
    ];
    for (peer, expected) in cases {
        assert_eq!(company.accepts(ip(peer)), expected, "{peer}");
    }
}

#[test]
fn without_a_list_everybody_is_kept() {
    let open = rules(None, &[]);
    for peer in ["203.0.113.9", "::1", "2001:db8::1", "::ffff:1.2.3.4"] {
        assert!(open.accepts(ip(peer)), "{peer}");
        assert!(!open.trusts(ip(peer)), "{peer}");
    }
}

#[test]
fn an_empty_list_keeps_nobody() {
    assert!(!rules(Some(&[]), &[]).accepts(ip("127.0.0.1")));
}

#[test]
fn networks_are_compared_in_one_form() {
    let cases = [
        ("::ffff:10.0.0.0/104", "10.200.0.1", true),
        ("::ffff:10.0.0.0/104", "11.0.0.1", false),
        ("::ffff:10.0.0.5", "10.0.0.5", true),
        ("10.0.0.0/8", "::ffff:10.9.9.9", true),
        ("::/0", "2001:db8::1", true),
        ("::/0", "10.0.0.1", false),
        ("0.0.0.0/0", "10.0.0.1", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("127.0.0.0/8", "::1", true),
        ("127.0.0.2", "::1", false),
        ("::1", "127.0.0.1", false),
    ];
    for (listed, peer, expected) in cases {
        assert_eq!(rules(Some(&[listed]), &[]).accepts(ip(peer)), expected, "{listed} and {peer}");
    }
}

/// A proxy on this machine that connects over ::1 must not make its callers look like this machine.
#[test]
fn a_loopback_proxy_is_trusted_in_both_families() {
    let local = rules(Some(&["127.0.0.1", "10.0.0.0/16"]), &["127.0.0.1"]);
    for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        check(&local, peer, &[("x-real-ip", "203.0.113.9")], REFUSED);
        check(&local, peer, &[("x-real-ip", "10.0.0.9")], Some(("10.0.0.9", true)));
        check(&local, peer, &[], Some((if peer == "::1" { "::1" } else { "127.0.0.1" }, true)));
    }
}

fn check(rules: &AddressRules, peer: &str, headers: &[(&str, &str)], expected: Option<(&str, bool)>) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = name.parse::<HeaderName>().unwrap();
        map.append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    match (rules.client(ip(peer), &map), expected) {
        (Ok(client), Some((address, via_proxy))) => {
            assert_eq!((client.address, client.via_proxy), (ip(address), via_proxy), "{peer} {headers:?}");
        }
        (Err(Error::AddressRefused), None) => {}
        (got, expected) => panic!("{peer} {headers:?}: {got:?} instead of {expected:?}"),
    }
}

#[test]
fn an_untrusted_peer_is_what_it_is_whatever_it_says() {
    let lies: [&[(&str, &str)]; 9] = [
        &[],
        &[("x-real-ip", "10.0.0.1")],
        &[("x-real-ip", "10.0.0.1"), ("x-real-ip", "10.0.0.2")],
        &[("x-forwarded-for", "10.0.0.1")],
        &[("x-forwarded-for", "10.0.0.1, 192.0.2.7")],
        &[("forwarded", "for=10.0.0.1")],
        &[("x-real-ip", "nonsense")],
        &[("x-forwarded-for", ",,,")],
        &[("x-client-ip", "10.0.0.1"), ("true-client-ip", "10.0.0.1"), ("cf-connecting-ip", "10.0.0.1")],
    ];
    for headers in lies {
        check(&company(), "10.0.0.77", headers, Some(("10.0.0.77", false)));
        check(&company(), "::ffff:10.0.0.77", headers, Some(("10.0.0.77", false)));
        check(&company(), "2001:db8::5", headers, Some(("2001:db8::5", false)));
        check(&company(), "203.0.113.9", headers, REFUSED);
    }
}

/// Headers, and the address with whether a proxy stated it; `REFUSED` otherwise.
type Case<'a> = (&'a [(&'a str, &'a str)], Option<(&'a str, bool)>);

#[test]
fn a_trusted_proxy_states_the_address() {
    let cases: [Case; 22] = [
        (&[("x-real-ip", "10.0.0.1")], Some(("10.0.0.1", true))),
        (&[("x-real-ip", " 10.0.0.1\t")], Some(("10.0.0.1", true))),
        (&[("x-real-ip", "::ffff:10.0.0.1")], Some(("10.0.0.1", true))),
        (&[("x-real-ip", "::FFFF:a00:1")], Some(("10.0.0.1", true))),
        (&[("x-real-ip", "2001:db8::1")], Some(("2001:db8::1", true))),
        (&[("x-real-ip", "203.0.113.9")], REFUSED),
        (&[("x-real-ip", "10.0.0.1"), ("x-real-ip", "10.0.0.1")], REFUSED),
        // X-Real-IP wins: nginx appends what the client wrote to the other one.
        (&[("x-real-ip", "203.0.113.9"), ("x-forwarded-for", "10.0.0.1")], REFUSED),
        (&[("x-real-ip", "10.0.0.2"), ("x-forwarded-for", "nonsense")], Some(("10.0.0.2", true))),
        (&[("x-forwarded-for", "10.0.0.1")], Some(("10.0.0.1", true))),
        (&[("x-forwarded-for", "10.0.0.1, 203.0.113.9")], REFUSED),
        (&[("x-forwarded-for", "203.0.113.9, 10.0.0.1")], Some(("10.0.0.1", true))),
        (&[("x-forwarded-for", "203.0.113.9, 10.0.0.1,192.0.2.8")], Some(("10.0.0.1", true))),
        (&[("x-forwarded-for", "<script>, 10.0.0.1")], Some(("10.0.0.1", true))),
        (&[("x-forwarded-for", "10.0.0.1, <script>")], REFUSED),
        (&[("x-forwarded-for", "10.0.0.1, <script>, 192.0.2.8")], REFUSED),
        (&[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.0.0.1")], Some(("10.0.0.1", true))),
        (&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "203.0.113.9")], REFUSED),
        // A proxy that speaks for itself (its own health check) has to be on the list like anybody.
        (&[("x-forwarded-for", "192.0.2.8, 192.0.2.8")], REFUSED),
        (&[], REFUSED),
        (&[("forwarded", "for=10.0.0.1")], REFUSED),
        (&[("x-forwarded-for", "")], REFUSED),
    ];
    for (headers, expected) in cases {
        check(&company(), "192.0.2.7", headers, expected);
        check(&company(), "::ffff:192.0.2.7", headers, expected);
        check(&company(), "fd00::7", headers, expected);
    }
}

#[test]
fn a_proxy_that_states_nothing_is_its_own_client() {
    let rules = rules(Some(&["192.0.2.0/24"]), &["192.0.2.7", "192.0.2.8"]);
    check(&rules, "192.0.2.7", &[], Some(("192.0.2.7", true)));
    check(&rules, "192.0.2.7", &[("x-forwarded-for", "192.0.2.8")], Some(("192.0.2.8", true)));
    check(&rules, "192.0.2.7", &[("x-forwarded-for", "192.0.2.8, 192.0.2.7")], Some(("192.0.2.8", true)));
}

#[test]
fn nonsense_from_a_trusted_proxy_is_refused() {
    let open = rules(None, &["192.0.2.7"]);
    let nonsense = [
        "",
        "-",
        "unknown",
        "unix:",
        "localhost",
        "10.0.0.01",
        "010.0.0.1",
        "10.0.0.1:443",
        "10.0.0.1/32",
        "10.0.0",
        "10.0.0.256",
        "0x0a.0.0.1",
        "167772161",
        "10.0.0.1 10.0.0.2",
        "10.0.0.1;10.0.0.2",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "::ffff:10.0.0.01",
        ":::1",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "\u{661}0.0.0.1",
        "\u{ff11}0.0.0.1",
        "10.0.0.1\u{a0}",
    ];
    for text in nonsense {
        check(&open, "192.0.2.7", &[("x-real-ip", text)], REFUSED);
        check(&open, "192.0.2.7", &[("x-forwarded-for", text)], REFUSED);
        check(&open, "192.0.2.9", &[("x-real-ip", text)], Some(("192.0.2.9", false)));
    }
}
