//! Secrets that a service manager passes, and roles that read their own sections only.

use std::path::Path;

use gateway::config::{Auth, Secret};

use super::line;
use crate::config::chat::Exposure;
use crate::config::{Context, Expectation, Loaded, Role, Secrets, read};

/// A file read by `role`, with what the service manager passes in `folder`.
fn load(text: &str, role: Option<Role>, secrets: Secrets, folder: Option<&Path>) -> Loaded {
    let folder = folder.map(|folder| folder.display().to_string());
    let environment = |name: &str| folder.clone().filter(|_| name == "CREDENTIALS_DIRECTORY");
    let context = Context::new(Path::new("c.yaml"), &environment).with(secrets);
    let exposure = Exposure::LoopbackOnly;
    read(Path::new("c.yaml"), text, Expectation { role, exposure, secrets }, &context)
}

fn said(loaded: &Loaded) -> Vec<String> {
    loaded.report.problems().iter().map(line).collect()
}

/// A folder as the service manager makes it.
fn passed(name: &str, secret: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, secret).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
    folder
}

const GATEWAY: &str = "\
auth: {keys: [{id: a, secret_file: \"credential:alice.key\"}]}
upstreams: [{name: u, url: \"http://a:1\", token_file: \"credential:token\"}]
";

#[test]
fn credentials_are_found_by_name() {
    let folder = passed("alice.key", "a-secret-of-good-length\n");
    std::fs::write(folder.path().join("token"), "t0ken").unwrap();
    let loaded = load(GATEWAY, Some(Role::Gateway), Secrets::Needed, Some(folder.path()));
    let config = loaded.settings().unwrap().0.gateway.unwrap().config;
    let Auth::Keys { keys, .. } = config.auth else { panic!() };
    assert_eq!(keys[0].digest, gateway::auth::key::digest("a-secret-of-good-length"));
    assert_eq!(config.upstreams[0].bearer, Some(Secret("t0ken".into())));
}

#[test]
fn a_credential_that_is_not_passed_stops_the_service_and_nobody_else() {
    let loaded = load(GATEWAY, Some(Role::Gateway), Secrets::Needed, None);
    let problems = said(&loaded);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("1 auth.keys[0].secret_file: no service manager passed `alice.key`"));
    let fix = &loaded.report.problems()[0].fix;
    assert!(fix.contains("LoadCredential=alice.key:"), "{fix}");
    let loaded = load(GATEWAY, None, Secrets::Judged, None);
    let problems = said(&loaded);
    assert!(problems.iter().all(|problem| problem.starts_with("warning")), "{problems:?}");
    assert_eq!(problems.len(), 2);
    // A folder without the file is the manager's word that there is none.
    let folder = passed("other", "x");
    let loaded = load(GATEWAY, Some(Role::Gateway), Secrets::Needed, Some(folder.path()));
    assert!(said(&loaded)[0].contains("cannot read"), "{:?}", said(&loaded));
}

/// What stands in for a credential must not be guessable, should it ever serve.
#[test]
fn the_stand_in_is_another_each_time() {
    let digest = || {
        let loaded = load(GATEWAY, None, Secrets::Judged, None);
        let Auth::Keys { keys, .. } = loaded.settings().unwrap().0.gateway.unwrap().config.auth else {
            panic!()
        };
        keys[0].digest
    };
    assert_ne!(digest(), digest());
}

#[test]
fn names_of_credentials_are_no_paths() {
    for name in ["", "../x", "a/b", ".x", "a b"] {
        let text = format!("backend: {{api_key_file: \"credential:{name}\"}}\n");
        let loaded = load(&text, Some(Role::Chat), Secrets::Needed, Some(Path::new("/")));
        assert!(said(&loaded)[0].contains("is not the name of a credential"), "{name}");
    }
}

#[test]
fn a_key_in_a_credential_needs_an_id() {
    let key = gateway::auth::key::Key::generate().unwrap();
    let folder = passed("k", &key.text);
    let text = "ollama_api: http://a:1\nauth: {keys: [{secret_file: \"credential:k\"}]}\n";
    for (secrets, folder) in [(Secrets::Needed, Some(folder.path())), (Secrets::Judged, None)] {
        let problems = said(&load(text, Some(Role::Gateway), secrets, folder));
        assert!(problems[0].contains("`id` is missing"), "{problems:?}");
    }
}

#[test]
fn the_pages_key_is_found_without_being_named() {
    let chat = |text: &str, folder: &Path| {
        let loaded = load(text, Some(Role::Chat), Secrets::Needed, Some(folder));
        loaded.settings().map(|(settings, _)| settings.chat.unwrap().api_key)
    };
    let folder = passed("chat.key", "passed\n");
    assert_eq!(chat("{}\n", folder.path()).unwrap(), Some(Secret("passed".into())));
    let own = "backend: {api_key: own}\n";
    assert_eq!(chat(own, folder.path()).unwrap(), Some(Secret("own".into())), "the file's word counts more");
    for nothing in ["", "\n"] {
        let empty = passed("chat.key", nothing);
        assert_eq!(chat("{}\n", empty.path()).unwrap(), None, "the unit's stand-in for a missing file");
    }
    assert_eq!(chat("{}\n", Path::new("/nowhere")).unwrap(), None);
    let wrong = passed("chat.key", "two words\n");
    let report = chat("{}\n", wrong.path()).unwrap_err();
    assert!(report.render(false).contains("does not hold one line"), "{}", report.render(false));
}

/// One file then serves a unit, whose user cannot read the key's file, and whoever can.
#[test]
fn a_named_file_is_what_is_passed_under_its_name() {
    let chat = |named: &str, folder: &Path| {
        let text = format!("backend: {{api_key_file: \"{named}\"}}\n");
        let loaded = load(&text, Some(Role::Chat), Secrets::Needed, Some(folder));
        loaded.settings().map(|(settings, _)| settings.chat.unwrap().api_key)
    };
    let folder = passed("chat.key", "passed\n");
    for named in ["chat.key", "/nowhere/chat.key"] {
        assert_eq!(chat(named, folder.path()).unwrap(), Some(Secret("passed".into())), "{named}");
    }
    let own = passed("own.key", "own\n");
    let file = own.path().join("own.key").display().to_string();
    assert_eq!(
        chat(&file, folder.path()).unwrap(),
        Some(Secret("own".into())),
        "nothing of that name is passed"
    );
    let empty = passed("own.key", "\n");
    assert_eq!(chat(&file, empty.path()).unwrap(), Some(Secret("own".into())), "nor an empty one");
    assert!(chat("/nowhere/other.key", folder.path()).is_err());
}

const SECTIONS: &str = "\
gateway:
  ollama_api: http://a:1
  auth: {keys: [{id: a, secret_file: /nowhere/a}]}
chat:
  backend: {api_key_file: /nowhere/b}
edge: {domain: ai.example.com}
";

#[test]
fn a_role_reads_no_other_roles_secrets() {
    for (role, path) in [(Role::Gateway, "gateway.auth"), (Role::Chat, "chat.backend")] {
        let problems = said(&load(SECTIONS, Some(role), Secrets::Needed, None));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(path), "{problems:?}");
    }
    assert_eq!(said(&load(SECTIONS, None, Secrets::Judged, None)).len(), 2, "a check reads all");
}

