//! Configuration: from a YAML file to checked settings, or to a list of everything that is wrong with it.
//!
//! Why here: the roles of the program read one file in one way. [`document`] keeps positions, [`section`] reads keys,
//! [`reference`] says which keys exist, and the modules named after sections decide what values mean together.
//!
//! Never here: starting anything.

pub(crate) mod addresses;
pub(crate) mod chat;
mod context;
mod document;
pub(crate) mod edge;
pub(crate) mod gateway;
pub(crate) mod ports;
pub(crate) mod reference;
pub(crate) mod report;
mod section;
mod setting;

use std::path::Path;

use self::chat::{ChatSettings, Exposure};
use self::document::{Node, Value};
use self::edge::EdgeSettings;
use self::gateway::GatewaySettings;
use self::report::{Place, Report};
use self::section::{Reading, Section, join};

pub(crate) use self::context::{CREDENTIAL, Context, Secrets};
pub(crate) use self::section::clipped;

/// A part of the program that a file can configure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Gateway,
    Chat,
    Edge,
}

impl Role {
    const ALL: [Self; 3] = [Self::Gateway, Self::Chat, Self::Edge];

    /// The section's key in a file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Gateway => "gateway",
            Role::Chat => "chat",
            Role::Edge => "edge",
        }
    }
}

/// How the process logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub level: &'static str,
    pub json: bool,
}

impl LogSettings {
    fn read(section: &Section<'_>) -> Self {
        Self { level: section.choice("log_level").value, json: section.choice("log_format").value == "json" }
    }
}

/// What the caller of [`load`] knows about the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    /// The role that is going to run: its keys may stand at the top level, and other roles' sections are left to them. `None`:
    /// every section is read, and a file without sections is told from its keys.
    pub role: Option<Role>,
    pub exposure: Exposure,
    pub secrets: Secrets,
}

impl Default for Expectation {
    fn default() -> Self {
        Self { role: None, exposure: Exposure::LoopbackOnly, secrets: Secrets::Judged }
    }
}

/// A file, read. Sections are only handed out when nothing is wrong.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub report: Report,
    settings: Settings,
}

/// The sections of a file.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub gateway: Option<GatewaySettings>,
    pub chat: Option<ChatSettings>,
    pub edge: Option<EdgeSettings>,
}

impl Settings {
    /// Takes the sections of another file; an error names one that both have.
    pub(crate) fn join(&mut self, other: Self) -> Result<(), &'static str> {
        fn take<T>(mine: &mut Option<T>, other: Option<T>, role: Role) -> Result<(), &'static str> {
            match (&mine, other) {
                (Some(_), Some(_)) => return Err(role.name()),
                (None, other) => *mine = other,
                (Some(_), None) => {}
            }
            Ok(())
        }
        take(&mut self.gateway, other.gateway, Role::Gateway)?;
        take(&mut self.chat, other.chat, Role::Chat)?;
        take(&mut self.edge, other.edge, Role::Edge)
    }
}

impl Loaded {
    /// The sections, or the report when it holds an error.
    pub(crate) fn settings(self) -> Result<(Settings, Report), Report> {
        if self.report.has_errors() {
            return Err(self.report);
        }
        Ok((self.settings, self.report))
    }
}

/// Reads and checks a file of the disk with the environment of this process.
pub(crate) fn load(file: &Path, expectation: Expectation) -> Loaded {
    let environment = |name: &str| std::env::var(name).ok();
    let context = Context::new(file, &environment).with(expectation.secrets);
    match std::fs::read_to_string(file) {
        Ok(text) => read(file, &text, expectation, &context),
        Err(error) => {
            let report = Report::new(file);
            let fix = "check the path, and that this user may read it";
            report.error(&Place { mark: None, path: String::new() }, format!("cannot be read: {error}"), fix);
            Loaded { report, settings: Settings::default() }
        }
    }
}

/// Reads and checks a text.
pub(crate) fn read(file: &Path, text: &str, expectation: Expectation, context: &Context<'_>) -> Loaded {
    let report = Report::new(file);
    let root = match document::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let place = Place { mark: error.mark, path: String::new() };
            report.error(
                &place,
                format!("is not YAML: {}", error.what),
                "check indentation, colons and quotes",
            );
            return Loaded { report, settings: Settings::default() };
        }
    };
    let reading = Reading::new(&report);
    let settings = sections(&root, &reading, expectation, context);
    drop(reading);
    Loaded { report, settings }
}

