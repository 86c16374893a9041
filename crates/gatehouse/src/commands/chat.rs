//! `gatehouse chat`: the chat site as a service.
//!
//! Why here: the site knows no files and no environment; this turns a section into what it runs on.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::start;
use crate::Outcome;
use crate::chat::{self, Access, ChatConfig, GatewayAccess, Locale};
use crate::config::Role;
use crate::config::chat::{ChatSettings, KEY_VARIABLE};
use crate::folders::{default_dir, private_dir};
use crate::profile::{self, Profile};
use crate::signals::{Request, Signals};
use crate::terminal::Terminal;

/// File of the conversations within the data folder.
const DATABASE: &str = "chats.sqlite";

pub(super) async fn run(
    file: &Path,
    gateway_file: Option<PathBuf>,
    profile: Profile,
    terminal: &Terminal,
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
            "no key for the gateway: set `backend.api_key_file` or {KEY_VARIABLE}; the page says so until then"
        );
    }
    let dir = settings.data_dir.take().map_or_else(default_dir, Ok)?;
    let config = checked(settings, &dir)?;
    let mut signals = Signals::catch().context("cannot listen to signals")?;
    let told_to_end = async move { while signals.next().await != Request::End {} };
    let bound = |address| tracing::info!(%address, "the chat page is served");
    chat::serve(config, bound, told_to_end).await?;
    tracing::info!("ended");
    Ok(Outcome::Done)
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
