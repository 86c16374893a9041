//! What stands behind the site: connections that are kept, the name it is asked under, what happens when one fails.
//!
//! Why here: each of these is one line of nginx that nobody notices until there is load, a second gateway or a failure.
//!
//! Never here: what the gateway answers.

use super::places::{self, Places};
use crate::config::edge::Outer;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Conn, Request};
use crate::edge::check::reading::{Directive, Scope};
use crate::edge::check::witness::{self, Counts};

/// Requests on one connection; nginx then needs one of its own, or as many.
const REQUESTS: u64 = 8;
/// Other people's requests may disturb the count.
const TRIES: usize = 3;

pub(super) async fn look(context: &Context<'_>) -> Said {
    vec![
        ("upstream.reuse", reuse(context).await),
        ("upstream.host", host(context).await),
        ("upstream.once", read(context, |places| once(places, context.site.gateways.len()))),
        ("upstream.fails", read(context, fails)),
    ]
}

fn read(context: &Context<'_>, judge: impl Fn(&Places<'_>) -> Verdict) -> Verdict {
    match places::of(context) {
        Ok(places) => judge(&places),
        Err(why) => Verdict::skip(why),
    }
}

async fn reuse(context: &Context<'_>) -> Verdict {
    if context.samples.are_of_up() {
        return Verdict::skip("`gatehouse up` serves here, and opens one for each request, on this machine");
    }
    let counted = counted(context).await;
    let mut wrong = Vec::new();
    if let Ok(counts) = &counted
        && !is_reuse(counts)
    {
        wrong.push(format!(
            "{} requests, {} new connections to the gateway",
            counts.requests, counts.connections
        ));
    }
    let read = places::of(context).map(|places| not_kept(&places));
    match (&read, &counted) {
        (Err(why), Err(other)) => return Verdict::skip(format!("{why}; {other}")),
        (Ok(lines), _) => wrong.extend(lines.iter().cloned()),
        (Err(_), Ok(_)) => {}
    }
    let seen = match counted {
        Ok(counts) => {
            format!("{} requests, {} new connections to the gateway", counts.requests, counts.connections)
        }
        Err(why) => format!("kept, as far as can be read: {why}"),
    };
    Verdict::of(&wrong, seen)
}

/// New connections and requests while this check asks several times; the best of some tries, since others only add.
async fn counted(context: &Context<'_>) -> Result<Counts, String> {
    let admin = context.site.gateway_admin.filter(|_| context.here);
    let admin = admin.ok_or("the gateway's `admin_listen` is not known")?;
    let mut last = Counts::default();
    for _ in 0..TRIES {
        let before = witness::counts(admin).await?;
        let mut conn = Conn::new(&context.door, None).await.map_err(|trouble| trouble.to_string())?;
        for _ in 0..REQUESTS {
            conn.ask(&Request::get("/v1/models")).await.map_err(|trouble| trouble.to_string())?;
        }
        let after = witness::counts(admin).await?;
        // Its own two questions go to another listener and are in neither count.
        last = Counts {
            connections: after.connections.saturating_sub(before.connections),
            requests: after.requests.saturating_sub(before.requests),
        };
        if last.requests < REQUESTS / 2 {
            return Err("the gateway that is known here did not get the requests".to_owned());
        }
        if is_reuse(&last) {
            break;
        }
    }
    Ok(last)
}

/// Fewer than half as many: a request that was under way at either count must not look like reuse.
fn is_reuse(counts: &Counts) -> bool {
    counts.connections.saturating_mul(2) <= counts.requests
}

