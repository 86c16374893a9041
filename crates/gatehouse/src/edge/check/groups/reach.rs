//! Whether there is anything to ask: listeners, a configuration that loads, a gateway and a page behind.
//!
//! Why here: what explains all other failures is said first, and alone.
//!
//! Never here: how good it is.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::upstream;
use crate::config::edge::Tls;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, Door, PATIENCE, Request, Sni};
use crate::edge::check::reading::{Read, Reading, first_line, foreign};
use crate::edge::ports::Ports;
use crate::edge::site::{Page, Site};

/// What the gateway puts on every answer of its own, and nothing else does.
const GATEWAY_CACHE: &str = "no-cache, no-store";

/// Whether an answer comes from the gateway and not from nginx in front of it.
pub(super) fn is_gateways(answer: &Answer) -> bool {
    answer.header("cache-control") == Some(GATEWAY_CACHE)
}

pub(in crate::edge::check) async fn reach(site: &Site, door: &Door) -> Said {
    let encrypted = if site.tls == Tls::Off { &[][..] } else { &site.https_listen };
    let mut wrong = Vec::new();
    let mut good = Vec::new();
    for listener in site.http_listen.iter().chain(encrypted) {
        let local = if listener.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listener.ip() };
        let at = SocketAddr::new(door.elsewhere.unwrap_or(local), listener.port());
        match door.bare(at, None).await {
            Ok(_) => good.push(at.to_string()),
            Err(trouble) => wrong.push(trouble.to_string()),
        }
    }
    if wrong.is_empty()
        && door.tls
        && let Err(trouble) = door.tls(Sni::Own, &[], rustls::ALL_VERSIONS, None).await
    {
        wrong.push(format!("{} for {}: {trouble}", door.https, door.name));
    }
    vec![("site.answers", Verdict::of(&wrong, good.join(", ")))]
}

pub(in crate::edge::check) fn loads(site: &Site, reading: &Reading) -> Said {
    let (loads, included, foreign) = match reading {
        Reading::Unknown(why) => (Verdict::skip(why), Verdict::skip(why), Verdict::skip(why)),
        Reading::Broken(said) => (
            Verdict::fail(first_line(said)),
            Verdict::skip("nginx does not take its configuration: see config.loads"),
            Verdict::skip("nginx does not take its configuration: see config.loads"),
        ),
        Reading::Read(read) => {
            let loads = match read.warnings.is_empty() {
                true => Verdict::ok(format!("{} files", read.files.names().count())),
                false => Verdict::warn(read.warnings.join("\n")),
            };
            let beside = foreign(read, site, &Ports::of(site));
            let beside: Vec<_> = beside.into_iter().map(|one| one.shown).collect();
            (loads, included(site, read), Verdict::of(&beside, "every other server leads elsewhere"))
        }
    };
    vec![("config.loads", loads), ("config.included", included), ("config.foreign-proxy", foreign)]
}

fn included(site: &Site, read: &Read) -> Verdict {
    match read.served(site) {
        Some(server) => Verdict::ok(server.own("server_name").map_or_else(String::new, |d| d.place())),
        None if !site.nginx.site_file.exists() => Verdict::fail(format!(
            "there is no {}: `gatehouse edge apply` writes it",
            site.nginx.site_file.display()
        )),
        None => Verdict::fail(format!(
            "no server for {} on port {} in {}",
            site.canonical().map_or("", |name| name.as_str()),
            site.public_port(),
            read.files.names().next().unwrap_or(&site.nginx.main_file).display()
        )),
    }
}

/// What stands behind the site.
pub(super) async fn behind(context: &Context<'_>) -> Said {
    let samples = &context.samples;
    let api = match &samples.models {
        Err(trouble) => Verdict::fail(trouble),
        Ok(answer) if is_gateways(answer) => Verdict::ok(format!("{} by the gateway", answer.status)),
        Ok(answer) if answer.status >= 500 => Verdict::fail(format!(
            "nginx answers {}: it does not reach {}",
            answer.status,
            gateways(context.site)
        )),
        Ok(answer) if matches!(answer.status, 401 | 403) => Verdict::fail(format!(
            "nginx itself answers {} on GET /v1/models: `allow`, `deny` or `auth_basic` in the API's location",
            answer.status
        )),
        Ok(answer) => Verdict::fail(format!("{} on GET /v1/models, and not by the gateway", answer.status)),
    };
    vec![("api.answers", each(context, api).await), ("page.answers", page(context))]
}

