//! `gatehouse edge cert`: a certificate, asked for with certbot, served, and renewed from then on.
//!
//! Why here: see [`super`].

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use crate::Outcome;
use crate::cli::{EdgeCert, From};
use crate::config::edge::Tls;
use crate::edge::cert::{Hook, Issued, doubt, issue, next, steps};
use crate::edge::site::Site;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeCert, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(site) = super::site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let hook = hook(&options.from)?;
    if options.dry_run {
        let steps = steps(&site, &hook).map_err(|what| anyhow!(what))?;
        terminal.say(&steps.join("\n"));
        if let Some(doubt) = doubt(&site) {
            terminal.note(&format!("warning: {doubt}"));
        }
        return Ok(Outcome::Done);
    }
    match issue(&site, &hook, &|text| terminal.note(text)) {
        Issued::Served => Ok(after(&site, terminal)),
        Issued::Refused(findings) => {
            terminal.say(&findings.lines(terminal.colour));
            terminal.complain("the CA was not asked: it would have failed");
            Ok(Outcome::Refused)
        }
        Issued::Failed(what) => Err(anyhow!(what)),
    }
}

/// What happens from now on without anybody.
fn after(site: &Site, terminal: &Terminal) -> Outcome {
    let Tls::Certbot { folder } = &site.tls else { return Outcome::Done };
    terminal.say(&next(site, folder).lines(terminal.colour));
    terminal.note("next: `gatehouse edge apply` writes the page's files and proves the whole site; `gatehouse cert check` looks at the certificate, at any time");
    Outcome::Done
}

/// This program and its files by their whole paths: a timer has another folder, and another search path.
fn hook(from: &From) -> anyhow::Result<Hook> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let whole = |file: PathBuf| std::path::absolute(&file).with_context(|| format!("{}", file.display()));
    let files = super::files(from).into_iter().map(whole).collect::<anyhow::Result<Vec<_>>>()?;
    Hook::new(&program, &files, &from.domain).map_err(|what| anyhow!(what))
}
