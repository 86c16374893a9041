//! What `up` is going to run: a file's sections where there is a file, sensible defaults elsewhere.
//!
//! Why here: defaults of a personal machine (loopback, two keys, a generous limit) stand in one place and are ordinary
//! checked configuration, not special cases in the parts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::Gateway;
use gateway::auth::key;
use gateway::config::{
    Addresses, Admission, Answer, Audit, Auth, Clocks, Config, InputLimits, Key, Liveness, Memory, Models,
    Rate, RateRule, RetryAfter, Secret, Upstream,
};
use http::HeaderName;
use ipnet::IpNet;
use wire::Format;

use super::front::Front;
use super::home::Home;
use super::model::{self, Runtime};
use crate::cli::Up;
use crate::commands::start;
use crate::config::chat::ChatSettings;
use crate::config::report::Report;
use crate::config::{Expectation, LogSettings, Secrets, Settings};
use crate::edge::site::reached;
use crate::folders::default_dir;
use crate::terminal::Terminal;

const GATEWAY_PORT: u16 = 18_789;
const CHAT_PORT: u16 = 8_080;
/// A person and a few scripts stay far below; a loop that runs away does not.
const RATE: Rate =
    Rate { requests_max: 600, window: Duration::from_secs(60), retry_after: RetryAfter::Exact };
const QUEUE_MAX: usize = 64;

/// The keys of this machine's `up`.
pub(super) struct Keys {
    pub(super) api: String,
    pub(super) chat: String,
}

pub(super) struct Plan {
    settings: Settings,
    pub(super) report: Option<Report>,
    pub(super) log: LogSettings,
}

impl Plan {
    /// `None`: the file has errors, and they have been printed.
    pub(super) fn read(options: &Up, terminal: &Terminal) -> anyhow::Result<Option<Self>> {
        let quiet = LogSettings { level: "info", json: false };
        let Some(file) = &options.config else {
            return Ok(Some(Self { settings: Settings::default(), report: None, log: quiet }));
        };
        let Some((settings, report)) = start::settings(file, everything(), terminal) else {
            return Ok(None);
        };
        terminal.report(&report);
        let log = settings.gateway.as_ref().map(|g| g.log).or(settings.chat.as_ref().map(|c| c.log));
        Ok(Some(Self { settings, report: Some(report), log: log.unwrap_or(quiet) }))
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.report.as_ref().map(Report::file)
    }

    pub(super) fn data_dir(&self, options: &Up) -> anyhow::Result<PathBuf> {
        let configured = self.settings.chat.as_ref().and_then(|chat| chat.data_dir.clone());
        options.data_dir.clone().or(configured).map_or_else(default_dir, Ok)
    }

    /// HTTPS, where it is wanted.
    pub(super) fn front(&self, options: &Up, data_dir: &Path) -> anyhow::Result<Option<Front>> {
        Front::plan(options, &self.settings, data_dir)
    }

    /// The runtime of the model; `None` where the file names upstreams.
    pub(super) async fn runtime(&self, options: &Up, terminal: &Terminal) -> anyhow::Result<Option<Runtime>> {
        if self.settings.gateway.is_some() {
            return Ok(None);
        }
        model::find(options.model.as_deref(), options.engine, terminal).await.map(Some)
    }

    pub(super) fn gateway(
        &self,
        options: &Up,
        runtime: Option<&Runtime>,
        keys: &Keys,
        home: &Home,
        front: Option<&Front>,
    ) -> Config {
        let mut config = match &self.settings.gateway {
            Some(settings) => settings.config.clone(),
            None => default_gateway(runtime, home),
        };
        if let Some(port) = options.gateway_port {
            config.listen = vec![loopback(port)];
            // Beside the API as by default; 0 asks the system for both.
            config.admin_listen = Some(loopback(if port == 0 { 0 } else { port.saturating_add(1) }));
        }
        if let Auth::Keys { keys: known, .. } = &mut config.auth {
            known.push(key_of("up", &keys.api, false, RateRule::General));
            // The page as a whole is not limited; each of its users is.
            known.push(key_of("up-chat", &keys.chat, true, RateRule::None));
        }
        if front.is_some() {
            // It states whom a request comes from, and drops what others have stated.
            // From the address that it asks: a listener of one interface sees its own.
            let asked = config.listen.iter().map(|at| IpNet::from(reached(*at).ip())).collect::<Vec<_>>();
            let trusted = &mut config.addresses.trusted_proxies;
            trusted.extend(asked.into_iter().filter(|net| !trusted.contains(net)).collect::<Vec<_>>());
        }
        config
    }

