//! The folder in which `up` keeps what outlives it: two keys, conversations, audit records, the log.
//!
//! Why here: a second `up` has to find the same key, and nobody else may read it.
//!
//! Never here: weights; they can be fetched again and lie in the cache folder.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway::auth::key;

use crate::folders::private_dir;

#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
}

impl Home {
    /// The folder, made if need be, closed to others.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { dir: private_dir(dir)? })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("gatehouse.log")
    }

    pub(super) fn audit_file(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }

    /// The stored key of that name; made at the first call.
    pub(super) fn key(&self, name: &str) -> anyhow::Result<String> {
        let file = self.dir.join(format!("{name}.key"));
        match std::fs::read_to_string(&file) {
            Ok(text) => stored(&file, text.trim_end()),
            Err(error) if error.kind() == ErrorKind::NotFound => made(&file),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}

fn stored(file: &Path, text: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        key::parse(text).is_some(),
        "{} does not hold a key of this program; delete the file, and a new key is made",
        file.display()
    );
    let mode = std::fs::metadata(file)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "the key could be read by others; its mode is set to 0600");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(text.to_owned())
}

fn made(file: &Path) -> anyhow::Result<String> {
    let key = key::Key::generate().context("cannot make a key")?;
    // `create_new`: of two starters one makes the key, the other fails clearly instead of using one that is not stored.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut out| writeln!(out, "{}", key.text).and_then(|()| out.sync_all()));
    written.with_context(|| format!("cannot store a key in {}", file.display()))?;
    Ok(key.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(&dir.path().join("data")).unwrap();
        let first = home.key("api").unwrap();
        assert_eq!(home.key("api").unwrap(), first);
        assert_ne!(home.key("chat").unwrap(), first);
        let file = home.dir().join("api.key");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.dir()), mode(&file)), (0o700, 0o600));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(home.key("api").unwrap(), first);
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn a_spoilt_key_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("api.key"), "hello\n").unwrap();
        let error = Home::open(dir.path()).unwrap().key("api").unwrap_err();
        assert!(error.to_string().contains("api.key"), "{error}");
    }
}
