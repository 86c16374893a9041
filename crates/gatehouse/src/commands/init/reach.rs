//! Which other machines the gateway's unit has to be let out to: the packaged one reaches this machine alone.
//!
//! Why here: a runtime elsewhere answers `init`, which has no such wall, and would never answer the service.
//!
//! Never here: changing a unit. The command that does is printed.

use std::net::IpAddr;

use super::answers::Answers;
use super::draft;
use crate::commands::ask::PATIENCE;

const NAME_SERVERS: &str = "/etc/resolv.conf";

/// What the unit has to allow; empty where the runtime is on this machine.
pub(super) async fn beyond(answers: &Answers) -> Vec<String> {
    let Some((authority, _)) = draft::runtime(answers) else { return Vec::new() };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse::<IpAddr>() {
        return if ip.to_canonical().is_loopback() { Vec::new() } else { vec![ip.to_string()] };
    }
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, 0))).await;
    let found: Vec<IpAddr> = match found {
        Ok(Ok(found)) => found.map(|at| at.ip()).collect(),
        _ => Vec::new(),
    };
    allowed(host, &found, &std::fs::read_to_string(NAME_SERVERS).unwrap_or_default())
}

/// A name is asked for by the service as well, so it has to reach whoever knows it.
fn allowed(host: &str, found: &[IpAddr], resolv: &str) -> Vec<String> {
    if host == "localhost" || !found.is_empty() && found.iter().all(IpAddr::is_loopback) {
        return Vec::new();
    }
    let mut all: Vec<String> = found.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        all.push(format!("ADDRESS-OF-{host}"));
    }
    let servers =
        resolv.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
    all.extend(servers.filter(|ip: &IpAddr| !ip.is_loopback()).map(|ip| ip.to_string()));
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_elsewhere_has_to_be_allowed() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let stub = "# stub\nnameserver 127.0.0.53\noptions edns0\n";
        let far = "search lan\nnameserver 10.0.0.1\nnameserver 10.0.0.1\n";
        for (host, found, resolv, expected) in [
            ("localhost", &["127.0.0.1"][..], far, &[][..]),
            ("me", &["127.0.1.1"], far, &[]),
            ("gpu-1", &["10.0.0.9", "10.0.0.9"], stub, &["10.0.0.9"]),
            ("gpu-1", &["10.0.0.9"], far, &["10.0.0.1", "10.0.0.9"]),
            ("gpu-1", &[], stub, &["ADDRESS-OF-gpu-1"]),
        ] {
            assert_eq!(allowed(host, &ips(found), resolv), expected, "{host} {found:?}");
        }
    }

    #[tokio::test]
    async fn addresses_need_no_name_server() {
        for (url, expected) in [
            ("http://127.0.0.1:11434", &[][..]),
            ("http://[::1]:11434", &[]),
            ("http://10.0.0.9:11434", &["10.0.0.9"]),
            ("http://[fd00::9]:1", &["fd00::9"]),
        ] {
            let answers = Answers { ollama: url.to_owned(), ..Answers::default() };
            assert_eq!(beyond(&answers).await, expected, "{url}");
        }
    }
}
