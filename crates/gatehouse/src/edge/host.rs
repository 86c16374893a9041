//! Hardening for the services around ours: nginx, certbot and Ollama, as drop-ins of their units.
//!
//! Why here: these services belong to other packages, so nothing of theirs is changed by installing ours. An operator sees
//! what would be written, and then has it written.
//!
//! Never here: our own units (`deploy/systemd`), telling systemd to read or restart anything.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where an administrator's drop-ins stand.
pub(crate) const FOLDER: &str = "/etc/systemd/system";
/// Where the units themselves may stand.
const UNIT_FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const NAME: &str = "gatehouse.conf";
/// Ours are short; a longer file at their place is shown as it begins.
const BYTES_MAX: u64 = 256 << 10;
/// Earlier files that are kept before somebody has to tidy up.
const KEPT_MAX: u32 = 99;
/// Other drop-ins of one unit that are looked into.
const OTHERS_MAX: usize = 100;

/// One service's drop-in.
#[derive(Debug)]
pub(crate) struct DropIn {
    /// The unit's name without `.service`.
    pub service: &'static str,
    pub text: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What puts it into force.
    pub then: &'static str,
}

macro_rules! text_of {
    ($service:literal) => {
        include_str!(concat!("../../../../deploy/systemd/drop-ins/", $service, ".service.d/gatehouse.conf"))
    };
}

pub(crate) static ALL: [DropIn; 3] = [
    DropIn {
        service: "nginx",
        text: text_of!("nginx"),
        about: "streams may end at a stop, enough open files, no more rights than a proxy needs",
        then: "systemctl restart nginx (new connections are refused until running answers have ended)",
    },
    DropIn {
        service: "certbot",
        text: text_of!("certbot"),
        about: "writes its own folders, the challenges and what the deploy hook touches, nothing else",
        then: "nothing more: it counts from the next run on",
    },
    DropIn {
        service: "ollama",
        text: text_of!("ollama"),
        about: "loopback only, no cloud, no way out, no page of another origin; the GPU stays usable",
        then: "systemctl restart ollama (running answers are cut)",
    },
];

/// How the file at its place compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    Same,
    /// What stands there now.
    Other(String),
}

impl DropIn {
    pub(crate) fn unit(&self) -> String {
        format!("{}.service", self.service)
    }

    pub(crate) fn file(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.service.d", self.service)).join(NAME)
    }

    /// Whether this machine has the service.
    pub(crate) fn is_here(&self, dir: &Path) -> bool {
        let mut folders = UNIT_FOLDERS.iter().map(Path::new).chain([dir]);
        folders.any(|folder| folder.join(self.unit()).exists())
    }

    pub(crate) fn state(&self, dir: &Path) -> io::Result<State> {
        match read(&self.file(dir)) {
            Ok(text) if text == self.text => Ok(State::Same),
            Ok(text) => Ok(State::Other(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::Absent),
            Err(error) => Err(error),
        }
    }

    /// Puts the text into its place, whole or not at all. What lay there is kept beside it; its path is returned.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<Option<PathBuf>> {
        let file = self.file(dir);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = file.with_extension(format!("conf.{}", std::process::id()));
        let written = put(&beside, self.text).and_then(|()| {
            let kept = keep(&file)?;
            fs::rename(&beside, &file)?;
            Ok(kept)
        });
        if written.is_err() {
            // After a failure the folder is as it was; that this fails, too, changes nothing about it.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Files of the same unit that come after ours, each with what it sets once more: there its word counts, or is added.
    pub(crate) fn overridden(&self, dir: &Path) -> Vec<(PathBuf, Vec<String>)> {
        let ours = assigned(self.text);
        let folder = dir.join(format!("{}.service.d", self.service));
        let listed = fs::read_dir(folder).into_iter().flatten().take(OTHERS_MAX).flatten();
        let later = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".conf") && name > NAME
        };
        let mut later: Vec<PathBuf> = listed.map(|entry| entry.path()).filter(later).collect();
        later.sort();
        let both = |path: PathBuf| {
            let theirs = assigned(&read(&path).ok()?);
            let both: Vec<String> = theirs.intersection(&ours).cloned().collect();
            (!both.is_empty()).then_some((path, both))
        };
        later.into_iter().filter_map(both).collect()
    }
}

