//! The places of the site that facts are read at: where the paths of API and page end up.
//!
//! Why here: a defect in the location of one path is a defect; looking at one path only would miss it.
//!
//! Never here: judging.

use gateway::routes::ROUTES;

use crate::chat;
use crate::edge::check::Context;
use crate::edge::check::facts::Verdict;
use crate::edge::check::reading::{Directive, Read, Reading, Scope, is_foreign};
use crate::edge::refusals::API;
use crate::edge::site::Site;

/// Scopes of the served site.
pub(super) struct Places<'t> {
    pub read: &'t Read,
    pub server: Scope<'t>,
    /// One for each location that paths of the API end up in.
    pub api: Vec<Scope<'t>>,
    /// The same for the page's paths, its files left out.
    pub page: Vec<Scope<'t>>,
}

impl Places<'_> {
    pub(super) fn proxied(&self) -> impl Iterator<Item = &Scope<'_>> {
        self.api.iter().chain(&self.page)
    }
}

/// `Err`: why the configuration is not known.
pub(super) fn of<'t>(context: &'t Context<'_>) -> Result<Places<'t>, String> {
    let read = match &context.reading {
        Reading::Read(read) => read,
        Reading::Broken(_) => {
            return Err("nginx does not take its configuration: see config.loads".to_owned());
        }
        Reading::Unknown(why) => return Err(why.clone()),
    };
    let Some(server) = read.served(context.site) else {
        return Err("the site is not in nginx's configuration: see config.included".to_owned());
    };
    let api = ROUTES.iter().map(|route| route.path).filter(|path| path.starts_with(API));
    let page = chat::paths().map(|(_, path)| path).filter(|path| !path.starts_with("/assets/"));
    let page = page.filter(|_| context.site.page.is_some());
    let (api, page) = (distinct(&server, api), distinct(&server, page));
    Ok(Places { read, server, api, page })
}

/// A failure that servers of other sites on the same port may be the cause of says so: `edge apply` does not write those.
pub(super) fn with_neighbours(verdict: Verdict, servers: &[Scope<'_>], site: &Site) -> Verdict {
    let Verdict::Fail(wrong) = verdict else { return verdict };
    let names = servers.iter().filter_map(|server| server.own("server_name"));
    let mut others: Vec<String> = names.filter(|line| is_foreign(line, site)).map(Directive::shown).collect();
    others.dedup();
    match others.is_empty() {
        true => Verdict::Fail(wrong),
        false => Verdict::fail(format!(
            "{wrong}\nother sites share the port, and their lines count before a name is known; `edge apply` does not write them, so look there, too: {}",
            others.join(", ")
        )),
    }
}

/// A path in braces stands for one name.
fn distinct<'t>(server: &Scope<'t>, paths: impl Iterator<Item = &'static str>) -> Vec<Scope<'t>> {
    let mut all: Vec<Scope<'t>> = Vec::new();
    for path in paths {
        let plain: String = path.chars().map(|c| if "{}".contains(c) { 'x' } else { c }).collect();
        let scope = server.at(&plain);
        let same = |known: &Scope<'_>| match (known.location, scope.location) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !all.iter().any(same) {
            all.push(scope);
        }
    }
    all
}
