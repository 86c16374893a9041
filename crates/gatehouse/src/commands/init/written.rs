//! From answers to files: keys are made, everything is written beside its place, read as the program would read it, and
//! only then moved.
//!
//! Why here: the configuration, the chat page's key and the page's passwords belong together. The configuration is moved
//! last, so a run that ends anywhere before has changed nothing that is in use.
//!
//! Never here: a key's text in a file, but the chat page's own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway::auth::key::{self, Key};

use super::answers::{Answers, Front};
use super::files::{self, Folder, Pending, Placed, Readers};
use super::template::Sheet;
use super::yaml::Hints;
use crate::config::report::Report;
use crate::config::{Expectation, load};
use crate::edge::password;

const CHAT_KEY_FILE: &str = "chat.key";
const PASSWORD_FILE: &str = "page.passwd";
/// A made key is shorter.
const KEY_BYTES_MAX: u64 = 256;
/// Group of the services' user, and of nginx's workers, as their packages name them.
const SERVICE_GROUPS: &[&str] = &["gatehouse"];
const NGINX_GROUPS: &[&str] = &["www-data", "nginx"];

/// Where everything lies.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) config: PathBuf,
    folder: PathBuf,
    audit: &'static str,
    data: &'static str,
}

/// What was made.
pub(super) struct Made {
    pub(super) config: PathBuf,
    pub(super) chat_key_file: PathBuf,
    pub(super) password_file: Option<PathBuf>,
    /// What lay in these places before, under its new names.
    pub(super) kept: Vec<PathBuf>,
    /// Names and texts, for the screen.
    pub(super) keys: Vec<(String, Key)>,
    /// What the reader says of the file.
    pub(super) report: Report,
}

impl Places {
    pub(super) fn new(config: &Path, front: Front) -> Self {
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let folder = config.parent().unwrap_or(Path::new("/")).to_owned();
        // A system's configuration has a system's folders; any other keeps everything beside itself.
        let (audit, data) = match (config.starts_with("/etc"), front) {
            (true, Front::Nginx) => ("/var/log/gatehouse/audit.jsonl", "/var/lib/gatehouse-chat"),
            (true, Front::Program) => ("/var/lib/gatehouse/audit.jsonl", "/var/lib/gatehouse"),
            (false, Front::Nginx) => ("audit.jsonl", "data"),
            (false, Front::Program) => ("data/audit.jsonl", "data"),
        };
        Self { config, folder, audit, data }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Writes everything; `over` a configuration that is there, which is kept. `Err` holds the report of a text that the program would not read; nothing is left then.
pub(super) fn write(answers: &Answers, places: &Places, over: bool) -> anyhow::Result<Result<Made, Report>> {
    let folder = Folder::open(&places.folder)?;
    let free = over || std::fs::symlink_metadata(&places.config).is_err();
    anyhow::ensure!(free, "another run has written {} meanwhile", places.config.display());
    let (chat_key_file, password_place) = (places.beside(CHAT_KEY_FILE), places.beside(PASSWORD_FILE));
    for place in [&places.config, &chat_key_file, &password_place] {
        files::sweep(place);
    }
    let keys = made(&answers.keys)?;
    let chat = ChatKey::find(&chat_key_file)?;
    let passwords = match answers.asks_for_passwords() {
        true => Some(Pending::write(&password_place, &lines(&keys)?, as_root(NGINX_GROUPS))?),
        false => None,
    };
    let text = text(answers, places, &keys, &chat.digest);
    let config = Pending::write(&places.config, &text, readers_of_config())?;
    let chat = chat.put()?;
    let report = load(config.path(), Expectation::default()).report;
    if report.has_errors() {
        return Ok(Err(report));
    }
    let passwords = passwords.map(Pending::replace).transpose()?;
    let config = if over { config.replace()? } else { config.put()? };
    let password_file = passwords.is_some().then_some(password_place);
    let all = [chat, passwords, Some(config)];
    let kept = all.into_iter().flatten().filter_map(Placed::stay).collect();
    folder.keep();
    let report = load(&places.config, Expectation::default()).report;
    Ok(Ok(Made { config: places.config.clone(), chat_key_file, password_file, kept, keys, report }))
}

fn made(names: &[String]) -> anyhow::Result<Vec<(String, Key)>> {
    let key = |name: &String| Ok((name.clone(), Key::generate().context("cannot make a key")?));
    names.iter().map(key).collect()
}

fn text(answers: &Answers, places: &Places, keys: &[(String, Key)], chat_digest: &[u8; 32]) -> String {
    let digests: Vec<String> = keys.iter().map(|(_, key)| key::digest_text(&key.digest)).collect();
    let sheet = Sheet {
        answers,
        file: &places.config.to_string_lossy(),
        chat_digest: &key::digest_text(chat_digest),
        digests: &digests,
        chat_key_file: Some(CHAT_KEY_FILE),
        password_file: PASSWORD_FILE,
        audit_file: places.audit,
        data_dir: places.data,
    };
    sheet.text(Hints::Commented)
}

fn lines(keys: &[(String, Key)]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, key) in keys {
        text.push_str(&password::line(name, &key.text).context("cannot make a salt")?);
        text.push('\n');
    }
    Ok(text)
}

/// The services run under a user of their own, which reads the file by its group.
fn readers_of_config() -> Readers {
    as_root(SERVICE_GROUPS)
}

fn as_root(groups: &[&str]) -> Readers {
    let group = if files::is_root() { files::group(groups) } else { None };
    group.map_or(Readers::Nobody, Readers::Group)
}

/// The chat page's key: the one that is there, or a new one.
struct ChatKey {
    digest: [u8; 32],
    fresh: Option<Pending>,
}

impl ChatKey {
    fn find(place: &Path) -> anyhow::Result<Self> {
        if let Some(text) = files::own_secret(place, KEY_BYTES_MAX)? {
            anyhow::ensure!(
                key::parse(&text).is_some(),
                "{} does not hold a key of this program: move the file away, and a new key is made",
                place.display()
            );
            // An earlier configuration may be running on it.
            return Ok(Self { digest: key::digest(&text), fresh: None });
        }
        let key = Key::generate().context("cannot make a key")?;
        let pending = Pending::write(place, &format!("{}\n", key.text), Readers::Nobody)?;
        Ok(Self { digest: key.digest, fresh: Some(pending) })
    }

    fn put(self) -> anyhow::Result<Option<Placed>> {
        self.fresh.map(Pending::put).transpose()
    }
}
