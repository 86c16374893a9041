//! Why a model's file could not be had, as sentences for the user.
//!
//! Never here: what was tried; that is the pull's.

use std::path::PathBuf;

use super::TABLE;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("no model is called `{0}`; there are {known}", known = known())]
    Unknown(String),
    #[error("{dir} has {free} MB free and {needed} MB are needed", dir = dir.display(), free = free_bytes / 1_000_000, needed = needed_bytes / 1_000_000)]
    NoRoom { dir: PathBuf, needed_bytes: u64, free_bytes: u64 },
    #[error("cannot write to {0}: {1}")]
    Disk(PathBuf, String),
    #[error("could not fetch {id}:\n{}\nBy hand:\n  {command}", tried.iter().map(|t| format!("  {t}")).collect::<Vec<_>>().join("\n"))]
    NoSource { id: &'static str, tried: Vec<String>, command: String },
}

fn known() -> String {
    TABLE.iter().map(|w| w.id).collect::<Vec<_>>().join(", ")
}
