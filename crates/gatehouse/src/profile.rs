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
use crate::config::{self, Expectation, Role, Secrets};

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
        Expectation { role: Some(role), exposure, secrets: Secrets::Needed }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seed_config() -> Config {
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seed/qwen-gateway.yaml"));
        let loaded = config::load(file, Profile::QwenGateway.expectation(Role::Gateway));
        loaded.settings().unwrap().0.gateway.unwrap().config
    }

    #[test]
    fn the_gateway_profile_is_the_seeds_table() {
        let mut config = seed_config();
        Profile::QwenGateway.adjust(&mut config);
        assert_eq!(config.error_format, Some(Format::Ollama));
        assert!(config.answer.strip.model && config.answer.strip.created);
        assert_eq!(config.input.prompt_chars_max, 32_768);
        let Auth::Keys { keys, .. } = &config.auth else { panic!() };
        let RateRule::Own(rate) = keys[0].rate.clone() else { panic!() };
        assert_eq!(
            (rate.requests_max, rate.window, rate.retry_after),
            (30, Duration::from_secs(60), RetryAfter::Window)
        );
        assert!(keys[0].speaks_for_users);
    }

    #[test]
    fn natively_the_same_file_changes_nothing() {
        let (before, mut after) = (seed_config(), seed_config());
        Profile::Native.adjust(&mut after);
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }

    #[test]
    fn the_chat_finds_its_key_where_its_own_file_names_none() {
        let seed = |name: &str| PathBuf::from(format!("{}/tests/seed/{name}", env!("CARGO_MANIFEST_DIR")));
        let load = || {
            let expectation = Profile::Clawdbot.expectation(Role::Chat);
            config::load(&seed("clawdbot.yaml"), expectation).settings().unwrap().0.chat.unwrap()
        };
        let mut chat = load();
        chat.api_key = None;
        borrow_key(&mut chat, Some(seed("qwen-gateway.yaml")));
        assert_eq!(chat.api_key, Some(Secret("prod-key-2024-qwen3".into())));
        chat.api_key = Some(Secret("own".into()));
        borrow_key(&mut chat, Some(seed("qwen-gateway.yaml")));
        assert_eq!(chat.api_key, Some(Secret("own".into())), "an own key stays");
        let mut chat = load();
        chat.api_key = None;
        borrow_key(&mut chat, Some(seed("nowhere.yaml")));
        assert_eq!(chat.api_key, None);
    }

    #[test]
    fn names_and_arguments() {
        let split = |line: &str| {
            let (profile, args) = split(line.split(' ').map(OsString::from).collect());
            (profile, args.len())
        };
        assert_eq!(split("/usr/bin/gatehouse up"), (Profile::Native, 2));
        assert_eq!(split("./clawdbot --config c"), (Profile::Clawdbot, 3));
        assert_eq!(split("gatehouse --as clawdbot --config c"), (Profile::Clawdbot, 3));
        assert_eq!(split("clawdbot --as qwen-gateway --config c"), (Profile::QwenGateway, 3));
        assert_eq!(
            split("gatehouse --as nobody"),
            (Profile::Native, 3),
            "clap then names the wrong argument"
        );
        assert_eq!(split("gatehouse"), (Profile::Native, 1));
    }
}
