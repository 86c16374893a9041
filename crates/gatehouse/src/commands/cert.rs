//! `gatehouse cert`: the certificate, as it is served and as it lies on the disk.
//!
//! Why here: see [`super`].

use std::path::PathBuf;

use anyhow::anyhow;

use super::edge::site;
use crate::Outcome;
use crate::cli::{Cert, CertCheck, CertDeploy};
use crate::edge::cert::{Deployed, deploy, judge};
use crate::terminal::Terminal;

/// certbot tells its hooks which certificate it speaks of.
const LINEAGE: &str = "RENEWED_LINEAGE";

pub(super) fn run(command: Cert, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match command {
        Cert::Check(options) => check(&options, terminal),
        Cert::Deploy(options) => put_to_use(&options, terminal),
    }
}

fn check(options: &CertCheck, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(site) = site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let findings = judge(&site);
    match options.telling.json {
        true => terminal.say(&findings.json()?),
        false => terminal.say(&findings.lines(terminal.colour)),
    }
    Ok(findings.outcome(options.telling.strict))
}

fn put_to_use(options: &CertDeploy, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(site) = site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let lineage = std::env::var_os(LINEAGE).filter(|value| !value.is_empty()).map(PathBuf::from);
    match deploy(&site, lineage.as_deref()).map_err(|what| anyhow!(what))? {
        Deployed::NotOurs => {
            let lineage = lineage.unwrap_or_default();
            terminal.note(&format!("{} is no certificate of this site: nothing to do", lineage.display()));
            Ok(Outcome::Done)
        }
        Deployed::Ended(outcome) => match outcome.reason {
            None => {
                terminal.say(&format!("served: {}", outcome.fingerprint.unwrap_or_default()));
                Ok(Outcome::Done)
            }
            Some(reason) => Err(anyhow!("the new certificate is not served: {reason}")),
        },
    }
}
