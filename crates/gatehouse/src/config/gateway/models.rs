//! Which models are served, under which names, and where.
//!
//! Why here: the public name and the upstreams' names are tied together once; the rest of the program uses the result.
//!
//! Never here: asking an upstream what it has.

use gateway::config::{Model, Models, ServedBy, Upstream};
use wire::Format;

use super::upstreams::check_named;
use crate::config::section::{At, Named, Section, clipped};

/// Longest model name that is forwarded; real ones stay far below.
const NAME_CHARS_MAX: usize = 256;

pub(super) fn read(section: &Section<'_>, upstreams: &[Upstream]) -> Models {
    let tables = section.sections("models");
    if !section.has("models") {
        return Models::Discovered;
    }
    if tables.is_empty() {
        let fix = "list the models to serve, or leave the key out to serve what the upstreams have";
        section.report().error(&section.place_of("models"), "the list is empty", fix);
    }
    let mut listed: Vec<Model> = Vec::new();
    for table in &tables {
        let Some(model) = one(table, upstreams) else { continue };
        if listed.iter().any(|m| m.public == model.public) {
            let what = format!("`{}` is listed twice", model.public);
            section.report().error(&table.place_of("name"), what, "keep one of the two");
        }
        listed.push(model);
    }
    Models::Listed(listed)
}

fn one(table: &Section<'_>, upstreams: &[Upstream]) -> Option<Model> {
    let report = table.report();
    let name = model_name(table, "name");
    let internal = model_name(table, "internal").map(|at| at.value);
    if !table.has("name") {
        report.error(table.place(), "`name` is missing", "give the name that clients use");
    }
    // Read even where the name is wrong: every mistake is told at once.
    let public = name.map(|at| at.value).unwrap_or_default();
    let served_by = served_by(table, upstreams, internal.as_ref().unwrap_or(&public));
    let context_tokens = table.number("context_tokens");
    let keep_alive = table.text("keep_alive");
    if let Some(text) = &keep_alive {
        check_keep_alive(text, table);
    }
    let ollama =
        |by: &ServedBy| upstreams.iter().any(|u| u.name == by.upstream && u.format == Format::Ollama);
    let given = [("context_tokens", context_tokens.is_some()), ("keep_alive", keep_alive.is_some())];
    for (key, _) in given.iter().filter(|(_, given)| *given && !served_by.iter().any(ollama)) {
        let what = "has no effect: none of the model's upstreams speaks Ollama's API";
        report.error(&table.place_of(key), what, "set it at the server itself, and leave it out here");
    }
    (!public.is_empty()).then(|| Model {
        public,
        served_by,
        context_tokens: context_tokens.map(|at| at.value),
        keep_alive: keep_alive.map(|at| at.value),
    })
}

/// The upstreams under either key, or the only one there is.
fn served_by(table: &Section<'_>, upstreams: &[Upstream], internal: &str) -> Vec<ServedBy> {
    let report = table.report();
    let single = table.text("upstream");
    let listed = table.named("upstreams");
    if let (Some(single), true) = (&single, table.has("upstreams")) {
        report.error(&single.place, "stands beside `upstreams`", "move this upstream into the list");
    }
    let mut all: Vec<ServedBy> = Vec::new();
    let listed = listed.into_iter().filter_map(|item| entry(item, internal));
    let single = single.map(|at| (at, internal.to_owned()));
    for (name, internal) in listed.chain(single) {
        check_named(upstreams, &name.value, &name.place, report);
        if all.iter().any(|by| by.upstream == name.value) {
            let what = format!("`{}` is listed twice", clipped(&name.value));
            report.error(&name.place, what, "keep one of the two");
            continue;
        }
        all.push(ServedBy { upstream: name.value, internal });
    }
    if !table.has("upstream") && !table.has("upstreams") {
        match upstreams {
            [only] => {
                all.push(ServedBy { upstream: only.name.clone(), internal: internal.to_owned() });
            }
            [] => {}
            _ => {
                let what = "there are several upstreams, and this model names none";
                report.error(table.place(), what, "add `upstreams: [NAME, ...]`");
            }
        }
    } else if table.has("upstreams") && all.is_empty() {
        report.error(&table.place_of("upstreams"), "names no upstream", "list one at least, or leave it out");
    }
    all
}

