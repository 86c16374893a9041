//! `docs/config.md`, printed from the rows.
//!
//! Why here: a page written by hand would sooner or later promise another default than the program's.

use std::fmt::Write as _;

use super::settings;
use crate::config::setting::{Kind, Setting};

const HEAD: &str = "\
# Configuration

<!-- Printed by `gatehouse reference`; `cargo xtask docs` writes it. Edit the rows in crates/gatehouse/src/config/reference. -->

One YAML file holds a section per part, `gateway`, `chat` and `edge`. A file that has the keys of one role at its top level is that
role's section: `gatehouse gateway --config gateway.yaml` and `gatehouse chat --config chat.yaml` read such files.

- `gatehouse check FILE...` reads a file as the program would and prints everything that is wrong with it, each with line,
  path and remedy.
- Unknown keys are errors, so that a slip of the pen cannot switch a protection off.
- File paths are relative to the folder of the configuration file.
- Secrets belong in files (mode 0600), in environment variables, in credentials of the service manager
  (`credential:NAME`, docs/install.md) or, for keys, in digests. Plain ones are accepted with a warning.
- `kill -HUP` makes a running gateway read its file again. A file with errors changes nothing; listen addresses need a restart
  or an upgrade in place (`kill -USR2`, docs/operations.md).
- [examples/gateway.yaml](examples/gateway.yaml) shows limits, a queue, several upstreams and a filter in one file;
  [examples/gatehouse.yaml](examples/gatehouse.yaml) is a small company's: gateway, chat page and edge. `gatehouse init` writes a first one.
- `ops` is reserved for a part that does not exist yet, and refused until it does.
";

/// The whole page.
pub(crate) fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for setting in settings() {
        if !matches!(setting.kind, Kind::Table | Kind::Tables) {
            continue;
        }
        // Writing into a String cannot fail.
        let level = if setting.path.contains('.') { "###" } else { "##" };
        let _ = writeln!(page, "\n{level} `{}`\n\n{}", setting.path, setting.about);
        rows(setting, &mut page);
    }
    page
}

fn rows(parent: &Setting, page: &mut String) {
    let inside = match parent.kind {
        Kind::Tables => format!("{}[]", parent.path),
        _ => parent.path.to_owned(),
    };
    let leaves = settings().filter(|s| s.parent() == inside);
    let mut leaves = leaves.filter(|s| !matches!(s.kind, Kind::Table | Kind::Tables)).peekable();
    if leaves.peek().is_none() {
        return;
    }
    page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for leaf in leaves {
        let (value, default) = columns(&leaf.kind);
        let _ = writeln!(page, "| `{}` | {value} | {default} | {} |", leaf.key(), leaf.about);
    }
}

pub(super) fn columns(kind: &Kind) -> (String, String) {
    match kind {
        Kind::Table | Kind::Tables => (String::new(), String::new()),
        Kind::Flag { default } => ("true or false".into(), format!("`{default}`")),
        Kind::Number { default, min, max, unit } => {
            (format!("{min} to {max} {unit}"), default.map_or("none".into(), |d| format!("`{d}`")))
        }
        Kind::Choice { default, options } => {
            let options: Vec<_> = options.iter().map(|o| format!("`{o}`")).collect();
            (options.join(", "), format!("`{default}`"))
        }
        Kind::Text { default, form } | Kind::Texts { default, form } => ((*form).into(), shown(default)),
    }
}

/// A default that is prose stays prose.
fn shown(default: &str) -> String {
    match default {
        "" => "none".into(),
        prose if prose.contains(' ') || ["none", "all"].contains(&prose) => prose.into(),
        value => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_repository_is_this_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == markdown(), "docs/config.md is stale: run `cargo xtask docs`");
    }

    #[test]
    fn rows_are_unique_and_have_parents() {
        for (i, setting) in settings().enumerate() {
            assert!(!settings().take(i).any(|s| s.path == setting.path), "{} twice", setting.path);
            let parent = setting.parent().trim_end_matches("[]");
            assert!(parent.is_empty() || settings().any(|s| s.path == parent), "{}", setting.path);
            assert!(setting.about.ends_with('.') && !setting.about.contains('|'), "{}", setting.path);
        }
    }
}
