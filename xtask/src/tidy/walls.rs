//! Which crate may import which, and what must not be known behind a wall.
//!
//! Why here: the table is the house's plan. An import that is not in it would let a format know a socket, or the gateway
//! know YAML.

use super::lexer::bare;
use super::{Fault, File};

/// Crate, and those of ours that it may import.
const TABLE: [(&str, &[&str]); 7] = [
    ("wire", &[]),
    ("store", &[]),
    ("gateway", &["wire", "store"]),
    ("engine", &["wire"]),
    ("gatehouse", &["wire", "store", "gateway", "engine"]),
    ("xtask", &[]),
    // It plays both ends of the wire as a stranger would: what it measures must not help it.
    ("bench", &[]),
];

/// What a crate that only turns bytes into bytes has no use for.
const NOT_IN_WIRE: [&str; 10] = [
    "async fn",
    "async {",
    "async move",
    ".await",
    "tokio",
    "std::io",
    "std::time",
    "std::net",
    "std::fs",
    "std::thread",
];

pub(crate) fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files {
        let Some((name, inside)) = crate_of(&file.path) else { continue };
        let Some((_, allowed)) = TABLE.iter().find(|(known, _)| *known == name) else {
            faults.push(Fault::new(&*file.path, format!("the crate `{name}` is not in the import table")));
            continue;
        };
        let forbidden: Vec<&str> = TABLE
            .iter()
            .map(|(other, _)| *other)
            .filter(|other| *other != name && !allowed.contains(other))
            .collect();
        if inside == "Cargo.toml" {
            faults.extend(manifest(file, name, &forbidden));
        } else if inside.ends_with(".rs") {
            faults.extend(source(file, name, inside, &forbidden));
        }
    }
    faults
}

/// The crate of a file and its path inside.
fn crate_of(path: &str) -> Option<(&str, &str)> {
    match path.strip_prefix("crates/") {
        Some(rest) => rest.split_once('/'),
        None => path.split_once('/').filter(|(name, _)| ["xtask", "bench"].contains(name)),
    }
}

fn manifest(file: &File, name: &str, forbidden: &[&str]) -> Vec<Fault> {
    let mut in_dependencies = false;
    let mut faults = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
            continue;
        }
        let dependency = line.split([' ', '.', '=']).next().unwrap_or_default();
        if in_dependencies && forbidden.contains(&dependency) {
            let place = format!("{}:{}", file.path, number + 1);
            faults.push(Fault::new(place, format!("`{name}` must not import `{dependency}`")));
        }
    }
    faults
}

fn source(file: &File, name: &str, inside: &str, forbidden: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in bare(&file.text).lines().enumerate() {
        let place = format!("{}:{}", file.path, number + 1);
        for other in forbidden {
            if line.trim_start().starts_with(&format!("use {other}::")) {
                faults.push(Fault::new(&*place, format!("`{name}` must not import `{other}`")));
            }
        }
        if name == "wire" && inside.starts_with("src/") {
            for word in NOT_IN_WIRE.iter().filter(|word| line.contains(**word)) {
                faults
                    .push(Fault::new(&*place, format!("`{word}` has no place in wire: bytes in, bytes out")));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&[file]).into_iter().map(|f| format!("{} {}", f.place, f.what)).collect()
    }

    #[test]
    fn walls_stand() {
        let manifest = "[package]\nname = \"store\"\n[dependencies]\nwire.workspace = true\nserde = \"1\"\n";
        assert_eq!(
            faults("crates/store/Cargo.toml", manifest),
            ["crates/store/Cargo.toml:4 `store` must not import `wire`"]
        );
        assert!(faults("crates/gateway/Cargo.toml", manifest).is_empty());
        assert_eq!(
            faults("crates/engine/src/lib.rs", "//! x\nuse gateway::Gateway;\n"),
            ["crates/engine/src/lib.rs:2 `engine` must not import `gateway`"]
        );
        assert_eq!(
            faults("crates/new/src/lib.rs", "")[0],
            "crates/new/src/lib.rs the crate `new` is not in the import table"
        );
    }

    #[test]
    fn wire_knows_no_clock_and_no_socket() {
        let said = faults(
            "crates/wire/src/a.rs",
            "// tokio is fine here\nasync fn f() {}\nuse std::time::Instant;\n",
        );
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(faults("crates/wire/tests/a.rs", "use std::fs;\n").is_empty());
        assert!(faults("crates/store/src/a.rs", "async fn f() {}\n").is_empty());
    }
}
