//! Files that are there whole or not at all: written beside their place, flushed, and moved into it by one step.
//!
//! Why here: a first configuration comes with a key and perhaps passwords. Whatever ends the program, or fills the disk,
//! must leave the machine as it was, and a file that somebody else made is never lost.
//!
//! Never here: what stands in them.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// How many earlier files are kept before somebody has to tidy up.
const KEPT_MAX: u32 = 999;
/// Lines of group files are short; what is longer is not read.
const GROUPS_BYTES_MAX: u64 = 1 << 20;
/// Others may pass through the folder of a configuration: nginx reads its passwords there.
const FOLDER_MODE: u32 = 0o755;

/// A folder that no other run writes in meanwhile. What was made on the way to it is taken away again unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    /// Open, because the lock ends with it.
    open: File,
    made: MadeFolders,
}

/// Outermost first. Taken away again when dropped.
#[derive(Debug, Default)]
struct MadeFolders(Vec<PathBuf>);

impl Folder {
    /// The folder, with what is missing on the way to it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let missing: Vec<&Path> = path.ancestors().take_while(|at| !at.exists()).collect();
        let mut made = MadeFolders::default();
        for at in missing.into_iter().rev() {
            match DirBuilder::new().mode(FOLDER_MODE).create(at) {
                Ok(()) => made.0.push(at.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot("make the folder", at, &error)),
            }
        }
        let open = File::open(path).map_err(|error| cannot("open the folder", path, &error))?;
        match open.try_lock() {
            // A file system without locks is no reason to write nothing.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { open, made }),
            Err(TryLockError::WouldBlock) => anyhow::bail!("another run is at work in {}", path.display()),
        }
    }

    pub(super) fn keep(mut self) {
        self.made.0.clear();
        // The names have to outlast a loss of power as the files do; a file system that cannot promise it is no error.
        let _ = self.open.sync_all();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        // A folder in which something lies by now stays.
        self.0.iter().rev().for_each(|made| drop(std::fs::remove_dir(made)));
    }
}

/// A file beside its place. Gone when it is dropped before it is moved there.
#[derive(Debug)]
pub(super) struct Pending {
    beside: PathBuf,
    place: PathBuf,
}

/// Who may read a file, beside its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    Nobody,
    Group(u32),
}

impl Readers {
    pub(super) fn mode(self) -> u32 {
        match self {
            Readers::Nobody => 0o600,
            Readers::Group(_) => 0o640,
        }
    }
}

impl Pending {
    /// Writes the text and flushes it to the disk.
    pub(super) fn write(place: &Path, text: &str, readers: Readers) -> anyhow::Result<Self> {
        let (mut file, pending) = Self::open(place).map_err(|error| cannot("write", place, &error))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| {
            if let Readers::Group(group) = readers {
                std::os::unix::fs::chown(&pending.beside, None, Some(group))?;
            }
            file.set_permissions(Permissions::from_mode(readers.mode()))?;
            file.sync_all()
        });
        written.map_err(|error| cannot("write", place, &error))?;
        Ok(pending)
    }

    fn open(place: &Path) -> io::Result<(File, Self)> {
        let name = place.file_name().ok_or(ErrorKind::InvalidFilename)?;
        let prefix = pending_prefix(&name.to_string_lossy());
        let beside = place.with_file_name(format!("{prefix}{}", std::process::id()));
        // `create_new`: neither a link that somebody laid here nor another run's file is written through.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok((file, Self { beside, place: place.to_owned() }))
    }

    /// Where it lies until then.
    pub(super) fn path(&self) -> &Path {
        &self.beside
    }

    /// Into its place, where nothing may lie.
    pub(super) fn put(self) -> anyhow::Result<Placed> {
        // A link fails where there is a file by now; moving would go over it.
        let put = match std::fs::hard_link(&self.beside, &self.place) {
            Err(error) if lacks_links(&error) && !self.place.exists() => {
                std::fs::rename(&self.beside, &self.place)
            }
            linked => linked,
        };
        put.map_err(|error| cannot("put", &self.place, &error))?;
        Ok(Placed { undo: Some((self.place.clone(), None)) })
    }

    /// Into its place; what lay there is kept beside it.
    pub(super) fn replace(self) -> anyhow::Result<Placed> {
        if std::fs::symlink_metadata(&self.place).is_err() {
            return self.put();
        }
        let kept = keep(&self.place)?;
        std::fs::rename(&self.beside, &self.place).map_err(|error| {
            let _ = std::fs::remove_file(&kept);
            cannot("put", &self.place, &error)
        })?;
        Ok(Placed { undo: Some((self.place.clone(), Some(kept))) })
    }
}