fn not_kept(places: &Places<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for place in places.proxied() {
        let Some(pass) = place.own("proxy_pass") else { continue };
        if place.value("proxy_http_version").is_none_or(|version| version == "1.0") {
            wrong.push(format!("{}: `proxy_http_version` is 1.0", place.named()));
        }
        match place.sent_header("Connection") {
            Some(line) if line.arg(1).is_empty() => {}
            Some(line) => wrong.push(line.shown()),
            None => wrong.push(format!("{}: `Connection: close` is sent by default", place.named())),
        }
        match places.read.upstream(pass.arg(0)) {
            Some(upstream) if upstream.own("keepalive").is_some() => {}
            Some(_) => wrong.push(format!("the upstream of {} has no `keepalive`", pass.shown())),
            None => wrong.push(format!("{} names no upstream, so nothing is kept", pass.shown())),
        }
    }
    wrong.dedup();
    wrong
}

/// The page tells: it answers to its own names only, and to its own origin only.
async fn host(context: &Context<'_>) -> Verdict {
    let door = &context.door;
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    if context.samples.page.as_ref().is_ok_and(|page| page.status == 200) {
        let absolute = Request::get(format!("{}/", door.origin())).host("gatehouse-check.invalid");
        match door.ask(&absolute).await {
            Ok(answer) if answer.status == 403 => {
                wrong.push("a client's raw Host reaches the page".to_owned());
            }
            _ => seen.push("a foreign Host beside an absolute address has no effect"),
        }
        // The body is not what the page takes: nothing is made.
        let origin = browsers_origin(context);
        let own = Request::post("/api/chats", "[").with("origin", &origin);
        match door.ask(&own).await {
            Ok(answer) if answer.status == 403 => {
                wrong.push(format!("the page takes its own origin {origin} for a foreign one"));
            }
            _ => seen.push("the page knows its own origin"),
        }
    }
    match places::of(context) {
        Ok(places) => {
            for place in places.proxied() {
                wrong.extend(not_ours(place));
            }
            wrong.dedup();
        }
        Err(why) if seen.is_empty() && wrong.is_empty() => return Verdict::skip(why),
        Err(_) => {}
    }
    Verdict::of(&wrong, if seen.is_empty() { "nginx's own reading".to_owned() } else { seen.join("; ") })
}

/// What browsers call the site. The proxy in front of it has the usual port, whatever the one behind has.
fn browsers_origin(context: &Context<'_>) -> String {
    match context.site.outer {
        Outer::Header(_) => format!("https://{}", context.door.name),
        _ => context.door.origin(),
    }
}

/// As far as can be read.
pub(super) fn host_is_ours(context: &Context<'_>) -> bool {
    places::of(context).is_ok_and(|places| places.proxied().all(|place| not_ours(place).is_none()))
}

fn not_ours(place: &Scope<'_>) -> Option<String> {
    place.own("proxy_pass")?;
    let Some(line) = place.sent_header("Host") else {
        return Some(format!("{}: the upstream's own name is sent by default", place.named()));
    };
    let foreign = ["$http_host", "$proxy_host", "$proxy_add"].iter().any(|bad| line.arg(1).contains(bad));
    foreign.then(|| line.shown())
}

fn once(places: &Places<'_>, gateways: usize) -> Verdict {
    let mut wrong = Vec::new();
    for place in &places.api {
        match place.one("proxy_next_upstream") {
            None => wrong.push(format!("{}: `error timeout` is the default", place.named())),
            Some(line) if line.has("off") || (gateways > 1 && line.args == ["error"]) => {}
            Some(line) => wrong.push(line.shown()),
        }
    }
    wrong.dedup();
    Verdict::of(&wrong, if gateways > 1 { "elsewhere only when nothing was sent" } else { "off" })
}

fn fails(places: &Places<'_>) -> Verdict {
    let mut wrong = Vec::new();
    for place in places.proxied() {
        let upstream = place.own("proxy_pass").and_then(|pass| places.read.upstream(pass.arg(0)));
        let Some(upstream) = upstream else { continue };
        let servers: Vec<&Directive> = upstream.many("server");
        if let [only] = servers.as_slice()
            && !only.has("max_fails=0")
        {
            wrong.push(only.shown());
        }
    }
    wrong.dedup();
    Verdict::of(&wrong, "`max_fails=0` where there is no other")
}
