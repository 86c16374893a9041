//! The program as its users call it: arguments in, texts and exit codes out.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn seed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seed").join(name)
}

fn gatehouse(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    // What the tests expect must not depend on whoever runs them.
    command.args(args).env_remove("GATEHOUSE_API_KEY").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    gatehouse(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn reference_prints_the_pages_that_are_made_of_tables() {
    for (args, begins) in [
        (["reference"].as_slice(), "# Configuration\n"),
        (&["reference", "openapi"], "{\n  \"openapi\": \"3.1"),
        (&["reference", "routes"], "| method | path |"),
        (&["reference", "lanes"], "| client | operation |"),
        (&["reference", "man", "gatehouse.yaml"], ".ie \\n(.g"),
        (&["reference", "completions", "bash"], "_gatehouse() {"),
        (&["reference", "completions", "zsh", "--of", "clawdbot"], "#compdef clawdbot"),
        (&["reference", "completions", "fish"], "# Print an optspec"),
    ] {
        let printed = run(args);
        assert!(printed.status.success(), "{args:?}");
        assert!(text(&printed.stdout).starts_with(begins), "{args:?}");
    }
    assert_eq!(run(&["reference", "nonsense"]).status.code(), Some(2));
}

#[test]
fn help_is_a_page_of_its_own() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    insta::assert_snapshot!(text(&help.stdout), @r#"
    A gateway, a chat site and a small model for your own machines

    Usage: gatehouse <COMMAND>

    Commands:
      up         Everything on this machine in one process: model, gateway, chat page
      gateway    The gateway alone
      chat       The chat site alone
      check      Read configuration files and print everything that is wrong with them
      keys       Make API keys and their digests
      init       Write a first configuration, with keys, and say what comes next
      edge       What stands in front: nginx, HTTPS, the firewall
      cert       The certificate: served, on the disk, and how long it lives
      engine     The embedded small model
      reference  Print what the program's own tables say: configuration keys, the API, manual pages, completions
      help       Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Examples:
      gatehouse up                                  a model, the gateway and a chat page on this machine
      gatehouse check gateway.yaml chat.yaml        every mistake of both files, with line and remedy
      gatehouse keys new --id alice                 a key, and the lines for the configuration
      gatehouse gateway --config gateway.yaml       the gateway alone, for a service manager

    Exit codes: 0 ended well, 1 a configuration has errors, 2 wrong command line, 3 could not start or failed.
    "#);
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(text(&run(&["--version"]).stdout), format!("gatehouse {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_explains_itself() {
    for command in [
        &["up"][..],
        &["gateway"],
        &["chat"],
        &["check"],
        &["keys", "new"],
        &["keys", "digest"],
        &["engine", "serve"],
        &["engine", "pull"],
        &["engine", "list"],
        &["reference"],
    ] {
        let help = run(&[command, &["--help"]].concat());
        assert!(help.status.success() && text(&help.stdout).contains("Usage:"), "{command:?}");
    }
}

#[test]
fn check_prints_everything_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yaml");
    std::fs::write(&file, "listen: nowhere\nauth:\n  enabled: perhaps\nrate_limt: {}\n").unwrap();
    let checked = run(&["check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let said = text(&checked.stderr).replace(file.to_str().unwrap(), "bad.yaml");
    insta::assert_snapshot!(said, @r#"
    bad.yaml:1:1: error: no upstream is given
        fix: add `ollama_api: "http://127.0.0.1:11434"`, or a list `upstreams`
    bad.yaml:1:9: error: listen: `nowhere` is not an address and a port
        fix: write `:18789` for every interface, or an address and a port such as `127.0.0.1:18789`
    bad.yaml:3:3: error: auth: no key is listed, so nobody could call
        fix: run `gatehouse keys new`, and list its digest under `auth.keys`
    bad.yaml:3:12: error: auth.enabled: expects true or false, is text
        fix: write true or false, without quotes
    bad.yaml:4:1: error: rate_limt: is not a known key
        fix: did you mean `rate_limit`?
    "#);
    assert!(text(&checked.stdout).ends_with("bad.yaml: 5 errors\n"), "{}", text(&checked.stdout));
    assert!(!said.contains('\x1b'), "no colour without a terminal");
}

#[test]
fn check_passes_the_seeds_gateway_file_with_warnings() {
    let file = seed("qwen-gateway.yaml");
    let checked = run(&["check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("ok, 2 warnings"));
    assert!(!text(&checked.stderr).contains("prod-key-2024-qwen3"), "a key is never quoted");
}

#[test]
fn a_key_goes_from_new_to_a_configuration_that_checks() {
    let made = run(&["keys", "new", "--id", "alice"]);
    let out = text(&made.stdout);
    let (key, lines) = out.split_once('\n').unwrap();
    assert!(key.starts_with("gh_") && key.len() == 51, "{key}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.yaml");
    std::fs::write(&file, format!("ollama_api: http://127.0.0.1:11434\nauth:\n  keys:\n{lines}")).unwrap();
    let checked = run(&["check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));

    let mut digest =
        gatehouse(&["keys", "digest"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(digest.stdin.take().unwrap(), "{key}").unwrap();
    let digest = text(&digest.wait_with_output().unwrap().stdout);
    assert!(lines.contains(digest.trim()), "{digest} is not in {lines}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    assert_eq!(run(&["fly"]).status.code(), Some(2));
    assert_eq!(run(&["gateway", "--config", "/nowhere/x.yaml"]).status.code(), Some(1));
    let chat = seed("clawdbot.yaml");
    assert_eq!(
        run(&["chat", "--config", chat.to_str().unwrap()]).status.code(),
        Some(1),
        "no open page natively"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.yaml");
    let port = taken.local_addr().unwrap().port();
    let yaml = format!(
        "listen: 127.0.0.1:{port}\nadmin_listen: \"off\"\nollama_api: http://127.0.0.1:9\nauth: {{enabled: false}}\n"
    );
    std::fs::write(&file, yaml).unwrap();
    let started = run(&["gateway", "--config", file.to_str().unwrap()]);
    assert_eq!(started.status.code(), Some(3));
    assert!(text(&started.stderr).contains(&port.to_string()), "the address is named");
}

#[test]
fn a_file_without_the_wanted_section_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("only-chat.yaml");
    std::fs::write(&file, "chat: {}\n").unwrap();
    let started = run(&["gateway", "--config", file.to_str().unwrap()]);
    assert_eq!(started.status.code(), Some(3));
    assert!(text(&started.stderr).contains("has no section `gateway`"), "{}", text(&started.stderr));
}