/// One upstream of the list, and the model's name there.
fn entry(item: Named<'_>, internal: &str) -> Option<(At<String>, String)> {
    match item {
        Named::Short(name) => Some((name, internal.to_owned())),
        Named::Table(table) => {
            let own = model_name(&table, "internal");
            if !table.has("name") {
                table.report().error(table.place(), "`name` is missing", "name an upstream");
            }
            Some((table.text("name")?, own.map_or_else(|| internal.to_owned(), |at| at.value)))
        }
    }
}

/// A name that can be sent, and does not send prompts away.
fn model_name(table: &Section<'_>, key: &str) -> Option<At<String>> {
    let text = table.text(key)?;
    for unfit in unfit(&text.value) {
        let what = format!("`{}` {}", clipped(&text.value), unfit.what());
        table.report().error(&text.place, what, unfit.fix());
    }
    Some(text)
}

/// Why a model cannot be served under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    NoName,
    Elsewhere,
}

impl Unfit {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Unfit::NoName => "is not a model name",
            Unfit::Elsewhere => "runs in Ollama's cloud: prompts would leave this machine",
        }
    }

    pub(crate) fn fix(self) -> &'static str {
        match self {
            Unfit::NoName => "use visible characters without spaces, at most 256",
            Unfit::Elsewhere => "name a model that the upstream holds itself",
        }
    }
}

/// Everything that is wrong with a model's name.
pub(crate) fn unfit(name: &str) -> impl Iterator<Item = Unfit> + use<> {
    let whole = (1..=NAME_CHARS_MAX).contains(&name.len());
    let no_name = !whole || name.chars().any(|c| c.is_whitespace() || c.is_control());
    let found = [(no_name, Unfit::NoName), (runs_elsewhere(name), Unfit::Elsewhere)];
    found.into_iter().filter(|(wrong, _)| *wrong).map(|(_, unfit)| unfit)
}

fn runs_elsewhere(name: &str) -> bool {
    let tag = name
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'))
        .map(|(_, tag)| tag.to_ascii_lowercase());
    tag.is_some_and(|tag| tag == "cloud" || tag.ends_with("-cloud"))
}

fn check_keep_alive(text: &At<String>, table: &Section<'_>) {
    let value = text.value.as_str();
    if !is_span(value.strip_prefix('-').unwrap_or(value)) {
        let what = format!("`{}` is not a time as Ollama writes it", clipped(value));
        table.report().error(&text.place, what, "write `30m`, `24h`, `-1` for ever, or whole seconds");
    } else if value.chars().all(|c| !matches!(c, '1'..='9')) {
        let what = "unloads the model after every request, so each one waits for a load";
        table.report().warning(&text.place, what, "write a time such as `5m`");
    }
}

/// Whole seconds, or numbers with units: what the runtime's own reader takes.
fn is_span(text: &str) -> bool {
    if text.is_empty() || text.len() > 32 {
        return false;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = rest.len() - unit.len();
        let Some(after) = ["ms", "us", "ns", "h", "m", "s"].iter().find_map(|u| unit.strip_prefix(u)) else {
            return false;
        };
        if number == 0 || rest.get(..number).is_none_or(|n| n.parse::<f64>().is_err()) {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_the_runtime_writes_them() {
        for text in ["30m", "1h30m", "0", "300", "1.5h", "500ms"] {
            assert!(is_span(text), "{text}");
        }
        for text in ["", "m", "soon", "1d", "1h x", "..m", "1h30"] {
            assert!(!is_span(text), "{text}");
        }
    }

    #[test]
    fn models_that_run_elsewhere() {
        for (name, elsewhere) in [
            ("qwen3:32b", false),
            ("gpt-oss:120b-cloud", true),
            ("registry.internal:5000/glm:Cloud", true),
            ("cloud:8b", false),
            ("cloud", false),
        ] {
            assert_eq!(runs_elsewhere(name), elsewhere, "{name}");
        }
    }
}
