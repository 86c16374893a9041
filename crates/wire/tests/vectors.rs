//! Runs the test vectors in `tests/vectors` (and in the folder that `GATEHOUSE_WIRE_VECTORS` names) against the facade.
//!
//! A vector is one JSON object: a client's request and either the upstream request expected from it, or an upstream's
//! answer and what the client must get. Comparison: top-level objects as subsets, nested values exactly;
//! `"compare":"subset-deep"` as subsets at every level; placeholders such as `$ID` stand for strings.
//!
//! Never here: HTTP. A refusal's status is derived from the fault's kind as the gateway's verdict table does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helper functions"
)]

#[path = "support/vector.rs"]
mod vector;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn folders() -> Vec<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let other = std::env::var_os("GATEHOUSE_WIRE_VECTORS").map(PathBuf::from);
    std::iter::once(own).chain(other).collect()
}

fn vectors(folder: &Path) -> Vec<Value> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let is_json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    paths.into_iter().filter(is_json).map(read).collect()
}

/// APIs that this crate serves; others in a shared folder wait for their format.
const SERVED: &[&str] = &[
    "openai.chat",
    "openai.completions",
    "openai.embeddings",
    "openai.responses",
    "openai.models",
    "anthropic.messages",
    "anthropic.models",
    "framing.ndjson",
    "framing.sse",
];

#[test]
fn every_vector_passes() {
    let mut failures = Vec::new();
    let mut count = 0;
    for folder in folders() {
        for vector in vectors(&folder) {
            if SERVED.contains(&vector["client_api"].as_str().unwrap()) {
                count += 1;
                if let Err(why) = vector::run(&vector) {
                    failures.push(format!("{}: {why}", vector["name"]));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 78, "only {count} vectors were found");
}
