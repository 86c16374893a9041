//! The list of limits, and whether each of them could ever fire and ever admit.
//!
//! Why here: a limit that selects nobody, or that another one always precedes, looks like a protection and is none. What is
//! known before the first request (keys, labels, models, slots) is compared here.
//!
//! Never here: counting; that is the gateway's.

use std::time::Duration;

use gateway::config::{Auth, Counts, Dimension, Key, LimitRule, Model, Models, Selector, Upstream};

use super::bounds;
use super::upstreams::is_name;
use crate::config::report::Place;
use crate::config::section::{Section, clipped};

const DAY_S: u64 = 86_400;
const WINDOW_MAX_S: u64 = 400 * DAY_S;
const WINDOW_FIX: &str = "write a number and `s`, `m`, `h` or `d`, from `1s` to `400d`";

/// What the rest of the section says. A part with errors of its own is `None`: it would only lead to false reports.
pub(super) struct Surroundings<'a> {
    pub auth: Option<&'a Auth>,
    pub models: Option<&'a Models>,
    pub upstreams: &'a [Upstream],
    pub output_tokens_max: Option<u64>,
}

pub(super) fn read(section: &Section<'_>, around: &Surroundings<'_>) -> Vec<LimitRule> {
    let mut found: Vec<(LimitRule, Place)> = Vec::new();
    for table in &section.sections("limits") {
        let Some(rule) = one(table, around) else { continue };
        if found.iter().any(|(other, _)| other.name == rule.name) {
            let what = format!("another limit is called `{}`", rule.name);
            table.report().error(&table.place_of("name"), what, "give each a name of its own");
        }
        found.push((rule, table.place().clone()));
    }
    never_first(section, &found);
    found.into_iter().map(|(rule, _)| rule).collect()
}

fn one(table: &Section<'_>, around: &Surroundings<'_>) -> Option<LimitRule> {
    let report = table.report();
    let name = table.text("name");
    let counts = match table.choice("count").value {
        "prompt_tokens" => Counts::PromptTokens,
        "output_tokens" => Counts::OutputTokens,
        "tokens" => Counts::Tokens,
        "concurrency" => Counts::Concurrency,
        _ => Counts::Requests,
    };
    let before = report.errors();
    let applies_to = selector(table);
    check_selector(table, &applies_to, around, before);
    let per = per(table);
    let retry_after = bounds::retry_after(table);
    let max = table.number("max");
    let window = window(table, counts);
    if !table.has("name") {
        report.error(table.place(), "`name` is missing", "refusals and `GET /v1/usage` show it");
    }
    if !table.has("max") {
        report.error(table.place(), "`max` is missing", "say how much fits into the window");
    }
    if let Some(name) = name.as_ref().filter(|name| !is_name(&name.value)) {
        report.error(&name.place, "is not a name", "use letters, digits, `-`, `_` and `.`, at most 64");
    }
    let name = name?.value;
    let rule = LimitRule { name, applies_to, per, counts, max: max?.value, window: window?, retry_after };
    check_size(table, &rule, around);
    Some(rule)
}

fn selector(table: &Section<'_>) -> Selector {
    let list = |key: &str| {
        let listed = table.texts(key)?;
        if listed.value.is_empty() {
            let what = "the list is empty, so the limit could never fire";
            table.report().error(&listed.place, what, "name some, or leave the key out for all");
        }
        Some(listed.value.into_iter().map(|at| at.value).collect::<Vec<String>>())
    };
    Selector { keys: list("keys"), labels: list("labels"), users: list("users"), models: list("models") }
}

fn per(table: &Section<'_>) -> Vec<Dimension> {
    let mut per = Vec::new();
    for text in table.texts("per").map(|at| at.value).unwrap_or_default() {
        let dimension = match text.value.as_str() {
            "key" => Dimension::Key,
            "user" => Dimension::User,
            "model" => Dimension::Model,
            other => {
                let what = format!("`{}` has no counter of its own", clipped(other));
                table.report().error(&text.place, what, "give some of: key, user, model");
                continue;
            }
        };
        if per.contains(&dimension) {
            table.report().error(&text.place, "is listed twice", "keep one of the two");
        } else {
            per.push(dimension);
        }
    }
    per.sort_unstable();
    per
}

