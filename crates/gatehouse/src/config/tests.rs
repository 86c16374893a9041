//! Configuration files and what is said about them: every mistake with its line, its path and the gist of the message.

mod edge;
mod passed;
mod sharing;

use std::path::Path;

use gateway::config::{Auth, Config, InputLimits, Models, Rate, RateRule, RetryAfter};
use wire::Format;

use super::chat::{ChatSettings, Exposure};
use super::report::{Problem, Severity};
use super::{Context, Expectation, Loaded, Role, read, reference, setting::Kind};

fn load_as(role: impl Into<Option<Role>>, exposure: Exposure, text: &str) -> Loaded {
    let role = role.into();
    let environment = |name: &str| (name == "SET").then(|| "a-secret-of-good-length".to_owned());
    let context = Context::new(Path::new("config.yaml"), &environment);
    read(Path::new("config.yaml"), text, Expectation { role, exposure, ..Expectation::default() }, &context)
}

fn load(role: impl Into<Option<Role>>, text: &str) -> Loaded {
    load_as(role, Exposure::LoopbackOnly, text)
}

fn gateway(text: &str) -> Config {
    match load(Role::Gateway, text).settings() {
        Ok((settings, _)) => settings.gateway.unwrap().config,
        Err(report) => panic!("{}", report.render(false)),
    }
}

fn line(problem: &Problem) -> String {
    let line = problem.place.mark.map_or(0, |mark| mark.line);
    let word = if problem.severity == Severity::Error { "" } else { "warning " };
    format!("{word}{line} {}: {}", problem.place.path, problem.what)
}

/// `expected`: one line per problem, `LINE PATH: beginning or part of the message`.
#[track_caller]
fn check(role: impl Into<Option<Role>>, text: &str, expected: &[&str]) {
    let problems = load(role, text).report.problems();
    let said: Vec<String> = problems.iter().map(line).collect();
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        let (place, part) = expected.split_once(": ").unwrap();
        assert!(
            said.starts_with(&format!("{place}: ")) && said.contains(part),
            "{said}\nexpected {expected}"
        );
    }
    assert!(problems.iter().all(|p| !p.fix.is_empty()), "every problem says how to fix it: {said:#?}");
}

/// The smallest file that is right; cases add to it from line 5 on.
const BASE: &str = "\
ollama_api: http://127.0.0.1:11434
auth:
  keys:
    - {id: a, digest: \"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}
";

#[track_caller]
fn check_more(more: &str, expected: &[&str]) {
    check(Role::Gateway, &format!("{BASE}{more}"), expected);
}

#[test]
fn the_seed_gateway_file_is_a_gateway_section() {
    let text = include_str!("../../tests/seed/qwen-gateway.yaml");
    let config = gateway(text);
    assert!(config.listen[0].ip().is_unspecified() && config.listen[0].port() == 18_789);
    assert_eq!(config.upstreams[0].authority, "localhost:11434");
    assert_eq!(config.upstreams[0].format, Format::Ollama);
    assert_eq!(config.models, Models::Discovered);
    let window = std::time::Duration::from_secs(60);
    assert_eq!(config.rate, Some(Rate { requests_max: 30, window, retry_after: RetryAfter::Exact }));
    let Auth::Keys { header, keys } = &config.auth else { panic!() };
    assert_eq!(header.as_ref().unwrap(), "x-api-key");
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].digest, gateway::auth::key::digest("prod-key-2024-qwen3"));
    let allow: Vec<String> = config.addresses.allow.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["127.0.0.1/32", "10.0.0.0/16", "::1/128"]);
    check(
        Role::Gateway,
        text,
        &[
            "warning 11 auth.valid_keys: plain text",
            "warning 14 whitelist.ips: a proxy that runs here lets everybody through",
        ],
    );
}

