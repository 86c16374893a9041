//! What systemd's files say about a unit: its environment, and to whom its packets may go.
//!
//! Why here: another user's process does not show its environment; its unit's files are for everybody to read.
//!
//! Never here: asking systemd, writing (`edge::host` does), whether the process was started anew since.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Later folders count before earlier ones.
const FOLDERS: [&str; 5] = [
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/system",
];
const FILE_BYTES_MAX: u64 = 256 << 10;
const FILES_MAX: usize = 100;

/// A unit's settings in the order in which they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub environment: BTreeMap<String, String>,
    /// `IPAddressDeny=`: everything but what is allowed.
    pub denies_any: bool,
    pub allows: Vec<String>,
}

/// The unit of this name, such as `ollama.service`; `None`: this machine has none.
pub(crate) fn unit(name: &str) -> Option<Unit> {
    // What a process says about its control group is no path.
    let plain = !name.contains('/') && !name.starts_with('.');
    plain.then(|| read(&FOLDERS.map(Path::new), name)).flatten()
}

fn read(folders: &[&Path], name: &str) -> Option<Unit> {
    let main = folders.iter().rev().map(|folder| folder.join(name)).find(|file| file.is_file())?;
    // Of several drop-ins with one name the one in the later folder counts; all are read in the order of their names.
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in folders {
        let entries = fs::read_dir(folder.join(format!("{name}.d"))).into_iter().flatten().flatten();
        for entry in
            entries.take(FILES_MAX).filter(|entry| entry.path().extension().is_some_and(|end| end == "conf"))
        {
            drop_ins.insert(entry.file_name(), entry.path());
        }
    }
    let mut unit = Unit::default();
    for file in [main].iter().chain(drop_ins.values()) {
        let mut bytes = Vec::new();
        let opened = fs::File::open(file).map(|file| file.take(FILE_BYTES_MAX));
        if opened.and_then(|mut file| file.read_to_end(&mut bytes)).is_ok() {
            unit.take(&String::from_utf8_lossy(&bytes));
        }
    }
    Some(unit)
}

impl Unit {
    fn take(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '['])) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            match key.trim() {
                "Environment" if value.is_empty() => self.environment.clear(),
                "Environment" => self.environment.extend(variables(value)),
                "IPAddressDeny" => self.denies_any = value.split_whitespace().any(|word| word == "any"),
                "IPAddressAllow" if value.is_empty() => self.allows.clear(),
                "IPAddressAllow" => self.allows.extend(value.split_whitespace().map(str::to_owned)),
                _ => {}
            }
        }
    }
}

/// `A=b "C=d e" 'F=g'`
fn variables(value: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (word, after) = match quote {
            Some(quote) => {
                let inner = rest.trim_start_matches(quote);
                inner.split_once(quote).unwrap_or((inner, ""))
            }
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        all.extend(word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        rest = after.trim_start();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_count_after_the_unit_and_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (vendor, admin) = (folder.path().join("lib"), folder.path().join("etc"));
        for (file, text) in [
            (vendor.join("o.service"), "[Service]\nEnvironment=A=1 \"B=two words\"\nIPAddressDeny=any\n"),
            (vendor.join("o.service.d/x.conf"), "Environment=A=never\n"),
            (
                admin.join("o.service.d/a.conf"),
                "[Service]\n# Environment=A=7\nEnvironment='C=3'\nIPAddressAllow=localhost 10.0.0.1\n",
            ),
            (admin.join("o.service.d/x.conf"), "Environment=A=2\n"),
            (admin.join("o.service.d/x.conf.old-1"), "Environment=A=9\n"),
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let unit = read(&[&vendor, &admin], "o.service").unwrap();
        let of = |name: &str| unit.environment.get(name).map(String::as_str);
        assert_eq!((of("A"), of("B"), of("C")), (Some("2"), Some("two words"), Some("3")));
        assert_eq!(
            (unit.denies_any, unit.allows),
            (true, vec!["localhost".to_owned(), "10.0.0.1".to_owned()])
        );
        assert_eq!(read(&[&vendor, &admin], "p.service"), None);
    }

    #[test]
    fn an_empty_value_begins_anew() {
        let mut unit = Unit::default();
        unit.take("Environment=A=1\nEnvironment=\nEnvironment=B=2\nIPAddressDeny=any\nIPAddressDeny=\nIPAddressAllow=a\nIPAddressAllow=\n");
        assert_eq!(unit.environment.len(), 1);
        assert!(!unit.denies_any && unit.allows.is_empty());
    }
}
