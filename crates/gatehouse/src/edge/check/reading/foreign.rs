//! Servers of other sites on this machine that lead to what only our site may lead to.
//!
//! Why here: one foreign `proxy_pass http://127.0.0.1:11434` hands the model to everybody, and neither listeners nor packet
//! filters show it, because nginx asks over loopback like any program of this machine. It stands in the configuration only.
//!
//! Never here: targets in variables, names that a resolver makes this machine's, programs other than nginx.

use std::net::{IpAddr, SocketAddr};

use super::{Directive, Read, port};
use crate::edge::ports::{Part, Ports, is_here, upstream_here};
use crate::edge::site::Site;

/// Directives that send a request on.
const PASSES: [&str; 5] = ["proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass"];

/// One way beside our site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub part: Part,
    /// `ollama.lan (/etc/nginx/conf.d/other.conf:5): proxy_pass http://127.0.0.1:11434`
    pub shown: String,
    /// Ports on which others than this machine may ask it.
    pub ports: Vec<u16>,
}

/// Every such way that others than this machine may come.
pub(crate) fn foreign(read: &Read, site: &Site, ports: &Ports) -> Vec<Foreign> {
    let mut found = Vec::new();
    for context in read.tree.iter().filter(|block| matches!(block.name.as_str(), "http" | "stream")) {
        let servers = context.inside().iter().filter(|block| block.name == "server");
        for server in servers.filter(|server| !is_ours(server, site)) {
            let open = open(server);
            if open.is_empty() {
                continue;
            }
            let mut below = Vec::new();
            passes(server, &mut below);
            for pass in below {
                let parts = targets(pass.arg(0), context).into_iter().find_map(|to| part(&to, site, ports));
                found.extend(parts.map(|part| Foreign {
                    part,
                    shown: shown(server, pass),
                    ports: open.clone(),
                }));
            }
        }
    }
    found
}

fn is_ours(server: &Directive, site: &Site) -> bool {
    let names = server.inside().iter().filter(|line| line.name == "server_name");
    let mut lines = std::iter::once(server).chain(names);
    lines.any(|line| !is_foreign(line, site))
}

/// Neither in the file that we write nor about one of our names: what is wrong there, other facts say.
pub(crate) fn is_foreign(line: &Directive, site: &Site) -> bool {
    let mut names = site.names.iter();
    let named = names.any(|name| line.args.iter().any(|arg| arg.eq_ignore_ascii_case(name.as_str())));
    site.nginx.site_file.as_os_str() != &*line.file && !named
}

/// Ports of its listeners, without those of this machine alone.
fn open(server: &Directive) -> Vec<u16> {
    let lines: Vec<_> = server.inside().iter().filter(|line| line.name == "listen").collect();
    if lines.is_empty() {
        return vec![80];
    }
    let mut ports: Vec<u16> =
        lines.iter().filter(|line| !is_local(line.arg(0))).filter_map(|line| port(line.arg(0))).collect();
    ports.dedup();
    ports
}

fn is_local(listen: &str) -> bool {
    let address = listen.parse::<SocketAddr>().map(|at| at.ip());
    let address = address.or_else(|_| listen.trim_matches(['[', ']']).parse::<IpAddr>());
    address.is_ok_and(|ip| ip.is_loopback()) || listen == "localhost" || listen.starts_with("localhost:")
}

fn passes<'t>(block: &'t Directive, found: &mut Vec<&'t Directive>) {
    for line in block.inside() {
        if PASSES.contains(&line.name.as_str()) {
            found.push(line);
        }
        passes(line, found);
    }
}