#[test]
fn the_seed_chat_file_is_a_chat_section() {
    let text = include_str!("../../tests/seed/clawdbot.yaml");
    check(Role::Chat, text, &["3 server.host: everybody who reaches it can use the models"]);
    let (settings, report) = load_as(Role::Chat, Exposure::AsConfigured, text).settings().unwrap();
    assert_eq!(report.problems().iter().map(|p| p.severity).collect::<Vec<_>>(), [Severity::Warning]);
    let chat: ChatSettings = settings.chat.unwrap();
    assert_eq!(chat.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(chat.title, "Qwen3智能助手");
    assert_eq!(chat.description, "基于Qwen3:32B的大模型对话平台");
    assert_eq!(chat.api_base, "http://localhost:18789/v1");
    assert_eq!(chat.model.as_deref(), Some("qwen3:32b"));
    assert_eq!(chat.api_key, None);
}

#[test]
fn defaults_of_the_rows_are_the_gateways() {
    let config = gateway(BASE);
    let shown = |value: &dyn std::fmt::Debug| format!("{value:?}");
    assert_eq!(shown(&config.input), shown(&InputLimits::default()));
    assert_eq!(shown(&config.clocks), shown(&gateway::config::Clocks::default()));
    assert_eq!(shown(&config.liveness), shown(&gateway::config::Liveness::default()));
    assert_eq!(shown(&config.audit), shown(&gateway::config::Audit::default()));
    assert_eq!(shown(&config.answer), shown(&gateway::config::Answer::default()));
    assert_eq!(config.admission, gateway::config::Admission::default());
    assert_eq!(config.memory, gateway::config::Memory::default());
    assert!(config.limits.is_empty() && config.filter.is_none());
    assert_eq!(config.listen, ["127.0.0.1:18789".parse().unwrap()]);
    assert_eq!(config.admin_listen, Some("127.0.0.1:18790".parse().unwrap()));
    assert_eq!(config.rate, None);
    assert!(config.addresses.allow.is_none() && config.addresses.trusted_proxies.is_empty());
}

#[test]
fn one_file_with_both_sections() {
    let text =
        "gateway:\n  ollama_api: http://a:1\n  auth: {enabled: false}\nchat:\n  ui: {title: T, locale: zh}\n";
    let (settings, _) = load(None, text).settings().unwrap();
    assert!(matches!(settings.gateway.unwrap().config.auth, Auth::Open));
    assert_eq!(settings.chat.unwrap().locale, Some("zh"));
    check(
        None,
        "gateway:\n  listn: x\nchat:\n  server: {port: 0}\nlisten: \":1\"\n",
        &[
            "2 gateway.listn: is not a known key",
            "2 gateway: no upstream is given",
            "2 gateway.auth: no key is listed",
            "4 chat.server.port: 0 is out of range",
            "5 listen: is not a known key",
        ],
    );
    check(Role::Gateway, "edge: {}\nops: 1\n", &["2 ops: not available yet"]);
}

#[test]
fn everything_is_said_at_once() {
    check_more(
        "listen: [\":18789\", gateway.internal]\nrate_limit:\n  max_request: 5\n  window_seconds: 0\nlog_level: loud\ninput:\n  \
         prompt_chars: many\n  prompt_chars: 5\nresponse: {strip: [id]}\ntimeouts: [1]\n",
        &[
            "5 listen[1]: not an address and a port",
            "7 rate_limit.max_request: is not a known key",
            "8 rate_limit.window_seconds: 0 is out of range",
            "9 log_level: `loud` is not a choice",
            "11 input.prompt_chars: expects a whole number, is text",
            "12 input.prompt_chars: is given twice, first on line 11",
            "13 response.strip[0]: `id` cannot be stripped",
            "14 timeouts: expects a group of keys, is a list",
        ],
    );
}

#[test]
fn hints_lead_to_the_right_key() {
    let problems =
        load(Role::Gateway, &format!("{BASE}rate_limit: {{window_second: 1}}\n")).report.problems();
    assert_eq!(problems[0].fix, "did you mean `window_seconds`?");
}

#[test]
fn listeners() {
    check_more("listen: []\n", &["5 listen: names no address"]);
    check_more("listen: [\"127.0.0.1:1\", \"localhost:1\"]\n", &["5 listen[1]: listed twice"]);
    check_more("listen: \":70000\"\n", &["5 listen: not an address and a port"]);
    check_more("admin_listen: \":9000\"\n", &["5 admin_listen: only loopback is accepted"]);
    check_more("admin_listen: \"127.0.0.1:18789\"\n", &["5 admin_listen: already used by `listen`"]);
    assert_eq!(gateway(&format!("{BASE}admin_listen: \"off\"\n")).admin_listen, None);
}

#[test]
fn upstreams() {
    check(Role::Gateway, "auth: {enabled: false}\n", &["1 : no upstream is given"]);
    check(Role::Gateway, "auth: {enabled: false}\nupstreams: []\n", &["2 upstreams: the list is empty"]);
    check_more("upstreams: [{name: a, url: \"http://a:1\"}]\n", &["1 ollama_api: stands beside `upstreams`"]);
    check(
        Role::Gateway,
        "auth: {enabled: false}\nupstreams:\n  - {name: a, url: \"https://a:1\"}\n  - {url: \"http://a:1\"}\n  - {name: b c, url: x}\n  - name: d\n    url: \"http://d:1\"\n    slots: 0\n    token_file: /nowhere/token\n  - {name: d, url: \"http://d:2\", format: vllm}\n",
        &[
            "3 upstreams[0].url: not built yet",
            "4 upstreams[1]: `name` is missing",
            "5 upstreams[2].name: is not a name",
            "8 upstreams[3].slots: 0 is out of range",
            "9 upstreams[3].token_file: cannot read /nowhere/token",
            "10 upstreams[4].name: another upstream is called `d`",
            "10 upstreams[4].format: `vllm` is not a choice",
        ],
    );
    let config = gateway(
        "auth: {enabled: false}\nupstreams:\n  - {name: v, url: \"http://v:8000/v1\", format: openai, slots: 4, queue_max: 0}\n",
    );
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.format, upstream.slots, upstream.queue_max), (Format::OpenAi, Some(4), 0));
    assert_eq!(upstream.base_path, "");
}