/// Where there are several, one that is gone or that is none hides behind the others.
async fn each(context: &Context<'_>, through: Verdict) -> Verdict {
    let all = &context.site.gateways;
    if all.len() < 2 || !context.here {
        return through;
    }
    let (mut gone, mut others) = (Vec::new(), Vec::new());
    for (at, answer) in all.iter().zip(join_all(all.iter().map(|at| direct(*at))).await) {
        match answer {
            Ok(answer) if is_gateways(&answer) => {}
            Ok(answer) => {
                others.push(format!("{at} answers {} to GET /v1/models, and {NO_GATEWAY}", answer.status));
            }
            Err(why) => gone.push(format!("{at} does not answer: {why}")),
        }
    }
    match through {
        _ if !others.is_empty() => Verdict::fail([others, gone].concat().join("\n")),
        Verdict::Fail(seen) => Verdict::fail([vec![seen], gone].concat().join("\n")),
        through if gone.is_empty() => through,
        _ => Verdict::warn(format!("{}\nthe others take its requests", gone.join("\n"))),
    }
}

/// Past the site.
async fn direct(at: SocketAddr) -> Result<Answer, String> {
    let asked = timeout(PATIENCE, async {
        let wire = TcpStream::connect(at).await?;
        Conn::over(Box::new(wire), &at.to_string()).ask(&Request::get("/v1/models")).await
    });
    asked.await.map_err(|_| "too late".to_owned())?.map_err(|trouble| trouble.to_string())
}

const NO_GATEWAY: &str = "is no gateway";
/// Groups whose questions go through to the gateway.
const BEHIND: [&str; 9] =
    ["path.", "api.", "size.", "stream.", "upstream.", "address.", "log.", "http2.", "names.own"];

/// Every second answer of a mixed upstream is another program's: what was asked through it proves nothing.
pub(super) fn step_back(said: &mut Said) {
    let mixed = said.iter().any(|(id, verdict)| {
        *id == "api.answers" && matches!(verdict, Verdict::Fail(seen) if seen.contains(NO_GATEWAY))
    });
    for (id, verdict) in said.iter_mut().filter(|_| mixed) {
        let asked = BEHIND.iter().any(|group| id.starts_with(group));
        if asked && *id != "api.answers" && matches!(verdict, Verdict::Fail(_)) {
            *verdict = Verdict::skip("one of the gateways is none: see api.answers");
        }
    }
}

fn gateways(site: &Site) -> String {
    let all: Vec<_> = site.gateways.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Whether an answer is that of a page that lets in only some.
pub(super) fn is_guarded(site: &Site, answer: &Answer) -> bool {
    let door = site.page.as_ref().is_some_and(|page| !page.allow.is_empty() || page.password_file.is_some());
    door && matches!(answer.status, 401 | 403)
}

fn page(context: &Context<'_>) -> Verdict {
    let Some(configured) = &context.site.page else {
        return Verdict::skip("`edge.page.address` is off: no page");
    };
    match &context.samples.page {
        Err(trouble) => Verdict::fail(trouble),
        Ok(answer) if answer.status == 200 && answer.text().contains("data-locale=") => Verdict::ok("200"),
        Ok(answer) if answer.status == 403 && answer.text().contains("wrong_host") => {
            match upstream::host_is_ours(context) {
                false => Verdict::skip("the page is asked under another name: see upstream.host"),
                true => Verdict::fail(format!("the page does not answer to {}", context.door.authority)),
            }
        }
        Ok(answer) if answer.status == 403 && lacks_passwords(configured) => Verdict::fail(
            "403: the file of `edge.page.password_file` is not there, so nobody gets in; make it with `htpasswd -B -c`, or with `gatehouse init`",
        ),
        Ok(answer) if is_guarded(context.site, answer) => {
            Verdict::skip(format!("{}: the page is guarded, and this check has no way in", answer.status))
        }
        Ok(answer) if answer.status >= 500 => {
            Verdict::fail(format!("nginx answers {}: it does not reach {}", answer.status, configured.at))
        }
        Ok(answer) => Verdict::fail(format!("{}, and not the page", answer.status)),
    }
}

fn lacks_passwords(page: &Page) -> bool {
    page.password_file.as_ref().is_some_and(|file| !file.exists())
}
