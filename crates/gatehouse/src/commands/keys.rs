//! `gatehouse keys`: API keys and their digests.
//!
//! Why here: the form of a key is the gateway's; showing one to a person, once, is the program's.
//!
//! Never here: storing a key.

use std::io::Read;

use anyhow::Context as _;
use gateway::auth::key;

use crate::Outcome;
use crate::cli::Keys;
use crate::terminal::Terminal;

/// No key is longer; a wrong file may well be.
const INPUT_BYTES_MAX: u64 = 4_096;

pub(super) fn run(command: &Keys, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match command {
        Keys::New { id, speaks_for_users } => make(id.as_deref(), *speaks_for_users, terminal),
        Keys::Digest => {
            let text = read(std::io::stdin().lock())?;
            terminal.say(&key::digest_text(&key::digest(&text)));
            Ok(Outcome::Done)
        }
    }
}

fn make(id: Option<&str>, speaks_for_users: bool, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let made = key::Key::generate().context("cannot make a key")?;
    terminal.note("This key is shown once and stored nowhere. Give it to its owner:\n");
    terminal.say(&made.text);
    terminal.note(
        "\nThese lines go into the gateway's configuration, below `keys:` in `gateway.auth`, as deep as the entries there:\n",
    );
    terminal.say(&lines(id.unwrap_or(made.id.as_str()), &made.digest, speaks_for_users));
    Ok(Outcome::Done)
}

/// As deep as in the files that the package brings and `init` writes, so that they can be pasted there as they are.
fn lines(id: &str, digest: &[u8; 32], speaks_for_users: bool) -> String {
    let mut lines = format!("      - id: \"{id}\"\n        digest: \"{}\"", key::digest_text(digest));
    if speaks_for_users {
        lines.push_str("\n        speaks_for_users: true");
    }
    lines
}

/// A key from a pipe or a file, without the line end that comes with it.
fn read(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(INPUT_BYTES_MAX).read_to_string(&mut text).context("cannot read the key")?;
    let key = text.trim_end_matches(['\r', '\n']);
    let sendable = !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic());
    anyhow::ensure!(sendable, "a key is one line of visible ASCII characters without spaces");
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Context, Expectation, read as read_text};
    use gateway::config::Auth;

    #[test]
    fn keys_are_read_without_their_line_end() {
        assert_eq!(read(&b"gh_abc\r\n"[..]).unwrap(), "gh_abc");
        for wrong in [&b""[..], b"\n", b"a b\n", b"a\nb\n", "\u{fc}\n".as_bytes()] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_lines_fit_the_files_that_come_with_the_program() {
        let lines = lines("alice", &[0xab; 32], true);
        let digest = "ab".repeat(32);
        assert_eq!(
            lines,
            format!(
                "      - id: \"alice\"\n        digest: \"sha256:{digest}\"\n        speaks_for_users: true"
            )
        );
        let packaged = include_str!("../../../../deploy/gatehouse.yaml");
        let nobodys = packaged.lines().find(|line| line.contains("id: \"nobody\"")).unwrap();
        let beside = format!("{nobodys}\n{lines}");
        for pasted in [&beside, &lines] {
            let text = packaged.replace(nobodys, pasted);
            let nothing = |_: &str| None;
            let file = std::path::Path::new("");
            let loaded = read_text(file, &text, Expectation::default(), &Context::new(file, &nothing));
            assert!(!loaded.report.has_errors(), "{}", loaded.report.render(false));
            let (settings, _) = loaded.settings().unwrap();
            let Auth::Keys { keys, .. } = settings.gateway.unwrap().config.auth else { panic!("keys") };
            assert!(keys.iter().any(|key| key.id == "alice" && key.speaks_for_users));
        }
    }
}
