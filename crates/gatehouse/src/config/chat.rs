//! The `chat` section: where the page is served and which gateway answers.
//!
//! Why here: as for the gateway, the chat modules know only checked values.
//!
//! Never here: the page, the store.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use gateway::config::Secret;
use http::Uri;

use super::addresses::unreachable;
use super::edge::{EdgeSettings, Name, PageAt};
use super::section::{At, Section, clipped, without_userinfo};
use super::{Context, LogSettings};

/// Variable that is read when the file names no key.
pub(crate) const KEY_VARIABLE: &str = "GATEHOUSE_API_KEY";
/// Credential that is read when neither names one.
pub(crate) const KEY_CREDENTIAL: &str = "chat.key";

/// What the `chat` role runs on.
#[derive(Clone, Debug)]
pub(crate) struct ChatSettings {
    pub listen: SocketAddr,
    /// Names under which a proxy on this machine serves the page.
    pub names: Vec<String>,
    /// That proxy asks who somebody is, or where from.
    pub guarded: bool,
    pub title: String,
    pub description: String,
    /// `None`: the browser decides.
    pub locale: Option<&'static str>,
    /// Base URL of the OpenAI format at the gateway, without a closing slash.
    pub api_base: String,
    pub model: Option<String>,
    pub api_key: Option<Secret>,
    /// `None`: the user's data folder.
    pub data_dir: Option<PathBuf>,
    pub log: LogSettings,
}

/// Which addresses a page without accounts may be served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    LoopbackOnly,
    /// As the file says, with a warning: the seed profile.
    AsConfigured,
}

/// Reads the section. The result is only to be used when the report holds no error.
pub(crate) fn read(section: &Section<'_>, context: &Context<'_>, exposure: Exposure) -> ChatSettings {
    let ui = section.section("ui");
    let backend = section.section("backend");
    ChatSettings {
        listen: listen(&section.section("server"), exposure),
        names: names(&section.section("server")),
        guarded: false,
        title: ui.text("title").map(|t| t.value).unwrap_or_default(),
        description: ui.text("description").map(|t| t.value).unwrap_or_default(),
        locale: Some(ui.choice("locale").value).filter(|locale| *locale != "auto"),
        api_base: api_base(&backend),
        model: backend.text("model").map(|t| t.value).filter(|m| !m.is_empty()),
        api_key: api_key(&backend, context).map(Secret),
        data_dir: section.text("data_dir").map(|d| context.path(&d.value)),
        log: LogSettings::read(section),
    }
}

fn names(server: &Section<'_>) -> Vec<String> {
    let texts = server.texts("names").map(|at| at.value).unwrap_or_default();
    let name = |text: At<String>| match Name::parse(&text.value) {
        Ok(name) => Some(name.as_str().to_owned()),
        Err(what) => {
            let fix = "write the name alone, such as `ai.example.com`";
            server.report().error(&text.place, what, fix);
            None
        }
    };
    texts.into_iter().filter_map(name).collect()
}

impl ChatSettings {
    /// What the edge in the same file means for the page: the names it is reached by, and who is let in.
    pub(super) fn behind(&mut self, edge: &EdgeSettings) {
        if edge.page.at == PageAt::Off {
            return;
        }
        if self.names.is_empty() {
            self.names = edge.names.iter().map(|name| name.as_str().to_owned()).collect();
        }
        self.guarded = edge.page.is_guarded();
    }
}

fn listen(server: &Section<'_>, exposure: Exposure) -> SocketAddr {
    let port = server.number("port").and_then(|p| u16::try_from(p.value).ok()).unwrap_or_default();
    let fallback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let Some(host) = server.text("host") else { return fallback };
    let address = match host.value.as_str() {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        text => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => {
                let what = format!("`{}` is not an address", clipped(text));
                server.report().error(&host.place, what, "give an IP address, such as 127.0.0.1");
                return fallback;
            }
        },
    };
    if !address.is_loopback() {
        let what =
            format!("the page has no accounts: on {address} everybody who reaches it can use the models");
        let fix = "use 127.0.0.1 with a proxy that signs people in, or a tunnel";
        let named = "; called by the name `clawdbot`, the program serves it with this as a warning";
        match exposure {
            Exposure::LoopbackOnly => server.report().error(&host.place, what, format!("{fix}{named}")),
            Exposure::AsConfigured => server.report().warning(&host.place, what, fix),
        }
    }
    SocketAddr::new(address, port)
}

fn api_base(backend: &Section<'_>) -> String {
    let Some(text) = backend.text("api_base") else { return String::new() };
    let trimmed = text.value.trim_end_matches('/');
    let uri = trimmed.parse::<Uri>().ok();
    let plain = uri.as_ref().is_some_and(|uri| {
        let host = uri.authority().is_some_and(|a| !a.as_str().contains('@') && unreachable(a).is_none());
        uri.scheme_str() == Some("http") && host && uri.query().is_none()
    });
    if !plain {
        let what = format!("`{}` is not a URL the chat can call", without_userinfo(trimmed));
        backend.report().error(
            &text.place,
            what,
            "write it as `http://host:port/v1`, without user name or query",
        );
    }
    trimmed.to_owned()
}

fn api_key(backend: &Section<'_>, context: &Context<'_>) -> Option<String> {
    let report = backend.report();
    let plain = backend.text("api_key");
    let file = backend.text("api_key_file");
    if let (Some(plain), Some(_)) = (&plain, &file) {
        report.error(&plain.place, "stands beside `api_key_file`", "keep one of the two");
    }
    if let Some(plain) = &plain {
        context.plain_secret(
            &plain.place,
            "put it into a file of mode 0600, and name that as `api_key_file`",
            report,
        );
        check_sendable(plain, backend);
    }
    let read = file.and_then(|file: At<String>| context.secret_file(&file, report));
    let given = read.or(plain.map(|p| p.value)).or_else(|| context.variable(KEY_VARIABLE));
    given.or_else(|| context.default_credential(KEY_CREDENTIAL, backend.place(), report))
}

fn check_sendable(key: &At<String>, backend: &Section<'_>) {
    if key.value.is_empty() || !key.value.chars().all(|c| c.is_ascii_graphic()) {
        let fix = "use visible ASCII characters without spaces";
        backend.report().error(&key.place, "cannot be sent in a header", fix);
    }
}
