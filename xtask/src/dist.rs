//! What is handed out: one stripped binary with the engine, its licence and its digest.
//!
//! Why here: a release is made by the same command on every machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::generate::cargo;

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    run_command(cargo(root).args(["build", "--release", "--package", "gatehouse", "--features", "engine"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let dist = target.join("dist");
    let name = format!("gatehouse-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let folder = dist.join(&name);
    // A file of an earlier version must not travel along.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let binary = folder.join("gatehouse");
    std::fs::copy(target.join("release/gatehouse"), &binary).context("the built binary is not there")?;
    run_command(Command::new("strip").arg(&binary))?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        std::fs::copy(root.join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    pack(&dist, &name)
}

fn pack(dist: &Path, name: &str) -> anyhow::Result<()> {
    let archive = format!("{name}.tar.gz");
    // Fixed owners and order: two builds of one tree differ by nothing but the build itself.
    let fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner"];
    run_command(Command::new("tar").current_dir(dist).args(fixed).args(["-czf", &archive, name]))?;
    let digest =
        Command::new("sha256sum").current_dir(dist).arg(&archive).output().context("cannot run sha256sum")?;
    ensure!(digest.status.success(), "sha256sum failed");
    std::fs::write(dist.join(format!("{archive}.sha256")), &digest.stdout)?;
    crate::say(String::from_utf8_lossy(&digest.stdout).trim_end());
    crate::say(&format!("in {}", dist.display()));
    Ok(())
}

fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let status =
        command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed: {status}", command.get_program().display());
    Ok(())
}
