//! What each command does.
//!
//! Why here: the command line says what is wanted, the parts of the program can do it; this is the thin layer between.
//!
//! Never here: configuration rules, HTTP.

mod ask;
mod cert;
mod chat;
mod check;
mod edge;
mod engine;
mod gateway;
mod init;
mod keys;
mod reference;
mod start;
mod up;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Outcome;
use crate::cli::{Command, Invocation};
use crate::profile::Profile;
use crate::sockets::Inherited;
use crate::terminal::Terminal;

pub(crate) fn run(invocation: Invocation, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match invocation {
        Invocation::Gateway { config, profile } => serve_gateway(&config, profile, terminal),
        Invocation::Chat { config, gateway_config, profile } => {
            serve_chat(&config, gateway_config, profile, terminal)
        }
        Invocation::Command(command) => native(command, terminal),
    }
}

fn native(command: Command, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match command {
        Command::Up(options) => serve(up::run(options, terminal)),
        Command::Gateway(role) => serve_gateway(&role.config, Profile::Native, terminal),
        Command::Chat(role) => serve_chat(&role.config, None, Profile::Native, terminal),
        Command::Check { files } => Ok(check::run(&files, terminal)),
        Command::Keys(command) => keys::run(&command, terminal),
        Command::Init(options) => init::run(&options, terminal),
        Command::Edge(command) => edge::run(command, terminal),
        Command::Cert(command) => cert::run(command, terminal),
        Command::Engine(command) => engine::run(command, terminal),
        Command::Reference { page } => reference::run(page, terminal),
    }
}

/// The gateway, on passed sockets where there are some.
fn serve_gateway(config: &Path, profile: Profile, terminal: &Terminal) -> anyhow::Result<Outcome> {
    // Here, because there are no threads yet.
    let inherited = Inherited::take().context("cannot take over the passed sockets")?;
    serve(gateway::run(config, profile, terminal, inherited))
}

/// The chat site, on a passed socket where there is one.
fn serve_chat(
    config: &Path,
    gateway_config: Option<PathBuf>,
    profile: Profile,
    terminal: &Terminal,
) -> anyhow::Result<Outcome> {
    let inherited = Inherited::take().context("cannot take over the passed sockets")?;
    serve(chat::run(config, gateway_config, profile, terminal, inherited))
}

/// Runs a role to its end on a runtime of its own.
fn serve(role: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(role);
    // The role has ended all that matters. A thread that still reads standard input or fetches weights must not hold the
    // process.
    runtime.shutdown_background();
    outcome
}