#[test]
fn the_page_is_told_its_names_by_the_edge() {
    let text = SECTIONS.replace("{api_key_file: /nowhere/b}", "{}");
    let (settings, _) = load(&text, Some(Role::Chat), Secrets::Needed, None).settings().unwrap();
    assert_eq!(settings.chat.unwrap().names, ["ai.example.com"]);
    assert!(settings.gateway.is_none());
}

/// Another role's slip is told by `gatehouse check` and by that role, and stops nobody else.
#[test]
fn another_roles_mistakes_stop_nobody() {
    let text = "gateway: {ollama_api: http://a:1, auth: {enabled: false}}\nchat: {titel: x}\n";
    assert!(said(&load(text, Some(Role::Gateway), Secrets::Needed, None)).is_empty());
    assert_eq!(said(&load(text, None, Secrets::Judged, None)).len(), 1);
    let unknown = format!("{text}gatway: {{}}\n");
    assert_eq!(said(&load(&unknown, Some(Role::Gateway), Secrets::Needed, None)).len(), 1);
}

/// The edge asks for names and ports, often as a user who may read no secret.
#[test]
fn who_needs_no_secrets_is_not_stopped_by_them() {
    let text = SECTIONS.replace("{id: a, secret_file: /nowhere/a}", "{id: a, secret_file: /nowhere/a}, {id: b, secret_file: \"credential:b\"}, {id: c, secret_env: UNSET}");
    let loaded = load(&text, None, Secrets::Unneeded, None);
    assert!(said(&loaded).is_empty(), "{:?}", said(&loaded));
    assert!(loaded.settings().unwrap().0.edge.is_some());
}
