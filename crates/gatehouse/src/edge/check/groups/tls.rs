//! How the site is encrypted: versions, suites, curves, what it keeps of a session.
//!
//! Why here: Mozilla's intermediate profile, asked by handshakes that offer what must not be taken.
//!
//! Never here: the certificate.

use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::hello::{Heard, Hello, TLS10, TLS11, TLS12, suite_name};
use crate::edge::check::probe::{Door, PATIENCE, Request, Sni, Trouble, ask_h2};
use crate::edge::check::reading::Scope;

use super::places;

/// The profile's suites of TLS 1.2.
const GOOD: [u16; 6] = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8];
/// What servers have been known to take beside them: without forward secrecy, CBC, CCM, ARIA, Camellia, finite fields, 3DES,
/// RC4, anonymous, without encryption.
const POOR: [u16; 58] = [
    0x009c, 0x009d, 0x009e, 0x009f, 0x002f, 0x0035, 0x003c, 0x003d, 0x0033, 0x0039, 0x0067, 0x006b, 0xc009,
    0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028, 0x000a, 0x0016, 0xc008, 0xc012, 0x0004, 0x0005,
    0xc007, 0xc011, 0xc09c, 0xc09d, 0xc09e, 0xc09f, 0xc0a0, 0xc0a1, 0xc0ac, 0xc0ad, 0xc0ae, 0xc0af, 0xc050,
    0xc051, 0xc052, 0xc053, 0xc05c, 0xc05d, 0xc060, 0xc061, 0xc072, 0xc073, 0xc076, 0xc077, 0x0041, 0x0084,
    0xccaa, 0x0018, 0x0034, 0x003a, 0x0001, 0x0002,
];
/// Of TLS 1.3: a tag of 16 bytes that nobody needs, and one of 8.
const POOR_13: [u16; 2] = [0x1304, 0x1305];
/// P-521, X448, brainpool, finite fields.
const POOR_CURVES: [u16; 10] =
    [0x0019, 0x001e, 0x001f, 0x0020, 0x0021, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104];
/// Two years.
const HSTS_FLOOR_S: u64 = 63_072_000;
/// Poor suites that are named; then it is clear enough.
const NAMED_MAX: usize = 8;

pub(super) async fn look(context: &Context<'_>) -> Said {
    let ids = [
        "tls.versions",
        "tls.suites",
        "tls.order",
        "tls.curves",
        "tls.tickets",
        "tls.cache",
        "tls.stapling",
        "tls.hsts",
        "http2.works",
    ];
    let door = &context.door;
    if !door.tls {
        let mut said: Said =
            ids.iter().map(|id| (*id, Verdict::skip("the site is not encrypted: see tls.on"))).collect();
        said.push(("tls.on", Verdict::warn("`edge.tls: off`: keys, passwords and answers travel readable")));
        return said;
    }
    let servers = listed(context);
    let (versions, suites, order, curves, tickets, http2) = tokio::join!(
        versions(door, servers.as_deref()),
        suites(door),
        order(door),
        curves(door),
        tickets(door),
        http2(context),
    );
    let versions = places::with_neighbours(versions, servers.as_deref().unwrap_or_default(), context.site);
    let (cache, stapling) = (cache(servers.as_deref()), stapling(servers.as_deref()));
    vec![
        ("tls.on", Verdict::ok(door.https.to_string())),
        ("tls.versions", versions),
        ("tls.suites", suites),
        ("tls.order", order),
        ("tls.curves", curves),
        ("tls.tickets", tickets),
        ("tls.cache", cache),
        ("tls.stapling", stapling),
        ("tls.hsts", hsts(context)),
        ("http2.works", http2),
    ]
}

/// Servers on the encrypted port: until the name is known, the default server's settings count.
fn listed<'t>(context: &'t Context<'_>) -> Result<Vec<Scope<'t>>, String> {
    let places = places::of(context)?;
    Ok(places.read.on_ports(&[context.site.public_port()]))
}

type Servers<'s, 't> = Result<&'s [Scope<'t>], &'s String>;

