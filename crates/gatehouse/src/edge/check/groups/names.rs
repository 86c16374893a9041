//! Which names are answered, and what plain HTTP does.
//!
//! Why here: a stranger's name in front of this site is how a foreign page reaches it (DNS rebinding), and plain HTTP is how
//! a key travels readable.
//!
//! Never here: the certificate's names.

use std::net::SocketAddr;

use super::places;
use super::reach::is_gateways;
use crate::config::edge::Tls;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, Door, Request, Sni, Trouble};
use crate::edge::check::reading::{Directive, Scope};
use crate::edge::check::samples::{CHAT_PATH, MESSAGES_PATH};

/// Reserved: nobody can own it.
const FOREIGN: &str = "gatehouse-check.invalid";
/// Names, and listeners, that are asked beside the first.
const ASKED_MAX: usize = 16;
/// Lines that one fact shows.
const SHOWN_MAX: usize = 6;
const CHALLENGES: &str = "/.well-known/acme-challenge/";

pub(super) async fn look(context: &Context<'_>) -> Said {
    let (unknown, own, redirect, acme) =
        tokio::join!(unknown(&context.door), own(context), redirect(context), acme(context));
    vec![("names.unknown", unknown), ("names.own", own), ("plain.redirect", redirect), ("plain.acme", acme)]
}

/// Each name at the usual listener, and the first name at each.
async fn own(context: &Context<'_>) -> Verdict {
    let door = &context.door;
    let listeners = if door.tls { &door.https_all } else { &door.http_all };
    let names = context.site.names.iter().map(|name| name.as_str());
    let at_first = names.skip(1).take(ASKED_MAX).map(|name| (door.public(), name));
    let first_at = listeners.iter().skip(1).take(ASKED_MAX).map(|at| (*at, door.name.as_str()));
    let certificate = match shown(door, door.public(), &door.name).await {
        Ok(certificate) => certificate,
        Err(trouble) => return Verdict::skip(trouble.to_string()),
    };
    let mut wrong = Vec::new();
    let mut seen = vec![format!("{} at {}", door.name, door.public())];
    for (at, name) in at_first.chain(first_at) {
        let what = format!("{name} at {at}");
        match shown(door, at, name).await {
            Err(trouble) => wrong.push(format!("{what}: {trouble}")),
            Ok(other) if other != certificate => wrong.push(format!("{what}: shown another certificate")),
            Ok(_) => match (asked(door, at, name).await, &context.samples.models) {
                (Err(trouble), _) => wrong.push(format!("{what}: {trouble}")),
                // Used up by this check itself.
                (Ok(answer), _) if answer.status == 429 => {}
                (Ok(answer), Ok(usual))
                    if (answer.status, is_gateways(&answer)) != (usual.status, is_gateways(usual)) =>
                {
                    wrong.push(format!("{what}: {} on GET /v1/models, not {}", answer.status, usual.status));
                }
                _ => {}
            },
        }
        seen.push(what);
    }
    Verdict::of(&wrong, seen.join(", "))
}

/// The certificate for a name at a listener; nothing without TLS.
async fn shown(door: &Door, at: SocketAddr, name: &str) -> Result<Vec<u8>, Trouble> {
    if !door.tls {
        return Ok(Vec::new());
    }
    let open = door.tls_at(at, Sni::Other(name), &[], rustls::ALL_VERSIONS, None).await?;
    let certificates = open.wire.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(certificates.first().map(|leaf| leaf.to_vec()).unwrap_or_default())
}

async fn asked(door: &Door, at: SocketAddr, name: &str) -> Result<Answer, Trouble> {
    let port = door.authority.strip_prefix(door.name.as_str()).unwrap_or_default();
    let request = Request::get("/v1/models").host(format!("{name}{port}"));
    if !door.tls {
        return Conn::plain_at(door, at).await?.ask(&request).await;
    }
    let open = door.tls_at(at, Sni::Other(name), &[b"http/1.1"], rustls::ALL_VERSIONS, None).await?;
    Conn::over(Box::new(open.wire), name).ask(&request).await
}

async fn unknown(door: &Door) -> Verdict {
    let mut wrong = Vec::new();
    if door.tls {
        for at in door.https_all.iter().take(ASKED_MAX) {
            for (sni, what) in [(Sni::Other(FOREIGN), "another name"), (Sni::None, "no name")] {
                if door.tls_at(*at, sni, &[], rustls::ALL_VERSIONS, None).await.is_ok() {
                    wrong.push(format!("a handshake for {what} at {at} is shown a certificate"));
                }
            }
        }
        let asked = door.ask(&Request::get("/v1/models").host(FOREIGN)).await;
        wrong.extend(served("another Host behind our own name", &asked));
    }
    for at in door.http_all.iter().take(ASKED_MAX) {
        let plain = plain(door, *at, &Request::get("/").host(FOREIGN)).await;
        wrong.extend(served(&format!("another Host on plain HTTP at {at}"), &plain));
    }
    wrong.extend(served("no Host on plain HTTP", &without_host(door).await));
    Verdict::of(&wrong, "refused in the handshake, and by 404, 421 or a closed connection")
}

/// What is wrong with an answer that should be a refusal.
fn served(what: &str, answer: &Result<Answer, Trouble>) -> Option<String> {
    match answer {
        Ok(answer) if is_gateways(answer) => Some(format!("{what}: answered by the gateway")),
        Ok(answer) if matches!(answer.status, 400 | 403 | 404 | 410 | 421) => None,
        Ok(answer) => Some(format!("{what}: {}", answer.status)),
        Err(_) => None,
    }
}