#[test]
fn models() {
    check_more("models: []\n", &["5 models: the list is empty"]);
    check_more(
        "models:\n  - {internal: x}\n  - {name: q, upstream: nobody}\n  - {name: q}\n  - {name: \"a b\"}\n",
        &[
            "6 models[0]: `name` is missing",
            "7 models[1].upstream: no upstream is called `nobody`",
            "8 models[2].name: `q` is listed twice",
            "9 models[3].name: `a b` is not a model name",
        ],
    );
    let two = "upstreams: [{name: a, url: \"http://a:1\"}, {name: b, url: \"http://b:1\"}]\nauth: {enabled: false}\n";
    check(Role::Gateway, &format!("{two}models: [{{name: q}}]\n"), &["3 models[0]: several upstreams"]);
    let config = gateway(&format!(
        "{BASE}models: [{{name: \"qwen3:32b\", internal: \"registry.internal/qwen3:32b\"}}]\n"
    ));
    let Models::Listed(models) = config.models else { panic!() };
    assert_eq!(
        (
            models[0].public.as_str(),
            models[0].served_by[0].internal.as_str(),
            models[0].served_by[0].upstream.as_str()
        ),
        ("qwen3:32b", "registry.internal/qwen3:32b", "ollama")
    );
}

#[test]
fn keys() {
    let keys = |more: &str| format!("ollama_api: http://a:1\nauth:\n{more}");
    check(Role::Gateway, "ollama_api: http://a:1\n", &["1 auth: no key is listed"]);
    check(Role::Gateway, &keys("  keys: []\n"), &["3 auth: no key is listed"]);
    check(Role::Gateway, &keys("  valid_keys: []\n"), &["3 auth.valid_keys: the list is empty"]);
    check(
        Role::Gateway,
        &keys(
            "  header_key: \"a b\"\n  valid_keys: [\"with space-------\", short, 12345678, \"gh_x_y_z-----------\"]\n",
        ),
        &[
            "3 auth.header_key: not a header name",
            "4 auth.valid_keys[0]: cannot be sent in a header",
            "4 auth.valid_keys[2]: expects text, is a whole number",
            "4 auth.valid_keys[3]: its checksum is wrong",
            "warning 4 auth.valid_keys: plain text",
            "warning 4 auth.valid_keys[1]: can be guessed",
        ],
    );
    let digest = "\"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"";
    check(
        Role::Gateway,
        &keys(&format!(
            "  keys:\n    - {{id: a}}\n    - {{digest: {digest}}}\n    - {{id: c, digest: abc}}\n    - {{id: d, digest: {digest}, secret_env: SET}}\n    - {{id: \"e f\", digest: {digest}}}\n    - {{id: g, secret_env: UNSET}}\n    - {{id: h, digest: {digest}}}\n    - {{id: h, digest: {digest}}}\n"
        )),
        &[
            "4 auth.keys[0]: has no secret",
            "5 auth.keys[1]: `id` is missing",
            "6 auth.keys[2].digest: hexadecimal digits",
            "7 auth.keys[3]: more than one source",
            "8 auth.keys[4].id: `e f` is not an id",
            "9 auth.keys[5].secret_env: is not set",
            "11 auth.keys[7]: the id `h` is used twice",
            "11 auth.keys[7]: is the same key as `h`",
        ],
    );
    let config = gateway(&keys(
        "  keys:\n    - {id: a, secret_env: SET, speaks_for_users: true, strict: true, rate_limit: {enabled: false}}\n",
    ));
    let Auth::Keys { keys, .. } = config.auth else { panic!() };
    assert_eq!(keys[0].digest, gateway::auth::key::digest("a-secret-of-good-length"));
    assert!(keys[0].speaks_for_users && keys[0].strict && keys[0].rate == RateRule::None);
}

