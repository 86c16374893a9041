//! Where model files lie, and the file-system side of putting one there.
//!
//! Why here: a file under its final name is whole and right, always; so writing, flushing and renaming is done in one place.
//! Never here: the network.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::PullError;

/// Room that must remain on the disk when all is done.
const MARGIN_BYTES: u64 = 64 << 20;

/// `$XDG_CACHE_HOME/gatehouse/models`, else `~/.cache/gatehouse/models`. None: neither variable is set.
pub fn default_cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("gatehouse").join("models"))
}

/// The name under which a file grows.
pub(super) fn part(path: &Path) -> PathBuf {
    with_ending(path, ".part")
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Held while one process works on a file; the system lets go of it when that process ends, however it ends.
pub(super) struct Lock(#[expect(dead_code, reason = "held for its drop")] File);

/// `waiting` is called once if another process is at work.
pub(super) fn lock(path: &Path, waiting: impl FnOnce()) -> std::io::Result<Lock> {
    let file = File::options().create(true).truncate(false).write(true).open(with_ending(path, ".lock"))?;
    if file.try_lock().is_err() {
        waiting();
        file.lock()?;
    }
    Ok(Lock(file))
}

pub(super) fn check_room(dir: &Path, needed_bytes: u64) -> Result<(), PullError> {
    let needed_bytes = needed_bytes + MARGIN_BYTES;
    // A file system that does not say is not refused.
    let Ok(stat) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free_bytes < needed_bytes {
        return Err(PullError::NoRoom { dir: dir.to_owned(), needed_bytes, free_bytes });
    }
    Ok(())
}

/// Makes a finished file durable under its final name.
pub(super) fn put(from: &Path, to: &Path) -> std::io::Result<()> {
    File::open(from)?.sync_all()?;
    std::fs::rename(from, to)?;
    if let Some(dir) = to.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
