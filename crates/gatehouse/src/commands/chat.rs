//! `gatehouse chat`: the chat site as a service.
//!
//! Why here: the site knows no files and no environment; this turns a section into what it runs on.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::start;
use crate::Outcome;
use crate::chat::{self, Access, ChatConfig, GatewayAccess, Locale};
use crate::config::Role;
use crate::config::chat::{ChatSettings, KEY_CREDENTIAL, KEY_VARIABLE};
use crate::folders::{default_dir, private_dir};
use crate::profile::{self, Profile};
use crate::service::{self, Watchdog};
use crate::signals::{Request, Signals};
use crate::sockets::Inherited;
use crate::terminal::Terminal;

/// File of the conversations within the data folder.
const DATABASE: &str = "chats.sqlite";

pub(super) async fn run(
    file: &Path,
    gateway_file: Option<PathBuf>,
    profile: Profile,
    terminal: &Terminal,
    inherited: Inherited,
) -> anyhow::Result<Outcome> {
    let Some((settings, report)) = start::settings(file, profile.expectation(Role::Chat), terminal) else {
        return Ok(Outcome::Refused);
    };
    let mut settings = start::section(settings.chat, Role::Chat, file)?;
    start::log(settings.log, &report)?;
    if profile == Profile::Clawdbot {
        profile::borrow_key(&mut settings, gateway_file);
    }
    if settings.api_key.is_none() {
        tracing::warn!(
            "no key for the gateway: set `backend.api_key_file` or {KEY_VARIABLE}, or let the service manager pass \
             `{KEY_CREDENTIAL}`; the page says so until then"
        );
    }
    let dir = settings.data_dir.take().map_or_else(default_dir, Ok)?;
    let config = checked(settings, &dir)?;
    let signals = Signals::catch().context("cannot listen to signals")?;
    let bound = |address| {
        tracing::info!(%address, "the chat page is served");
        service::ready();
    };
    let ended = told_to_end(signals);
    match inherited.page(config.listen) {
        Some(listener) => chat::serve_on(config, listener, bound, ended).await?,
        None => chat::serve(config, bound, ended).await?,
    }
    tracing::info!("ended");
    Ok(Outcome::Done)
}

/// Gives signs of life until it is time to end.
async fn told_to_end(mut signals: Signals) {
    let asked = async {
        loop {
            match signals.next().await {
                Request::End => return,
                Request::Reload | Request::Upgrade => {
                    tracing::warn!("the chat site reads its configuration at start only; restart it instead");
                }
            }
        }
    };
    tokio::select! {
        () = asked => {}
        () = Watchdog::of_this_process().run() => {}
    }
    service::stopping();
}

/// What the site runs on. Makes the data folder, closed to others.
pub(super) fn checked(settings: ChatSettings, dir: &Path) -> anyhow::Result<ChatConfig> {
    let dir = private_dir(dir)?;
    let access = match settings.listen.ip().is_loopback() {
        true if settings.names.is_empty() => Access::Loopback,
        true => Access::Proxied { names: settings.names, guarded: settings.guarded },
        false => Access::OpenWithWarning,
    };
    Ok(ChatConfig {
        listen: settings.listen,
        title: settings.title,
        description: settings.description,
        model: settings.model,
        locale: settings.locale.map(|locale| if locale == "zh" { Locale::Zh } else { Locale::En }),
        access,
        gateway: GatewayAccess { api_base: settings.api_base, key: settings.api_key, keyless: false },
        database: dir.join(DATABASE),
    })
}