/// A file in its place. Taken away again, and what lay there put back, unless it is told to stay.
#[derive(Debug)]
pub(super) struct Placed {
    undo: Option<(PathBuf, Option<PathBuf>)>,
}

impl Placed {
    /// It stays; where what lay there is kept.
    pub(super) fn stay(mut self) -> Option<PathBuf> {
        self.undo.take().and_then(|(_, kept)| kept)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = match self.undo.take() {
            Some((place, Some(kept))) => std::fs::rename(kept, place),
            Some((place, None)) => std::fs::remove_file(place),
            None => Ok(()),
        };
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After a move there is nothing here, after a link a second name.
        let _ = std::fs::remove_file(&self.beside);
    }
}

/// A second name for the file, so that it is at every moment under one of them.
fn keep(place: &Path) -> anyhow::Result<PathBuf> {
    for number in 1..=KEPT_MAX {
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".old-{number}"));
        let kept = PathBuf::from(name);
        let result = match std::fs::hard_link(place, &kept) {
            Err(error) if lacks_links(&error) && !kept.exists() => std::fs::copy(place, &kept).map(drop),
            linked => linked,
        };
        match result {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("keep a copy of", place, &error)),
        }
    }
    anyhow::bail!("{KEPT_MAX} earlier files lie beside {}: move them away", place.display())
}

fn lacks_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied)
}

/// What could not be done, and who can mend it.
fn cannot(what: &str, path: &Path, error: &io::Error) -> anyhow::Error {
    let fix = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; run it as root, or name another place with --config"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; make room there, or name another place with --config"
        }
        ErrorKind::AlreadyExists => "; another run may be at work, or was just done",
        _ => "",
    };
    anyhow::anyhow!("cannot {what} {}: {error}{fix}", path.display())
}

fn pending_prefix(name: &str) -> String {
    format!(".{name}.init-")
}

