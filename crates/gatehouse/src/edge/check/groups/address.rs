//! Who asks: what nginx tells the gateway of a client's address, and what a client cannot make it say.
//!
//! Why here: limits, allow-lists and records stand on the address. The gateway's audit file says which one it believed.
//!
//! Never here: the firewall.

use std::net::IpAddr;

use gateway::config::canonical;
use ipnet::IpNet;
use serde_json::Value;

use super::log::token;
use super::places;
use crate::config::edge::Outer;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, PATIENCE, Request, Trouble};
use crate::edge::check::reading::{Directive, Scope};

/// Addresses for documentation: nobody has them.
const SPOOFED: [&str; 3] = ["203.0.113.7", "203.0.113.8", "203.0.113.9"];

/// What says how the client came; the second is the rendered site's own, behind a proxy that takes HTTPS off.
const SCHEMES: [&str; 2] = ["$scheme", "$gatehouse_scheme"];

pub(super) async fn look(context: &Context<'_>) -> Said {
    let recorded = recorded(context).await;
    let outer = outer(context, &recorded).await;
    vec![
        ("address.overwritten", overwritten(context, &recorded, &outer)),
        ("address.believed", believed(context, &recorded)),
        ("address.outer", outer),
        ("upgrade.none", upgrade(context).await),
    ]
}

/// What the gateway wrote down of a request with spoofed headers.
struct Recorded {
    /// Where it really came from.
    us: IpAddr,
    client: IpAddr,
    /// The gateway refuses the address that it took.
    refused: bool,
}

/// From an address of its own where there is one, which tells nginx's apart; a gateway with an allow-list may not know it,
/// then from the usual one.
async fn recorded(context: &Context<'_>) -> Result<Recorded, String> {
    let own = context.door.own_source();
    let first = record_from(context, own).await?;
    match first.refused && own.is_some() {
        true => record_from(context, None).await,
        false => Ok(first),
    }
}

async fn record_from(context: &Context<'_>, source: Option<IpAddr>) -> Result<Recorded, String> {
    let audit = context.audit.as_ref()?;
    let agent = format!("gatehouse-edge-check/address-{}", token());
    let [real, forwarded, other] = SPOOFED;
    let request = Request::get("/v1/models")
        .with("user-agent", &agent)
        .with("x-real-ip", real)
        .with("x-forwarded-for", format!("{forwarded}, {forwarded}"))
        .with("forwarded", format!("for={other}"))
        // Names them as headers of this connection only, which some proxies then drop after they were set.
        .with("connection", "x-real-ip, x-forwarded-for");
    let (us, answer) = ask(context, &request, source).await.map_err(|trouble| trouble.to_string())?;
    let line = audit.line_with(&agent).await;
    let line = line
        .ok_or_else(|| format!("no record of the request (answered {}) in the audit file", answer.status))?;
    let record: Value = serde_json::from_str(&line).map_err(|_| "the record is not JSON".to_owned())?;
    let client = record.get("client").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let client = client.ok_or("the record names no client")?;
    let usual = context.samples.models.as_ref().map_or(0, |answer| answer.status);
    let refused = answer.status == 403 && usual != 403;
    Ok(Recorded { us: canonical(us), client: canonical(client), refused })
}

async fn ask(
    context: &Context<'_>,
    request: &Request,
    source: Option<IpAddr>,
) -> Result<(IpAddr, Answer), Trouble> {
    let mut conn = Conn::new(&context.door, source).await?;
    let us = conn.local().ip();
    Ok((us, conn.ask(request).await?))
}

fn is_spoofed(address: IpAddr) -> bool {
    SPOOFED.iter().any(|spoofed| spoofed.parse() == Ok(address))
}

