//! `gatehouse edge`: what stands in front of the gateway.
//!
//! Why here: each command reads the same sections in the same way; what it then does is in [`crate::edge`].
//!
//! Never here: rendering, requests.

mod apply;
mod assets;
mod cert;
mod check;
mod firewall;
mod host;
mod nginx;
mod report;

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::cli::{Edge, From};
use crate::config::edge::{EdgeSettings, Name};
use crate::config::{Expectation, Secrets, Settings, load};
use crate::edge::site::{Site, SiteError};
use crate::terminal::Terminal;

/// Read when no file is named.
const DEFAULT_FILE: &str = "/etc/gatehouse/gatehouse.yaml";

pub(super) fn run(command: Edge, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match command {
        Edge::Nginx(options) => nginx::run(&options, terminal),
        Edge::Assets(options) => assets::run(&options, terminal),
        Edge::Check(options) => check::run(&options, terminal),
        Edge::Apply(options) => apply::run(&options, terminal),
        Edge::Cert(options) => cert::run(&options, terminal),
        Edge::Firewall(options) => firewall::run(&options, terminal),
        Edge::Host(options) => host::run(&options, terminal),
        Edge::Report(options) => report::run(&options, terminal),
    }
}

/// The site of the named files, or `None` after their errors have been printed.
pub(super) fn site(from: &From, terminal: &Terminal) -> anyhow::Result<Option<Site>> {
    Ok(joined(from, terminal, Site::new)?.map(|(_, site)| site))
}

/// The sections of the named files and their site, which may have no name, or `None` after their errors have been printed.
pub(super) fn sections(from: &From, terminal: &Terminal) -> anyhow::Result<Option<(Settings, Site)>> {
    joined(from, terminal, Site::perhaps_unnamed)
}

type Join = fn(&Settings, &EdgeSettings, Vec<Name>) -> Result<Site, SiteError>;

fn joined(from: &From, terminal: &Terminal, join: Join) -> anyhow::Result<Option<(Settings, Site)>> {
    let Some(settings) = settings(from, terminal)? else { return Ok(None) };
    let names =
        from.domain.iter().map(|text| Name::parse(text).map_err(|what| anyhow::anyhow!("--domain: {what}")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let edge = settings.edge.clone().unwrap_or_default();
    let site = join(&settings, &edge, names)?;
    Ok(Some((settings, site)))
}

/// The files that are read.
pub(super) fn files(from: &From) -> Vec<PathBuf> {
    let fallback = Path::new(DEFAULT_FILE);
    match from.config.is_empty() {
        true if fallback.exists() => vec![fallback.to_owned()],
        _ => from.config.clone(),
    }
}

/// The sections of all files together; each may stand in one of them.
pub(super) fn settings(from: &From, terminal: &Terminal) -> anyhow::Result<Option<Settings>> {
    let mut all = Settings::default();
    let mut wrong = false;
    // Names, ports and clocks are all that the edge asks of the other sections.
    let looking = Expectation { secrets: Secrets::Unneeded, ..Expectation::default() };
    for file in &files(from) {
        match load(file, looking).settings() {
            Ok((settings, report)) => {
                terminal.report(&report);
                all.join(settings).map_err(|section| {
                    anyhow::anyhow!(
                        "section `{section}` stands in {} and in a file before it",
                        file.display()
                    )
                })?;
            }
            Err(report) => {
                terminal.report(&report);
                wrong = true;
            }
        }
    }
    Ok((!wrong).then_some(all))
}
