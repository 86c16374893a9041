//! How the last deploy ended, kept on the disk.
//!
//! Why here: certbot exits 0 when its hook fails, and its timer runs quietly. The hook's own record is what a check finds.
//!
//! Never here: secrets. Everybody on the machine may read it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// No record is near it.
const BYTES_MAX: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// When it ended, in RFC 3339.
    pub at: String,
    /// The certificate is served.
    pub served: bool,
    /// SHA-256 of the certificate that lay on the disk, where one could be read.
    pub fingerprint: Option<String>,
    pub not_after: Option<String>,
    pub names: Vec<String>,
    /// Why it is not served.
    pub reason: Option<String>,
}

pub(crate) fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("cert.json")
}

/// Writes it whole or not at all.
pub(crate) fn write(state_dir: &Path, outcome: &Outcome) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(state_dir)?;
    let (whole, part) = (file(state_dir), state_dir.join(format!(".cert.json.{}", std::process::id())));
    let put = || {
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&part)?;
        // Whatever the umask of a timer is: the check may run as somebody else.
        open.set_permissions(PermissionsExt::from_mode(0o644))?;
        open.write_all(&serde_json::to_vec_pretty(outcome)?)?;
        open.sync_all()?;
        std::fs::rename(&part, &whole)
    };
    put().inspect_err(|_| {
        let _ = std::fs::remove_file(&part);
    })
}

/// `None`: no deploy has run yet.
pub(crate) fn read(state_dir: &Path) -> Result<Option<Outcome>, String> {
    let at = file(state_dir);
    let wrong = |what: &dyn std::fmt::Display| format!("{} cannot be read: {what}", at.display());
    let open = match File::open(&at) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&error)),
    };
    let mut text = Vec::new();
    open.take(BYTES_MAX).read_to_end(&mut text).map_err(|error| wrong(&error))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_by_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/b");
        assert_eq!(read(&state), Ok(None));
        let outcome = Outcome {
            at: "2026-11-26T15:00:00Z".into(),
            served: false,
            fingerprint: Some("ab".into()),
            not_after: None,
            names: vec!["ai.example.com".into()],
            reason: Some("nginx -t: no".into()),
        };
        write(&state, &outcome).unwrap();
        write(&state, &outcome).unwrap();
        assert_eq!(read(&state), Ok(Some(outcome)));
        let mode = std::fs::metadata(file(&state)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644);
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1, "nothing is left behind");
        std::fs::write(file(&state), "{").unwrap();
        assert!(read(&state).unwrap_err().contains("cert.json"));
    }
}
