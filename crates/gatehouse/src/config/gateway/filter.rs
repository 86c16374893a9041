//! The rules of the content filter.
//!
//! Why here: a rule that looks for nothing, or for two things, is a slip that should not wait for the text it was meant for.
//!
//! Never here: matching; that is the gateway's.

use gateway::config::{Filter, FilterAction, FilterRule, Pattern};

use super::upstreams::is_name;
use crate::config::section::Section;

pub(super) fn read(section: &Section<'_>) -> Option<Filter> {
    let table = section.section("filter");
    let report = table.report();
    let before = report.errors();
    let mut filter = Filter {
        rules: Vec::new(),
        answers: table.flag("answers").value,
        tool_arguments: table.flag("tool_arguments").value,
        prompts: table.flag("prompts").value,
    };
    let rules = table.sections("rules");
    if !section.has("filter") {
        return None;
    }
    if rules.is_empty() {
        let what = "has no rules, so it looks for nothing";
        report.error(table.place(), what, "add `rules`, or remove `filter`");
    }
    if !(filter.answers || filter.tool_arguments || filter.prompts) {
        let what = "looks at nothing: answers, tool_arguments and prompts are all false";
        report.error(table.place(), what, "set one of them to true, or remove `filter`");
    }
    for rule in &rules {
        let Some(found) = one(rule) else { continue };
        if filter.rules.iter().any(|other| other.name == found.name) {
            let what = format!("another rule is called `{}`", found.name);
            report.error(&rule.place_of("name"), what, "give each a name of its own");
        }
        filter.rules.push(found);
    }
    if report.errors() == before
        && let Err(error) = gateway::filter::Filter::new(&filter)
    {
        // Each rule is right by itself; together they are too many or too large.
        report.error(&table.place_of("rules"), error.why, "use fewer or shorter rules");
    }
    Some(filter)
}

fn one(table: &Section<'_>) -> Option<FilterRule> {
    let report = table.report();
    let before = report.errors();
    let name = table.text("name");
    let patterns = patterns(table);
    let action = match table.choice("action").value {
        "log" => FilterAction::Log,
        "stop" => FilterAction::Stop,
        _ => FilterAction::Mask,
    };
    if !table.has("name") {
        report.error(table.place(), "`name` is missing", "logs, metrics and the audit record show it");
    }
    if let Some(name) = name.as_ref().filter(|name| !is_name(&name.value)) {
        report.error(&name.place, "is not a name", "use letters, digits, `-`, `_` and `.`, at most 64");
    }
    let given = ["literals", "expression", "find"].into_iter().filter(|key| table.has(key)).count();
    if given != 1 {
        let what = if given == 0 { "looks for nothing" } else { "looks for more than one kind of thing" };
        report.error(table.place(), what, "give exactly one of `literals`, `expression` and `find`");
    }
    let looks_for = patterns.into_iter().flatten().next()?;
    let rule = FilterRule { name: name?.value, looks_for, action };
    if report.errors() == before {
        check_rule(table, &rule);
    }
    Some(rule)
}

/// Compiles what the operator wrote, alone: an error of one rule must not hide another's.
fn check_rule(table: &Section<'_>, rule: &FilterRule) {
    let (key, fix) = match &rule.looks_for {
        Pattern::Expression(_) => {
            ("expression", "bound every repetition, such as `[0-9]{6,12}`, and keep it short")
        }
        Pattern::Literals(_) => ("literals", "shorten the texts, or spread them over several rules"),
        _ => return,
    };
    let alone = Filter { rules: vec![rule.clone()], ..Filter::default() };
    if let Err(error) = gateway::filter::Filter::new(&alone) {
        table.report().error(&table.place_of(key), error.why, fix);
    }
}

/// Each of the three ways to say what is looked for.
fn patterns(table: &Section<'_>) -> [Option<Pattern>; 3] {
    let report = table.report();
    let literals = table.texts("literals");
    if let Some(listed) = literals.as_ref().filter(|listed| listed.value.is_empty()) {
        report.error(&listed.place, "the list is empty", "list a text, or remove the rule");
    }
    for text in literals.iter().flat_map(|listed| &listed.value) {
        if text.value.trim().is_empty() {
            report.error(&text.place, "is blank, so it would match everywhere", "give a word or a phrase");
        }
    }
    let expression = table.text("expression");
    let find = match table.choice("find").value {
        "secrets" => Some(Pattern::Secrets),
        "resident_id" => Some(Pattern::ResidentId),
        "mobile_number" => Some(Pattern::MobileNumber),
        "bank_card" => Some(Pattern::BankCard),
        _ => None,
    };
    [
        literals.map(|listed| Pattern::Literals(listed.value.into_iter().map(|at| at.value).collect())),
        expression.map(|at| Pattern::Expression(at.value)),
        find,
    ]
}