/// Where a target leads: itself, or the members of the upstream that it names.
fn targets(target: &str, context: &Directive) -> Vec<String> {
    let (scheme, rest) = target.split_once("://").unwrap_or(("", target));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let upstream =
        context.inside().iter().find(|block| block.name == "upstream" && block.arg(0) == authority);
    let members = upstream.map(|block| block.inside().iter().filter(|line| line.name == "server"));
    match members {
        // Without a port nginx asks a member at 80, whatever the scheme.
        Some(members) => members.map(|member| member.arg(0).to_owned()).collect(),
        None if scheme == "https" && !has_port(authority) => vec![format!("{authority}:443")],
        None => vec![authority.to_owned()],
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}

fn part(authority: &str, site: &Site, ports: &Ports) -> Option<Part> {
    let elsewhere = || {
        let at: SocketAddr = authority.parse().ok()?;
        let page = site.page.as_ref().is_some_and(|page| page.at == at);
        match () {
            () if is_here(at.ip()) => None,
            () if site.gateways.contains(&at) => Some(Part::Gateway),
            () if page => Some(Part::Page),
            () => None,
        }
    };
    if let Some(port) = upstream_here(authority) {
        return ports.part(port);
    }
    site.upstreams.iter().any(|upstream| upstream == authority).then_some(Part::Model).or_else(elsewhere)
}

fn shown(server: &Directive, pass: &Directive) -> String {
    let names =
        server.inside().iter().find(|line| line.name == "server_name").map(|line| line.args.join(" "));
    let names =
        names.filter(|names| !names.is_empty()).unwrap_or_else(|| "a server without a name".to_owned());
    format!("{names} ({}): {} {}", pass.place(), pass.name, pass.arg(0))
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{EdgeSettings, Name};

    const OURS: &str = "/etc/nginx/conf.d/gatehouse.conf";

    fn found(file: &str, text: &str) -> Vec<(Part, Vec<u16>)> {
        let names = vec![Name::parse("ai.example.com").unwrap()];
        let mut site = Site::new(&Settings::default(), &EdgeSettings::default(), names).unwrap();
        site.upstreams = vec!["198.51.100.7:8000".to_owned()];
        let files = Files::of_dump(&format!("# configuration file {file}:\n{text}\n\n"));
        let read = Read { tree: files.tree().unwrap(), files, warnings: Vec::new() };
        let found = foreign(&read, &site, &Ports::of(&site));
        found.into_iter().map(|one| (one.part, one.ports)).collect()
    }

    fn http(server: &str) -> Vec<(Part, Vec<u16>)> {
        found(
            "/etc/nginx/nginx.conf",
            &format!("http {{ upstream ai {{ server 127.0.0.1:11434; }} server {{ {server} }} }}"),
        )
    }

    #[test]
    fn every_way_to_write_our_ports_is_known() {
        for (target, part) in [
            ("proxy_pass http://127.0.0.1:11434;", Some(Part::Model)),
            ("proxy_pass http://127.0.0.1:11434/api/;", Some(Part::Model)),
            ("proxy_pass http://localhost:18789;", Some(Part::Gateway)),
            ("proxy_pass http://[::1]:8080;", Some(Part::Page)),
            ("proxy_pass http://127.0.0.1:18790/metrics;", Some(Part::Admin)),
            ("proxy_pass http://ai;", Some(Part::Model)),
            ("proxy_pass http://ai/v1/;", Some(Part::Model)),
            ("grpc_pass grpc://127.0.0.1:11434;", Some(Part::Model)),
            ("proxy_pass http://198.51.100.7:8000;", Some(Part::Model)),
            ("if ($a) { proxy_pass http://127.0.0.1:11434; }", Some(Part::Model)),
            ("proxy_pass http://127.0.0.1:3000;", None),
            ("proxy_pass http://198.51.100.8:11434;", None),
            ("proxy_pass http://$where;", None),
            ("proxy_pass http://unix:/run/app.sock;", None),
            ("fastcgi_pass unix:/run/php.sock;", None),
            ("root /srv;", None),
        ] {
            let all = http(&format!("listen 443 ssl; server_name ollama.lan; location / {{ {target} }}"));
            assert_eq!(all.first().map(|(part, _)| *part), part, "{target}");
        }
    }

    #[test]
    fn whose_server_it_is_and_who_may_ask_it() {
        let leads = "location / { proxy_pass http://127.0.0.1:11434; }";
        for (listen, ports) in [
            ("listen 443 ssl; listen [::]:443 ssl;", Some(vec![443])),
            ("", Some(vec![80])),
            ("listen 8443; listen 127.0.0.1:81;", Some(vec![8_443])),
            ("listen 127.0.0.1:81; listen [::1]:81; listen localhost:82; listen unix:/run/x;", None),
            ("listen 443; server_name AI.example.com;", None),
        ] {
            let all = http(&format!("{listen} {leads}"));
            assert_eq!(all.into_iter().next().map(|(_, ports)| ports), ports, "{listen}");
        }
        assert!(found(OURS, &format!("http {{ server {{ listen 443; {leads} }} }}")).is_empty());
        let stream = "stream { upstream m { server [::1]:11434; } server { listen 11435; proxy_pass m; } }";
        assert_eq!(found("/n", stream), [(Part::Model, vec![11_435])]);
    }
}
