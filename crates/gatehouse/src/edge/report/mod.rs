//! The report of the four layers: what protects each, and whether it can be walked around on this machine now.
//!
//! Why here: a table of good intentions is written once and true for a day. This one is made from what listens, which rules
//! the kernel holds, and what answers, each time anew, with its evidence.
//!
//! Never here: changes to this machine, but for one cable that `--probe` lays for a second; secrets.

mod application;
mod ask;
mod beside;
mod facts;
mod line;
mod listing;
mod model;
mod network;
mod outside;
mod page;
mod published;
mod ruleset;
mod table;
mod transport;
mod without_nft;

use std::path::PathBuf;

use gateway::config::Config;
use serde::Serialize;

use self::facts::{Facts, Outside};
use self::table::Layer;
use super::findings::{Finding, Findings};
use super::firewall::rules;
use super::machine::listeners::listeners;
use super::ports::Ports;
use super::site::Site;

pub(crate) use self::outside::look_from_here;

/// What the report is made from.
#[derive(Debug)]
pub(crate) struct About<'a> {
    pub site: &'a Site,
    /// `None`: no such section was read.
    pub gateway: Option<&'a Config>,
    /// The files that were read.
    pub files: &'a [PathBuf],
    /// Look from another network namespace, too.
    pub probe: bool,
}

/// One layer's part.
struct Judged {
    findings: Vec<Finding>,
    layer: Layer,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    layers: Vec<Layer>,
    #[serde(flatten)]
    pub(crate) findings: Findings,
}

impl Report {
    /// Findings, then the table, then the summary.
    pub(crate) fn lines(&self, colour: bool) -> String {
        format!("{}\n{}", table::lines(&self.layers), self.findings.lines(colour))
    }

    /// One JSON document for programs.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

pub(crate) async fn report(about: About<'_>) -> Report {
    let ports = Ports::of(about.site);
    let facts = facts(&about, ports).await;
    let runtimes = model::runtimes(about.gateway, &facts.listeners);
    let judged = [
        network::judge(&facts),
        transport::judge(&facts, about.site).await,
        application::judge(&facts, about.site, about.gateway, about.files, &runtimes).await,
        model::judge(&facts, about.gateway, &runtimes).await,
    ];
    let mut report = Report { layers: Vec::new(), findings: Findings::default() };
    for one in judged {
        report.layers.push(one.layer);
        one.findings.into_iter().for_each(|finding| report.findings.push(finding));
    }
    report
}

async fn facts(about: &About<'_>, ports: Ports) -> Facts {
    let listeners = listeners();
    let filter = ruleset::read(&rules(about.site, &ports)).await;
    let foreign = beside::look(about.site, &ports).await;
    let outside = match about.probe {
        false => Outside::NotAsked,
        true => match outside::look(&Facts::worth_a_look(&ports, &listeners, &filter)).await {
            Ok(seen) => Outside::Seen(seen),
            Err(error) => Outside::Failed(format!("{error:#}")),
        },
    };
    Facts { ports, listeners, filter, foreign, outside }
}
