//! Files that are made from other files, and committed so that a reader of the repository sees them.
//!
//! Why here: each has a test that fails when it is stale; this is the one way to make it fresh.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// `docs/config.md`, as the program prints it.
pub(crate) fn docs(root: &Path) -> anyhow::Result<()> {
    let args = ["run", "--quiet", "--package", "gatehouse", "--", "reference"];
    let output = cargo(root).args(args).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = root.join("docs/config.md");
    std::fs::write(&file, output.stdout).with_context(|| format!("cannot write {}", file.display()))?;
    crate::say("docs/config.md is fresh");
    Ok(())
}

/// `web/src/lib/api.ts`: the test that checks it writes it when told so.
pub(crate) fn types(root: &Path) -> anyhow::Result<()> {
    let args = ["test", "--quiet", "--package", "gatehouse", "--lib", "chat::tests::types"];
    let status = cargo(root).args(args).env(MODE, "write").status().context("cannot run cargo")?;
    ensure!(status.success(), "the types could not be written");
    crate::say("web/src/lib/api.ts is fresh");
    Ok(())
}

/// Tells the test to write instead of to compare.
const MODE: &str = "GATEHOUSE_API_TS";

/// The cargo that runs this tool.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}
