//! The site file on the disk: one writer, whole or not at all, and the way back kept until all is proved.
//!
//! Why here: a machine may stop at any line of an apply. The old file lies beside the new one under a name that says so until
//! the new one is proved, and the next apply finds it there.
//!
//! Files beside the site begin with a dot: nginx's patterns, `*` included, pass them over.
//!
//! Never here: nginx.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A site is some tens of kilobytes.
const SITE_BYTES_MAX: u64 = 4 << 20;
/// nginx reads it as root; others may look.
const MODE: u32 = 0o644;
/// Links that lead to links.
const LINKS_MAX: usize = 8;

/// The site file, with this process as its only writer.
#[derive(Debug)]
pub(crate) struct Installed {
    file: PathBuf,
    /// Held until the end; the system lets go of it with the process, however that ends.
    _lock: File,
    /// What lies there; `None`: nothing.
    pub now: Option<String>,
    /// What an apply that never ended wants to go back to; `Some(None)`: to no file.
    pub unfinished: Option<Option<String>>,
}

/// The site's file and what lies there, with nothing touched. A link is followed: what it leads to is the site.
pub(crate) fn look(site_file: &Path) -> anyhow::Result<(PathBuf, Option<String>)> {
    let file = fs::canonicalize(site_file).unwrap_or_else(|_| led_to(site_file));
    let now = read(&file)?;
    Ok((file, now))
}

/// Where a link leads although nothing lies there: that is what a site has to be written to, and the link stays one.
fn led_to(site_file: &Path) -> PathBuf {
    let mut file = site_file.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&file) else { break };
        file = file.parent().unwrap_or(Path::new("/")).join(target);
    }
    // nginx's files are compared with it by their whole names.
    let folder = file.parent().and_then(|folder| fs::canonicalize(folder).ok());
    match (folder, file.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => file,
    }
}

impl Installed {
    /// Takes the lock, and looks.
    pub(crate) fn open(site_file: &Path) -> anyhow::Result<Self> {
        let (file, _) = look(site_file)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() {
            bail!(
                "there is no folder {}: install nginx, or name the place in `edge.nginx.site_file`",
                folder.display()
            );
        }
        let lock = beside(&file, "lock");
        let held = File::create(&lock).map_err(unwritten(&lock))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another `gatehouse edge apply` is at work on {}: wait for its end", file.display())
            }
            Err(TryLockError::Error(error)) => return Err(error).map_err(unwritten(&lock)),
        }
        let now = read(&file)?;
        // An empty one stands for no file: nginx takes both for the same.
        let unfinished = read(&beside(&file, "unfinished"))?.map(|text| Some(text).filter(|t| !t.is_empty()));
        Ok(Self { file, _lock: held, now, unfinished })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// What to go back to: the last one that was proved.
    pub(crate) fn proved(&self) -> Option<&str> {
        match &self.unfinished {
            Some(before) => before.as_deref(),
            None => self.now.as_deref(),
        }
    }

    /// Puts the new text in place, after the way back has been laid.
    pub(crate) fn replace(&self, text: &str) -> anyhow::Result<()> {
        let way_back = beside(&self.file, "unfinished");
        if !way_back.exists() {
            lay(&self.file, &way_back).map_err(unwritten(&way_back))?;
        }
        put(&self.file, text.as_bytes(), MODE).map_err(|error| {
            // Nothing has changed: the mark of a change would only mislead.
            let _ = fs::remove_file(&way_back);
            unwritten(&self.file)(error)
        })
    }

    /// Ends what an apply before this one left open: what was proved lies there again. What lies there now may hold somebody's
    /// work, and is kept for people.
    pub(crate) fn heal(&mut self) -> anyhow::Result<()> {
        let Some(before) = self.unfinished.take() else { return Ok(()) };
        if self.now.is_some() && self.now != before {
            let kept = beside(&self.file, "left");
            lay(&self.file, &kept).map_err(unwritten(&kept))?;
        }
        self.put_back()?;
        self.now = before;
        Ok(())
    }

    /// The old file again, byte for byte and with its mode, or none.
    pub(crate) fn put_back(&self) -> anyhow::Result<()> {
        let way_back = beside(&self.file, "unfinished");
        match fs::metadata(&way_back) {
            // An empty one stands for no file.
            Ok(seen) if seen.len() == 0 => {
                removed(&self.file).map_err(unwritten(&self.file))?;
                removed(&way_back).map_err(unwritten(&way_back))
            }
            Ok(_) => fs::rename(&way_back, &self.file).map_err(unwritten(&self.file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).map_err(unwritten(&way_back)),
        }
    }

    /// The new one is proved. The one before it is kept for people, in the file that is named.
    pub(crate) fn keep(&self, text: &str) -> anyhow::Result<Option<PathBuf>> {
        let (way_back, kept) = (beside(&self.file, "unfinished"), beside(&self.file, "bak"));
        match self.proved() {
            Some(before) if before != text => {
                fs::rename(&way_back, &kept).map_err(unwritten(&kept))?;
                Ok(Some(kept))
            }
            _ => removed(&way_back).map(|()| None).map_err(unwritten(&way_back)),
        }
    }
}

