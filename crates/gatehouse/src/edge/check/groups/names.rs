//! Which names are answered, and what plain HTTP does.
//!
//! Why here: a stranger's name in front of this site is how a foreign page reaches it (DNS rebinding), and plain HTTP is how
//! a key travels readable.
//!
//! Never here: the certificate's names.

use super::places;
use super::reach::is_gateways;
use crate::config::edge::Tls;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, Door, Request, Sni, Trouble};

/// Reserved: nobody can own it.
const FOREIGN: &str = "gatehouse-check.invalid";
const CHALLENGES: &str = "/.well-known/acme-challenge/";

pub(super) async fn look(context: &Context<'_>) -> Said {
    let (unknown, redirect, acme) = tokio::join!(unknown(&context.door), redirect(context), acme(context));
    vec![("names.unknown", unknown), ("plain.redirect", redirect), ("plain.acme", acme)]
}

async fn unknown(door: &Door) -> Verdict {
    let mut wrong = Vec::new();
    if door.tls {
        for (sni, what) in [(Sni::Other(FOREIGN), "another name"), (Sni::None, "no name")] {
            if door.tls(sni, &[], rustls::ALL_VERSIONS, None).await.is_ok() {
                wrong.push(format!("a handshake for {what} is shown a certificate"));
            }
        }
        let asked = door.ask(&Request::get("/v1/models").host(FOREIGN)).await;
        wrong.extend(served("another Host behind our own name", &asked));
    }
    let plain = door.ask_plain(&Request::get("/").host(FOREIGN)).await;
    wrong.extend(served("another Host on plain HTTP", &plain));
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
    let wanted = format!("{}{path}", door.origin());
    let mut wrong = Vec::new();
    for request in [Request::get(path), Request::post(path, "{}")] {
        let method = request.parts().0;
        match door.ask_plain(&request).await {
            Err(trouble) => wrong.push(format!("{method}: {trouble}")),
            Ok(answer) => {
                let location = answer.header("location").unwrap_or("nothing");
                if !matches!(answer.status, 301 | 308) {
                    wrong.push(format!("{method}: {} instead of 308", answer.status));
                } else if location != wanted {
                    wrong.push(format!("{method}: leads to {location}, not to {wanted}"));
                }
                if answer.count("strict-transport-security") > 0 {
                    wrong.push(format!(
                        "{method}: sends strict-transport-security, which browsers must not take from here"
                    ));
                }
            }
        }
    }
    Verdict::of(&wrong, format!("to {wanted}"))
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
