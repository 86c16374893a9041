//! The certificate's files, as they lie on the disk.
//!
//! Why here: a file that is not there, one that this user may not read, and one that holds something else are three things
//! that three people put right.
//!
//! Never here: writing them.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::chain::Chain;
use crate::config::edge::CertificateFiles;
use crate::edge::chain::without_mark;

/// No chain or key is near it.
const BYTES_MAX: u64 = 1 << 20;

/// Both files, each as far as it can be read.
#[derive(Debug)]
pub(crate) struct Disk {
    pub files: CertificateFiles,
    pub chain: Result<Chain, Trouble>,
    pub key: Result<Key, Trouble>,
}

/// A private key and who else may read it.
#[derive(Debug)]
pub(crate) struct Key {
    pub der: PrivateKeyDer<'static>,
    /// Where it really lies, when its path is a link.
    pub at: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Absent,
    /// It may be there; this user may not look.
    Closed,
    Broken(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Absent => out.write_str("is not there"),
            Trouble::Closed => out.write_str("may not be read by this user"),
            Trouble::Broken(what) => out.write_str(what),
        }
    }
}

impl Disk {
    pub(crate) fn read(files: &CertificateFiles) -> Self {
        let chain =
            content(&files.chain).and_then(|(text, _)| Chain::from_pem(&text).map_err(Trouble::Broken));
        Self { files: files.clone(), chain, key: key(&files.key) }
    }

    /// When the files were written, as the file system says.
    pub(crate) fn written(&self) -> Vec<(PathBuf, Timestamp)> {
        [&self.files.chain, &self.files.key].into_iter().filter_map(|file| written(file)).collect()
    }
}

/// When a file was written.
pub(crate) fn written(file: &Path) -> Option<(PathBuf, Timestamp)> {
    let at = std::fs::metadata(file).ok()?.mtime();
    Some((file.to_owned(), Timestamp::from_second(at).ok()?))
}

fn key(file: &Path) -> Result<Key, Trouble> {
    let (text, mode) = content(file)?;
    let der = PrivateKeyDer::from_pem_slice(without_mark(&text)).map_err(|error| {
        Trouble::Broken(match is_locked(&text) {
            true => "is locked with a password, for which nobody is there when nginx starts: `openssl pkey -in FILE -out OPEN` takes it off".to_owned(),
            false => format!("holds no private key in PEM: {error}"),
        })
    })?;
    Ok(Key { der, at: file.canonicalize().unwrap_or_else(|_| file.to_owned()), mode })
}

/// Both forms in which a PEM file says so.
fn is_locked(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn content(file: &Path) -> Result<(Vec<u8>, u32), Trouble> {
    let trouble = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Trouble::Absent,
        ErrorKind::PermissionDenied => Trouble::Closed,
        _ => Trouble::Broken(format!("cannot be read: {error}")),
    };
    // Opening a pipe would wait for somebody who writes.
    if !std::fs::metadata(file).map_err(trouble)?.is_file() {
        return Err(Trouble::Broken("cannot be read: it is not a file".to_owned()));
    }
    let open = File::open(file).map_err(trouble)?;
    let mode = open.metadata().map_err(trouble)?.mode() & 0o7777;
    let mut text = Vec::new();
    open.take(BYTES_MAX).read_to_end(&mut text).map_err(trouble)?;
    Ok((text, mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::cert::chain::tests::certificate;

    #[test]
    fn each_trouble_has_its_own_word() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            CertificateFiles { chain: folder.path().join("a/chain.pem"), key: folder.path().join("key.pem") };
        let disk = Disk::read(&files);
        assert_eq!(disk.chain.as_ref().unwrap_err(), &Trouble::Absent);
        assert_eq!(disk.key.as_ref().unwrap_err(), &Trouble::Absent);

        std::fs::write(&files.key, "not a key").unwrap();
        assert!(matches!(Disk::read(&files).key, Err(Trouble::Broken(_))));

        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        std::fs::write(&files.key, locked).unwrap();
        assert!(Disk::read(&files).key.unwrap_err().to_string().contains("locked with a password"));

        let (_, key) = certificate(&["a.example.com"]);
        std::fs::write(&files.key, key).unwrap();
        let read = Disk::read(&files).key.unwrap();
        assert!(read.mode & 0o400 != 0 && read.at.is_absolute());
    }
}