/// What a unit file sets; a variable of the environment counts as a setting of its own.
fn assigned(text: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let comment = key.starts_with(['#', ';', '[']);
        match key.trim() {
            _ if comment => None,
            "Environment" => value.trim_matches('"').split_once('=').map(|(name, _)| name.to_owned()),
            key => Some(key.to_owned()),
        }
    };
    text.lines().filter_map(|text| line(text.trim())).collect()
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// systemd reads these files for everybody; there is no secret in them.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A second name for the file that lies there, one that systemd does not read.
fn keep(file: &Path) -> io::Result<Option<PathBuf>> {
    if !file.try_exists()? {
        return Ok(None);
    }
    for number in 1..=KEPT_MAX {
        let kept = file.with_extension(format!("conf.old-{number}"));
        match fs::hard_link(file, &kept) {
            Ok(()) => return Ok(Some(kept)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{KEPT_MAX} earlier files lie beside it; remove those that nobody needs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ollama() -> &'static DropIn {
        ALL.iter().find(|one| one.service == "ollama").unwrap()
    }

    #[test]
    fn a_file_is_written_and_what_lay_there_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (one, dir) = (ollama(), dir.path());
        assert_eq!(one.state(dir).unwrap(), State::Absent);
        assert_eq!(one.write(dir).unwrap(), None);
        assert_eq!(one.state(dir).unwrap(), State::Same);
        for (edit, kept) in [("[Service]\n# mine\n", "old-1"), ("[Service]\n# again\n", "old-2")] {
            fs::write(one.file(dir), edit).unwrap();
            assert_eq!(one.state(dir).unwrap(), State::Other(edit.into()));
            let path = one.write(dir).unwrap().unwrap();
            assert!(path.to_str().unwrap().ends_with(kept), "{path:?}");
            assert_eq!(fs::read_to_string(path).unwrap(), edit);
            assert_eq!(one.state(dir).unwrap(), State::Same);
        }
        let names: Vec<_> = fs::read_dir(one.file(dir).parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(names.len(), 3, "nothing else is left behind: {names:?}");
    }

    #[test]
    fn what_cannot_be_written_leaves_all_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = ollama().file(dir.path());
        // A folder in the file's place: moving onto it fails.
        fs::create_dir_all(&file).unwrap();
        assert!(ollama().write(dir.path()).is_err());
        let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn later_files_are_named_with_what_they_set_again() {
        let dir = tempfile::tempdir().unwrap();
        ollama().write(dir.path()).unwrap();
        let folder = ollama().file(dir.path()).parent().unwrap().to_owned();
        let open = "[Service]\nEnvironment=\"OLLAMA_HOST=0.0.0.0\"\n# OLLAMA_NO_CLOUD=0\nEnvironment=OTHER=1\nNice=5\n";
        fs::write(folder.join("override.conf"), open).unwrap();
        fs::write(folder.join("a-before.conf"), open).unwrap();
        fs::write(folder.join("override.conf.old-1"), open).unwrap();
        let said = ollama().overridden(dir.path());
        assert_eq!(said, [(folder.join("override.conf"), vec!["OLLAMA_HOST".to_owned()])]);
    }

    #[test]
    fn what_the_issue_asks_of_ollama_is_set() {
        let set = assigned(ollama().text);
        for key in ["OLLAMA_HOST", "OLLAMA_NO_CLOUD", "OLLAMA_ORIGINS", "IPAddressDeny", "IPAddressAllow"] {
            assert!(set.contains(key), "{key}");
        }
        assert!(!ollama().text.contains("OLLAMA_ORIGINS=*"));
    }
}
