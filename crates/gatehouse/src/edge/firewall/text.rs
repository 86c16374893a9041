//! The rules as nftables reads them: one table of ours, replaced whole, and nothing else touched.
//!
//! Why here: an operator reads this file before he trusts it, so each line says from which setting it comes.
//!
//! Never here: loading, what the ports are for ([`crate::edge::ports`]).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{FAMILY, TABLE};
use crate::edge::ports::{Guarded, Part, Ports};

/// New connections to SSH from one address, and how many may come at once. A person needs fewer, a guesser more.
const SSH_PER_MINUTE: u32 = 15;
const SSH_AT_ONCE: u32 = 30;
/// Addresses whose pace is remembered; when they are too many, further ones are let in.
const SSH_REMEMBERED: u32 = 65_536;

const HEAD: &str = r#"#!/usr/sbin/nft -f
# Packet filter for {names}. Made by `gatehouse edge firewall` from the configuration: change that, not this file.
#
#   test      nft -c -f FILE
#   load      gatehouse edge firewall --apply    asks you whether you still get in, and takes the rules back without an answer
#             nft -f FILE                        at once, and without a way back: not over the ssh connection that you need
#   keep      after a restart of the machine: write this file to /etc/nftables.d/gatehouse.nft, end /etc/nftables.conf with
#                 include "/etc/nftables.d/*.nft"
#             and run: systemctl enable nftables
#   count     nft list counters table {table}
#   take out  nft delete table {table}
#
# Only the table `{table}` is touched. Loading it again replaces it whole; open connections live on, counters begin anew.
# Other tables stay in force: what ufw or firewalld closes is not opened by this.
"#;

/// The whole file.
pub(super) fn render(names: &str, ports: &Ports) -> String {
    let table = format!("{FAMILY} {TABLE}");
    let mut out = HEAD.replace("{names}", names).replace("{table}", &table);
    // The first line makes it where there is none, so that the second one always can delete it.
    let _ = writeln!(out, "\ntable {table}\ndelete table {table}\n\ntable {table} {{");
    counters(&mut out, ports);
    sets(&mut out, ports);
    refuse(&mut out);
    ssh(&mut out, ports);
    input(&mut out, ports);
    forward(&mut out, ports);
    out.push_str("}\n");
    out
}

/// Writing into a String cannot fail.
fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "\t\t{text}");
}

fn passed(guarded: &Guarded) -> String {
    format!("passed_{}_{}", guarded.part.word(), guarded.port)
}

fn refused(guarded: &Guarded) -> String {
    format!("refused_{}_{}", guarded.part.word(), guarded.port)
}

fn counters(out: &mut String, ports: &Ports) {
    let mut names = Vec::new();
    for guarded in &ports.guarded {
        if guarded.part == Part::Gateway {
            names.push(passed(guarded));
        }
        names.push(refused(guarded));
    }
    names.extend(["refused_ssh".to_owned(), "refused_other".to_owned()]);
    for name in names {
        let _ = writeln!(out, "\tcounter {name} {{ }}");
    }
    out.push('\n');
}

fn sets(out: &mut String, ports: &Ports) {
    list(out, "gateway_from", "edge.firewall.gateway_from, else gateway.whitelist.ips", &ports.gateway_from);
    if !ports.ssh_from.is_empty() {
        list(out, "ssh_from", "edge.firewall.ssh_from", &ports.ssh_from);
    }
    for (name, kind) in [("ssh_pace_v4", "ipv4_addr"), ("ssh_pace_v6", "ipv6_addr")] {
        let _ = writeln!(
            out,
            "\tset {name} {{\n\t\ttype {kind}\n\t\tsize {SSH_REMEMBERED}\n\t\tflags dynamic,timeout\n\t\ttimeout 2m\n\t}}"
        );
    }
    out.push('\n');
}

/// A list for each family; an empty one admits nobody.
fn list(out: &mut String, name: &str, setting: &str, nets: &[IpNet]) {
    let _ = writeln!(out, "\t# {setting}");
    for (version, kind) in [("v4", "ipv4_addr"), ("v6", "ipv6_addr")] {
        let fits = |net: &&IpNet| matches!(net, IpNet::V4(_)) == (version == "v4");
        let elements: Vec<_> = nets.iter().filter(fits).map(ToString::to_string).collect();
        let _ = writeln!(out, "\tset {name}_{version} {{\n\t\ttype {kind}\n\t\tflags interval");
        if !elements.is_empty() {
            let _ = writeln!(out, "\t\telements = {{ {} }}", elements.join(", "));
        }
        out.push_str("\t}\n");
    }
}

fn refuse(out: &mut String) {
    out.push_str("\tchain refuse {\n");
    line(out, "# A few lines for the kernel's log, not one for each packet: a flood must not fill the disk.");
    line(out, "limit rate 6/minute burst 6 packets log prefix \"gatehouse refused: \" level info");
    line(out, "drop");
    out.push_str("\t}\n\n");
}