/// Takes away what runs that were killed have left beside a place.
pub(super) fn sweep(place: &Path) {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else { return };
    let prefix = pending_prefix(&name.to_string_lossy());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let process = file.to_str().and_then(|file| file.strip_prefix(&prefix)?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether files can be made at this place: told before anybody is asked anything.
pub(super) fn try_place(place: &Path) -> anyhow::Result<()> {
    let name = place.file_name().with_context(|| format!("{} names no file", place.display()))?;
    let there = place.ancestors().skip(1).map(folder_of).find(|at| at.is_dir());
    let there = there.with_context(|| format!("no folder of {} can be reached", place.display()))?;
    Pending::open(&there.join(name)).map(drop).map_err(|error| cannot("write", place, &error))
}

/// The parent of a bare file name is the folder that the program was started in.
fn folder_of(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// What a file of this user's own holds; `None` where there is none.
pub(super) fn own_secret(place: &Path, bytes_max: u64) -> anyhow::Result<Option<String>> {
    let about = match std::fs::symlink_metadata(place) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("look at", place, &error)),
    };
    let me = std::fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let plain = about.is_file() && about.uid() == me && about.len() <= bytes_max;
    anyhow::ensure!(plain, "{} is not a short file of this user's own: move it away", place.display());
    if about.mode() & 0o077 != 0 {
        let closed = std::fs::set_permissions(place, Permissions::from_mode(0o600));
        closed.map_err(|error| cannot("close", place, &error))?;
    }
    let text = std::fs::read_to_string(place).map_err(|error| cannot("read", place, &error))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// This process may give files to any group.
pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The number of the first of these groups that the machine has.
pub(super) fn group(names: &[&str]) -> Option<u32> {
    let mut text = String::new();
    let file = File::open("/etc/group").ok()?;
    io::Read::read_to_string(&mut io::Read::take(file, GROUPS_BYTES_MAX), &mut text).ok()?;
    names.iter().find_map(|name| group_in(&text, name))
}

fn group_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut all: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a.yaml");
        let pending = Pending::write(&place, "one", Readers::Nobody).unwrap();
        assert!(!place.exists() && pending.path().exists());
        drop(pending);
        assert_eq!(names(dir.path()), [""; 0]);
        drop(Pending::write(&place, "one", Readers::Nobody).unwrap().put().unwrap());
        assert_eq!(names(dir.path()), [""; 0], "it was not told to stay");
        Pending::write(&place, "one", Readers::Nobody).unwrap().put().unwrap().stay();
        assert_eq!(names(dir.path()), ["a.yaml"]);
        assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o777, 0o600);
        let error = Pending::write(&place, "two", Readers::Nobody).unwrap().put().unwrap_err();
        assert!(format!("{error:#}").contains("another run"), "{error:#}");
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "one");
    }

    #[test]
    fn what_is_replaced_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a.yaml");
        for (text, kept) in [("one", None), ("two", Some("a.yaml.old-1")), ("three", Some("a.yaml.old-2"))] {
            let placed = Pending::write(&place, text, Readers::Nobody).unwrap().replace().unwrap();
            assert_eq!(placed.stay(), kept.map(|name| dir.path().join(name)));
        }
        drop(Pending::write(&place, "four", Readers::Nobody).unwrap().replace().unwrap());
        assert_eq!(names(dir.path()), ["a.yaml", "a.yaml.old-1", "a.yaml.old-2"]);
        assert_eq!(std::fs::read_to_string(dir.path().join("a.yaml.old-1")).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(place).unwrap(), "three");
    }

    #[test]
    fn folders_that_were_made_for_nothing_go_again() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        drop(Folder::open(&deep).unwrap());
        assert_eq!(names(dir.path()), [""; 0]);
        let open = Folder::open(&deep).unwrap();
        assert!(Folder::open(&deep).unwrap_err().to_string().contains("another run"));
        open.keep();
        drop(Folder::open(&deep).unwrap());
        assert!(deep.is_dir());
    }

    #[test]
    fn only_what_the_dead_have_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a.yaml");
        let alive = format!(".a.yaml.init-{}", std::process::id());
        for name in
            [alive.as_str(), ".a.yaml.init-4294967295", ".a.yaml.init-x", ".b.yaml.init-4294967295", "a.yaml"]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        sweep(&place);
        let mut left = vec![alive.as_str(), ".a.yaml.init-x", ".b.yaml.init-4294967295", "a.yaml"];
        left.sort_unstable();
        assert_eq!(names(dir.path()), left);
    }

    #[test]
    fn a_secret_is_taken_from_a_plain_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("chat.key");
        assert_eq!(own_secret(&place, 9).unwrap(), None);
        std::fs::write(&place, "gh_x\n").unwrap();
        std::fs::set_permissions(&place, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(own_secret(&place, 9).unwrap().as_deref(), Some("gh_x"));
        assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o777, 0o600);
        assert!(own_secret(&place, 2).is_err(), "longer than a key");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&place, &link).unwrap();
        assert!(own_secret(&link, 9).is_err(), "a link");
    }

    #[test]
    fn groups() {
        let text = "root:x:0:\nwww-data:x:33:\nbad:x:y:\n";
        assert_eq!(group_in(text, "www-data"), Some(33));
        assert_eq!(group_in(text, "www"), None);
        assert_eq!(group_in(text, "bad"), None);
    }
}
