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
use crate::edge::check::probe::Answer;

pub(super) async fn look(context: &Context<'_>) -> Said {
    if context.site.page.is_none() {
        let ids = ["page.fresh", "page.no-key", "static.served", "static.immutable", "static.compressed"];
        return ids.iter().map(|id| (*id, Verdict::skip("`edge.page.address` is off: no page"))).collect();
    }
    if context.samples.page.as_ref().is_ok_and(|answer| is_guarded(context.site, answer)) {
        let asked = ["page.fresh", "static.served", "static.immutable", "static.compressed"];
        let skip = |id: &&'static str| (*id, Verdict::skip("the page is guarded: see page.answers"));
        return asked.iter().map(skip).chain([("page.no-key", no_key(context))]).collect();
    }
    vec![
        ("page.fresh", fresh(context)),
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

fn no_key(context: &Context<'_>) -> Verdict {
    let places = match places::of(context) {
        Ok(places) => places,
        Err(why) => return Verdict::skip(why),
    };
    let mut wrong = Vec::new();
    for place in &places.page {
        for carrier in ["Authorization", "X-Api-Key"] {
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
    if let Ok(file) = &context.samples.file
        && file.status == 200
        && file.header("cache-control") != Some(chat::IMMUTABLE)
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
    Verdict::of(&wrong, chat::IMMUTABLE)
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