fn ssh(out: &mut String, ports: &Ports) {
    out.push_str("\tchain ssh {\n");
    if !ports.ssh_from.is_empty() {
        line(out, "# edge.firewall.ssh_from");
        line(out, "ip saddr != @ssh_from_v4 counter name refused_ssh drop");
        line(out, "ip6 saddr != @ssh_from_v6 counter name refused_ssh drop");
    }
    line(
        out,
        &format!(
            "# Each address, and each /64 of IPv6, may connect {SSH_PER_MINUTE} times a minute, {SSH_AT_ONCE} at once."
        ),
    );
    let pace = format!("limit rate over {SSH_PER_MINUTE}/minute burst {SSH_AT_ONCE} packets");
    for (set, key) in [("ssh_pace_v4", "ip saddr"), ("ssh_pace_v6", "ip6 saddr & ffff:ffff:ffff:ffff::")] {
        line(out, &format!("ct state new update @{set} {{ {key} {pace} }} counter name refused_ssh drop"));
    }
    line(out, "accept");
    out.push_str("\t}\n\n");
}

fn input(out: &mut String, ports: &Ports) {
    out.push_str("\tchain input {\n");
    line(out, "type filter hook input priority filter; policy drop;\n");
    line(out, "# This machine itself, also under its own outside addresses.");
    line(out, "iif \"lo\" accept");
    line(out, "ct state vmap { established : accept, related : accept, invalid : drop }\n");
    icmp(out);
    for public in &ports.public {
        line(out, &format!("# {}", public.setting));
        line(out, &format!("{}tcp dport {} accept", only_at(public.at), public.at.port()));
    }
    for (protocol, open) in [("tcp", &ports.open), ("udp", &ports.open_udp)] {
        for port in open {
            line(out, "# edge.firewall.open_ports");
            line(out, &format!("{protocol} dport {port} accept"));
        }
    }
    line(out, "# edge.firewall.ssh_port");
    line(out, &format!("tcp dport {} jump ssh\n", ports.ssh));
    for guarded in &ports.guarded {
        line(out, &format!("# {}: {}", guarded.part.word(), guarded.setting));
        if guarded.part == Part::Gateway {
            for from in ["ip saddr @gateway_from_v4", "ip6 saddr @gateway_from_v6"] {
                line(
                    out,
                    &format!("tcp dport {} {from} counter name {} accept", guarded.port, passed(guarded)),
                );
            }
        }
        line(out, &format!("tcp dport {} counter name {} jump refuse", guarded.port, refused(guarded)));
    }
    line(out, "counter name refused_other");
    out.push_str("\t}\n\n");
}

fn icmp(out: &mut String) {
    line(out, "# What networks need to work: errors, reachability, and for IPv6 the neighbours' addresses.");
    line(out, "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept");
    line(
        out,
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
    );
    line(
        out,
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
    );
    line(
        out,
        "ip6 saddr fe80::/10 icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
    );
    line(out, "icmp type echo-request limit rate 20/second burst 40 packets accept");
    line(out, "icmpv6 type echo-request limit rate 20/second burst 40 packets accept");
    line(out, "# Without these a machine loses its address when the lease ends.");
    line(out, "udp sport 67 udp dport 68 accept");
    line(out, "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n");
}

/// What narrows a public port to the addresses that are configured.
fn only_at(at: SocketAddr) -> String {
    match at.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => "meta nfproto ipv4 ".to_owned(),
        IpAddr::V4(ip) => format!("ip daddr {ip} "),
        IpAddr::V6(ip) if ip.is_unspecified() => String::new(),
        IpAddr::V6(ip) => format!("ip6 daddr {ip} "),
    }
}

fn forward(out: &mut String, ports: &Ports) {
    out.push_str("\tchain forward {\n");
    line(
        out,
        "# What a container publishes (`docker run -p`) is forwarded and never sees the chain `input`. The same ports are",
    );
    line(
        out,
        "# closed here; other published ports are the container engine's affair (for Docker: the chain DOCKER-USER).",
    );
    line(out, "type filter hook forward priority filter; policy accept;");
    line(out, "ct state established,related accept");
    for guarded in &ports.guarded {
        let published = format!("ct status dnat meta l4proto tcp ct original proto-dst {}", guarded.port);
        if guarded.part == Part::Gateway {
            for from in ["ip saddr @gateway_from_v4", "ip6 saddr @gateway_from_v6"] {
                line(out, &format!("{published} {from} counter name {} accept", passed(guarded)));
            }
        }
        line(out, &format!("{published} counter name {} jump refuse", refused(guarded)));
    }
    out.push_str("\t}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        let at = |text: &str| text.parse().unwrap();
        let net = |text: &str| text.parse().unwrap();
        let public = |text: &str, setting| crate::edge::ports::Public { at: at(text), setting };
        let guarded = |part, port, setting| Guarded { part, port, setting };
        Ports {
            public: vec![
                public("[::]:80", "edge.http_listen"),
                public("192.0.2.1:443", "edge.https_listen"),
                public("[2001:db8::1]:443", "edge.https_listen"),
                public("0.0.0.0:8443", "edge.https_listen"),
            ],
            guarded: vec![
                guarded(Part::Gateway, 18_789, "gateway.listen"),
                guarded(Part::Page, 8_080, "chat.server"),
                guarded(Part::Model, 11_434, "Ollama's own port, whatever is configured"),
            ],
            open: vec![9_100],
            open_udp: vec![51_820],
            ssh: 2_222,
            ssh_from: vec![net("192.0.2.0/24")],
            gateway_from: vec![net("10.0.0.0/16"), net("fd00::/8")],
            conflicts: Vec::new(),
        }
    }

    #[test]
    fn the_whole_file() {
        insta::assert_snapshot!(render("ai.example.com", &ports()));
    }
}
