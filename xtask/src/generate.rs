//! Files that are made from other files, and committed so that a reader of the repository sees them.
//!
//! Why here: each has a test that fails when it is stale; this is the one way to make it fresh.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// `docs/config.md`, `docs/openapi.json` and the tables of `docs/api.md` and `docs/edge.md`, as the program prints them.
pub(crate) fn docs(root: &Path) -> anyhow::Result<()> {
    write(root, "docs/config.md", &printed(root, "config")?)?;
    write(root, "docs/openapi.json", &printed(root, "openapi")?)?;
    for (file, tables) in TABLES {
        let mut page = read(root, file)?;
        for table in *tables {
            page = with_table(&page, table, &printed(root, table)?).with_context(|| (*file).to_owned())?;
        }
        write(root, file, &page)?;
    }
    Ok(())
}

/// Pages that people wrote, and the tables in them that are made.
const TABLES: &[(&str, &[&str])] = &[("docs/api.md", &["routes", "lanes"]), ("docs/edge.md", &["facts"])];

fn printed(root: &Path, page: &str) -> anyhow::Result<String> {
    let args = ["run", "--quiet", "--package", "gatehouse", "--", "reference", page];
    let output = cargo(root).args(args).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("the program printed something else than text")
}

/// The page with what stands between the marks of a table replaced; people wrote the rest.
fn with_table(page: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let (open, close) = (format!("<!-- {name}: "), format!("<!-- /{name} -->"));
    let whole = || {
        let (before, rest) = page.split_once(&open)?;
        let (mark, rest) = rest.split_once(" -->\n")?;
        let (_, after) = rest.split_once(&close)?;
        Some(format!("{before}{open}{mark} -->\n{table}{close}{after}"))
    };
    whole().with_context(|| format!("no `{open}... -->` with a `{close}` behind it"))
}

fn read(root: &Path, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

fn write(root: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    std::fs::write(root.join(file), text).with_context(|| format!("cannot write {file}"))?;
    crate::say(&format!("{file} is fresh"));
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

#[cfg(test)]
mod tests {
    use super::with_table;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "a\n<!-- t: made -->\nold\n<!-- /t -->\nb\n";
        let fresh = with_table(page, "t", "new\n").unwrap();
        assert_eq!(fresh, "a\n<!-- t: made -->\nnew\n<!-- /t -->\nb\n");
        assert_eq!(with_table(&fresh, "t", "new\n").unwrap(), fresh);
        assert!(with_table(page, "other", "new\n").is_err());
    }
}