fn overwritten(context: &Context<'_>, recorded: &Result<Recorded, String>, outer: &Verdict) -> Verdict {
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    match recorded {
        // nginx itself took the header for the connection's address: that is the other fact.
        Ok(recorded) if matches!(outer, Verdict::Fail(_)) || within_outer(context, recorded.us) => {}
        Ok(recorded) if is_spoofed(recorded.client) => {
            wrong.push(format!("on record as {}, which the client made up", recorded.client));
        }
        Ok(recorded) if recorded.refused => {
            wrong
                .push("a made-up address is refused by the gateway's allow-list: it was believed".to_owned());
        }
        Ok(recorded) if recorded.client == recorded.us => {
            seen.push(format!("on record as {}", recorded.client));
        }
        Ok(_) => {}
        Err(why) => seen.push(format!("not asked: {why}")),
    }
    match places::of(context) {
        Ok(places) => {
            for place in places.proxied() {
                wrong.extend(told_wrongly(place, context.door.tls));
            }
            wrong.dedup();
            seen.push("nginx's own word in every place".to_owned());
        }
        Err(why) if recorded.is_err() => return Verdict::skip(why),
        Err(_) => {}
    }
    Verdict::of(&wrong, seen.join("; "))
}

fn told_wrongly(place: &Scope<'_>, tls: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in ["X-Real-IP", "X-Forwarded-For"] {
        let good = place
            .sent_header(name)
            .is_some_and(|line| ["$remote_addr", "$realip_remote_addr"].contains(&line.arg(1)));
        if !good {
            wrong.push(line_or(place, name, "passes what the client wrote"));
        }
    }
    // The page's cookie is for HTTPS alone when this says so.
    let scheme = place.sent_header("X-Forwarded-Proto").map(|line| line.arg(1));
    if !scheme.is_some_and(|value| SCHEMES.contains(&value) || (tls && value == "https")) {
        wrong.push(line_or(place, "X-Forwarded-Proto", "passes what the client wrote"));
    }
    for name in ["Forwarded", "X-Forwarded-Host"] {
        if place.sent_header(name).is_none_or(|line| line.arg(1).contains("$http_")) {
            wrong.push(line_or(place, name, "passes what the client wrote"));
        }
    }
    wrong
}

fn line_or(place: &Scope<'_>, name: &str, what: &str) -> String {
    match place.sent_header(name) {
        Some(line) => line.shown(),
        None => format!("{} does not set {name}, and {what}", place.named()),
    }
}

fn believed(context: &Context<'_>, recorded: &Result<Recorded, String>) -> Verdict {
    let configured = context.site.gateway_trusts_nginx;
    let local = context.site.gateways.iter().all(|at| at.ip().is_loopback());
    match recorded {
        Ok(recorded) if recorded.client == recorded.us && !recorded.us.is_loopback() => {
            Verdict::ok(format!("on record as {}", recorded.client))
        }
        Ok(recorded) if recorded.client == recorded.us && context.door.own_source() == Some(recorded.us) => {
            Verdict::ok(format!("on record as {}", recorded.client))
        }
        Ok(recorded) if is_spoofed(recorded.client) => {
            Verdict::skip("on record under a made-up address: see address.overwritten")
        }
        Ok(recorded) if recorded.client.is_loopback() && recorded.client != recorded.us => Verdict::fail(
            format!("asked from {}, on record as {}: nginx itself", recorded.us, recorded.client),
        ),
        Ok(_) | Err(_) if context.samples.are_of_up() => {
            Verdict::skip("`gatehouse up` serves here, and its gateway believes it without being told")
        }
        Ok(_) | Err(_) if local && configured == Some(false) => {
            Verdict::fail("`gateway.trusted_proxies` does not hold 127.0.0.1")
        }
        Ok(_) | Err(_) if local && configured == Some(true) => {
            Verdict::ok("`gateway.trusted_proxies` holds nginx's address")
        }
        Ok(recorded) => {
            Verdict::skip(format!("asked from {}, on record as {}", recorded.us, recorded.client))
        }
        Err(why) => Verdict::skip(why),
    }
}

fn nets(outer: &Outer) -> &[IpNet] {
    match outer {
        Outer::Nobody => &[],
        Outer::Header(nets) | Outer::ProxyProtocol(nets) => nets,
    }
}

fn within_outer(context: &Context<'_>, us: IpAddr) -> bool {
    matches!(context.site.outer, Outer::Header(_))
        && nets(&context.site.outer).iter().any(|net| net.contains(&us))
}

