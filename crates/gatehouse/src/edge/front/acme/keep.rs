//! The folder in which account, certificate and the record of attempts lie.
//!
//! Why here: each outlives the process, two of them are secrets, and none may ever be half written.
//!
//! Never here: what is done with them.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use super::schedule::Attempts;
use crate::config::edge::Name;
use crate::folders::private_dir;

const CERTIFICATE: &str = "certificate.pem";
const ACCOUNT: &str = "account.json";
const ATTEMPTS: &str = "attempts.json";
/// What is written of a failure.
const REASON_CHARS_MAX: usize = 500;

#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct StoredAccount {
    directory: String,
    credentials: AccountCredentials,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredAttempts {
    names: Vec<String>,
    directory: String,
    failures: u32,
    not_before: u64,
    outcome: String,
}

impl Folder {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { dir: private_dir(dir)? })
    }

    pub(super) fn attempts_file(&self) -> PathBuf {
        self.dir.join(ATTEMPTS)
    }

    /// Key and chain in one text, so that they can only be replaced together.
    pub(super) fn certificate(&self) -> anyhow::Result<Option<Vec<u8>>> {
        self.read(CERTIFICATE)
    }

    pub(super) fn put_certificate(&self, text: &str) -> anyhow::Result<()> {
        self.write(CERTIFICATE, text.as_bytes())
    }

    /// The account at that CA, if there is one.
    pub(super) fn account(&self, directory: &str) -> Option<AccountCredentials> {
        let text = self.read(ACCOUNT).ok()??;
        match serde_json::from_slice::<StoredAccount>(&text) {
            Ok(stored) => (stored.directory == directory).then_some(stored.credentials),
            Err(error) => {
                tracing::warn!(%error, "{ACCOUNT} cannot be read; a new account is made");
                None
            }
        }
    }

    pub(super) fn put_account(&self, directory: &str, credentials: AccountCredentials) -> anyhow::Result<()> {
        let stored = StoredAccount { directory: directory.to_owned(), credentials };
        self.write(ACCOUNT, &serde_json::to_vec(&stored)?)
    }

    /// What was tried for exactly these names at this CA; what is changed may be tried at once.
    pub(super) fn attempts(&self, names: &[Name], directory: &str) -> Attempts {
        let read = || serde_json::from_slice::<StoredAttempts>(&self.read(ATTEMPTS).ok()??).ok();
        let same = |stored: &StoredAttempts| {
            stored.directory == directory && stored.names.iter().map(String::as_str).eq(texts(names))
        };
        read().filter(same).map_or_else(Attempts::default, |stored| Attempts {
            failures: stored.failures,
            not_before: stored.not_before,
        })
    }

    pub(super) fn put_attempts(
        &self,
        names: &[Name],
        directory: &str,
        attempts: &Attempts,
        outcome: &str,
    ) -> anyhow::Result<()> {
        let stored = StoredAttempts {
            names: texts(names).map(str::to_owned).collect(),
            directory: directory.to_owned(),
            failures: attempts.failures,
            not_before: attempts.not_before,
            outcome: outcome.chars().take(REASON_CHARS_MAX).collect(),
        };
        self.write(ATTEMPTS, &serde_json::to_vec_pretty(&stored)?)
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let file = self.dir.join(name);
        match std::fs::read(&file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Whole or not at all, readable for this user alone.
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (file, new) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let written = || {
            // One that a crash left behind may have another mode.
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            out.write_all(bytes)?;
            out.sync_all()?;
            std::fs::rename(&new, &file)?;
            File::open(&self.dir)?.sync_all()
        };
        written().with_context(|| format!("cannot write {}", file.display()))
    }
}

fn texts(names: &[Name]) -> impl Iterator<Item = &str> {
    names.iter().map(Name::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    #[test]
    fn attempts_are_found_again_for_the_same_question_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("acme")).unwrap();
        let (one, two) = (names(&["a.example.com"]), names(&["a.example.com", "b.example.com"]));
        assert_eq!(folder.attempts(&one, "https://ca/dir"), Attempts::default());
        let tried = Attempts { failures: 3, not_before: 1_900_000_000 };
        folder.put_attempts(&one, "https://ca/dir", &tried, &"no\n".repeat(900)).unwrap();
        assert_eq!(folder.attempts(&one, "https://ca/dir"), tried);
        assert_eq!(folder.attempts(&two, "https://ca/dir"), Attempts::default());
        assert_eq!(folder.attempts(&one, "https://other/dir"), Attempts::default());
        std::fs::write(folder.attempts_file(), "{").unwrap();
        assert_eq!(folder.attempts(&one, "https://ca/dir"), Attempts::default());
    }

    #[test]
    fn secrets_are_this_user_s_alone_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("acme")).unwrap();
        assert_eq!(folder.certificate().unwrap(), None);
        std::fs::write(dir.path().join("acme/certificate.pem.new"), "left behind").unwrap();
        folder.put_certificate("one").unwrap();
        folder.put_certificate("two").unwrap();
        assert_eq!(folder.certificate().unwrap().unwrap(), b"two");
        let mode =
            |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("acme"), mode("acme/certificate.pem")), (0o700, 0o600));
        assert!(!dir.path().join("acme/certificate.pem.new").exists());
    }

    #[test]
    fn an_account_is_one_ca_s() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let text =
            r#"{"directory":"https://ca/dir","credentials":{"id":"https://ca/acct/1","key_pkcs8":"AAAA"}}"#;
        std::fs::write(dir.path().join(ACCOUNT), text).unwrap();
        assert!(folder.account("https://ca/dir").is_some());
        assert!(folder.account("https://other/dir").is_none());
        std::fs::write(dir.path().join(ACCOUNT), "no JSON").unwrap();
        assert!(folder.account("https://ca/dir").is_none());
    }
}
