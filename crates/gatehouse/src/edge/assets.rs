//! The page's files on the disk, for nginx to serve.
//!
//! Why here: the files are built into the program; nginx serves them without asking it. Names change with content, so an
//! older page finds its own files beside the new ones for as long as a browser may still ask for them.
//!
//! Never here: the page itself; it says which files it wants, and is never stale.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::chat;

/// A tab that was opened before an upgrade may load its worker weeks later; longer than that nobody waits.
const KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub new: usize,
    pub same: usize,
    pub removed: usize,
}

/// Writes every file, each whole or not at all, and removes those of long ago.
pub(crate) fn write(dir: &Path) -> io::Result<Written> {
    let folder = dir.join("assets");
    fs::create_dir_all(&folder)?;
    for made in [dir, &folder] {
        fs::set_permissions(made, Permissions::from_mode(0o755))?;
    }
    let mut written = Written::default();
    for asset in chat::assets() {
        let file = dir.join(asset.path);
        put(&file, asset.plain, &mut written)?;
        if let Some(gzip) = asset.gzip {
            let mut name = file.into_os_string();
            name.push(".gz");
            put(Path::new(&name), gzip, &mut written)?;
        }
    }
    written.removed = sweep(&folder, SystemTime::now())?;
    Ok(written)
}

fn put(file: &Path, bytes: &[u8], written: &mut Written) -> io::Result<()> {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        // Still wanted: its age counts from the last time that it was.
        fs::File::open(file)?.set_modified(SystemTime::now())?;
        written.same += 1;
        return Ok(());
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let done = fs::write(beside, bytes)
        .and_then(|()| fs::set_permissions(beside, Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(beside, file));
    if done.is_err() {
        // What is left of it would only fill the disk further.
        let _ = fs::remove_file(beside);
    }
    written.new += 1;
    done
}

fn sweep(folder: &Path, now: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let old = now.duration_since(meta.modified()?).is_ok_and(|age| age > KEPT);
        if meta.is_file() && old {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_once_kept_and_swept_when_old() {
        let dir = tempfile::tempdir().unwrap();
        let first = write(dir.path()).unwrap();
        assert!(first.new > 3 && first.same == 0 && first.removed == 0, "{first:?}");
        assert_eq!(write(dir.path()).unwrap(), Written { new: 0, same: first.new, removed: 0 });
        for asset in chat::assets() {
            let file = dir.path().join(asset.path);
            assert_eq!(fs::read(&file).unwrap(), asset.plain);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        }
        let left = dir.path().join("assets/index-of-last-year.js");
        fs::write(&left, "old").unwrap();
        fs::File::open(&left).unwrap().set_modified(SystemTime::now() - KEPT * 2).unwrap();
        let recent = dir.path().join("assets/index-of-yesterday.js");
        fs::write(&recent, "recent").unwrap();
        assert_eq!(write(dir.path()).unwrap().removed, 1);
        assert!(recent.exists() && !left.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(write(&file.join("below")).is_err());
    }
}
