//! What shares a scarce model: limits, rights of keys, several upstreams, the queue, the filter.

use std::time::Duration;

use gateway::config::{
    Auth, Counts, Dimension, FilterAction, FilterRule, Pattern, Priority, RetryAfter, Selector, ServedBy,
};

use super::*;

/// Two keys that differ in all that limits select by; cases add to it from line 7 on.
const KEYS: &str = "\
ollama_api: http://127.0.0.1:11434
models: [{name: q}, {name: z}]
auth:
  keys:
    - {id: a, labels: [team], models: [q], digest: \"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}
    - {id: b, speaks_for_users: true, digest: \"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}
";

#[track_caller]
fn check_limits(lines: &str, expected: &[&str]) {
    check(Role::Gateway, &format!("{KEYS}limits:\n{lines}"), expected);
}

#[test]
fn a_limit_with_everything() {
    let config = gateway(&format!(
        "{KEYS}limits:\n  - {{name: month, keys: [b], users: [u], models: [q, z], per: [model, user], count: tokens, max: 1000000, window: 30d, retry_after: window}}\n  - {{name: all, max: 5, window: 1s}}\n  - {{name: now, count: concurrency, per: key, max: 3}}\n"
    ));
    let rule = &config.limits[0];
    assert_eq!(
        rule.applies_to,
        Selector {
            keys: Some(vec!["b".into()]),
            labels: None,
            users: Some(vec!["u".into()]),
            models: Some(vec!["q".into(), "z".into()])
        }
    );
    assert_eq!(rule.per, [Dimension::User, Dimension::Model]);
    assert_eq!((rule.counts, rule.max, rule.retry_after), (Counts::Tokens, 1_000_000, RetryAfter::Window));
    assert_eq!(rule.window, Duration::from_secs(30 * 86_400));
    assert_eq!((config.limits[1].counts, &config.limits[1].per[..]), (Counts::Requests, &[][..]));
    assert_eq!(config.limits[2].window, Duration::ZERO);
}

#[test]
fn limits_that_lack_something() {
    check_limits(
        "  - {}\n  - {name: a b, max: 0, window: 1w}\n  - {name: x, count: words, max: 1, window: 1s, per: [day, key, key]}\n  - {name: y, count: concurrency, max: 1, window: 1s}\n  - {name: y, max: 1, window: 401d}\n  - {name: y, count: concurrency, per: user, max: 2}\n",
        &[
            "8 limits[0]: `window` is missing",
            "8 limits[0]: `name` is missing",
            "8 limits[0]: `max` is missing",
            "9 limits[1].name: is not a name",
            "9 limits[1].max: 0 is out of range",
            "9 limits[1].window: `1w` is not a window",
            "10 limits[2].count: `words` is not a choice",
            "10 limits[2].per[0]: `day` has no counter",
            "10 limits[2].per[2]: listed twice",
            "11 limits[3].window: has no meaning for `concurrency`",
            "12 limits[4].window: `401d` is not a window",
            "13 limits[5].name: another limit is called `y`",
        ],
    );
}

/// Whoever gives bounds on input under `limits`, where they do not stand, is told what belongs there.
#[test]
fn limits_are_a_list() {
    check(
        Role::Gateway,
        &format!("{KEYS}limits: {{prompt_chars: 5}}\n"),
        &["7 limits: expects a list, is a group of keys"],
    );
}

#[test]
fn limits_that_could_never_fire() {
    check_limits(
        "  - {name: n1, keys: [nobody], max: 1, window: 1s}\n  - {name: n2, labels: [none], max: 1, window: 1s}\n  - {name: n3, models: [x], max: 1, window: 1s}\n  - {name: n4, keys: [], max: 1, window: 1s}\n  - {name: n5, keys: [a], users: [u], max: 1, window: 1s}\n  - {name: n6, labels: [team], models: [z], max: 1, window: 1s}\n",
        &[
            "8 limits[0].keys: `nobody` is not the id of a key",
            "9 limits[1].labels: `none` is a label that no key carries",
            "10 limits[2].models: `x` is not among the served models",
            "11 limits[3].keys: the list is empty",
            "12 limits[4]: no key fits all that is selected",
            "13 limits[5]: no key fits all that is selected",
        ],
    );
    check(
        Role::Gateway,
        "ollama_api: http://a:1\nauth: {enabled: false}\nlimits:\n  - {name: n, users: [u], max: 1, window: 1s}\n",
        &["4 limits[0].users: without keys"],
    );
    check_more(
        "limits:\n  - {name: n, users: [u], max: 1, window: 1s}\n",
        &["6 limits[0].users: no key speaks for users"],
    );
}

#[test]
fn limits_that_others_precede() {
    check_limits(
        "  - {name: loose, per: key, max: 10, window: 1m}\n  - {name: tight, per: key, max: 5, window: 1h}\n  - {name: other, per: user, max: 10, window: 1m}\n  - {name: burst, per: key, max: 4, window: 1s}\n",
        &["warning 8 limits[0]: could never fire: `tight` is tighter"],
    );
    check_limits(
        "  - {name: one, max: 10, window: 60s}\n  - {name: two, max: 10, window: 1m}\n",
        &["warning 9 limits[1]: could never fire: `one` is tighter"],
    );
}

#[test]
fn sizes_are_compared_with_what_is_known() {
    check(
        Role::Gateway,
        "auth: {enabled: false}\nresponse: {output_tokens_max: 500}\nupstreams: [{name: u, url: \"http://u:1\", slots: 2, queue_max: 8}]\nlimits:\n  - {name: small, count: output_tokens, max: 499, window: 1h}\n  - {name: fits, count: tokens, max: 500, window: 1h}\n  - {name: wide, count: concurrency, max: 11}\nadmission: {in_flight_per_user: 2}\n",
        &[
            "warning 5 limits[0].max: is less than one answer may have (`output_tokens_max`: 500)",
            "warning 7 limits[2].max: is more than all slots and queues take (10)",
            "warning 8 admission.in_flight_per_user: could never hold anybody back",
        ],
    );
    check_more(
        "input: {body_bytes: 40000000}\nmemory: {ceiling_bytes: 70000000}\n",
        &["6 memory.ceiling_bytes: leaves no room for one request body"],
    );
}

/// A key that is wrong in itself is one mistake, not also a limit that names nobody.
#[test]
fn a_mistake_is_told_once() {
    check(
        Role::Gateway,
        "ollama_api: http://a:1\nauth: {keys: [{id: a, digest: x}]}\nlimits: [{name: n, keys: [a], max: 1, window: 1s}]\n",
        &["2 auth.keys[0].digest: 64 hexadecimal digits"],
    );
}

#[test]
fn rights_of_a_key() {
    let key = |more: &str| {
        format!("ollama_api: http://a:1\nauth:\n  keys:\n    - {{id: a, secret_env: SET{more}}}\n")
    };
    let text =
        key(", labels: [t2, t1, t2], priority: high, weight: 3, options: [top_k], output_tokens_max: 900");
    let Auth::Keys { keys, .. } = gateway(&text).auth else { panic!() };
    assert_eq!((keys[0].priority, keys[0].weight), (Priority::High, 3));
    assert_eq!(
        (&keys[0].labels[..], keys[0].output_tokens_max),
        (&["t1".into(), "t2".into()][..], Some(900))
    );
    assert_eq!(keys[0].options, ["top_k"]);
    let Auth::Keys { keys, .. } = gateway(&key("")).auth else { panic!() };
    let plain = gateway::config::Key::plain("a", keys[0].digest);
    assert_eq!(format!("{:?}", keys[0]), format!("{plain:?}"), "a key without rights of its own");
    check(
        Role::Gateway,
        &key(
            ", labels: [\"a b\"], weight: 0, priority: top, options: [top_kk, raw, num_ctx], output_tokens_max: 0",
        ),
        &[
            "4 auth.keys[0].labels[0]: `a b` is not a label",
            "4 auth.keys[0].weight: 0 is out of range",
            "4 auth.keys[0].priority: `top` is not a choice",
            "4 auth.keys[0].options[0]: `top_kk` is not an option",
            "4 auth.keys[0].options[1]: `raw` is not an option",
            "4 auth.keys[0].output_tokens_max: 0 is out of range",
            "warning 4 auth.keys[0].options[2]: `num_ctx` loads the model anew",
        ],
    );
}

const THREE: &str = "auth: {enabled: false}\nupstreams: [{name: a, url: \"http://a:1\"}, {name: b, url: \"http://b:1\", drain: true}, {name: v, url: \"http://v:1\", format: openai}]\n";

#[test]
fn a_model_on_several_upstreams() {
    let config = gateway(&format!(
        "{THREE}models: [{{name: q, internal: r/q, context_tokens: 8192, keep_alive: 30m, upstreams: [a, {{name: b}}, {{name: v, internal: org/q}}]}}, {{name: z, upstream: a}}]\n"
    ));
    let Models::Listed(models) = &config.models else { panic!() };
    let by =
        |upstream: &str, internal: &str| ServedBy { upstream: upstream.into(), internal: internal.into() };
    assert_eq!(models[0].served_by, [by("a", "r/q"), by("b", "r/q"), by("v", "org/q")]);
    assert_eq!((models[0].context_tokens, models[0].keep_alive.as_deref()), (Some(8_192), Some("30m")));
    assert_eq!(models[1].served_by, [by("a", "z")]);
    assert!(config.upstreams[1].drain && !config.upstreams[0].drain);
}

#[test]
fn models_that_cannot_be_meant() {
    check(
        Role::Gateway,
        &format!(
            "{THREE}models:\n  - {{name: one, upstream: a, upstreams: [b]}}\n  - {{name: two, upstreams: [a, x, a]}}\n  - {{name: three, upstreams: []}}\n  - {{name: four, upstreams: [{{internal: y}}]}}\n  - {{name: five, upstream: v, context_tokens: 8192, keep_alive: -1}}\n  - {{name: six, upstream: a, keep_alive: soon}}\n  - {{name: seven, internal: \"big:70b-cloud\", upstream: a}}\n  - {{name: eight, upstream: a, keep_alive: \"0\"}}\n"
        ),
        &[
            "4 models[0].upstream: stands beside `upstreams`",
            "5 models[1].upstreams[1]: no upstream is called `x`",
            "5 models[1].upstreams[2]: `a` is listed twice",
            "6 models[2].upstreams: names no upstream",
            "7 models[3].upstreams: names no upstream",
            "7 models[3].upstreams[0]: `name` is missing",
            "8 models[4].context_tokens: has no effect",
            "8 models[4].keep_alive: expects text, is a whole number",
            "9 models[5].keep_alive: `soon` is not a time",
            "10 models[6].internal: runs in Ollama's cloud",
            "warning 11 models[7].keep_alive: unloads the model after every request",
        ],
    );
    check(
        Role::Gateway,
        "auth: {enabled: false}\nupstreams: [{name: a, url: \"http://a:1\", drain: true}]\n",
        &["warning 2 upstreams: all of them drain"],
    );
}

#[test]
fn the_rest_of_the_new_keys() {
    let config = gateway(&format!(
        "{BASE}response: {{output_tokens_max: 4096, truncate: true}}\ntimeouts: {{load_ms: 30000}}\nadmission: {{in_flight_per_user: 1, ageing_ms: 5000}}\nmemory: {{ceiling_bytes: 134217728}}\n"
    ));
    assert_eq!((config.answer.output_tokens_max, config.answer.truncate), (Some(4_096), true));
    assert_eq!(config.clocks.load, Duration::from_secs(30));
    assert_eq!(config.admission.in_flight_per_user, Some(1));
    assert_eq!(config.admission.ageing, Duration::from_secs(5));
    assert_eq!(config.memory.buffer_bytes_max, (128 - 40) << 20);
}

#[test]
fn filters() {
    let config = gateway(&format!(
        "{BASE}filter:\n  prompts: true\n  tool_arguments: false\n  rules:\n    - {{name: words, literals: [内部, secret project], action: stop}}\n    - {{name: order, expression: \"ORD-[0-9]{{6}}\", action: log}}\n    - {{name: cards, find: bank_card}}\n"
    ));
    let filter = config.filter.unwrap();
    assert_eq!((filter.answers, filter.tool_arguments, filter.prompts), (true, false, true));
    let rule = |name: &str, looks_for, action| FilterRule { name: name.into(), looks_for, action };
    assert_eq!(
        filter.rules,
        [
            rule(
                "words",
                Pattern::Literals(vec!["内部".into(), "secret project".into()]),
                FilterAction::Stop
            ),
            rule("order", Pattern::Expression("ORD-[0-9]{6}".into()), FilterAction::Log),
            rule("cards", Pattern::BankCard, FilterAction::Mask),
        ]
    );
}

#[test]
fn filters_that_look_for_nothing() {
    check_more("filter: {}\n", &["5 filter: has no rules"]);
    check_more(
        "filter:\n  answers: false\n  tool_arguments: false\n  rules:\n    - {name: a}\n    - {find: secrets, literals: [x]}\n    - {name: b, literals: []}\n    - {name: b, literals: [\" \"]}\n    - {name: c, find: names, action: drop}\n",
        &[
            "6 filter: looks at nothing",
            "9 filter.rules[0]: looks for nothing",
            "10 filter.rules[1]: `name` is missing",
            "10 filter.rules[1]: looks for more than one kind",
            "11 filter.rules[2].literals: the list is empty",
            "12 filter.rules[3].name: another rule is called `b`",
            "12 filter.rules[3].literals[0]: is blank",
            "13 filter.rules[4].find: `names` is not a choice",
            "13 filter.rules[4].action: `drop` is not a choice",
        ],
    );
}

/// Compiled as they will be used: what is refused then is told now, each rule at its own place.
#[test]
fn expressions_are_compiled_when_they_are_read() {
    let long = "x".repeat(300);
    check_more(
        &format!(
            "filter:\n  rules:\n    - {{name: a, expression: \"[0-9]+\"}}\n    - {{name: b, expression: \"(\"}}\n    - {{name: c, literals: [{long}]}}\n"
        ),
        &[
            "7 filter.rules[0].expression: ",
            "8 filter.rules[1].expression: ",
            "9 filter.rules[2].literals: more than 256",
        ],
    );
}

/// In a folder with the key that one of them names.
#[test]
fn the_examples_are_right() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples");
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("chat.key");
    std::fs::write(&key, "a-key-of-good-length\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = dir.path().join(entry.file_name());
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let environment = |_: &str| None;
        let loaded = read(&path, &text, Expectation::default(), &Context::new(&path, &environment));
        assert_eq!(loaded.report.render(false), "", "an example has no errors and no warnings");
        let settings = loaded.settings().unwrap().0;
        seen.push((
            entry.file_name().into_string().unwrap(),
            settings.gateway.is_some(),
            settings.chat.is_some_and(|chat| chat.api_key.is_some()),
            settings.edge.is_some(),
        ));
    }
    seen.sort();
    let expected = [("gatehouse.yaml", true, true, true), ("gateway.yaml", true, false, false)];
    assert_eq!(seen, expected.map(|(name, gateway, chat, edge)| (name.to_owned(), gateway, chat, edge)));
}
