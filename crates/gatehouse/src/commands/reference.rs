//! `gatehouse reference`: what is printed from the program's own tables.
//!
//! Why here: documentation, packages and shells ask the program itself, so that none of them can lag behind it.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::{self, Page};
use crate::config::reference;
use crate::edge::check::facts;
use crate::manual::{self, completions};
use crate::terminal::Terminal;
use crate::{Outcome, api_tables};

pub(super) fn run(page: Option<Page>, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let text = match page.unwrap_or(Page::Config) {
        Page::Config => reference::markdown(),
        Page::Openapi => ::gateway::openapi::printed(),
        Page::Routes => api_tables::routes(),
        Page::Lanes => api_tables::lanes(),
        Page::Facts => facts::markdown(),
        Page::Man { into: Some(folder), .. } => return write(&folder, terminal),
        Page::Man { name, into: None } => one(&name)?,
        Page::Completions { shell, of } => {
            let commands = cli::commands();
            let command = commands.iter().find(|command| command.get_name() == of);
            completions(command.context("there is no such command")?, shell.into())?
        }
    };
    terminal.say(text.trim_end());
    Ok(Outcome::Done)
}

fn one(name: &str) -> anyhow::Result<String> {
    let pages = manual::pages(&cli::commands())?;
    let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
    let found = pages.iter().find(|page| page.name == name);
    let found =
        found.with_context(|| format!("no page is called `{name}`; there are: {}", names.join(", ")))?;
    Ok(found.text.clone())
}

/// Writes every page under the name that `man` looks for.
fn write(folder: &Path, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let pages = manual::pages(&cli::commands())?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for page in &pages {
        let file = folder.join(format!("{}.{}", page.name, page.section));
        std::fs::write(&file, &page.text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    terminal.note(&format!("{} pages in {}", pages.len(), folder.display()));
    Ok(Outcome::Done)
}
