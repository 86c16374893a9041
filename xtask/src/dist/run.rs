//! Other programs: run to their end, or an error that names them.
//!
//! Why here: a build that goes on after a failed step hands out what nobody has made.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Runs a program in a folder.
pub(super) fn run_in<S: AsRef<OsStr>>(folder: &Path, program: &str, args: &[S]) -> anyhow::Result<()> {
    finish(Command::new(program).current_dir(folder).args(args))
}

pub(super) fn finish(command: &mut Command) -> anyhow::Result<()> {
    let status =
        command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed: {status}", command.get_program().display());
    Ok(())
}

/// What a program prints.
pub(super) fn output<S: AsRef<OsStr>>(folder: &Path, program: &str, args: &[S]) -> anyhow::Result<String> {
    let output = Command::new(program).current_dir(folder).args(args).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something else than text"))
}
