//! What lies around a configuration file: its folder, the environment, and files that hold secrets.
//!
//! Why here: readers ask this one value, so that tests bring their own environment, and relative paths mean the same
//! whatever folder the program is started in.
//!
//! Never here: a secret in a message.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gateway::auth::key;

use super::report::{Place, Report};
use super::section::{At, clipped};

/// No key or token is longer; a wrong path may well name something that is.
const SECRET_BYTES_MAX: u64 = 4_096;

/// Begins the name of a secret that the service manager passes (`LoadCredential=` of a unit).
pub(crate) const CREDENTIAL: &str = "credential:";
/// Where the service manager puts what it passes.
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// What this process wants with the secrets that a file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// It is going to use them, so one that is missing is an error.
    Needed,
    /// It judges the file: likewise, but for what is passed to the service alone.
    Judged,
    /// It asks for other things of the file, and may be a user who cannot read them.
    Unneeded,
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(crate) struct Context<'a> {
    file: &'a Path,
    base: &'a Path,
    environment: Environment<'a>,
    secrets: Secrets,
}

impl<'a> Context<'a> {
    /// Around the configuration file `file`.
    pub(crate) fn new(file: &'a Path, environment: Environment<'a>) -> Self {
        let base = file.parent().unwrap_or(Path::new(""));
        Self { file, base, environment, secrets: Secrets::Needed }
    }

    pub(crate) fn with(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Reports that a secret stands in the configuration file itself, and who can read it there.
    pub(crate) fn plain_secret(&self, place: &Place, fix: &str, report: &Report) {
        let what = "stands here in plain text; whoever reads this file can use it";
        match open_to_others(self.file) {
            Some(open) => report.warning(
                place,
                format!("{what}, and {open}"),
                format!("chmod 600 it, or better: {fix}"),
            ),
            None => report.warning(place, what, fix),
        }
    }

    /// A path as written in the file.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|text| !text.is_empty())
    }

    /// The secret in a file or a credential, without the line end an editor adds.
    pub(crate) fn secret_file(&self, file: &At<String>, report: &Report) -> Option<String> {
        match file.value.strip_prefix(CREDENTIAL) {
            Some(name) => self.credential(name, file, report),
            None => {
                let own = self.path(&file.value);
                let path = self.passed_as(&own).unwrap_or(own);
                if self.secrets == Secrets::Unneeded && std::fs::File::open(&path).is_err() {
                    return stand_in();
                }
                self.secret_at(&path, &file.place, report)
            }
        }
    }

    /// A file whose name the service manager passes: the service's user cannot read the file itself.
    fn passed_as(&self, file: &Path) -> Option<PathBuf> {
        let passed = self.credentials_folder()?.join(file.file_name()?);
        // An empty one is the unit's stand-in for a file that is not there.
        let holds = read_short(&passed).is_ok_and(|text| !text.trim().is_empty());
        holds.then_some(passed)
    }

    /// A credential that the service manager passes under a name that nobody has to write down; an empty one is none.
    pub(crate) fn default_credential(&self, name: &str, place: &Place, report: &Report) -> Option<String> {
        let path = self.credentials_folder()?.join(name);
        let empty = match read_short(&path) {
            Ok(text) => text.trim().is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if empty { None } else { self.secret_at(&path, place, report) }
    }

    fn credentials_folder(&self) -> Option<PathBuf> {
        self.variable(CREDENTIALS_FOLDER).map(PathBuf::from)
    }

    fn credential(&self, name: &str, file: &At<String>, report: &Report) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let fix = "write `credential:NAME` with letters, digits, `-`, `_` and `.`";
            report.error(&file.place, "is not the name of a credential", fix);
            return None;
        }
        match (self.credentials_folder(), self.secrets) {
            (Some(folder), _) => self.secret_at(&folder.join(name), &file.place, report),
            (None, Secrets::Judged) => {
                let what = "is passed to the service alone, so it was not looked at";
                let fix = "none is needed; the service says at its start what is wrong with it";
                report.warning(&file.place, what, fix);
                stand_in()
            }
            (None, Secrets::Unneeded) => stand_in(),
            (None, Secrets::Needed) => {
                let what = format!("no service manager passed `{name}` to this process");
                let fix = format!(
                    "add `LoadCredential={name}:/path/of/the/secret` to its unit, or write a path here"
                );
                report.error(&file.place, what, fix);
                None
            }
        }
    }

    fn secret_at(&self, path: &Path, place: &Place, report: &Report) -> Option<String> {
        let text = match read_short(path) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("cannot read {}: {error}", path.display());
                report.error(place, what, "check the path, and that this user may read it");
                return None;
            }
        };
        if let Some(what) = open_to_others(path) {
            report.warning(
                place,
                format!("holds a secret, but {what}"),
                format!("chmod 600 {}", path.display()),
            );
        }
        let secret = text.trim_end_matches(['\r', '\n']).to_owned();
        if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
            let what = format!("{} does not hold one line of visible characters", path.display());
            report.error(place, what, "put the secret alone on the first line");
            return None;
        }
        Some(secret)
    }

    /// The secret in an environment variable.
    pub(crate) fn secret_env(&self, name: &At<String>, report: &Report) -> Option<String> {
        let secret = self.variable(&name.value);
        if secret.is_none() && self.secrets == Secrets::Unneeded {
            return stand_in();
        }
        if secret.is_none() {
            let what = format!("the environment variable `{}` is not set", clipped(&name.value));
            report.error(&name.place, what, "set it for this process, or use `secret_file`");
        }
        secret.filter(|secret| {
            let good = secret.chars().all(|c| c.is_ascii_graphic());
            if !good {
                let what = "the variable holds spaces or characters that a header cannot carry";
                report.error(&name.place, what, "put the secret alone into it");
            }
            good
        })
    }
}

/// Takes the place of a secret that is not looked at: long enough to pass, and nobody knows it.
fn stand_in() -> Option<String> {
    key::Key::generate().ok().map(|key| key.text)
}

fn read_short(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err(std::io::Error::other(format!("longer than {SECRET_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// What to say of a file that others can read; `None` when they cannot.
fn open_to_others(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o044 != 0).then(|| format!("{} can be read by others (mode {mode:04o})", path.display()))
}