fn beside(file: &Path, what: &str) -> PathBuf {
    let name = file.file_name().map_or_else(|| "site".into(), |name| name.to_string_lossy());
    file.with_file_name(format!(".{name}.{what}"))
}

/// Why a file is not written, and who can do something about it.
fn unwritten(file: &Path) -> impl FnOnce(io::Error) -> anyhow::Error {
    move |error| {
        let fix = match error.kind() {
            io::ErrorKind::PermissionDenied => "run this as root",
            io::ErrorKind::ReadOnlyFilesystem => {
                "that file system takes no writing: mount it so, or name another place in `edge.nginx.site_file`"
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there, then try again",
            io::ErrorKind::IsADirectory => "it is a folder: name a file in `edge.nginx.site_file`",
            _ => "see to that place, or name another one in `edge.nginx.site_file`",
        };
        anyhow::Error::from(error).context(format!("cannot write {} ({fix})", file.display()))
    }
}

fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let shown = || format!("cannot read {}", file.display());
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(shown)?,
    };
    if fs::metadata(file).is_ok_and(|seen| !seen.is_file()) {
        bail!(
            "{} is a folder, or no file of the usual kind: name a file in `edge.nginx.site_file`",
            file.display()
        );
    }
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(opened, SITE_BYTES_MAX + 1), &mut text).with_context(shown)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SITE_BYTES_MAX {
        bail!("{} is longer than any site: it is left alone", file.display());
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// A copy with the same bytes and mode; of no file an empty one.
fn lay(file: &Path, copy: &Path) -> io::Result<()> {
    match fs::read(file) {
        Ok(bytes) => put(copy, &bytes, fs::metadata(file)?.permissions().mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => put(copy, b"", MODE),
        Err(error) => Err(error),
    }
}

/// Whole or not at all, also when the machine stops: written beside, brought to the disk, renamed.
fn put(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(file, "new");
    let written = File::create(&new).and_then(|mut out| {
        out.set_permissions(Permissions::from_mode(mode))?;
        out.write_all(bytes)?;
        out.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&new, file)).and_then(|()| {
        let folder = file.parent().map(File::open).transpose()?;
        folder.map_or(Ok(()), |folder| folder.sync_all())
    });
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}

fn removed(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    #[test]
    fn a_new_site_and_the_way_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        let first = Installed::open(&file).unwrap();
        first.replace("one").unwrap();
        assert_eq!(names(dir.path()), [".s.conf.unfinished", "s.conf"]);
        assert_eq!(first.keep("one").unwrap(), None);
        assert_eq!(names(dir.path()), ["s.conf"]);
        drop(first);
        let second = Installed::open(&file).unwrap();
        second.replace("two").unwrap();
        let kept = second.keep("two").unwrap().unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), "one");
        second.replace("three").unwrap();
        second.put_back().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two", "what was there when it was replaced");
    }

    /// Somebody's own site may hold bytes that are no text, and be closed to others.
    #[test]
    fn the_old_one_comes_back_with_its_bytes_and_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        fs::write(&file, b"# B\xfcro\n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let installed = Installed::open(&file).unwrap();
        installed.replace("new").unwrap();
        installed.put_back().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"# B\xfcro\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_apply_that_never_ended_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        fs::write(&file, "good").unwrap();
        Installed::open(&file).unwrap().replace("unproved").unwrap();
        let mut next = Installed::open(&file).unwrap();
        assert_eq!((next.now.as_deref(), next.proved()), (Some("unproved"), Some("good")));
        next.heal().unwrap();
        assert_eq!((next.now.as_deref(), next.unfinished.clone()), (Some("good"), None));
        assert_eq!(fs::read_to_string(&file).unwrap(), "good");
        drop(next);
        fs::remove_file(&file).unwrap();
        Installed::open(&file).unwrap().replace("first").unwrap();
        let mut next = Installed::open(&file).unwrap();
        assert_eq!((next.unfinished.clone(), next.proved()), (Some(None), None));
        next.heal().unwrap();
        assert_eq!((next.now.clone(), names(dir.path())), (None, vec![".s.conf.left".to_owned()]));
    }

    #[test]
    fn one_writer_and_a_folder_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        let held = Installed::open(&file).unwrap();
        assert!(Installed::open(&file).unwrap_err().to_string().contains("another"));
        drop(held);
        assert!(Installed::open(&file).is_ok());
        assert!(Installed::open(&dir.path().join("none/s.conf")).is_err());
    }
}
