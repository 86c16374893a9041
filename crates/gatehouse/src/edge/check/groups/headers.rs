//! What every answer carries.
//!
//! Why here: nginx loses headers in two ways, by a location that adds one of its own and by a status that is none of the
//! usual. Each way is a fact; where one explains what is missing, the other says nothing.
//!
//! Never here: cookies, headers of the API's own.

use crate::chat;
use crate::edge::check::Context;
use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::Answer;
use crate::edge::check::samples::Samples;
use crate::edge::site::Site;

const HSTS: &str = "strict-transport-security";
/// Beside the security headers, these have to be single.
const SINGLE: [&str; 6] =
    ["content-type", "cache-control", "x-request-id", "retry-after", "location", "server"];

pub(super) fn look(context: &Context<'_>) -> Said {
    let (site, samples) = (context.site, &context.samples);
    let wanted = wanted(site, samples);
    vec![
        ("headers.every-place", every_place(samples, &wanted)),
        ("headers.every-status", every_status(samples, &wanted)),
        ("headers.once", once(samples, &wanted)),
        ("headers.values", values(samples)),
        ("headers.server", server(samples)),
    ]
}

/// Names that every answer should have. HSTS that is sent nowhere is a fact of its own.
fn wanted(site: &Site, samples: &Samples) -> Vec<&'static str> {
    let sent_somewhere = samples.all().iter().any(|(_, answer)| answer.count(HSTS) > 0);
    let hsts = (site.hsts.is_some() && sent_somewhere).then_some(HSTS);
    chat::security_headers().map(|(name, _)| name).chain(hsts).collect()
}

fn missing<'w>(answer: &Answer, wanted: &[&'w str]) -> Vec<&'w str> {
    wanted.iter().copied().filter(|name| answer.count(name) == 0).collect()
}

/// The usual answers of each place.
fn every_place(samples: &Samples, wanted: &[&str]) -> Verdict {
    // What refusals lack everywhere is the status's doing.
    let refused = samples.closed.as_ref().map(|answer| missing(answer, wanted)).unwrap_or_default();
    let mut wrong = Vec::new();
    let mut looked = Vec::new();
    for (name, answer) in samples.all() {
        if answer.status >= 400 && !name.starts_with("GET /v1/models") {
            continue;
        }
        let excused: &[&str] = if answer.status >= 400 { &refused } else { &[] };
        let lost: Vec<_> =
            missing(answer, wanted).into_iter().filter(|name| !excused.contains(name)).collect();
        if !lost.is_empty() {
            wrong.push(format!("{name} ({}): without {}", answer.status, lost.join(", ")));
        }
        looked.push(format!("{name} ({})", answer.status));
    }
    if looked.is_empty() {
        return Verdict::skip("no place answers as it should");
    }
    Verdict::of(&wrong, looked.join(", "))
}

/// What nginx itself refuses.
fn every_status(samples: &Samples, wanted: &[&str]) -> Verdict {
    let mut wrong = Vec::new();
    let mut looked = Vec::new();
    for (name, answer) in samples
        .all()
        .into_iter()
        .filter(|(name, answer)| answer.status >= 400 && !name.starts_with("GET /v1/models"))
    {
        let lost = missing(answer, wanted);
        if !lost.is_empty() {
            wrong.push(format!("{name} ({}): without {}", answer.status, lost.join(", ")));
        }
        looked.push(format!("{name} ({})", answer.status));
    }
    if looked.is_empty() {
        return Verdict::skip("nothing was refused");
    }
    Verdict::of(&wrong, looked.join(", "))
}

fn once(samples: &Samples, wanted: &[&str]) -> Verdict {
    let mut wrong = Vec::new();
    for (name, answer) in samples.all() {
        // `expires` adds one beside the site's own: how long an answer is kept is another fact.
        let kept = answer.count("expires") > 0;
        let twice = wanted.iter().chain(&SINGLE).filter(|header| answer.count(header) > 1);
        let twice = twice.filter(|header| !(kept && **header == "cache-control"));
        wrong.extend(twice.map(|header| format!("{name}: {header} {} times", answer.count(header))));
    }
    Verdict::of(&wrong, "each at most once")
}

fn values(samples: &Samples) -> Verdict {
    let mut wrong: Vec<String> = Vec::new();
    for (name, value) in chat::security_headers() {
        let other = |(place, answer): &(String, &Answer)| {
            let sent = answer.header(name)?;
            (sent != value).then(|| format!("{place}: {name}: {sent}"))
        };
        // One place is enough to find the line.
        wrong.extend(samples.all().iter().find_map(other));
    }
    // The gateway may let other pages read its API; the rest is for nobody but the page.
    let readers = samples.all().into_iter().filter(|(place, _)| !place.contains("/v1/"));
    wrong.extend(readers.filter_map(|(place, answer)| {
        Some(format!(
            "{place}: access-control-allow-origin: {}",
            answer.header("access-control-allow-origin")?
        ))
    }));
    Verdict::of(&wrong, "as in the page's own table")
}

fn server(samples: &Samples) -> Verdict {
    let mut wrong = Vec::new();
    for (name, answer) in samples.all() {
        for header in ["server", "x-powered-by"] {
            let told = answer.header(header).filter(|value| value.contains(|c: char| c.is_ascii_digit()));
            wrong.extend(told.map(|value| format!("{name}: {header}: {value}")));
        }
        if answer.status >= 400 && answer.text().contains("nginx/") {
            wrong.push(format!("{name}: the version stands on the error page"));
        }
    }
    wrong.truncate(3);
    Verdict::of(&wrong, samples.closed.as_ref().ok().and_then(|a| a.header("server")).unwrap_or("nothing"))
}