async fn outer(context: &Context<'_>, recorded: &Result<Recorded, String>) -> Verdict {
    let places = match places::of(context) {
        Ok(places) => places,
        Err(why) => return Verdict::skip(why),
    };
    let server = &places.server;
    let configured: Vec<String> = nets(&context.site.outer).iter().map(ToString::to_string).collect();
    let listed = server.many("set_real_ip_from");
    let mut wrong: Vec<String> = listed
        .iter()
        .filter(|line| !configured.iter().any(|net| same_net(net, line.arg(0))))
        .map(|line| format!("{} is none of the proxies that are configured", line.shown()))
        .collect();
    for net in &configured {
        if !listed.iter().any(|line| same_net(net, line.arg(0))) {
            wrong.push(format!("no `set_real_ip_from {net}`: everybody behind that proxy is one client"));
        }
    }
    wrong.extend(stated_by(context, server));
    match &context.site.outer {
        Outer::Nobody => {}
        Outer::Header(_) if server.one("real_ip_recursive").is_none_or(|line| !line.has("on")) => {
            wrong.push("no `real_ip_recursive on`: a chain of proxies counts as its last".to_owned());
        }
        Outer::Header(_) => {}
        Outer::ProxyProtocol(_) => wrong.extend(without_line(context).await),
    }
    let seen = match (&context.site.outer, recorded) {
        (Outer::Nobody, Ok(recorded)) if recorded.client == recorded.us => {
            "nobody is believed; asked with made-up headers".to_owned()
        }
        (Outer::Nobody, _) => "nobody is believed".to_owned(),
        (Outer::Header(_), _) => format!("X-Forwarded-For of {}", configured.join(", ")),
        (Outer::ProxyProtocol(_), _) => {
            format!("the PROXY protocol of {}; dropped without it", configured.join(", "))
        }
    };
    Verdict::of(&wrong, seen)
}

/// The header that nginx takes the address from: a proxy overwrites its own, and passes others as the client wrote them.
fn stated_by(context: &Context<'_>, server: &Scope<'_>) -> Option<String> {
    let wanted = match &context.site.outer {
        Outer::Nobody => return None,
        Outer::Header(_) => "X-Forwarded-For",
        Outer::ProxyProtocol(_) => "proxy_protocol",
    };
    match server.one("real_ip_header") {
        Some(line) if line.arg(0).eq_ignore_ascii_case(wanted) => None,
        Some(line) => Some(format!("{} is not {wanted}", line.shown())),
        None => Some(format!("no `real_ip_header {wanted}`: nginx takes X-Real-IP by default")),
    }
}

/// `10.0.0.1` and `10.0.0.1/32` are the same.
pub(super) fn same_net(one: &str, other: &str) -> bool {
    let net =
        |text: &str| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    one == other || matches!((net(one), net(other)), (Some(a), Some(b)) if a == b)
}

/// Who does not say where it comes from is nobody's balancer.
async fn without_line(context: &Context<'_>) -> Option<String> {
    let door = &context.door;
    let open = door.bare(door.http, None).await.ok()?;
    let mut conn = Conn::over(Box::new(open.wire), &door.name);
    conn.send(&Request::get("/").bytes(&door.name)).await.ok()?;
    let answer = conn.answer(false, PATIENCE).await.ok()?;
    Some(format!("a connection without the PROXY line is answered {}", answer.status))
}

async fn upgrade(context: &Context<'_>) -> Verdict {
    let mut wrong = Vec::new();
    for (path, protocol) in [("/v1/models", "h2c"), ("/", "h2c"), ("/v1/models", "websocket")] {
        let request = Request::get(path)
            .with("connection", "Upgrade, HTTP2-Settings")
            .with("upgrade", protocol)
            .with("http2-settings", "AAMAAABkAAQAAP__");
        if let Ok(answer) = context.door.ask(&request).await
            && answer.status == 101
        {
            wrong.push(format!("{path} changes over to {protocol}"));
        }
    }
    let seen = match places::of(context) {
        Err(why) => format!("no 101; not read: {why}"),
        Ok(places) => {
            for place in places.proxied() {
                let passed = place.sent_header("Upgrade").filter(|line| !line.arg(1).is_empty());
                wrong.extend(passed.map(Directive::shown));
            }
            wrong.dedup();
            "no 101, and nothing passed on".to_owned()
        }
    };
    Verdict::of(&wrong, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_in_either_spelling() {
        assert!(same_net("10.0.0.1/32", "10.0.0.1") && same_net("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!same_net("10.0.0.0/8", "0.0.0.0/0") && !same_net("10.0.0.0/8", "unix:"));
    }
}