fn window(table: &Section<'_>, counts: Counts) -> Option<Duration> {
    let report = table.report();
    let text = table.text("window");
    if counts == Counts::Concurrency {
        if let Some(text) = text {
            let what = "has no meaning for `concurrency`, which counts what runs now";
            report.error(&text.place, what, "leave it out");
        }
        return Some(Duration::ZERO);
    }
    let Some(text) = text else {
        if !table.has("window") {
            report.error(table.place(), "`window` is missing", WINDOW_FIX);
        }
        return None;
    };
    let window = span(&text.value);
    if window.is_none() {
        report.error(&text.place, format!("`{}` is not a window", clipped(&text.value)), WINDOW_FIX);
    }
    window
}

/// A whole number of seconds, minutes, hours or days.
fn span(text: &str) -> Option<Duration> {
    let unit_s = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => DAY_S,
        _ => return None,
    };
    let number = text.get(..text.len() - 1).filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?;
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit_s)?;
    (1..=WINDOW_MAX_S).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// Whether what is selected exists, each part by itself and all parts together.
fn check_selector(table: &Section<'_>, selector: &Selector, around: &Surroundings<'_>, errors: usize) {
    if let Some(auth) = around.auth {
        check_callers(table, selector, auth);
    }
    if let (Some(wanted), Some(Models::Listed(models))) = (&selector.models, around.models) {
        let known: Vec<&str> = models.iter().map(|m| m.public.as_str()).collect();
        unknown(table, "models", wanted, &known, "is not among the served models");
    }
    let Some(Auth::Keys { keys, .. }) = around.auth else { return };
    if table.report().errors() == errors && !keys.iter().any(|key| selects(selector, key)) {
        let what = "no key fits all that is selected here, so the limit could never fire";
        table.report().error(
            table.place(),
            what,
            "compare its keys, labels, users and models with `auth.keys`",
        );
    }
}

fn check_callers(table: &Section<'_>, selector: &Selector, auth: &Auth) {
    let parts = [("keys", &selector.keys), ("labels", &selector.labels), ("users", &selector.users)];
    let Auth::Keys { keys, .. } = auth else {
        for (part, _) in parts.into_iter().filter(|(_, wanted)| wanted.is_some()) {
            let what =
                "without keys (`auth.enabled: false`) nobody is told apart, so the limit could never fire";
            table.report().error(&table.place_of(part), what, "leave it out, or enable auth");
        }
        return;
    };
    if let Some(wanted) = &selector.keys {
        let known: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        unknown(table, "keys", wanted, &known, "is not the id of a key");
    }
    if let Some(wanted) = &selector.labels {
        let mut known: Vec<&str> = keys.iter().flat_map(|key| &key.labels).map(String::as_str).collect();
        known.sort_unstable();
        known.dedup();
        unknown(table, "labels", wanted, &known, "is a label that no key carries");
    }
    if selector.users.is_some() && !keys.iter().any(|key| key.speaks_for_users) {
        let what = "no key speaks for users, so the limit could never fire";
        let fix = "set `speaks_for_users: true` at the key that names them";
        table.report().error(&table.place_of("users"), what, fix);
    }
}

fn unknown(table: &Section<'_>, part: &str, wanted: &[String], known: &[&str], what: &str) {
    for name in wanted.iter().filter(|name| !known.contains(&name.as_str())) {
        let what = format!("`{}` {what}", clipped(name));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        table.report().error(&table.place_of(part), what, format!("known here: {known}"));
    }
}

/// Whether a request with this key could be one that the limit applies to.
fn selects(selector: &Selector, key: &Key) -> bool {
    let among = |wanted: &Option<Vec<String>>, has: &[String]| {
        wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|name| has.contains(name)))
    };
    among(&selector.keys, std::slice::from_ref(&key.id))
        && among(&selector.labels, &key.labels)
        && (selector.users.is_none() || key.speaks_for_users)
        && key.models.as_ref().is_none_or(|models| among(&selector.models, models))
}

