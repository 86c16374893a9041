//! The page and its files.
//!
//! Why here: what is cached too long is stale, what is cached too short is slow, and a key that reaches the page is spent by
//! whoever opens it.
//!
//! Never here: what the page does.

use super::places;
use super::reach::is_guarded;
use crate::chat;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::{Answer, Conn, Request};
use crate::edge::check::reading::Scope;
use crate::edge::check::samples::Sample;
use crate::edge::nginx::credentials;
use crate::edge::site::Page;

/// Places that are named; then it is clear enough.
const GUARD_SHOWN: usize = 6;

pub(super) async fn look(context: &Context<'_>) -> Said {
    if context.site.page.is_none() {
        let ids = [
            "page.fresh",
            "page.guarded",
            "page.no-key",
            "static.served",
            "static.immutable",
            "static.compressed",
        ];
        return ids.iter().map(|id| (*id, Verdict::skip("`edge.page.address` is off: no page"))).collect();
    }
    if context.samples.page.as_ref().is_ok_and(|answer| is_guarded(context.site, answer)) {
        let asked = ["page.fresh", "static.served", "static.immutable", "static.compressed"];
        let skip = |id: &&'static str| (*id, Verdict::skip("the page is guarded: see page.answers"));
        let read = [("page.no-key", no_key(context)), ("page.guarded", guarded(context).await)];
        return asked.iter().map(skip).chain(read).collect();
    }
    vec![
        ("page.fresh", fresh(context)),
        ("page.guarded", guarded(context).await),
        ("page.no-key", no_key(context)),
        ("static.served", served(context)),
        ("static.immutable", immutable(context)),
        ("static.compressed", compressed(context)),
    ]
}

fn fresh(context: &Context<'_>) -> Verdict {
    match &context.samples.page {
        Ok(answer) if answer.status == 200 => {}
        _ => return Verdict::skip("the page does not answer: see page.answers"),
    }
    let cache =
        context.samples.page.as_ref().ok().and_then(|page| page.header("cache-control")).unwrap_or_default();
    match cache.contains("no-store") || cache.contains("no-cache") {
        true => Verdict::ok(cache),
        false => {
            Verdict::fail(format!("cache-control: {}", if cache.is_empty() { "nothing" } else { cache }))
        }
    }
}

/// Who may open the page: asked without a password and from addresses that are not listed, and read in all its places.
async fn guarded(context: &Context<'_>) -> Verdict {
    let Some(page) = &context.site.page else { return Verdict::skip("`edge.page.address` is off: no page") };
    if page.allow.is_empty() && page.password_file.is_none() {
        return Verdict::ok("everybody may open it: `edge.page` names neither addresses nor passwords");
    }
    let mut wrong = asked_in(context, page).await;
    let seen = match places::of(context) {
        Err(why) => format!("refused; not read: {why}"),
        Ok(places) => {
            let file = places.server.at("/assets/x.js");
            wrong.extend(places.page.iter().chain([&file]).flat_map(|place| unguarded(place, page)));
            format!("refused, and so in {} places", places.page.len() + 1)
        }
    };
    wrong.truncate(GUARD_SHOWN);
    Verdict::of(&wrong, seen)
}

async fn asked_in(context: &Context<'_>, page: &Page) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in [None, context.door.own_source()] {
        let Ok(mut conn) = Conn::new(&context.door, source).await else { continue };
        let us = conn.local().ip();
        // Through another machine the site may see another address than ours.
        let listed = !context.here || page.allow.iter().any(|net| net.contains(&us));
        let Ok(answer) = conn.ask(&Request::get("/")).await else { continue };
        if answer.status == 200 && page.password_file.is_some() {
            wrong.push(format!("GET / without a password, from {us}: 200"));
        } else if answer.status == 200 && !page.allow.is_empty() && !listed {
            wrong.push(format!("GET / from {us}, which `edge.page.allow` does not hold: 200"));
        }
        if context.door.own_source().is_none() {
            break;
        }
    }
    wrong
}

fn unguarded(place: &Scope<'_>, page: &Page) -> Vec<String> {
    let mut wrong = Vec::new();
    if page.password_file.is_some() {
        let asks = place.one("auth_basic").is_some_and(|line| line.arg(0) != "off");
        if !asks || place.one("auth_basic_user_file").is_none() {
            wrong.push(format!("{} asks for no password", place.named()));
        }
    }
    if !page.allow.is_empty() {
        let rules = place.many_of(&["allow", "deny"]);
        if !rules.iter().any(|rule| rule.name == "deny" && rule.arg(0) == "all") {
            wrong.push(format!("{} has no `deny all`", place.named()));
        }
        let known =
            |text: &str| page.allow.iter().any(|net| super::address::same_net(&net.to_string(), text));
        let others = rules.iter().filter(|rule| rule.name == "allow" && !known(rule.arg(0)));
        wrong.extend(others.map(|rule| format!("{} is not in `edge.page.allow`", rule.shown())));
    }
    if let Some(line) = place.one("satisfy").filter(|line| line.has("any"))
        && page.password_file.is_some()
        && !page.allow.is_empty()
    {
        wrong.push(format!("{}: an address is enough, or a password", line.shown()));
    }
    wrong
}

