//! `gatehouse gateway`: the data plane as a service.
//!
//! Why here: the gateway knows no files and no signals. This reads the one and listens to the others.

use std::path::Path;

use anyhow::Context as _;
use gateway::Gateway;

use super::start;
use crate::Outcome;
use crate::config::gateway::GatewaySettings;
use crate::config::{Role, load};
use crate::profile::Profile;
use crate::signals::{Request, Signals};
use crate::terminal::Terminal;

pub(super) async fn run(file: &Path, profile: Profile, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some((settings, report)) = start::settings(file, profile.expectation(Role::Gateway), terminal) else {
        return Ok(Outcome::Refused);
    };
    let mut settings = start::section(settings.gateway, Role::Gateway, file)?;
    start::log(settings.log, &report)?;
    profile.adjust(&mut settings.config);
    // Caught before the first listener opens: a signal in between must not cut a request.
    let mut signals = Signals::catch().context("cannot listen to signals")?;
    let gateway = Gateway::start(settings.config).await?;
    announce(&gateway);
    loop {
        match signals.next().await {
            Request::End => break,
            Request::Reload => reload(&gateway, file, profile),
        }
    }
    tracing::info!("draining: no new requests, running answers may finish");
    gateway.drain().await;
    tracing::info!("ended");
    Ok(Outcome::Done)
}

/// Tells where it listens.
pub(super) fn announce(gateway: &Gateway) {
    for address in gateway.api_addresses() {
        tracing::info!(%address, "the gateway listens");
    }
    if let Some(address) = gateway.admin_address() {
        tracing::info!(%address, "health and metrics listen");
    }
}

/// Takes the file as it is now, or keeps what runs.
pub(super) fn reload(gateway: &Gateway, file: &Path, profile: Profile) {
    gateway.reopen_audit();
    match load(file, profile.expectation(Role::Gateway)).settings() {
        Ok((settings, report)) => {
            start::log_warnings(&report);
            apply(gateway, settings.gateway, profile);
        }
        Err(report) => {
            gateway.reload_failed();
            for problem in report.problems() {
                let line = problem.place.mark.map(|mark| mark.line);
                tracing::error!(line, path = problem.place.path, fix = problem.fix, "{}", problem.what);
            }
            tracing::error!("the configuration has errors and was not taken; the old one stays in force");
        }
    }
}

fn apply(gateway: &Gateway, settings: Option<GatewaySettings>, profile: Profile) {
    let Some(mut settings) = settings else {
        gateway.reload_failed();
        tracing::error!("the configuration has no section `gateway` any more; the old one stays in force");
        return;
    };
    profile.adjust(&mut settings.config);
    match gateway.reload(settings.config) {
        Ok(()) => tracing::info!("the configuration was read again and is in force"),
        Err(error) => {
            tracing::error!(%error, "the new configuration was not taken; the old one stays in force");
        }
    }
}
