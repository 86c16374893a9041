//! The audit file: opened so that nobody else writes it, appended in whole lines, rotated by size.
//!
//! Why here: what "whole lines only" takes is a matter of files: a write that fails half-way is cut back to the last line,
//! a tail torn by a crash is cut off when the file is opened, and the size is asked of the file each time, because another
//! program may have shortened it.
//!
//! Never here: a symbolic link followed, a device or pipe written, a file that other users can read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Sink;

const MODE: u32 = 0o600;
/// The last line is looked for in this much of a file's end; no record is near it.
const TAIL_BYTES: u64 = 64 << 10;

/// What the log needs of an open file. Tests put a disk that fills up in its place.
pub(super) trait Medium: Send {
    /// One attempt, which may take less than all.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn len(&self) -> io::Result<u64>;
    fn cut(&mut self, len: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

type Opener<M> = fn(&Path) -> io::Result<M>;

/// One audit file and the older ones beside it: `name.1` is the newest of those.
pub(super) struct FileSink<M = File> {
    path: PathBuf,
    open: Opener<M>,
    medium: M,
    /// 0: never rotated by size.
    rotate_bytes: u64,
    /// Usually `rotate_bytes`; later after a rotation that failed.
    rotate_at: u64,
    keep_files: usize,
    /// A write failed half-way and could not be cut back yet: the length to cut to.
    torn: Option<u64>,
    /// Held as long as the log is: a second writer would tear lines and rotate what the first one writes.
    _lock: File,
}

impl FileSink {
    /// Opens the log; also tells the number of its last record, so that numbering goes on.
    pub(super) fn open(path: &Path, rotate_bytes: u64, keep_files: usize) -> io::Result<(Self, u64)> {
        Self::open_with(path, rotate_bytes, keep_files, open_private)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl<M: Medium> FileSink<M> {
    pub(super) fn open_with(
        path: &Path,
        rotate_bytes: u64,
        keep_files: usize,
        open: Opener<M>,
    ) -> io::Result<(Self, u64)> {
        let lock = lock(&beside(path, "lock"))?;
        let mut file = open_private(path)?;
        mend_tail(&mut file)?;
        let seq = match last_seq(&mut file)? {
            Some(seq) => seq,
            // Freshly rotated: the number stands in the file before.
            None => {
                File::open(beside(path, "1")).ok().and_then(|mut old| last_seq(&mut old).ok()?).unwrap_or(0)
            }
        };
        drop(file);
        let sink = Self {
            path: path.to_owned(),
            open,
            medium: open(path)?,
            rotate_bytes,
            rotate_at: rotate_bytes,
            keep_files,
            torn: None,
            _lock: lock,
        };
        Ok((sink, seq))
    }

    fn append_or_cut(&mut self, lines: &[u8], end: u64) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let outcome = match self.medium.append(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            self.torn = Some(end);
            // If even this fails, the next attempt begins with it.
            drop(self.mend());
            return outcome;
        }
        Ok(())
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if let Some(end) = self.torn {
            // Never longer: a file that somebody emptied must not be filled up with zeros.
            if self.medium.len()? > end {
                self.medium.cut(end)?;
            }
            self.torn = None;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        drop(self.medium.sync());
        for number in (1..self.keep_files).rev() {
            rename_if_there(
                &beside(&self.path, &number.to_string()),
                &beside(&self.path, &(number + 1).to_string()),
            )?;
        }
        if self.keep_files == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            rename_if_there(&self.path, &beside(&self.path, "1"))?;
        }
        self.medium = (self.open)(&self.path)?;
        Ok(())
    }
}

impl<M: Medium> Sink for FileSink<M> {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.mend()?;
        let mut end = self.medium.len()?;
        let grown = end.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        if end > 0 && self.rotate_bytes > 0 && grown > self.rotate_at {
            match self.rotate() {
                Ok(()) => self.rotate_at = self.rotate_bytes,
                // A long file is better than a lost record; asked again when it has grown by as much.
                Err(error) => {
                    self.rotate_at = end.saturating_add(self.rotate_bytes.max(1));
                    tracing::error!(%error, "the audit log cannot be rotated; writing on in the same file");
                }
            }
            end = self.medium.len()?;
        }
        self.append_or_cut(lines, end)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let medium = (self.open)(&self.path)?;
        drop(self.mend());
        drop(self.medium.sync());
        self.medium = medium;
        self.torn = None;
        self.rotate_at = self.rotate_bytes;
        Ok(())
    }

    fn finish(&mut self) {
        drop(self.mend());
        if let Err(error) = self.medium.sync() {
            tracing::error!(%error, "the audit log may not have reached the disk");
        }
    }
}

/// Opens for appending, makes the file when it is missing, and refuses whatever is not a plain file of ours.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        // A pipe without a reader would block the start.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

/// A lock file of its own: the log itself is renamed by rotation and may be moved away by others.
fn lock(path: &Path) -> io::Result<File> {
    let file = open_private(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes this audit log"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// A crash of the machine can leave half a line: it is no record, and the next one must not be glued to it.
fn mend_tail(file: &mut File) -> io::Result<()> {
    let (tail, begin) = tail(file)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    let torn = tail.get(whole..).unwrap_or_default();
    if torn.is_empty() {
        return Ok(());
    }
    // Half a line of some other file is not ours to cut.
    if !torn.starts_with(b"{") || (whole == 0 && begin > 0) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this does not look like an audit log"));
    }
    tracing::warn!(bytes = torn.len(), "cutting half a line off the audit log's end");
    file.set_len(begin + u64::try_from(whole).unwrap_or(0))
}

/// The number of the last record, where the last line holds one.
fn last_seq(file: &mut File) -> io::Result<Option<u64>> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let (tail, _) = tail(file)?;
    let last = tail.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<Numbered>(last).ok().map(|line| line.seq))
}

/// The end of a file, and where it begins.
fn tail(file: &mut File) -> io::Result<(Vec<u8>, u64)> {
    let begin = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok((tail, begin))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// `name.suffix` in the same folder.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
