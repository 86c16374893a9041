//! What a key may do, beside being one: models, users, options, its place in the queue, its own bounds.
//!
//! Why here: every source of a key (digest, file, environment) has the same rights; [`super::credentials`] reads sources.
//!
//! Never here: secrets.

use gateway::config::{Key, Models, Priority, RateRule};
use wire::Manage;

use super::bounds;
use super::upstreams::is_name;
use crate::config::section::{Section, clipped};

/// Options that act on one request only. What `wire` cannot write would be allowed in vain, so both lists are its own.
const OPTIONS: [&str; 16] = [
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "temperature",
    "seed",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "num_predict",
    "num_keep",
    "think",
    "format",
    "truncate",
    "system",
];

/// Options that act on everybody's model, and how.
const SHARED_OPTIONS: [(&str, &str); 8] = [
    ("keep_alive", "unloads or pins the model for everybody"),
    ("num_ctx", RELOADS),
    ("num_batch", RELOADS),
    ("num_gpu", RELOADS),
    ("main_gpu", RELOADS),
    ("num_thread", RELOADS),
    ("use_mmap", RELOADS),
    ("shift", RELOADS),
];

const RELOADS: &str = "loads the model anew for everybody whenever it changes";

/// What a key's table says beside its secret.
#[derive(Default)]
pub(super) struct Rights {
    speaks_for_users: bool,
    models: Option<Vec<String>>,
    rate: Option<RateRule>,
    strict: bool,
    labels: Vec<String>,
    priority: Priority,
    weight: Option<u32>,
    options: Vec<String>,
    grants: Vec<Manage>,
    output_tokens_max: Option<u64>,
}

impl Rights {
    pub(super) fn read(table: &Section<'_>, models: &Models) -> Self {
        let rate = match bounds::rate(table, "rate_limit") {
            Some(rate) => Some(RateRule::Own(rate)),
            None => table.has("rate_limit").then_some(RateRule::None),
        };
        let priority = match table.choice("priority").value {
            "high" => Priority::High,
            "low" => Priority::Low,
            _ => Priority::Normal,
        };
        Self {
            speaks_for_users: table.flag("speaks_for_users").value,
            models: allowed_models(table, models),
            rate,
            strict: table.flag("strict").value,
            labels: labels(table),
            priority,
            weight: table.number("weight").and_then(|at| u32::try_from(at.value).ok()),
            options: options(table),
            grants: grants(table),
            output_tokens_max: table.number("output_tokens_max").map(|at| at.value),
        }
    }

    pub(super) fn key(self, id: String, digest: [u8; 32]) -> Key {
        let plain = Key::plain(id, digest);
        Key {
            speaks_for_users: self.speaks_for_users,
            models: self.models,
            rate: self.rate.unwrap_or(RateRule::General),
            strict: self.strict,
            labels: self.labels,
            priority: self.priority,
            weight: self.weight.unwrap_or(plain.weight),
            options: self.options,
            grants: self.grants,
            output_tokens_max: self.output_tokens_max,
            ..plain
        }
    }
}

fn allowed_models(table: &Section<'_>, models: &Models) -> Option<Vec<String>> {
    let listed = table.texts("models")?;
    if listed.value.is_empty() {
        table.report().error(
            &listed.place,
            "the list is empty, so this key could call nothing",
            "name models, or leave the key out",
        );
    }
    if let Models::Listed(known) = models {
        for name in listed.value.iter().filter(|name| !known.iter().any(|m| m.public == name.value)) {
            let what = format!("`{}` is not among the served models", clipped(&name.value));
            let names: Vec<_> = known.iter().map(|m| m.public.as_str()).collect();
            table.report().error(&name.place, what, format!("served here: {}", names.join(", ")));
        }
    }
    Some(listed.value.into_iter().map(|at| at.value).collect())
}

fn labels(table: &Section<'_>) -> Vec<String> {
    let listed = table.texts("labels").map(|at| at.value).unwrap_or_default();
    for label in listed.iter().filter(|label| !is_name(&label.value)) {
        let fix = "use letters, digits, `-`, `_` and `.`, at most 64";
        table.report().error(&label.place, format!("`{}` is not a label", clipped(&label.value)), fix);
    }
    let mut labels: Vec<String> = listed.into_iter().map(|at| at.value).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

fn options(table: &Section<'_>) -> Vec<String> {
    let listed = table.texts("options").map(|at| at.value).unwrap_or_default();
    for option in &listed {
        let name = option.value.as_str();
        if let Some((_, effect)) = SHARED_OPTIONS.iter().find(|(shared, _)| *shared == name) {
            let what = format!("`{name}` {effect}");
            let fix =
                "keep it to keys of operators; `models[].context_tokens` and `keep_alive` set both for all";
            table.report().warning(&option.place, what, fix);
        } else if !OPTIONS.contains(&name) {
            let shared = SHARED_OPTIONS.iter().map(|(shared, _)| *shared);
            let known: Vec<_> = OPTIONS.into_iter().chain(shared).collect();
            let what = format!("`{}` is not an option that can pass", clipped(name));
            table.report().error(&option.place, what, format!("known here: {}", known.join(", ")));
        }
    }
    listed.into_iter().map(|at| at.value).collect()
}

fn grants(table: &Section<'_>) -> Vec<Manage> {
    let listed = table.texts("manage").map(|at| at.value).unwrap_or_default();
    let mut grants = Vec::new();
    for word in &listed {
        match Manage::GRANTED.into_iter().find(|grant| grant.as_str() == word.value) {
            Some(grant) => grants.push(grant),
            None => {
                let known = Manage::GRANTED.map(Manage::as_str).join(", ");
                let what = format!("`{}` is not an operation that can be allowed", clipped(&word.value));
                table.report().error(&word.place, what, format!("known here: {known}"));
            }
        }
    }
    grants
}
