//! Which models are served, under which names.
//!
//! Why here: the public name and the upstream's name are tied together once; the rest of the program uses the pair.
//!
//! Never here: asking an upstream what it has.

use gateway::config::{Model, Models, ServedBy, Upstream};

use super::upstreams::check_named;
use crate::config::section::Section;

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
    let name = table.text("name");
    let internal = table.text("internal");
    let upstream = table.text("upstream");
    if !table.has("name") {
        report.error(table.place(), "`name` is missing", "give the name that clients use");
    }
    for text in [&name, &internal].into_iter().flatten() {
        if !is_model_name(&text.value) {
            report.error(
                &text.place,
                "is not a model name",
                "use visible characters without spaces, at most 256",
            );
        }
    }
    let upstream = match (upstream, upstreams) {
        (Some(named), _) => {
            check_named(upstreams, &named.value, &named.place, report);
            named.value
        }
        (None, [only]) => only.name.clone(),
        (None, _) => {
            if !upstreams.is_empty() {
                let what = "there are several upstreams, and this model names none";
                report.error(table.place(), what, "add `upstream: NAME`");
            }
            String::new()
        }
    };
    let public = name?.value;
    let internal = internal.map_or_else(|| public.clone(), |i| i.value);
    let served_by = vec![ServedBy { upstream, internal }];
    Some(Model { public, served_by, context_tokens: None, keep_alive: None })
}

fn is_model_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}