async fn plain(door: &Door, at: SocketAddr, request: &Request) -> Result<Answer, Trouble> {
    Conn::plain_at(door, at).await?.ask(request).await
}

async fn without_host(door: &Door) -> Result<Answer, Trouble> {
    let mut conn = Conn::plain(door).await?;
    conn.send(b"GET / HTTP/1.0\r\n\r\n").await?;
    conn.answer(false, crate::edge::check::probe::PATIENCE).await
}

async fn redirect(context: &Context<'_>) -> Verdict {
    let door = &context.door;
    if context.site.tls == Tls::Off {
        return Verdict::skip("the site is not encrypted: see tls.on");
    }
    let path = "/v1/models?from=gatehouse-check&x=%2F";
    let mut wrong = Vec::new();
    let asked = [
        Request::get(path),
        Request::post(path, "{}"),
        Request::post(CHAT_PATH, "{}"),
        Request::post(MESSAGES_PATH, "{}"),
        Request::get("/"),
        Request::get("/openapi.json"),
        Request::get("/api/setup"),
        Request::get(context.samples.file_path.as_str()),
    ];
    // The first request at every listener, all of them at the usual one.
    let others = door.http_all.iter().skip(1).take(ASKED_MAX).filter_map(|at| Some((*at, asked.first()?)));
    for (at, request) in asked.iter().map(|request| (door.http, request)).chain(others) {
        match plain(door, at, request).await {
            Err(trouble) => wrong.push(format!("{}: {trouble}", request.parts().0)),
            Ok(answer) => wrong.extend(misled(door, request, &answer)),
        }
    }
    wrong.extend(passes(context));
    wrong.truncate(SHOWN_MAX);
    Verdict::of(&wrong, format!("to {}{path}", door.origin()))
}

/// What is wrong with a redirect.
fn misled(door: &Door, request: &Request, answer: &Answer) -> Vec<String> {
    let (method, path, ..) = request.parts();
    let wanted = format!("{}{path}", door.origin());
    let location = answer.header("location").unwrap_or("nothing");
    let mut wrong = Vec::new();
    // With 301 a client may come back with GET, and without its body.
    let kept = answer.status == 308 || (answer.status == 301 && method == "GET");
    if !kept {
        wrong.push(format!("{method} {path}: {} instead of 308", answer.status));
    } else if location != wanted {
        wrong.push(format!("{method} {path}: leads to {location}, not to {wanted}"));
    }
    if answer.count("strict-transport-security") > 0 {
        wrong.push(format!(
            "{method} {path}: sends strict-transport-security, which browsers must not take from here"
        ));
    }
    wrong
}

/// What the servers of our names on plain HTTP pass on instead of redirecting it.
fn passes(context: &Context<'_>) -> Vec<String> {
    let Ok(places) = places::of(context) else { return Vec::new() };
    let ports: Vec<u16> = context.site.http_listen.iter().map(SocketAddr::port).collect();
    let plain = |server: &Scope<'_>| {
        let encrypted = server.below().iter().any(|line| line.name == "listen" && line.has("ssl"));
        let names = server.own("server_name");
        !encrypted && names.is_some_and(|line| context.site.names.iter().any(|own| line.has(own.as_str())))
    };
    let servers = places.read.on_ports(&ports).into_iter().filter(plain);
    let lines: Vec<_> = servers.flat_map(|server| server.below()).collect();
    lines.into_iter().filter(|line| line.name.ends_with("_pass")).map(Directive::shown).collect()
}

async fn acme(context: &Context<'_>) -> Verdict {
    let door = &context.door;
    if context.site.tls == Tls::Off {
        return Verdict::skip("the site is not encrypted: see tls.on");
    }
    let mut wrong = Vec::new();
    let asked = [
        (Request::get(format!("{CHALLENGES}gatehouse-check")), &[404][..]),
        (Request::get(format!("{CHALLENGES}..%2f..%2f..%2f..%2fetc%2fpasswd")), &[400, 403, 404]),
        (Request::get(CHALLENGES), &[403, 404]),
    ];
    for (request, good) in asked {
        match door.ask_plain(&request).await {
            Ok(answer) if good.contains(&answer.status) => {}
            Ok(answer) => wrong.push(format!("GET {}: {}", request.parts().1, answer.status)),
            Err(trouble) => wrong.push(format!("GET {}: {trouble}", request.parts().1)),
        }
    }
    wrong.extend(folder(context));
    Verdict::of(&wrong, format!("404 for what is not there; {}", context.site.acme.webroot.display()))
}

/// Where nginx looks for challenges, as far as that can be read.
fn folder(context: &Context<'_>) -> Option<String> {
    let places = places::of(context).ok()?;
    let name = context.site.canonical()?.as_str();
    let port = context.site.http_listen.first()?.port();
    let mut plain = places.read.on_ports(&[port]).into_iter();
    let server = plain.find(|s| s.own("server_name").is_some_and(|names| names.has(name)))?;
    let place = server.at(CHALLENGES);
    let wanted = context.site.acme.webroot.as_path();
    match (place.one("root"), place.own("alias")) {
        (_, Some(alias)) => Some(format!("{}: `root` is meant", alias.shown())),
        (Some(root), None) if std::path::Path::new(root.arg(0)) == wanted => None,
        (Some(root), None) => {
            Some(format!("{}: challenges are laid into {}", root.shown(), wanted.display()))
        }
        (None, None) => Some("no `root` for challenges".to_owned()),
    }
}
