//! The rules of the house, checked.
//!
//! Why here: a rule that nobody checks is an opinion. Each module below checks one kind and says what to do instead.
//!
//! Never here: what rustc, clippy and rustfmt check already.

mod circles;
mod lexer;
mod text;
mod walls;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// A file of the repository.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// From the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Something against the rules.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) place: String,
    pub(crate) what: String,
}

impl Fault {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let files = files(root)?;
    let mut faults = check(&files);
    faults.sort();
    for fault in &faults {
        crate::complain(&format!("{}: {}", fault.place, fault.what));
    }
    if !faults.is_empty() {
        bail!("{} against the rules of the house (CONTRIBUTING.md has the reasons)", faults.len());
    }
    crate::say(&format!("tidy: {} files keep the rules of the house", files.len()));
    Ok(())
}

fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = walls::check(files);
    faults.extend(circles::check(files));
    faults.extend(files.iter().flat_map(text::check));
    faults
}

/// Every text file that git knows, or would know after the next `git add`.
fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let list = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot run git")?;
    ensure!(list.status.success(), "git ls-files failed");
    let paths = String::from_utf8(list.stdout).context("a file name is not UTF-8")?;
    let mut files = Vec::new();
    for path in paths.split('\0').filter(|path| !path.is_empty()) {
        // A file that was deleted but not yet committed, and files that are no text, have nothing to check.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