/// Whether its number can be reached, and leaves room for one request.
fn check_size(table: &Section<'_>, rule: &LimitRule, around: &Surroundings<'_>) {
    let place = table.place_of("max");
    match rule.counts {
        Counts::OutputTokens | Counts::Tokens => {
            let cap = longest_answer(rule, around).filter(|cap| *cap > rule.max);
            if let Some(cap) = cap {
                let what = format!("is less than one answer may have (`output_tokens_max`: {cap})");
                table.report().warning(&place, what, "make it larger, or `output_tokens_max` smaller");
            }
        }
        Counts::Concurrency => {
            let room = room(&rule.applies_to, around).filter(|room| *room < rule.max);
            if let Some(room) = room {
                let what = format!("is more than all slots and queues take ({room}), so it could never fire");
                table.report().warning(&place, what, "make it smaller, or leave the limit out");
            }
        }
        Counts::Requests | Counts::PromptTokens => {}
    }
}

/// The largest cap on an answer among the keys that the rule applies to; `None` where none has a cap.
fn longest_answer(rule: &LimitRule, around: &Surroundings<'_>) -> Option<u64> {
    let Some(Auth::Keys { keys, .. }) = around.auth else { return around.output_tokens_max };
    let caps = keys.iter().filter(|key| selects(&rule.applies_to, key));
    caps.map(|key| key.output_tokens_max.or(around.output_tokens_max)).max().flatten()
}

/// Requests that the upstreams of the selected models run and queue; `None` where one has no bound.
fn room(selector: &Selector, around: &Surroundings<'_>) -> Option<u64> {
    let serves = |upstream: &Upstream| {
        let wanted =
            |model: &Model| selector.models.as_ref().is_none_or(|wanted| wanted.contains(&model.public));
        match around.models {
            Some(Models::Listed(models)) => {
                let mut models = models.iter().filter(|model| wanted(model));
                models.any(|model| model.served_by.iter().any(|by| by.upstream == upstream.name))
            }
            _ => true,
        }
    };
    let upstreams = around.upstreams.iter().filter(|upstream| serves(upstream));
    let mut taken = upstreams.map(|upstream| Some(upstream.slots?.saturating_add(upstream.queue_max)));
    let sum = taken.try_fold(0_usize, |sum, one| Some(sum.saturating_add(one?)))?;
    u64::try_from(sum).ok()
}

/// Of two limits for the same requests, the one that is no tighter in number nor in time waits for the other in vain.
fn never_first(section: &Section<'_>, found: &[(LimitRule, Place)]) {
    let same =
        |a: &LimitRule, b: &LimitRule| a.applies_to == b.applies_to && a.per == b.per && a.counts == b.counts;
    for (i, (rule, place)) in found.iter().enumerate() {
        let tighter = found.iter().enumerate().find(|(j, (other, _))| {
            let equal = other.max == rule.max && other.window == rule.window;
            let first = other.max <= rule.max && other.window >= rule.window && (!equal || *j < i);
            *j != i && same(rule, other) && first
        });
        if let Some((_, (other, _))) = tighter {
            let what = format!("could never fire: `{}` is tighter for the same requests", other.name);
            section.report().warning(place, what, "remove one of the two, or change its numbers");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_people_write() {
        for (text, seconds) in [
            ("1s", Some(1)),
            ("60s", Some(60)),
            ("15m", Some(900)),
            ("1h", Some(3_600)),
            ("30d", Some(2_592_000)),
            ("400d", Some(34_560_000)),
            ("401d", None),
            ("0s", None),
            ("60", None),
            ("-1s", None),
            ("1.5h", None),
            ("s", None),
            ("", None),
            ("1日", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(span(text).map(|w| w.as_secs()), seconds, "{text}");
        }
    }
}
