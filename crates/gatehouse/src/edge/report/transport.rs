//! Layer 2, the transport: HTTPS in front, and no way to the page or the gateway in plain HTTP beside it.
//!
//! Why here: see [`super`]. A few requests to the running site; all of its promises are `gatehouse edge check`'s.
//!
//! Never here: whether the certificate is trusted, who may ask what.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::ask::{Answer, Question, Secured};
use super::facts::{Exposure, Facts, Reach};
use super::line::Line;
use super::table::{Around, Layer};
use super::{Judged, beside};
use crate::config::edge::{Outer, Tls};
use crate::edge::findings::{Finding, Mark};
use crate::edge::ports::Part;
use crate::edge::site::{Site, reached};

const SITE: &str = "bring the site up: `gatehouse edge apply`, or `gatehouse up --domain` without nginx; then ask it: `gatehouse edge check`";
const ENCRYPTED: &str = "what comes from outside is encrypted by a certificate for this name";
/// Listeners that are asked.
const LISTENERS_MAX: usize = 4;

pub(super) async fn judge(facts: &Facts, site: &Site) -> Judged {
    let (tls, secured) = if site.names.is_empty() { (nameless(facts), None) } else { tls(site).await };
    let findings = vec![
        tls,
        headers(site).await,
        redirect(site).await,
        page_direct(facts, site),
        gateway_direct(facts),
        beside::judge(facts, site),
    ];
    let layer = layer(facts, site, &findings, secured.as_deref());
    Judged { findings, layer }
}

fn question(site: &Site, at: SocketAddr, tls: bool) -> Question<'_> {
    Question {
        at: reached(at),
        host: site.canonical().map_or("localhost", |name| name.as_str()),
        path: "/",
        tls,
        proxied: matches!(site.outer, Outer::ProxyProtocol(_)),
    }
}

/// A machine with a gateway alone: who reaches it from outside does so in plain HTTP.
fn nameless(facts: &Facts) -> Finding {
    let mut line = Line::new("l2.tls", ENCRYPTED);
    let fix = "name a domain and bring its site up: `gatehouse init`; or let the gateway listen on 127.0.0.1";
    for Exposure { reach, seen } in gateways(facts) {
        match reach {
            Reach::Listed | Reach::Everybody | Reach::Unknown => {
                line.warn(format!("no `edge.domain`, so nothing is encrypted: {seen}"), fix);
            }
            Reach::Nobody | Reach::Local | Reach::Filtered => {}
        }
    }
    line.skip("no `edge.domain`: no site is served here");
    line.finding()
}

fn gateways(facts: &Facts) -> impl Iterator<Item = Exposure> {
    let gateways = facts.ports.guarded.iter().filter(|guarded| guarded.part == Part::Gateway);
    gateways.map(|guarded| facts.exposure(guarded.port))
}

/// The line, and what the first handshake showed.
async fn tls(site: &Site) -> (Finding, Option<String>) {
    let mut line = Line::new("l2.tls", ENCRYPTED);
    if site.tls == Tls::Off {
        let seen = "`edge.tls` is `off`: keys, passwords and texts travel readable";
        line.warn(seen, "use `certbot`, or `files` with a certificate of your own");
        return (line.finding(), None);
    }
    let mut shown = None;
    for at in site.https_listen.iter().take(LISTENERS_MAX) {
        match question(site, *at, true).ask().await {
            Ok(Answer { secured: Some(secured), .. }) => match certificate(site, &secured) {
                Ok(until) => {
                    line.ok(format!("{at}: {}, certificate until {until}", secured.version));
                    shown.get_or_insert_with(|| secured.version.to_owned());
                }
                Err(what) => line.fail(format!("{at}: {what}"), "look at it: `gatehouse cert check`"),
            },
            Ok(_) => line.fail(format!("{at} shows no certificate"), SITE),
            Err(trouble) => line.fail(trouble.to_string(), SITE),
        }
    }
    (line.finding(), shown)
}

