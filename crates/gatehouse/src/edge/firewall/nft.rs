//! The program `nft`: rules tested, loaded and listed.
//!
//! Why here: it talks to the kernel; nothing here speaks netlink.
//!
//! Never here: which rules, when to take them back.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{FAMILY, TABLE};
use crate::edge::program::{find, run};

#[derive(Clone, Debug)]
pub(crate) struct Nft {
    program: PathBuf,
}

impl Nft {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let program = find("nft").context("nft is not installed: apt-get install nftables")?;
        Ok(Self { program })
    }

    pub(crate) fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// Whether the kernel would take the rules. Nothing changes.
    pub(crate) async fn test(&self, rules: &str) -> anyhow::Result<()> {
        let ended = run(&self.program, &["-c", "-f", "-"], rules).await?;
        ended.succeeded("nft refuses the rules; it wants root, and a kernel with nftables").map(drop)
    }

    /// Loads them in one step: all, or none when one is wrong.
    pub(crate) async fn load(&self, rules: &str) -> anyhow::Result<()> {
        run(&self.program, &["-f", "-"], rules).await?.succeeded("nft cannot load the rules").map(drop)
    }

    /// Rules that bring our table back to what it is now; where there is none, that take it out.
    pub(crate) async fn undo(&self) -> anyhow::Result<String> {
        let gone = format!("table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n");
        Ok(match self.listed().await? {
            Some(rules) => gone + &rules,
            None => gone,
        })
    }

    /// Our table as it is loaded.
    async fn listed(&self) -> anyhow::Result<Option<String>> {
        let tables =
            run(&self.program, &["list", "tables"], "").await?.succeeded("nft cannot list tables")?;
        let ours = format!("table {FAMILY} {TABLE}");
        if !tables.lines().any(|line| line.trim() == ours) {
            return Ok(None);
        }
        let listed = run(&self.program, &["list", "table", FAMILY, TABLE], "").await?;
        listed.succeeded("nft cannot list our table").map(Some)
    }
}
