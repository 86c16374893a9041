//! Other people's licences and notices, in one file: most of them ask to be handed on with what is made of their work.
//!
//! Why here: see [`super`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Release;
use super::metadata::{Part, parts};

/// Beginnings of the names of such files.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
/// The longest licence is a tenth of it.
const BYTES_MAX: u64 = 256 << 10;

pub(super) fn write(release: &Release) -> anyhow::Result<PathBuf> {
    let parts = parts(release)?;
    let foreign: Vec<&Part> = parts.iter().filter(|part| !part.ours).collect();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut page = String::from("Gatehouse holds these libraries. The texts of their licences follow.\n\n");
    for part in foreign {
        let name = format!("{} {}", part.name, part.version.as_deref().unwrap_or_default());
        // Writing into a String cannot fail.
        let _ = writeln!(page, "{name}: {}", part.licence.as_deref().unwrap_or("see its files"));
        for text in part.folder.as_deref().map(texts_in).transpose()?.unwrap_or_default() {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, of) in texts {
        let _ = write!(page, "\n{}\n{}\n\n{}\n", "-".repeat(78), of.join(", "), text.trim_end());
    }
    let file = release.dist.join("THIRD-PARTY-NOTICES");
    fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn texts_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    // A package that is locked but not installed here (one of another platform) has no folder.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut texts = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let data = entry.metadata()?;
        if data.is_file() && data.len() <= BYTES_MAX && NAMES.iter().any(|begin| name.starts_with(begin)) {
            texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).replace('\r', ""));
        }
    }
    texts.sort();
    Ok(texts)
}
