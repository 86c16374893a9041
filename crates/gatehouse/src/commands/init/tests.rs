//! The written configuration, for every combination of answers.

use std::path::Path;

use super::answers::{Answers, Certificate, Front, Model, OwnCertificate, Page};
use super::template::Sheet;
use super::yaml::Hints;
use crate::config::report::Severity;
use crate::config::{Context, Expectation, Settings, read};
use crate::edge::site::Site;
use gateway::config::{Auth, Models, RateRule};

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Every combination of what the questions can end in.
fn every_way() -> Vec<Answers> {
    let own =
        Certificate::Own(OwnCertificate { chain: "/etc/ssl/ai.pem".into(), key: "/etc/ssl/ai.key".into() });
    let reaches = [
        (strings(&[]), Front::Nginx, Certificate::Asked),
        (strings(&["ai.example.com"]), Front::Nginx, Certificate::Asked),
        (strings(&["ai.example.com", "chat.example.com"]), Front::Nginx, own.clone()),
        (strings(&["gpu-1.lan", "192.168.1.20"]), Front::Nginx, Certificate::Off),
        (strings(&["ai.example.com"]), Front::Program, Certificate::Asked),
        (strings(&["ai.example.com"]), Front::Program, own),
    ];
    let models = [
        vec![],
        vec![Model::of_runtime("qwen3:32b")],
        vec![Model::of_runtime("registry.internal/qwen3:32b"), Model::of_flag("four=qwen3:4b")],
    ];
    let mut all = Vec::new();
    for (names, front, certificate) in reaches {
        for models in &models {
            for allow in [strings(&[]), strings(&["10.0.0.0/16", "fd00::/8"]), strings(&["127.0.0.1"])] {
                for page in [Page::Password, Page::Open, Page::Off] {
                    for email in [None, Some("ops@example.com".to_owned())] {
                        for keys in [strings(&["first"]), strings(&["alice", "batch-1", "b.c_d"])] {
                            all.push(Answers {
                                names: names.clone(),
                                front,
                                certificate: certificate.clone(),
                                email: email.clone(),
                                ollama: "http://gpu-1:11434".to_owned(),
                                models: models.clone(),
                                allow: allow.clone(),
                                page,
                                keys,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

fn text(answers: &Answers, hints: Hints) -> String {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let digests: Vec<_> = (1..=answers.keys.len()).map(digest).collect();
    let sheet = Sheet {
        answers,
        file: "/etc/gatehouse/gatehouse.yaml",
        chat_digest: &digest(0),
        digests: &digests,
        chat_key_file: Some("chat.key"),
        password_file: "page.passwd",
        audit_file: "/var/log/gatehouse/audit.jsonl",
        data_dir: "/var/lib/gatehouse-chat",
    };
    sheet.text(hints)
}

/// The sections, after no error and no other warning than these.
fn settings(file: &Path, answers: &Answers, hints: Hints) -> Settings {
    let text = text(answers, hints);
    let environment = |_: &str| None;
    let loaded = read(file, &text, Expectation::default(), &Context::new(file, &environment));
    let problems = loaded.report.problems();
    let plain = answers.serves_others() && answers.certificate == Certificate::Off;
    let expected = if plain { vec!["edge.tls"] } else { vec![] };
    let told: Vec<_> = problems.iter().map(|problem| problem.place.path.as_str()).collect();
    assert_eq!(told, expected, "{}\n{text}", loaded.report.render(false));
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    loaded.settings().unwrap().0
}

/// A folder with the key that the configuration names.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("chat.key");
    std::fs::write(&key, "gh_0aZ9bY8c_0123456789ABCDEFGHIJKLMNOPQRSTUV_0dFUsr\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

#[test]
fn every_combination_is_right_and_means_what_was_answered() {
    let dir = folder();
    let file = dir.path().join("gatehouse.yaml");
    for answers in every_way() {
        let settings = settings(&file, &answers, Hints::Commented);
        let gateway = &settings.gateway.as_ref().unwrap().config;
        assert!(gateway.listen.iter().all(|at| at.ip().is_loopback()));
        assert_eq!(gateway.addresses.allow.is_some(), !answers.allow.is_empty());
        assert!(gateway.addresses.trusted_proxies.iter().all(|net| net.addr().is_loopback()));
        assert_eq!(gateway.rate.map(|rate| (rate.requests_max, rate.window.as_secs())), Some((30, 60)));
        assert!(gateway.audit.file.is_some());
        match &gateway.models {
            Models::Discovered => assert!(answers.models.is_empty()),
            Models::Listed(listed) => {
                let names: Vec<_> =
                    listed.iter().map(|m| (m.public.as_str(), m.served_by[0].internal.as_str())).collect();
                let expected: Vec<_> =
                    answers.models.iter().map(|m| (m.name.as_str(), m.at_runtime())).collect();
                assert_eq!(names, expected);
            }
        }
        let Auth::Keys { keys, .. } = &gateway.auth else { panic!("keys are asked for") };
        let ids: Vec<_> = keys
            .iter()
            .map(|key| (key.id.as_str(), key.speaks_for_users, key.rate == RateRule::None))
            .collect();
        let others = answers.keys.iter().map(|id| (id.as_str(), false, false));
        assert_eq!(ids, std::iter::once(("chat", true, true)).chain(others).collect::<Vec<_>>());
        reached(&answers, &settings);
    }
}

/// The chat and the edge of it.
fn reached(answers: &Answers, settings: &Settings) {
    let chat = settings.chat.as_ref().unwrap();
    assert!(chat.listen.ip().is_loopback() && chat.api_key.is_some());
    assert_eq!(chat.model.as_deref(), answers.models.first().map(|model| model.name.as_str()));
    let Some(edge) = &settings.edge else {
        assert!(!answers.serves_others() && chat.names.is_empty());
        return;
    };
    let names: Vec<_> = edge.names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, answers.names);
    assert_eq!(edge.acme.email, answers.email);
    let site = Site::new(settings, edge, Vec::new()).unwrap();
    assert_eq!(site.page.is_some(), answers.page != Page::Off);
    if let Some(page) = &site.page {
        assert_eq!(page.allow.is_empty(), answers.allow.is_empty());
        assert_eq!(page.password_file.is_some(), answers.page == Page::Password);
        assert_eq!(chat.names, answers.names);
    }
    assert_eq!(site.certificate().is_some(), answers.certificate != Certificate::Off);
}

/// What stands there as a comment is right too: whoever takes the mark away changes nothing else.
#[test]
fn every_hint_could_be_set() {
    let dir = folder();
    let file = dir.path().join("gatehouse.yaml");
    for answers in every_way() {
        let (commented, live) = (text(&answers, Hints::Commented), text(&answers, Hints::Live));
        let differ = commented.lines().zip(live.lines()).filter(|(a, b)| a != b);
        assert!(differ.clone().count() >= 2);
        assert!(differ.clone().all(|(a, b)| a.replacen("# ", "", 1) == b));
        assert_eq!(commented.lines().count(), live.lines().count());
        settings(&file, &answers, Hints::Live);
    }
}

#[test]
fn every_key_says_what_it_is() {
    for answers in every_way() {
        let text = text(&answers, Hints::Commented);
        assert!(text.lines().all(|line| line.chars().count() <= 112), "{text}");
        for key in
            ["domain:", "tls:", "allow:", "password_file:", "ips:", "file:", "data_dir:", "api_key_file:"]
        {
            let mut before = "";
            for line in text.lines() {
                assert!(
                    !line.trim_start().starts_with(key) || before.trim_start().starts_with("# "),
                    "{key}\n{text}"
                );
                before = line;
            }
        }
    }
}

/// Without the words, which are the reference's.
#[test]
fn the_keys_that_most_people_get() {
    let answers = Answers {
        names: strings(&["ai.example.com"]),
        models: vec![Model::of_runtime("registry.internal/qwen3:32b")],
        allow: strings(&["10.0.0.0/16"]),
        page: Page::Password,
        email: Some("ops@example.com".to_owned()),
        keys: strings(&["alice"]),
        ..Answers::default()
    };
    let text = text(&answers, Hints::Commented);
    let keys = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.is_empty());
    insta::assert_snapshot!(keys.collect::<Vec<_>>().join("\n"), @r#"
    gateway:
      listen: "127.0.0.1:18789"
      trusted_proxies: ["127.0.0.1"]
      upstreams:
        - name: "ollama"
          url: "http://127.0.0.1:11434"
      models:
        - name: "qwen3:32b"
          internal: "registry.internal/qwen3:32b"
      auth:
        keys:
          - id: "chat"
            digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"
            speaks_for_users: true
            rate_limit:
              enabled: false
          - id: "alice"
            digest: "sha256:0000000000000000000000000000000000000000000000000000000000000001"
      whitelist:
        ips: ["127.0.0.1", "10.0.0.0/16"]
      rate_limit:
        max_requests: 30
        window_seconds: 60
      audit:
        file: "/var/log/gatehouse/audit.jsonl"
    chat:
      server:
        host: "127.0.0.1"
        port: 8080
      ui:
        title: "Gatehouse"
      backend:
        api_base: "http://127.0.0.1:18789/v1"
        model: "qwen3:32b"
        api_key_file: "chat.key"
      data_dir: "/var/lib/gatehouse-chat"
    edge:
      domain: "ai.example.com"
      tls: "certbot"
      page:
        allow: ["127.0.0.1", "10.0.0.0/16"]
        password_file: "page.passwd"
      acme:
        email: "ops@example.com"
    "#);
}
