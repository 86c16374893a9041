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
use crate::service::{self, Watchdog};
use crate::signals::{Request, Signals};
use crate::sockets::{Inherited, Sockets};
use crate::terminal::Terminal;
use crate::upgrade::Successor;

pub(super) async fn run(
    file: &Path,
    profile: Profile,
    terminal: &Terminal,
    inherited: Inherited,
) -> anyhow::Result<Outcome> {
    let Some((settings, report)) = start::settings(file, profile.expectation(Role::Gateway), terminal) else {
        return Ok(Outcome::Refused);
    };
    let mut settings = start::section(settings.gateway, Role::Gateway, file)?;
    start::log(settings.log, &report)?;
    profile.adjust(&mut settings.config);
    // Caught before the first listener opens: a signal in between must not cut a request.
    let mut signals = Signals::catch().context("cannot listen to signals")?;
    let config = settings.config;
    let mut sockets = Sockets::open(&config.listen, config.admin_listen, inherited)?;
    let listeners = sockets.listeners().context("cannot share the sockets")?;
    let gateway = Gateway::start_on(config, listeners).await?;
    announce(&gateway);
    sockets.release_predecessor();
    service::ready();
    let ended = tokio::select! {
        ended = serve(&gateway, file, profile, &mut signals, &sockets) => ended,
        () = Watchdog::of_this_process().run() => Ended::Asked,
    };
    // Ours would keep the sockets open, and whoever connects would wait for nobody.
    drop(sockets);
    tracing::info!("draining: no new requests, running answers may finish");
    match ended {
        Ended::Asked => {
            service::stopping();
            gateway.drain().await;
        }
        Ended::Succeeded => gateway.hand_over().await,
    }
    tracing::info!("ended");
    Ok(Outcome::Done)
}

/// Why a gateway drains.
enum Ended {
    Asked,
    /// Another process serves on the same sockets.
    Succeeded,
}

/// Does what signals ask for until one of them ends the service.
async fn serve(
    gateway: &Gateway,
    file: &Path,
    profile: Profile,
    signals: &mut Signals,
    sockets: &Sockets,
) -> Ended {
    loop {
        match signals.next().await {
            Request::End => return Ended::Asked,
            Request::Reload => {
                service::reloading();
                reload(gateway, file, profile);
                service::ready();
            }
            Request::Upgrade => {
                if let Some(ended) = upgrade(gateway, sockets, signals).await {
                    return ended;
                }
            }
        }
    }
}

/// Starts a successor; `None` where all stays as it was.
async fn upgrade(gateway: &Gateway, sockets: &Sockets, signals: &mut Signals) -> Option<Ended> {
    tracing::info!("an upgrade is asked for; starting the program anew beside this one");
    // The one before this one may still drain.
    tokio::select! {
        () = gateway.settled() => {}
        () = signals.end() => return Some(Ended::Asked),
    }
    let mut successor = match Successor::start(sockets) {
        Ok(successor) => successor,
        Err(error) => {
            tracing::error!("no upgrade, this process goes on: {error:#}");
            return None;
        }
    };
    let id = successor.id();
    let outcome = tokio::select! {
        outcome = successor.ready() => outcome,
        () = signals.end() => {
            successor.give_up().await;
            return Some(Ended::Asked);
        }
    };
    match outcome {
        Ok(()) => {
            tracing::info!(pid = id, "the new process serves");
            id.into_iter().for_each(service::succeeded_by);
            Some(Ended::Succeeded)
        }
        Err(error) => {
            successor.give_up().await;
            tracing::error!(pid = id, "no upgrade, this process goes on: {error:#}");
            None
        }
    }
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
