//! What lies around a configuration file: its folder, the environment, and files that hold secrets.
//!
//! Why here: readers ask this one value, so that tests bring their own environment, and relative paths mean the same
//! whatever folder the program is started in.
//!
//! Never here: a secret in a message.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::report::{Place, Report};
use super::section::{At, clipped};

/// No key or token is longer; a wrong path may well name something that is.
const SECRET_BYTES_MAX: u64 = 4_096;

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(crate) struct Context<'a> {
    file: &'a Path,
    base: &'a Path,
    environment: Environment<'a>,
}

impl<'a> Context<'a> {
    /// Around the configuration file `file`.
    pub(crate) fn new(file: &'a Path, environment: Environment<'a>) -> Self {
        let base = file.parent().unwrap_or(Path::new(""));
        Self { file, base, environment }
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

    /// The secret in a file, without the line end an editor adds.
    pub(crate) fn secret_file(&self, file: &At<String>, report: &Report) -> Option<String> {
        let path = self.path(&file.value);
        let text = match read_short(&path) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("cannot read {}: {error}", path.display());
                report.error(&file.place, what, "check the path, and that this user may read it");
                return None;
            }
        };
        if let Some(what) = open_to_others(&path) {
            report.warning(
                &file.place,
                format!("holds a secret, but {what}"),
                format!("chmod 600 {}", path.display()),
            );
        }
        let secret = text.trim_end_matches(['\r', '\n']).to_owned();
        if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
            let what = format!("{} does not hold one line of visible characters", path.display());
            report.error(&file.place, what, "put the secret alone on the first line");
            return None;
        }
        Some(secret)
    }

    /// The secret in an environment variable.
    pub(crate) fn secret_env(&self, name: &At<String>, report: &Report) -> Option<String> {
        let secret = self.variable(&name.value);
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