#[test]
fn keys_name_served_models_only() {
    let text = "ollama_api: http://a:1\nmodels: [{name: q}]\nauth:\n  keys:\n    - {id: a, secret_env: SET, models: [q, z]}\n";
    check(Role::Gateway, text, &["5 auth.keys[0].models[1]: `z` is not among the served models"]);
}

#[test]
fn a_key_of_ours_brings_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let key = gateway::auth::key::Key::generate().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, format!("{}\n", key.text)).unwrap();
    let text = format!("ollama_api: http://a:1\nauth: {{keys: [{{secret_file: {}}}]}}\n", file.display());
    let Auth::Keys { keys, .. } = gateway(&text).auth else { panic!() };
    assert_eq!((keys[0].id.as_str(), keys[0].digest), (key.id.as_str(), key.digest));
    let said = load(Role::Gateway, &text).report.render(false);
    assert!(said.contains("can be read by others") && !said.contains(&key.text), "{said}");
}

#[test]
fn addresses_that_cannot_mean_what_they_say() {
    check_more(
        "whitelist: {ips: [\"127.0.0.1\", \"10.0.0.0/16\"]}\n",
        &["5 whitelist.ips[1]: can never be seen"],
    );
    check_more("whitelist: {ips: [\"127.0.0.1\"]}\n", &["warning 5 whitelist.ips: admits only this machine"]);
    check_more("whitelist: {ips: []}\n", &["5 whitelist.ips: nobody could connect"]);
    check_more(
        "whitelist: {ips: [\"10.0.0.1/16\", x]}\n",
        &["5 whitelist.ips[0]: did you mean `10.0.0.0/16`", "5 whitelist.ips[1]: not an address"],
    );
    check_more("trusted_proxies: [\"0.0.0.0/0\"]\n", &["5 trusted_proxies[0]: trusts the whole internet"]);
    check_more("trusted_proxies: [\"127.0.0.1\"]\nwhitelist: {ips: [\"10.0.0.0/16\"]}\n", &[]);
    check_more("listen: \":1\"\nwhitelist: {ips: [\"10.0.0.0/16\"]}\n", &[]);
    check_more("whitelist: {enabled: false, ips: [\"10.0.0.0/16\"]}\n", &[]);
}

