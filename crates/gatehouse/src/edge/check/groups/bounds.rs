//! Bounds: how many requests, how long anybody may take.
//!
//! Why here: these cannot be asked without disturbing people, so they are read, and asked where that is wished
//! (`--burst`, `--slow`).
//!
//! Never here: the gateway's limits, which count by key.

use std::time::Duration;

use tokio::time::Instant;

use super::places::{self, Places};
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, Request, Trouble};
use crate::edge::check::reading::{Directive, Scope, seconds};

const ADDRESSES: [&str; 2] = ["$binary_remote_addr", "$remote_addr"];
/// More than this is not sent to see a bound.
const BURST_MAX: u64 = 2_000;
/// Connections that send it.
const BURST_CONNS: u64 = 10;
/// Longer, a head in single bytes is not what keeps a connection.
const HEAD_S_MAX: f64 = 20.0;

pub(super) async fn look(context: &Context<'_>) -> Said {
    let places = places::of(context);
    let read = |judge: fn(&Places<'_>) -> Verdict| match &places {
        Ok(places) => judge(places),
        Err(why) => Verdict::skip(why),
    };
    // Until a request says whose it is, the default server's clocks count; a body is read by the served one.
    let clock = |of: Of, directive, least, most| match &places {
        Ok(places) if of == Of::Everybody => {
            let servers = everywhere(context, places);
            places::with_neighbours(within(&servers, directive, least, most), &servers, context.site)
        }
        Ok(places) => within(&places.api, directive, least, most),
        Err(why) => Verdict::skip(why),
    };
    let patience = context.site.read_patience().as_secs_f64();
    let asked = asked(context).await;
    vec![
        ("rate.requests", together(asked.0, read(requests))),
        ("rate.connections", read(connections)),
        ("rate.key", read(keys)),
        ("clock.head", together(asked.1, clock(Of::Everybody, "client_header_timeout", 1.0, HEAD_S_MAX))),
        ("clock.body", clock(Of::Served, "client_body_timeout", 1.0, 30.0)),
        ("clock.send", clock(Of::Served, "send_timeout", 5.0, 600.0)),
        ("clock.idle", clock(Of::Everybody, "keepalive_timeout", 5.0, 180.0)),
        ("clock.reset", read(reset)),
        ("clock.connect", proxied(places.as_ref(), "proxy_connect_timeout", 0.5, 10.0)),
        ("clock.read", proxied(places.as_ref(), "proxy_read_timeout", patience, f64::INFINITY)),
    ]
}

/// What was asked counts; the line that was read says where.
fn together(asked: Option<Verdict>, read: Verdict) -> Verdict {
    match (asked, read) {
        (None, read) => read,
        (Some(Verdict::Ok(seen)), read @ Verdict::Fail(_)) => match read {
            Verdict::Fail(lines) => Verdict::fail(format!("{seen}; but {lines}")),
            other => other,
        },
        (Some(Verdict::Fail(seen)), Verdict::Fail(lines)) => Verdict::fail(format!("{seen}\n{lines}")),
        (Some(asked), _) => asked,
    }
}

/// Whose clock it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Everybody,
    Served,
}

/// All servers of the site's ports.
fn everywhere<'t>(context: &Context<'_>, places: &Places<'t>) -> Vec<Scope<'t>> {
    let site = context.site;
    let encrypted = if context.door.tls { site.https_listen.as_slice() } else { &[] };
    let ports: Vec<u16> = site.http_listen.iter().chain(encrypted).map(std::net::SocketAddr::port).collect();
    places.read.on_ports(&ports)
}