async fn versions(door: &Door, servers: Servers<'_, '_>) -> Verdict {
    let mut wrong = Vec::new();
    for (version, name) in [(TLS10, "1.0"), (TLS11, "1.1")] {
        let suites = [0xc013, 0xc014, 0xc009, 0xc00a, 0x002f, 0x0035, 0x000a];
        let hello = Hello { version, ..Hello::modern(&suites) };
        match hello.say(door).await {
            Ok(Heard::Taken { version: taken, .. }) if taken == version => {
                wrong.push(format!("TLS {name} is taken"));
            }
            Ok(_) => {}
            Err(trouble) => return Verdict::skip(trouble.to_string()),
        }
    }
    for (version, name) in [(&rustls::version::TLS12, "1.2"), (&rustls::version::TLS13, "1.3")] {
        if let Err(trouble) = door.tls(Sni::Own, &[], &[version], None).await {
            wrong.push(format!("TLS {name} is not spoken: {trouble}"));
        }
    }
    for server in servers.unwrap_or_default() {
        let listed = server.one("ssl_protocols");
        let old = |d: &&_| listed_old(d);
        if let Some(line) = listed.filter(old) {
            wrong.push(format!("{} lists what only OpenSSL's defaults still refuse", line.shown()));
        }
    }
    wrong.dedup();
    Verdict::of(&wrong, "1.0 and 1.1 refused, 1.2 and 1.3 spoken")
}

fn listed_old(line: &crate::edge::check::reading::Directive) -> bool {
    ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"].iter().any(|old| line.has(old))
}

/// Offers all poor ones, and again without the one that was taken, until none is.
async fn suites(door: &Door) -> Verdict {
    let mut offered = POOR.to_vec();
    let mut taken = Vec::new();
    while taken.len() < NAMED_MAX {
        match Hello::modern(&offered).say(door).await {
            Ok(Heard::Taken { suite, .. }) => {
                taken.push(format!("{} is taken", suite_name(suite)));
                offered.retain(|other| *other != suite);
            }
            Ok(_) => break,
            Err(trouble) => return Verdict::skip(trouble.to_string()),
        }
    }
    match Hello::for_suites13(&POOR_13).say(door).await {
        Ok(Heard::Taken { suite, .. }) => taken.push(format!("{} is taken", suite_name(suite))),
        Ok(_) => {}
        Err(trouble) => return Verdict::skip(trouble.to_string()),
    }
    if let Err(wrong) = some_good(door).await {
        // Without the version there is nothing to choose from: that is its own fact.
        if taken.is_empty() && door.tls(Sni::Own, &[], &[&rustls::version::TLS12], None).await.is_err() {
            return Verdict::skip("TLS 1.2 is not spoken: see tls.versions");
        }
        taken.push(wrong);
    }
    Verdict::of(&taken, format!("{} poor suites offered, none taken", POOR.len() + POOR_13.len()))
}

async fn some_good(door: &Door) -> Result<u16, String> {
    match Hello::modern(&GOOD).say(door).await {
        Ok(Heard::Taken { suite, .. }) => Ok(suite),
        Ok(heard) => Err(format!("none of the six good ones is taken: {heard:?}")),
        Err(trouble) => Err(trouble.to_string()),
    }
}

/// Which two of the good ones it takes depends on the certificate's key.
async fn order(door: &Door) -> Verdict {
    let first = match some_good(door).await {
        Ok(suite) => suite,
        Err(why) => return Verdict::skip(why),
    };
    let others: Vec<u16> = GOOD.iter().copied().filter(|suite| *suite != first).collect();
    let second = match Hello::modern(&others).say(door).await {
        Ok(Heard::Taken { suite, .. }) => suite,
        _ => return Verdict::skip("only one suite is taken: there is nothing to choose"),
    };
    let chosen = |heard| match heard {
        Ok(Heard::Taken { suite, .. }) => Some(suite),
        _ => None,
    };
    let one = chosen(Hello::modern(&[first, second]).say(door).await);
    let other = chosen(Hello::modern(&[second, first]).say(door).await);
    match (one, other) {
        (Some(a), Some(b)) if a == first && b == second => Verdict::ok("each order's first was chosen"),
        (Some(a), Some(b)) if a == b => {
            Verdict::fail(format!("the server chooses {} in both orders", suite_name(a)))
        }
        _ => Verdict::skip("the handshakes did not end"),
    }
}

/// As with suites: all at once, then without the one that was wanted.
async fn curves(door: &Door) -> Verdict {
    let mut offered = POOR_CURVES.to_vec();
    let mut wrong = Vec::new();
    while !offered.is_empty() && wrong.len() < NAMED_MAX {
        match Hello::for_curves(&offered).say(door).await {
            Ok(Heard::Taken { curve: Some(curve), .. }) => {
                wrong.push(format!("{} is taken", curve_name(curve)));
                offered.retain(|other| *other != curve);
            }
            Ok(_) => break,
            Err(trouble) => return Verdict::skip(trouble.to_string()),
        }
    }
    if !matches!(Hello::for_curves(&[0x001d]).say(door).await, Ok(Heard::Taken { .. })) {
        wrong.push("X25519 is not taken".to_owned());
    }
    Verdict::of(&wrong, format!("{} other groups offered, none taken", POOR_CURVES.len()))
}