/// The day until which the served certificate is good for the canonical name.
fn certificate(site: &Site, secured: &Secured) -> Result<String, String> {
    let (_, leaf) = X509Certificate::from_der(&secured.leaf)
        .map_err(|_| "a certificate that cannot be read".to_owned())?;
    let name = site.canonical().map_or("", |name| name.as_str());
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let fits = |pattern: &str| {
        pattern.eq_ignore_ascii_case(name)
            || pattern.strip_prefix("*.").is_some_and(|rest| {
                name.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest))
            })
    };
    if !names.iter().any(|found| matches!(found, GeneralName::DNSName(pattern) if fits(pattern))) {
        return Err(format!("the certificate is not for {name}"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let end = leaf.validity().not_after;
    if u64::try_from(end.timestamp()).unwrap_or_default() <= now {
        return Err(format!("the certificate has ended at {end}"));
    }
    Ok(end.to_string())
}

async fn headers(site: &Site) -> Finding {
    let mut line = Line::new("l2.headers", "browsers are told to stay with HTTPS, and which scripts may run");
    let tls = site.tls != Tls::Off;
    let listen = if tls { &site.https_listen } else { &site.http_listen };
    for at in listen.iter().take(LISTENERS_MAX) {
        match question(site, *at, tls).ask().await {
            Ok(answer) => {
                let missing = missing(site, tls, &answer);
                let status = answer.status.as_u16();
                match missing.as_slice() {
                    [] => line.ok(format!("{at}, status {status}: nothing is missing")),
                    missing => line.fail(format!("{at}, status {status}: {}", missing.join(", ")), SITE),
                }
            }
            Err(_) => line.skip(format!("{at} does not answer; see l2.tls")),
        }
    }
    line.finding()
}

fn missing(site: &Site, tls: bool, answer: &Answer) -> Vec<&'static str> {
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let mut missing = Vec::new();
    if tls && site.hsts.is_some() && !text(&answer.headers, "strict-transport-security").contains("max-age=")
    {
        missing.push("no Strict-Transport-Security");
    }
    // Only the page itself has scripts; who is refused by address or password gets another text.
    if site.page.is_some() && answer.status.is_success() {
        let policy = text(&answer.headers, "content-security-policy");
        match () {
            () if policy.is_empty() => missing.push("no Content-Security-Policy"),
            () if policy.contains("'unsafe-inline'") => {
                missing.push("its Content-Security-Policy lets any inline script run");
            }
            () => {}
        }
    }
    missing
}

async fn redirect(site: &Site) -> Finding {
    let mut line = Line::new("l2.redirect", "plain HTTP leads to HTTPS and to nothing else");
    if site.tls == Tls::Off {
        line.skip("`edge.tls` is `off`");
        return line.finding();
    }
    for at in site.http_listen.iter().take(LISTENERS_MAX) {
        match question(site, *at, false).ask().await {
            Ok(answer) => {
                let status = answer.status;
                let to = answer.headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
                match () {
                    () if status.is_redirection() && to.starts_with("https://") => {
                        line.ok(format!("{at}: {} to {to}", status.as_u16()));
                    }
                    () if status.is_client_error() => line.ok(format!("{at}: {}", status.as_u16())),
                    () => line.fail(format!("{at} answers {} in plain HTTP", status.as_u16()), SITE),
                }
            }
            Err(trouble) => line.skip(format!("{trouble}: who types the name alone gets no answer")),
        }
    }
    line.finding()
}

fn page_direct(facts: &Facts, site: &Site) -> Finding {
    let mut line = Line::new("l2.page-direct", "the page is reached through HTTPS only");
    let fix = "let it listen on 127.0.0.1 (`chat.server.host`); it has no accounts of its own";
    let pages = facts.ports.guarded.iter().filter(|guarded| guarded.part == Part::Page);
    for guarded in pages {
        let Exposure { reach, seen } = facts.exposure(guarded.port);
        match reach {
            Reach::Nobody | Reach::Local => line.ok(seen),
            Reach::Filtered | Reach::Listed => {
                line.warn(format!("only the packet filter stands before it: {seen}"), fix);
            }
            Reach::Unknown => line.warn(seen, fix),
            Reach::Everybody => line.fail(seen, fix),
        }
    }
    if site.page.is_none() {
        line.ok("no page is configured");
    }
    line.finding()
}

fn gateway_direct(facts: &Facts) -> Finding {
    let mut line =
        Line::new("l2.gateway-direct", "nobody reaches the gateway in plain HTTP but who was named");
    let fix =
        "let it listen on 127.0.0.1 (`gateway.listen`), or load the rules: `gatehouse edge firewall --apply`";
    for Exposure { reach, seen } in gateways(facts) {
        match reach {
            Reach::Nobody | Reach::Local | Reach::Filtered | Reach::Listed => line.ok(seen),
            Reach::Unknown => line.warn(seen, fix),
            Reach::Everybody => line.fail(seen, fix),
        }
    }
    line.finding()
}

fn layer(facts: &Facts, site: &Site, findings: &[Finding], version: Option<&str>) -> Layer {
    let port = site.public_port();
    let program = facts.at(port).first().and_then(|listener| listener.program.clone());
    let program = program.map_or_else(|| "nothing".to_owned(), |program| program.name);
    let good = |id: &str| findings.iter().any(|finding| finding.id == id && finding.mark == Mark::Ok);
    let mut protections = Vec::new();
    protections.extend(version.map(str::to_owned));
    for (id, words) in
        [("l2.redirect", "plain HTTP leads to HTTPS"), ("l2.headers", "HSTS and the page's content policy")]
    {
        if good(id) && version.is_some() {
            protections.push(words.to_owned());
        }
    }
    let (around, because) = around(facts, site, findings, version);
    let protection =
        if protections.is_empty() { "nothing that answers".to_owned() } else { protections.join("; ") };
    Layer { layer: "L2 transport", component: format!("{program} at {port}"), protection, around, because }
}

/// Around TLS leads whatever serves the same without it.
fn around(facts: &Facts, site: &Site, findings: &[Finding], version: Option<&str>) -> (Around, String) {
    if site.tls == Tls::Off {
        return (Around::Yes, "there is no TLS: who is on the way reads and writes".to_owned());
    }
    let seen = |wanted: &dyn Fn(&Finding) -> bool| {
        findings
            .iter()
            .filter(|finding| wanted(finding))
            .map(|finding| finding.seen.clone())
            .collect::<Vec<_>>()
    };
    // Without a handshake there is nothing to walk around yet.
    let ways = seen(&|finding| finding.mark == Mark::Fail && (version.is_some() || finding.id != "l2.tls"));
    let guarded = facts.ports.guarded.iter();
    let beside = guarded.filter(|guarded| matches!(guarded.part, Part::Page | Part::Gateway));
    let doubts = beside.map(|guarded| facts.exposure(guarded.port));
    let doubts: Vec<_> = doubts.filter(|one| one.reach == Reach::Unknown).map(|one| one.seen).collect();
    match () {
        () if !ways.is_empty() => (Around::Yes, ways.join("; ")),
        () if site.names.is_empty() && gateways(facts).any(|one| one.reach == Reach::Listed) => {
            (Around::Yes, "there is no TLS: who is on the way to the gateway reads and writes".to_owned())
        }
        () if site.names.is_empty() && doubts.is_empty() => {
            (Around::No, "no site is served, and page and gateway are not reached from outside".to_owned())
        }
        () if version.is_none() && !site.names.is_empty() => {
            let what = seen(&|finding| finding.id == "l2.tls").join("; ");
            (Around::Unknown, format!("no handshake succeeds: {what}"))
        }
        () if !doubts.is_empty() => (Around::Unknown, doubts.join("; ")),
        () => (
            Around::No,
            "the handshake is the only way in; page and gateway are not reached beside it".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, listener, ours, site};
    use super::super::ruleset::{Filter, Ruleset};
    use super::*;
    use http::StatusCode;

    #[test]
    fn who_is_reached_beside_https() {
        let none = || Filter::Read(Ruleset::default());
        for (at, filter, page, gateway) in [
            ("127.0.0.1:8080", none(), Mark::Ok, Mark::Ok),
            ("0.0.0.0:8080", ours(), Mark::Warn, Mark::Ok),
            ("0.0.0.0:8080", none(), Mark::Fail, Mark::Ok),
            ("0.0.0.0:18789", ours(), Mark::Ok, Mark::Ok),
            ("0.0.0.0:18789", none(), Mark::Ok, Mark::Fail),
            ("0.0.0.0:18789", Filter::Unreadable("no root".to_owned()), Mark::Ok, Mark::Warn),
        ] {
            let facts = facts(filter, vec![listener(at, "gatehouse")]);
            assert_eq!(
                (page_direct(&facts, &site()).mark, gateway_direct(&facts).mark),
                (page, gateway),
                "{at}"
            );
        }
    }

    #[test]
    fn without_a_domain_nothing_is_encrypted_for_who_is_let_in() {
        for (at, mark, around) in
            [("0.0.0.0:18789", Mark::Warn, Around::Yes), ("127.0.0.1:18789", Mark::Skip, Around::No)]
        {
            let mut facts = facts(ours(), vec![listener(at, "gatehouse")]);
            facts.ports.gateway_from = vec!["10.0.0.0/8".parse().unwrap()];
            let mut site = site();
            site.names.clear();
            let line = nameless(&facts);
            assert_eq!((line.mark, super::around(&facts, &site, &[line], None).0), (mark, around), "{at}");
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: bytes::Bytes::new(),
            secured: None,
        }
    }

    #[test]
    fn headers_that_have_to_be_there() {
        let hsts = ("strict-transport-security", "max-age=63072000");
        let policy = ("content-security-policy", "default-src 'none'; script-src 'self'");
        let loose = ("content-security-policy", "default-src 'self'; script-src 'unsafe-inline'");
        for (status, headers, count) in [
            (200, vec![hsts, policy], 0),
            (200, vec![hsts], 1),
            (200, vec![policy], 1),
            (200, vec![hsts, loose], 1),
            (403, vec![hsts], 0),
            (401, vec![], 1),
        ] {
            assert_eq!(
                missing(&site(), true, &answer(status, &headers)).len(),
                count,
                "{status} {headers:?}"
            );
        }
    }

    #[test]
    fn a_certificate_for_another_name_or_of_yesterday() {
        let made = |names: &[&str], until| {
            let mut params = rcgen::CertificateParams::new(
                names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
            )
            .unwrap();
            params.not_after = until;
            let key = rcgen::KeyPair::generate().unwrap();
            Secured { version: "TLS 1.3", leaf: params.self_signed(&key).unwrap().der().to_vec() }
        };
        let (late, gone) = (rcgen::date_time_ymd(2199, 1, 1), rcgen::date_time_ymd(2020, 1, 1));
        assert!(certificate(&site(), &made(&["ai.example.com"], late)).unwrap().contains("2199"));
        assert!(certificate(&site(), &made(&["*.example.com"], late)).is_ok());
        for (names, until) in [(["*.com"], late), (["example.com"], late), (["ai.example.com"], gone)] {
            assert!(certificate(&site(), &made(&names, until)).is_err(), "{names:?}");
        }
    }
}