fn within(scopes: &[Scope<'_>], directive: &str, least: f64, most: f64) -> Verdict {
    let mut wrong = Vec::new();
    let mut seen = None;
    for scope in scopes {
        match scope.one(directive) {
            Some(line) if seconds(line.arg(0)).is_some_and(|s| (least..=most).contains(&s)) => {
                seen = Some(line.shown());
            }
            Some(line) => wrong.push(line.shown()),
            None => match default_seconds(directive) {
                default if (least..=most).contains(&default) => {
                    seen = Some(format!("{default:.0} s by default"));
                }
                default => wrong.push(format!("no `{directive}`: {default:.0} s by default")),
            },
        }
    }
    wrong.dedup();
    Verdict::of(&wrong, seen.unwrap_or_default())
}

/// nginx's own, where nothing is written.
fn default_seconds(directive: &str) -> f64 {
    if directive == "keepalive_timeout" { 75.0 } else { 60.0 }
}

fn proxied(places: Result<&Places<'_>, &String>, directive: &str, least: f64, most: f64) -> Verdict {
    match places {
        Err(why) => Verdict::skip(why),
        Ok(places) => match within(&places.api, directive, least, most) {
            Verdict::Fail(wrong) if least > 60.0 => {
                Verdict::fail(format!("{wrong}\nthe gateway may need {least:.0} s to answer"))
            }
            verdict => verdict,
        },
    }
}

fn requests(places: &Places<'_>) -> Verdict {
    bounded(places, "limit_req", "limit_req_status")
}

fn connections(places: &Places<'_>) -> Verdict {
    bounded(places, "limit_conn", "limit_conn_status")
}

fn bounded(places: &Places<'_>, directive: &str, status: &str) -> Verdict {
    let mut wrong = Vec::new();
    let mut seen = String::new();
    for place in places.proxied().filter(|place| place.own("proxy_pass").is_some()) {
        match place.many(directive).first() {
            None => wrong.push(format!("{}: no `{directive}`", place.named())),
            Some(line)
                if directive == "limit_req"
                    && !line.has("nodelay")
                    && line.args.iter().any(|a| a.starts_with("burst=")) =>
            {
                wrong.push(format!(
                    "{} makes requests wait instead of refusing them: `nodelay` is missing",
                    line.shown()
                ));
            }
            Some(line) => seen = line.shown(),
        }
        if place.value(status) != Some("429") {
            wrong.push(format!("{}: `{status}` is not 429, which SDKs wait for", place.named()));
        }
    }
    wrong.dedup();
    wrong.truncate(4);
    Verdict::of(&wrong, seen)
}

fn keys(places: &Places<'_>) -> Verdict {
    let mut used: Vec<&str> = Vec::new();
    for place in places.proxied() {
        for directive in ["limit_req", "limit_conn"] {
            let zones = place.many(directive).into_iter().filter_map(|line| {
                line.args
                    .iter()
                    .find_map(|arg| arg.strip_prefix("zone="))
                    .or((directive == "limit_conn").then(|| line.arg(0)))
            });
            used.extend(zones);
        }
    }
    let zones = places.read.http_blocks("limit_req_zone").chain(places.read.http_blocks("limit_conn_zone"));
    let named = |line: &Directive| {
        line.args
            .iter()
            .find_map(|arg| arg.strip_prefix("zone="))
            .and_then(|zone| zone.split(':').next().map(str::to_owned))
    };
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for line in zones.filter(|line| named(line).is_some_and(|name| used.contains(&name.as_str()))) {
        if ADDRESSES.contains(&line.arg(0)) { seen.push(line.shown()) } else { wrong.push(line.shown()) }
    }
    if wrong.is_empty() && seen.is_empty() {
        return Verdict::skip("nothing is counted: see rate.requests");
    }
    Verdict::of(&wrong, seen.join("; "))
}

fn reset(places: &Places<'_>) -> Verdict {
    match places.server.one("reset_timedout_connection") {
        Some(line) if line.has("on") => Verdict::ok(line.shown()),
        Some(line) => Verdict::fail(line.shown()),
        None => Verdict::fail("no `reset_timedout_connection on`"),
    }
}

/// What was wished to be asked: the burst, and the slow head.
async fn asked(context: &Context<'_>) -> (Option<Verdict>, Option<Verdict>) {
    let slow = match context.asking.slow {
        true => Some(slow_head(context).await),
        false => None,
    };
    let burst = match context.asking.burst {
        true => Some(burst(context).await),
        false => None,
    };
    (burst, slow)
}

async fn burst(context: &Context<'_>) -> Verdict {
    let rates = context.site.rates;
    let needed = rates.burst.saturating_add(rates.requests_per_second).saturating_add(rates.burst / 4 + 20);
    if needed > BURST_MAX {
        return Verdict::skip(format!(
            "{needed} requests would be needed; more than {BURST_MAX} are not sent"
        ));
    }
    let each = needed.div_ceil(BURST_CONNS);
    let senders = (0..BURST_CONNS).map(|_| send_many(context, each));
    let answers: Vec<Answer> = futures_util::future::join_all(senders).await.into_iter().flatten().collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| matches!(answer.status, 429 | 503)).collect();
    let seen = format!("{} requests, {} refused", answers.len(), refused.len());
    let Some(first) = refused.first() else { return Verdict::fail(format!("{seen}: there is no bound")) };
    let mut wrong = Vec::new();
    if first.status != 429 {
        wrong.push(format!("refused as {}, not 429", first.status));
    }
    if first.header("retry-after").is_none() {
        wrong.push("refused without `retry-after`".to_owned());
    }
    if first.json().is_none_or(|json| json.get("error").is_none()) {
        wrong.push(format!("refused as {}, not as JSON", first.header("content-type").unwrap_or("nothing")));
    }
    Verdict::of(&wrong, format!("{seen}, as 429 with retry-after"))
}

/// On one connection, from an address of its own where there is one.
async fn send_many(context: &Context<'_>, count: u64) -> Vec<Answer> {
    let mut answers = Vec::new();
    let Ok(conn) = Conn::new(&context.door, context.door.own_source()).await else { return answers };
    let mut conn = conn.unpaced();
    for _ in 0..count {
        match conn.ask(&Request::get("/v1/models")).await {
            Ok(answer) => answers.push(answer),
            Err(_) => break,
        }
    }
    answers
}

/// One byte now and then must not buy more time.
async fn slow_head(context: &Context<'_>) -> Verdict {
    let began = Instant::now();
    let patience = Duration::from_secs_f64(HEAD_S_MAX);
    let dribbled = async {
        let mut conn = Conn::new(&context.door, None).await?;
        conn.send(b"GET /v1/models HTTP/1.1\r\nHost: ").await?;
        while began.elapsed() < patience {
            if conn.send(b"a").await.is_err() || conn.ends_within(Duration::from_millis(500)).await {
                return Ok(true);
            }
        }
        Ok::<bool, Trouble>(false)
    };
    match dribbled.await {
        Ok(true) => Verdict::ok(format!("cut after {:.1} s", began.elapsed().as_secs_f64())),
        Ok(false) => Verdict::fail(format!("open after {HEAD_S_MAX:.0} s of single bytes")),
        Err(trouble) => Verdict::skip(trouble.to_string()),
    }
}