fn curve_name(curve: u16) -> String {
    match curve {
        0x0019 => "P-521".to_owned(),
        0x001e => "X448".to_owned(),
        0x001f..=0x0021 => "brainpool".to_owned(),
        0x0100..=0x0104 => "a finite field".to_owned(),
        _ => format!("group 0x{curve:04x}"),
    }
}

async fn tickets(door: &Door) -> Verdict {
    let hello = Hello { ticket: true, version: TLS12, ..Hello::modern(&GOOD) };
    match hello.say(door).await {
        Ok(Heard::Taken { ticket: true, .. }) => Verdict::fail("the server offers a ticket"),
        Ok(Heard::Taken { .. }) => Verdict::ok("asked for, not offered"),
        Ok(heard) => Verdict::skip(format!("the handshake ended: {heard:?}")),
        Err(trouble) => Verdict::skip(trouble.to_string()),
    }
}

fn cache(servers: Servers<'_, '_>) -> Verdict {
    let servers = match servers {
        Ok(servers) => servers,
        Err(why) => return Verdict::skip(why),
    };
    let shared = |server: &&Scope<'_>| {
        server
            .one("ssl_session_cache")
            .is_some_and(|line| line.args.iter().any(|arg| arg.starts_with("shared:")))
    };
    match servers.iter().find(shared).and_then(|server| server.one("ssl_session_cache")) {
        Some(line) => Verdict::ok(line.shown()),
        None => {
            Verdict::fail("no `ssl_session_cache shared:...`: every connection pays for a whole handshake")
        }
    }
}

fn stapling(servers: Servers<'_, '_>) -> Verdict {
    let servers = match servers {
        Ok(servers) => servers,
        Err(why) => return Verdict::skip(why),
    };
    let lines = servers.iter().filter_map(|server| server.one("ssl_stapling"));
    match lines.into_iter().find(|line| line.has("on")) {
        Some(line) => Verdict::fail(format!("{}: nginx asks a responder that is not there", line.shown())),
        None => Verdict::ok("off"),
    }
}

/// Where it is sent to some and not to others, the facts about places and statuses say so.
fn hsts(context: &Context<'_>) -> Verdict {
    let page = context.samples.page.as_ref().or(context.samples.closed.as_ref());
    let sent = page.ok().and_then(|answer| answer.header("strict-transport-security"));
    let seconds = |value: &str| {
        let mut parts = value.split(';').map(str::trim);
        parts.find_map(|part| part.strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok())
    };
    let wanted = context.site.hsts.map(|time| time.as_secs());
    match (sent.and_then(seconds), wanted) {
        (None, None) => Verdict::warn("not sent, as `edge.hsts_seconds: 0` says"),
        (None, Some(wanted)) => Verdict::fail(format!("not sent; `edge.hsts_seconds` is {wanted}")),
        (Some(sent), Some(wanted)) if sent < wanted => {
            Verdict::fail(format!("max-age={sent}, configured are {wanted}"))
        }
        (Some(sent), _) if sent < HSTS_FLOOR_S => {
            Verdict::warn(format!("max-age={sent}: well for a beginning; two years are {HSTS_FLOOR_S}"))
        }
        (Some(sent), _) => Verdict::ok(format!("max-age={sent}")),
    }
}

async fn http2(context: &Context<'_>) -> Verdict {
    let mut wrong = Vec::new();
    for (path, sample) in [("/", &context.samples.page), ("/v1/models", &context.samples.models)] {
        let Ok(over_http1) = sample else { continue };
        match ask_h2(&context.door, &Request::get(path), PATIENCE).await {
            Ok(answer) if answer.status == over_http1.status => {}
            Ok(answer) if answer.status == 429 || over_http1.status == 429 => {
                return Verdict::skip("429: this address has used up its requests; try again in a moment");
            }
            Ok(answer) => {
                wrong.push(format!(
                    "{path}: {} instead of {} over HTTP/1.1",
                    answer.status, over_http1.status
                ));
            }
            Err(Trouble::Handshake(what)) => return Verdict::fail(what),
            Err(trouble) => wrong.push(format!("{path}: {trouble}")),
        }
    }
    Verdict::of(&wrong, "the same answers as over HTTP/1.1")
}
