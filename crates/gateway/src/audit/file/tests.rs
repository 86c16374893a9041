//! Files: what is opened, what is refused, and what stands in them after a disk was full.

use std::cell::Cell;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

thread_local! {
    /// Bytes that the disk still takes.
    static SPACE: Cell<usize> = const { Cell::new(usize::MAX) };
    static CUT_FAILS: Cell<bool> = const { Cell::new(false) };
}

/// A file on a disk that fills up: takes what fits, then nothing.
struct SmallDisk(File);

impl Medium for SmallDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let space = SPACE.get();
        if space == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = self.0.write(&bytes[..bytes.len().min(space)])?;
        SPACE.set(space - taken);
        Ok(taken)
    }

    fn len(&self) -> io::Result<u64> {
        Medium::len(&self.0)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        if CUT_FAILS.get() { Err(io::ErrorKind::Other.into()) } else { self.0.cut(len) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

fn small_disk(path: &Path) -> io::Result<SmallDisk> {
    open_private(path).map(SmallDisk)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    (folder, path)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn refusal(path: &Path) -> io::Error {
    match FileSink::open(path, 1_000, 3) {
        Err(error) => error,
        Ok(_) => panic!("{} was opened", path.display()),
    }
}

#[test]
fn a_full_disk_leaves_whole_lines_wherever_it_fills() {
    for space in 0..=24 {
        let (_folder, path) = folder();
        let (mut sink, _) = FileSink::open_with(&path, 0, 3, small_disk as Opener<SmallDisk>).unwrap();
        SPACE.set(usize::MAX);
        sink.append(b"before\n").unwrap();
        SPACE.set(space);
        let outcome = sink.append(b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
        let expected = if space < 24 { "before\n" } else { "before\n{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n" };
        assert_eq!((outcome.is_ok(), text(&path).as_str()), (space >= 24, expected), "{space}");

        SPACE.set(usize::MAX);
        sink.append(b"after\n").unwrap();
        assert_eq!(text(&path), format!("{expected}after\n"), "{space}");
    }
}

/// A disk that can neither take more nor be cut: the half line is gone before anything else is written.
#[test]
fn a_torn_line_that_could_not_be_cut_is_cut_first() {
    let (_folder, path) = folder();
    let (mut sink, _) = FileSink::open_with(&path, 0, 3, small_disk as Opener<SmallDisk>).unwrap();
    SPACE.set(4);
    CUT_FAILS.set(true);
    assert!(sink.append(b"first\n").is_err());
    assert_eq!(text(&path), "firs");
    SPACE.set(usize::MAX);
    assert!(sink.append(b"second\n").is_err());
    assert_eq!(text(&path), "firs");
    CUT_FAILS.set(false);
    sink.append(b"third\n").unwrap();
    assert_eq!(text(&path), "third\n");
}

#[test]
fn a_file_emptied_by_others_is_not_filled_with_zeros() {
    let (_folder, path) = folder();
    let (mut sink, _) = FileSink::open_with(&path, 0, 3, small_disk as Opener<SmallDisk>).unwrap();
    SPACE.set(usize::MAX);
    sink.append(b"0123456789\n").unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    SPACE.set(3);
    assert!(sink.append(b"second\n").is_err());
    SPACE.set(usize::MAX);
    sink.append(b"third\n").unwrap();
    assert_eq!(text(&path), "third\n");
}

#[test]
fn rotation_keeps_the_newest() {
    let (_folder, path) = folder();
    let (mut sink, _) = FileSink::open(&path, 10, 2).unwrap();
    for line in ["one45678\n", "two45678\n", "thr\n", "x\n", "fou45678\n"] {
        sink.append(line.as_bytes()).unwrap();
    }
    assert_eq!(text(&path), "fou45678\n");
    assert_eq!(text(&beside(&path, "1")), "thr\nx\n");
    assert_eq!(text(&beside(&path, "2")), "two45678\n");
    assert!(!beside(&path, "3").exists());
    // A line longer than a whole file is still written.
    sink.append(b"0123456789abcdef\n").unwrap();
    assert_eq!(text(&path), "0123456789abcdef\n");
}

#[test]
fn rotation_that_keeps_nothing_keeps_nothing() {
    let (folder, path) = folder();
    let (mut sink, _) = FileSink::open(&path, 10, 0).unwrap();
    sink.append(b"one45678\n").unwrap();
    sink.append(b"two45678\n").unwrap();
    assert_eq!(text(&path), "two45678\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the log and its lock");
}

/// Rotation blocked by a folder in the way: the record is written all the same.
#[test]
fn a_rotation_that_fails_loses_nothing() {
    let (_folder, path) = folder();
    std::fs::create_dir(beside(&path, "1")).unwrap();
    let (mut sink, _) = FileSink::open(&path, 10, 1).unwrap();
    sink.append(b"one45678\n").unwrap();
    sink.append(b"two45678\n").unwrap();
    assert_eq!(text(&path), "one45678\ntwo45678\n");
    std::fs::remove_dir(beside(&path, "1")).unwrap();
    sink.append(b"thr45678\n").unwrap();
    assert_eq!(
        (text(&path), text(&beside(&path, "1"))),
        ("thr45678\n".into(), "one45678\ntwo45678\n".into())
    );
}

#[test]
fn reopen_follows_the_name() {
    let (_folder, path) = folder();
    let (mut sink, _) = FileSink::open(&path, 0, 3).unwrap();
    sink.append(b"old\n").unwrap();
    let moved = beside(&path, "moved");
    std::fs::rename(&path, &moved).unwrap();
    sink.append(b"still old\n").unwrap();
    sink.reopen().unwrap();
    sink.append(b"new\n").unwrap();
    assert_eq!((text(&moved), text(&path)), ("old\nstill old\n".into(), "new\n".into()));
    // A name that cannot be opened leaves the open file in use.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(sink.reopen().is_err());
    sink.append(b"kept\n").unwrap();
}

#[test]
fn numbering_goes_on() {
    let cases: [(&str, Option<&str>, u64); 6] = [
        ("", None, 0),
        ("{\"ts\":\"x\",\"seq\":41,\"a\":1}\n{\"seq\":42}\n", None, 42),
        ("", Some("{\"seq\":7}\n"), 7),
        ("{\"seq\":8}\n", Some("{\"seq\":7}\n"), 8),
        // Half a line, as a power cut leaves it.
        ("{\"seq\":5}\n{\"seq\":6,\"ba", None, 5),
        ("{\"seq", None, 0),
    ];
    for (now, before, expected) in cases {
        let (_folder, path) = folder();
        std::fs::write(&path, now).unwrap();
        if let Some(before) = before {
            std::fs::write(beside(&path, "1"), before).unwrap();
        }
        let (mut sink, seq) = FileSink::open(&path, 0, 3).unwrap();
        assert_eq!(seq, expected, "{now:?} {before:?}");
        sink.append(b"next\n").unwrap();
        let whole = now.rfind('\n').map_or("", |end| &now[..=end]);
        assert_eq!(text(&path), format!("{whole}next\n"));
    }
}

#[test]
fn a_long_log_is_read_at_its_end_only() {
    let (_folder, path) = folder();
    let lines: String = (1..=20_000).map(|seq| format!("{{\"seq\":{seq}}}\n")).collect();
    assert!(lines.len() as u64 > 2 * TAIL_BYTES);
    std::fs::write(&path, format!("{lines}{{\"seq\":20001,\"x\":\"")).unwrap();
    let (_sink, seq) = FileSink::open(&path, 0, 3).unwrap();
    assert_eq!((seq, text(&path).len()), (20_000, lines.len()));
}

#[test]
fn another_programs_file_is_left_alone() {
    for content in ["[section]\nname = value".to_owned(), format!("{{{}", "x".repeat(100_000))] {
        let (_folder, path) = folder();
        std::fs::write(&path, &content).unwrap();
        assert_eq!(refusal(&path).kind(), io::ErrorKind::InvalidData);
        assert_eq!(text(&path), content);
    }
}

#[test]
fn only_the_owner_reads_it() {
    let (_folder, path) = folder();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let (mut sink, _) = FileSink::open(&path, 10, 3).unwrap();
    sink.append(b"one45678\n").unwrap();
    sink.append(b"two45678\n").unwrap();
    for suffix in ["", ".1", ".lock"] {
        let file = format!("{}{suffix}", path.display());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn links_devices_pipes_and_folders_are_refused() {
    let (folder, path) = folder();
    let target = folder.path().join("target");
    std::fs::write(&target, "").unwrap();
    symlink(&target, &path).unwrap();
    assert!(refusal(&path).to_string().contains("audit.jsonl"));
    std::fs::remove_file(&path).unwrap();
    symlink(folder.path().join("nowhere"), &path).unwrap();
    refusal(&path);
    assert!(!folder.path().join("nowhere").exists());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refusal(&path);

    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refusal(&pipe);
    assert_eq!(open_private(Path::new("/dev/full")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    refusal(&folder.path().join("missing").join("audit.jsonl"));

    // Planted between two rotations: the log goes on in the file it has.
    let (_folder, path) = self::folder();
    let (mut sink, _) = FileSink::open(&path, 0, 3).unwrap();
    std::fs::remove_file(&path).unwrap();
    symlink(&target, &path).unwrap();
    assert!(sink.reopen().is_err());
    assert_eq!(text(&target), "");
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let (_folder, path) = folder();
    let first = FileSink::open(&path, 0, 3).unwrap();
    let error = refusal(&path);
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("another process writes this audit log"), "{error}");
    drop(first);
    assert!(FileSink::open(&path, 0, 3).is_ok());
}