fn sections(root: &Node, reading: &Reading<'_>, expectation: Expectation, context: &Context<'_>) -> Settings {
    let mut settings = Settings::default();
    if !matches!(root.value, Value::Table(_)) {
        let place = Place { mark: Some(root.mark), path: String::new() };
        let what = format!("expects a group of keys, is {}", root.value.kind());
        reading.report.error(&place, what, "write `key: value` lines");
        return settings;
    }
    let mut take = |role: Role, node: &Node, shown: &str| {
        let section = Section::open(reading, node, shown, role.name());
        match role {
            Role::Gateway => settings.gateway = Some(gateway::read(&section, context)),
            Role::Chat => settings.chat = Some(chat::read(&section, context, expectation.exposure)),
            Role::Edge => settings.edge = Some(edge::read(&section, context)),
        }
    };
    if is_sectioned(root) {
        let top = Section::open(reading, root, "", "");
        refuse_reserved(root, &top);
        for role in Role::ALL.into_iter().filter(|role| concerns(*role, expectation.role)) {
            if let Some(node) = child(root, role.name()) {
                take(role, node, role.name());
            }
        }
    } else {
        take(expectation.role.unwrap_or_else(|| role_of(root)), root, "");
    }
    if let (Some(chat), Some(edge)) = (&mut settings.chat, &settings.edge) {
        chat.behind(edge);
    }
    // Without a name no site is served, unless a command line gives one.
    let named = settings.edge.as_ref().is_some_and(|edge| !edge.names.is_empty());
    for clash in ports::clashes(&settings).into_iter().filter(|_| named) {
        let place = Place { mark: Some(mark_of(root, clash.key)), path: shown(root, clash.key).to_owned() };
        reading.report.error(&place, clash.what, clash.fix);
    }
    settings
}

/// A setting's path as this file has it: a file of one section may leave out its name.
fn shown<'k>(root: &Node, path: &'k str) -> &'k str {
    let inner = path.split_once('.').map_or(path, |(_, inner)| inner);
    if is_sectioned(root) { path } else { inner }
}

/// Where it stands, or where the nearest group around it does.
fn mark_of(root: &Node, path: &str) -> document::Mark {
    let mut node = root;
    for key in shown(root, path).split('.') {
        match child(node, key) {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node.mark
}

/// Whether a section is read for a role: its own, because another's secrets may be closed to its user, and another's mistakes
/// must not stop it. The page is also told what stands in front of it.
fn concerns(section: Role, role: Option<Role>) -> bool {
    match role {
        Some(Role::Chat) => matches!(section, Role::Chat | Role::Edge),
        Some(role) => section == role,
        None => true,
    }
}

/// The first plain key of a gateway's file, if that can be read: for a chat on the same machine.
pub(crate) fn first_plain_key(file: &Path) -> Option<String> {
    let root = document::parse(&std::fs::read_to_string(file).ok()?).ok()?;
    let gateway = child(&root, Role::Gateway.name()).unwrap_or(&root);
    match &child(child(gateway, "auth")?, "valid_keys")?.value {
        Value::List(keys) => keys.iter().find_map(|key| match &key.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }),
        _ => None,
    }
}

fn refuse_reserved(root: &Node, top: &Section<'_>) {
    for name in reference::RESERVED_SECTIONS {
        if let Some(node) = child(root, name) {
            let place = Place { mark: Some(node.mark), path: join("", name) };
            let what = "is reserved and not available yet";
            top.report().error(&place, what, "remove this section");
        }
    }
}

fn keys(root: &Node) -> impl Iterator<Item = &str> {
    let entries = match &root.value {
        Value::Table(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|e| e.key.as_str())
}

fn child<'a>(root: &'a Node, key: &str) -> Option<&'a Node> {
    match &root.value {
        Value::Table(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.node),
        _ => None,
    }
}

fn is_sectioned(root: &Node) -> bool {
    keys(root)
        .any(|k| Role::ALL.iter().any(|role| role.name() == k) || reference::RESERVED_SECTIONS.contains(&k))
}

/// Told from the keys: only a chat has a page, only an edge has a domain.
fn role_of(root: &Node) -> Role {
    let has = |names: &[&str]| keys(root).any(|k| names.contains(&k));
    match () {
        () if has(&["server", "ui", "backend"]) => Role::Chat,
        () if has(&["domain", "https_listen", "certificate", "acme"]) => Role::Edge,
        () => Role::Gateway,
    }
}

#[cfg(test)]
mod tests;
