//! Folders of this user, and folders that are nobody else's.
//!
//! Why here: every role that keeps something asks for its place in the same way.
//!
//! Never here: what lies in them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A folder, made if need be and then closed to others; its whole path.
pub(crate) fn private_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir).and_then(|()| dir.canonicalize());
    made.with_context(|| format!("cannot use the data folder {}", dir.display()))
}

/// What a service manager gives (`$STATE_DIRECTORY`), else `$XDG_DATA_HOME/gatehouse`, else `~/.local/share/gatehouse`.
pub(crate) fn default_dir() -> anyhow::Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    // A unit may have several, with colons between them; then none of them is meant.
    if let Some(state) = folder("STATE_DIRECTORY").filter(|dir| dir.is_absolute() && !has_colon(dir)) {
        return Ok(state);
    }
    let data = folder("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
    let data = data.or_else(|| Some(folder("HOME")?.join(".local/share")));
    Ok(data.context("no folder for data: set HOME, or give --data-dir")?.join("gatehouse"))
}

fn has_colon(dir: &Path) -> bool {
    dir.as_os_str().as_encoded_bytes().contains(&b':')
}