    pub(super) fn chat(
        &mut self,
        options: &Up,
        gateway: &Gateway,
        keys: &Keys,
        front: Option<&Front>,
    ) -> anyhow::Result<ChatSettings> {
        let mut chat = match self.settings.chat.take() {
            Some(chat) => chat,
            None => default_chat(api_base(gateway)?),
        };
        if let Some(port) = options.port {
            chat.listen = SocketAddr::new(chat.listen.ip(), port);
        }
        chat.api_key = chat.api_key.or_else(|| Some(Secret(keys.chat.clone())));
        if let Some(page) = front.and_then(|front| front.site.page.as_ref().map(|page| (front, page))) {
            let (front, page) = page;
            chat.names = front.site.names.iter().map(|name| name.as_str().to_owned()).collect();
            chat.guarded = !page.allow.is_empty();
        }
        Ok(chat)
    }

    /// A model for the example that is printed.
    pub(super) fn example_model(&self, runtime: Option<&Runtime>) -> Option<String> {
        let listed = self.settings.gateway.as_ref().and_then(|g| match &g.config.models {
            Models::Listed(models) => models.first().map(|model| model.public.clone()),
            Models::Discovered => None,
        });
        listed.or_else(|| runtime?.model.clone())
    }
}

/// `up` plays every role itself, so it needs what each of them needs.
fn everything() -> Expectation {
    Expectation { secrets: Secrets::Needed, ..Expectation::default() }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

/// Where clients on this machine reach the gateway.
pub(super) fn api_base(gateway: &Gateway) -> anyhow::Result<String> {
    let addresses = gateway.api_addresses();
    let address = addresses.first().ok_or_else(|| anyhow::anyhow!("the gateway listens nowhere"))?;
    let local = if address.ip().is_unspecified() { loopback(address.port()) } else { *address };
    Ok(format!("http://{local}/v1"))
}

fn key_of(id: &str, text: &str, speaks_for_users: bool, rate: RateRule) -> Key {
    Key { speaks_for_users, rate, ..Key::plain(id, key::digest(text)) }
}

fn default_gateway(runtime: Option<&Runtime>, home: &Home) -> Config {
    let upstream = runtime.map(|runtime| Upstream {
        name: runtime.name.to_owned(),
        authority: runtime.authority.clone(),
        base_path: String::new(),
        format: Format::Ollama,
        slots: runtime.slots,
        queue_max: QUEUE_MAX,
        drain: false,
        bearer: None,
    });
    Config {
        listen: vec![loopback(GATEWAY_PORT)],
        admin_listen: Some(loopback(GATEWAY_PORT + 1)),
        upstreams: upstream.into_iter().collect(),
        models: Models::Discovered,
        auth: Auth::Keys { header: Some(HeaderName::from_static("x-api-key")), keys: Vec::new() },
        addresses: Addresses { allow: None, trusted_proxies: Vec::new() },
        rate: Some(RATE),
        limits: Vec::new(),
        admission: Admission::default(),
        input: InputLimits::default(),
        answer: Answer::default(),
        clocks: Clocks::default(),
        liveness: Liveness::default(),
        audit: Audit { file: Some(home.audit_file()), ..Audit::default() },
        filter: None,
        memory: Memory::default(),
        error_format: None,
    }
}

fn default_chat(api_base: String) -> ChatSettings {
    ChatSettings {
        listen: loopback(CHAT_PORT),
        names: Vec::new(),
        guarded: false,
        title: "Gatehouse".to_owned(),
        description: String::new(),
        locale: None,
        api_base,
        model: None,
        api_key: None,
        data_dir: None,
        log: LogSettings { level: "info", json: false },
    }
}
