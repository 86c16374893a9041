//! `gatehouse edge nginx`: the site, printed for the nginx that is installed here.
//!
//! Why here: see [`super`].

use std::path::Path;

use anyhow::Context as _;

use crate::Outcome;
use crate::cli::EdgeNginx;
use crate::edge::nginx::{self, Extent, Nginx, Version};
use crate::edge::site::Site;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeNginx, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(site) = super::site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let nginx = match &options.nginx_version {
        Some(text) => Nginx::of_version(Version::parse(text).context("--nginx-version: write it as 1.22.1")?),
        None => Nginx::ask(&site.nginx.program)?,
    };
    let text = match options.whole {
        true => nginx::whole(&site, &nginx, Extent::Whole, worker_user(&site.nginx.main_file).as_deref())?,
        false => nginx::site(&site, &nginx, Extent::Whole)?,
    };
    terminal.say(text.trim_end());
    warn(&site, terminal);
    Ok(Outcome::Done)
}

/// What the printed file cannot say.
pub(super) fn warn(site: &Site, terminal: &Terminal) {
    if let Some(file) =
        site.page.as_ref().and_then(|page| page.password_file.as_ref()).filter(|file| !file.exists())
    {
        terminal.note(&format!("note: there is no {}, and without it nobody opens the page", file.display()));
    }
    if site.gateway_trusts_nginx == Some(false) && site.gateways.iter().any(|at| at.ip().is_loopback()) {
        terminal.note("note: the gateway does not believe nginx: set `gateway.trusted_proxies: [\"127.0.0.1\"]`, or it sees one caller only");
    }
    if let Some(page) = &site.page
        && !page.guarded
    {
        terminal.note("note: the page has no accounts: whoever reaches the site can use the models; set `edge.page.allow` or `edge.page.password_file`");
    }
}

/// The user that the installed nginx gives its workers.
fn worker_user(main_file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(main_file).ok()?;
    let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix("user "))?;
    let user = line.split(';').next()?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_".contains(c);
    user.chars().all(plain).then(|| user.to_owned())
}
