//! Who may connect: the allow-list, trusted proxies, and whether both can mean what they seem to mean.
//!
//! Why here: an allow-list behind a proxy that it does not trust sees only the proxy. It then looks like a protection and
//! admits everybody, so such a file does not start.
//!
//! Never here: judging a connection; that is the gateway's, at accept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gateway::config::Addresses;
use ipnet::IpNet;

use crate::config::addresses::networks;
use crate::config::section::{At, Section};

pub(super) fn read(section: &Section<'_>, listen: &[At<SocketAddr>]) -> Addresses {
    let trusted: Vec<IpNet> = networks(section, "trusted_proxies").into_iter().map(|at| at.value).collect();
    for at in networks(section, "trusted_proxies").iter().filter(|at| at.value.prefix_len() == 0) {
        let what = "trusts the whole internet to say who it is";
        section.report().error(&at.place, what, "name only the proxy's own address");
    }
    let table = section.section("whitelist");
    let enabled = table.flag("enabled");
    let allowed = networks(&table, "ips");
    let on = section.has("whitelist") && enabled.value;
    if on {
        check(&table, &allowed, listen, trusted.is_empty());
    }
    let allow = on.then(|| with_local_twin(allowed.into_iter().map(|at| at.value).collect()));
    Addresses { allow, trusted_proxies: trusted }
}

/// Without keys the address is all that is left to judge by.
pub(super) fn check_open(
    section: &Section<'_>,
    listen: &[At<SocketAddr>],
    open: bool,
    addresses: &Addresses,
) {
    if !open || addresses.allow.is_some() {
        return;
    }
    if let Some(at) = listen.iter().find(|at| !at.value.ip().is_loopback()) {
        let place = section.section("auth").place_of("enabled");
        let what = format!("without keys, everybody who reaches {} could use the models", at.value);
        let fix = "enable auth, listen on 127.0.0.1 only, or add a `whitelist`";
        section.report().error(&place, what, fix);
    }
}

fn check(table: &Section<'_>, allowed: &[At<IpNet>], listen: &[At<SocketAddr>], no_proxies: bool) {
    let report = table.report();
    let place = table.place_of("ips");
    let local = |net: &IpNet| net.addr().is_loopback();
    if allowed.is_empty() {
        if table.texts("ips").is_none_or(|texts| texts.value.is_empty()) {
            report.error(
                &place,
                "the list is empty, so nobody could connect",
                "list addresses, or set `enabled: false`",
            );
        }
        return;
    }
    let only_loopback = listen.iter().all(|at| at.value.ip().is_loopback());
    let foreign = allowed.iter().find(|at| !local(&at.value));
    match foreign {
        Some(foreign) if only_loopback && no_proxies => {
            let what = format!(
                "`{}` can never be seen: every listener is loopback, so callers are local programs or a proxy",
                foreign.value
            );
            let fix = "set `trusted_proxies` to the proxy's address, so that the address it states is judged";
            report.error(&foreign.place, what, fix);
        }
        None if no_proxies && only_loopback => {
            let what = "admits only this machine, which loopback listeners do anyway";
            let fix = "with a proxy in front, set `trusted_proxies` and list the networks of your users";
            report.warning(&place, what, fix);
        }
        _ if no_proxies && allowed.iter().any(|at| local(&at.value)) => {
            let what = "admits this machine: a proxy that runs here lets everybody through, whatever else the list says";
            report.warning(&place, what, "if there is one, set `trusted_proxies: [\"127.0.0.1\"]`");
        }
        _ => {}
    }
}

/// `localhost` may arrive as `::1` on a listener for every interface; a list that says 127.0.0.1 means both.
fn with_local_twin(mut allowed: Vec<IpNet>) -> Vec<IpNet> {
    let has = |ip: IpAddr, all: &[IpNet]| all.iter().any(|net| net.contains(&ip));
    let twin = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if has(Ipv4Addr::LOCALHOST.into(), &allowed) && !has(twin, &allowed) {
        allowed.push(twin.into());
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_machine_has_two_names() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let all = with_local_twin(vec![net("127.0.0.1/32"), net("10.0.0.0/16")]);
        assert!(all.iter().any(|n| n.contains(&IpAddr::from(Ipv6Addr::LOCALHOST))));
        assert_eq!(with_local_twin(vec![net("10.0.0.0/16")]).len(), 1);
    }
}
