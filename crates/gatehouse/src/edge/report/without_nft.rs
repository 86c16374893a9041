//! What can be said of the packet filter where the program `nft` is not there to list it.
//!
//! Why here: a machine without `nft` most often has no filter at all, and a report that skips the question there is read as a
//! good one. But iptables works without `nft`, and then this machine is not open.
//!
//! Never here: what such rules let in.

use std::path::Path;

use crate::edge::program::{find, run};

/// Tables of the old iptables, which neither nft nor the new iptables sees.
const LEGACY: [&str; 2] = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];
/// The bit of `CAP_NET_ADMIN`, without which the kernel tells nobody its rules.
const NET_ADMIN: u32 = 12;

/// Whether this process may read the kernel's rules at all; root in a container often may not.
pub(super) fn may_read() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    has_net_admin(&status)
}

fn has_net_admin(status: &str) -> bool {
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> NET_ADMIN & 1 == 1)
}

pub(super) fn legacy() -> bool {
    let holds_words = |file: &Path| std::fs::read_to_string(file).is_ok_and(|text| !text.trim().is_empty());
    LEGACY.iter().any(|file| holds_words(Path::new(file)))
}

/// Programs of iptables whose chains refuse something that arrives.
pub(super) async fn refusing() -> Vec<String> {
    let mut found = Vec::new();
    for name in ["iptables", "ip6tables"] {
        let Some(program) = find(name) else { continue };
        let listed = run(&program, &["-S"], "").await;
        if listed.is_ok_and(|ended| ended.status.success() && refuses(&ended.out)) {
            found.push(format!("{name} (it refuses something)"));
        }
    }
    found
}

/// By its policy, or by a rule of any chain that `INPUT` may jump to.
fn refuses(listed: &str) -> bool {
    listed.lines().any(|line| {
        let drops = |word: &str| matches!(word, "DROP" | "REJECT");
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["-P", "INPUT", policy] => drops(policy),
            ["-A", chain, rest @ ..] => {
                let elsewhere = ["FORWARD", "OUTPUT"].contains(chain) || chain.starts_with("DOCKER");
                !elsewhere && rest.windows(2).any(|pair| matches!(pair, ["-j", to] if drops(to)))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_the_rules() {
        for (status, may) in [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", true),
            ("CapEff:\t0000000000001000\n", true),
            ("CapEff:\t0000000000000000\n", false),
            ("CapEff:\t00000000a80425fb\n", false),
            ("", false),
        ] {
            assert_eq!(has_net_admin(status), may, "{status}");
        }
    }

    #[test]
    fn what_iptables_refuses() {
        for (listed, refusing) in [
            ("-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n", false),
            ("-P INPUT DROP\n", true),
            ("-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 11434 -j DROP\n", true),
            ("-P INPUT ACCEPT\n-A ufw-user-input -j REJECT --reject-with icmp-port-unreachable\n", true),
            ("-P INPUT ACCEPT\n-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP\n-A FORWARD -j DROP\n", false),
            ("-P INPUT ACCEPT\n-A INPUT -j ACCEPT\n", false),
            ("", false),
        ] {
            assert_eq!(refuses(listed), refusing, "{listed}");
        }
    }
}
