//! Profiles: the program under another name behaves as the seed's commands do, literally.
//!
//! Why here: what differs stands in this one module: which name means which role, and what the name changes in a checked
//! configuration. Nothing else in the program asks under which name it runs.
//!
//! Never here: a condition that a configuration key could express.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gateway::config::{Auth, Config, Key, RateRule, RetryAfter, Secret};
use wire::Format;

use crate::config::chat::{ChatSettings, Exposure};
use crate::config::{self, Expectation, Role};

/// Where the seed's gateway keeps its configuration; a chat on the same machine may find its key there.
const SEED_GATEWAY_FILE: &str = "/etc/qwen-gateway/config.yaml";

/// Who the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Native,
    QwenGateway,
    Clawdbot,
}

/// Takes the profile out of the arguments: the name of the program, or `--as NAME` as its first argument.
pub(crate) fn split(mut args: Vec<OsString>) -> (Profile, Vec<OsString>) {
    let called = args.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let by_name = called.and_then(Profile::named);
    let asked = match (args.get(1).and_then(|a| a.to_str()), args.get(2).and_then(|a| a.to_str())) {
        (Some("--as"), Some(name)) => Profile::named(name),
        _ => None,
    };
    if asked.is_some() {
        args.drain(1..3);
    }
    (asked.or(by_name).unwrap_or(Profile::Native), args)
}

impl Profile {
    fn named(name: &str) -> Option<Self> {
        match name {
            "qwen-gateway" => Some(Profile::QwenGateway),
            "clawdbot" => Some(Profile::Clawdbot),
            _ => None,
        }
    }

    /// What this profile's configuration file may be.
    pub(crate) fn expectation(self, role: Role) -> Expectation {
        let exposure = match self {
            // The seed's file serves a page without accounts on every interface; that is its word, said loudly.
            Profile::Clawdbot => Exposure::AsConfigured,
            Profile::Native | Profile::QwenGateway => Exposure::LoopbackOnly,
        };
        Expectation { role: Some(role), exposure }
    }

    /// Changes a checked gateway configuration to the seed's literal behaviour.
    pub(crate) fn adjust(self, config: &mut Config) {
        if self != Profile::QwenGateway {
            return;
        }
        // `{"error":"invalid api key"}` on every route is Ollama's shape.
        config.error_format = Some(Format::Ollama);
        // Section 3.1 of the seed's text: the response filter takes these two out.
        config.answer.strip.model = true;
        config.answer.strip.created = true;
        if let Some(rate) = &mut config.rate {
            // The seed's table: the refused call is told the whole window, not what is left of it.
            rate.retry_after = RetryAfter::Window;
        }
        let rate = config.rate;
        if let Auth::Keys { keys, .. } = &mut config.auth {
            keys.iter_mut().for_each(|key| adjust_key(key, rate));
        }
    }
}

/// The seed's audit takes a user from a header although all callers share one key. So the header is believed, and the
/// limit stays on the key, where naming other users cannot escape it.
fn adjust_key(key: &mut Key, rate: Option<gateway::config::Rate>) {
    key.speaks_for_users = true;
    if key.rate == RateRule::General {
        key.rate = rate.map_or(RateRule::General, RateRule::Own);
    }
}

/// Finds the chat's key where its own file names none: in the gateway's configuration on the same machine.
pub(crate) fn borrow_key(chat: &mut ChatSettings, gateway_file: Option<PathBuf>) {
    if chat.api_key.is_some() {
        return;
    }
    let file = gateway_file.unwrap_or_else(|| PathBuf::from(SEED_GATEWAY_FILE));
    if let Some(key) = config::first_plain_key(&file) {
        tracing::warn!(file = %file.display(), "the chat uses the first key of the gateway's configuration");
        chat.api_key = Some(Secret(key));
    }
}