#[test]
fn without_keys_the_address_must_judge() {
    let open = |more: &str| format!("ollama_api: http://a:1\nauth: {{enabled: false}}\n{more}");
    check(Role::Gateway, &open(""), &[]);
    check(Role::Gateway, &open("listen: \":1\"\n"), &["2 auth.enabled: without keys, everybody who reaches"]);
    check(Role::Gateway, &open("listen: \":1\"\nwhitelist: {ips: [\"10.0.0.0/8\"]}\n"), &[]);
}

#[test]
fn clocks_that_cannot_fire() {
    check_more(
        "timeouts: {total_ms: 1000, idle_ms: 2000, first_byte_ms: 1000}\nliveness: {probe_every_ms: 2000}\n",
        &["5 timeouts.idle_ms: could never fire", "6 liveness.dead_after_ms: leaves no room for two probes"],
    );
}

#[test]
fn chat_files() {
    check(
        Role::Chat,
        "server: {host: example.org}\nui: {locale: fr}\nbackend: {api_base: \"https://x/v1\", api_key: \"a b\", api_key_file: /nowhere}\n",
        &[
            "1 server.host: `example.org` is not an address",
            "2 ui.locale: `fr` is not a choice",
            "3 backend.api_base: is not a URL the chat can call",
            "3 backend.api_key: stands beside `api_key_file`",
            "3 backend.api_key: cannot be sent in a header",
            "3 backend.api_key_file: cannot read /nowhere",
            "warning 3 backend.api_key: plain text",
        ],
    );
    check(Role::Chat, "{}\n", &[]);
}

#[test]
fn the_kind_of_a_file_is_told_from_its_keys() {
    let environment = |_: &str| None;
    let context = Context::new(Path::new("c.yaml"), &environment);
    for (text, chat) in [("server: {port: 1}\n", true), ("ollama_api: x\n", false), ("", false)] {
        let loaded = read(Path::new("c.yaml"), text, Expectation::default(), &context);
        assert_eq!(loaded.settings.chat.is_some(), chat, "{text}");
    }
}

#[test]
fn what_is_no_yaml_is_one_clear_error() {
    check(Role::Gateway, "a: [1\nb: 2\n", &["2 : is not YAML"]);
    check(Role::Gateway, "- a\n", &["1 : expects a group of keys, is a list"]);
}

#[test]
fn secrets_are_never_quoted() {
    let canary = "canary-canary-canary";
    let text = format!(
        "auth:\n  valid_keys: [\"{canary}\", \"{canary}\", \"{canary} \"]\n  keys: [{{id: x, digest: {canary}}}]\nupstreams: [{{name: a, url: \"http://u:{canary}@h:1\"}}]\n"
    );
    let said = load(Role::Gateway, &text).report.render(true);
    assert!(said.contains("is the same key as") && !said.contains(canary), "{said}");
    let said = load(
        Role::Chat,
        &format!("backend: {{api_key: \"{canary} x\", api_base: \"http://u:{canary}@h/v1\"}}\n"),
    )
    .report
    .render(true);
    assert!(said.contains("cannot be sent") && !said.contains(canary), "{said}");
}

/// A row that nobody reads is a promise that nobody keeps.
#[test]
fn every_row_is_read() {
    let text = "gateway:\n  upstreams: [{}]\n  models: [{upstreams: [{}]}]\n  auth: {keys: [{}]}\n  limits: [{}]\n  filter: {rules: [{}]}\nchat: {}\nedge: {}\n";
    let report = super::report::Report::new(Path::new("c.yaml"));
    let reading = super::section::Reading::new(&report);
    let root = super::document::parse(text).unwrap();
    let environment = |_: &str| None;
    let context = Context::new(Path::new("c.yaml"), &environment);
    super::sections(&root, &reading, Expectation::default(), &context);
    let asked = reading.asked();
    let unread: Vec<_> = reference::settings().filter(|s| !asked.contains(s.path)).map(|s| s.path).collect();
    assert_eq!(unread, ["gateway", "chat", "edge", "ops"], "the sections themselves are opened by name");
    assert!(
        reference::settings()
            .all(|s| !matches!(s.kind, Kind::Choice { default, options } if !options.contains(&default)))
    );
    assert!(!report.render(false).contains("defect of the program"), "{}", report.render(false));
}