fn no_key(context: &Context<'_>) -> Verdict {
    let places = match places::of(context) {
        Ok(places) => places,
        Err(why) => return Verdict::skip(why),
    };
    let mut wrong = Vec::new();
    for place in &places.page {
        for carrier in credentials(context.site) {
            if place.sent_header(carrier).is_none_or(|line| !line.arg(1).is_empty()) {
                wrong.push(format!("{} passes {carrier} to the page", place.named()));
            }
        }
    }
    Verdict::of(&wrong, format!("emptied in {} places", places.page.len()))
}

fn served(context: &Context<'_>) -> Verdict {
    let path = &context.samples.file_path;
    let file = match &context.samples.file {
        Ok(answer) => answer,
        Err(trouble) => return Verdict::fail(trouble),
    };
    let name = path.trim_start_matches('/');
    let known = chat::assets().iter().find(|asset| asset.path == name).map(|asset| asset.media_type);
    let sent = file.header("content-type").unwrap_or("nothing");
    let same = |known: &str| sent.split(';').next() == known.split(';').next();
    let mut wrong = Vec::new();
    if file.status != 200 {
        wrong.push(format!("{path}: {}", file.status));
    } else if let Some(known) = known.filter(|known| !same(known)) {
        wrong.push(format!("{path}: {sent} instead of {known}"));
    }
    // nginx dates the files that it reads; the page, which serves them otherwise, does not.
    match file.header("last-modified") {
        _ if !wrong.is_empty() => Verdict::fail(wrong.join("\n")),
        Some(_) => Verdict::ok(format!("{path}: {sent}, by nginx")),
        None if context.samples.are_of_up() => Verdict::ok(format!("{path}: {sent}, by `gatehouse up`")),
        None => Verdict::warn(format!(
            "{path} comes from the page, not from {}",
            context.site.assets_dir.display()
        )),
    }
}

fn immutable(context: &Context<'_>) -> Verdict {
    let cache = |answer: &Answer| answer.header("cache-control").unwrap_or("nothing").to_owned();
    let mut wrong = Vec::new();
    // One `expires` for all of the site shows on the page, too, and is told there.
    let expires =
        |sample: &Sample| sample.as_ref().ok().and_then(|answer| answer.header("expires").map(str::to_owned));
    let on_page = expires(&context.samples.page);
    let same_rule = on_page.is_some() && on_page.is_some_and(|_| expires(&context.samples.file).is_some());
    if let Ok(file) = &context.samples.file
        && file.status == 200
        && file.header("cache-control") != Some(chat::IMMUTABLE)
        && !same_rule
    {
        wrong.push(format!("{}: cache-control: {}", context.samples.file_path, cache(file)));
    }
    if let Ok(missing) = &context.samples.file_missing {
        if missing.status < 400 {
            wrong.push(format!("a file that is not there: {}", missing.status));
        } else if cache(missing).contains("immutable") || cache(missing).contains("max-age=3") {
            wrong.push(format!("a file that is not there: cache-control: {}", cache(missing)));
        }
    }
    if !wrong.is_empty() && is_listed(context) {
        return Verdict::skip("the files' folder is listed, whatever is asked there: see path.traversal");
    }
    Verdict::of(&wrong, chat::IMMUTABLE)
}

/// Whether nginx shows what lies in the files' folder.
fn is_listed(context: &Context<'_>) -> bool {
    let on = |scope: Scope<'_>| scope.one("autoindex").is_some_and(|line| line.has("on"));
    places::of(context).is_ok_and(|places| on(places.server.at("/assets/x.js")))
}

fn compressed(context: &Context<'_>) -> Verdict {
    let (Ok(packed), Ok(plain)) = (&context.samples.file_packed, &context.samples.file) else {
        return Verdict::skip("no file came: see static.served");
    };
    if packed.status != 200 || plain.status != 200 {
        return Verdict::skip("no file came: see static.served");
    }
    let mut wrong = Vec::new();
    let encoding = packed.header("content-encoding");
    if !matches!(encoding, Some("gzip" | "br")) {
        wrong.push(format!("{} bytes as they are", packed.body.len()));
    } else if !packed.header("vary").is_some_and(|vary| vary.to_ascii_lowercase().contains("accept-encoding"))
    {
        wrong.push("no `vary: accept-encoding`: a cache would hand it to who cannot read it".to_owned());
    }
    if let Some(encoding) = plain.header("content-encoding") {
        wrong.push(format!("{encoding} for who did not ask for it"));
    }
    Verdict::of(
        &wrong,
        format!("{}: {} of {} bytes", encoding.unwrap_or_default(), packed.body.len(), plain.body.len()),
    )
}
