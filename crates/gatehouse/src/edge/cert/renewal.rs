//! certbot's file about a certificate: how it will be renewed.
//!
//! Why here: what was said when it was asked for is repeated every time. A hook that was left out then is missing for ever,
//! and nobody notices until the old certificate ends.
//!
//! Never here: changing the file. `gatehouse edge cert` asks anew, and certbot writes it.

use std::path::{Path, PathBuf};

use super::certbot::{Folders, is_deploy};
use crate::edge::site::Site;

const BYTES_MAX: usize = 256 << 10;

/// What of the file matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Renewal {
    authenticator: Option<String>,
    server: Option<String>,
    hook: Option<String>,
    /// Off only by hand.
    off: bool,
    webroot: Vec<PathBuf>,
    /// By name.
    webroots: Vec<(String, PathBuf)>,
}

impl Renewal {
    /// `None`: there is no such file.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, String> {
        match std::fs::read_to_string(file) {
            Ok(text) if text.len() > BYTES_MAX => Err(format!("{} is no renewal file", file.display())),
            Ok(text) => Ok(Some(Self::parse(&text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
        }
    }

    fn parse(text: &str) -> Self {
        let (mut renewal, mut section) = (Self::default(), String::new());
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if line.starts_with('[') {
                line.trim_matches(['[', ']']).clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                renewal.take(&section, key.trim(), unquoted(value.trim()));
            }
        }
        renewal
    }

    fn take(&mut self, section: &str, key: &str, value: &str) {
        let text = || Some(value.to_owned()).filter(|text| !text.is_empty() && text != "None");
        match (section, key) {
            ("webroot_map", name) => self.webroots.push((name.to_owned(), value.into())),
            (_, "autorenew") => self.off = value.eq_ignore_ascii_case("false"),
            ("renewalparams", "authenticator") => self.authenticator = text(),
            ("renewalparams", "server") => self.server = text(),
            ("renewalparams", "renew_hook" | "deploy_hook") => self.hook = text(),
            ("renewalparams", "webroot_path") => {
                let paths = value.split(',').map(str::trim).filter(|path| !path.is_empty());
                self.webroot = paths.map(PathBuf::from).collect();
            }
            _ => {}
        }
    }

    /// The hook that certbot runs with this certificate.
    pub(crate) fn hook(&self) -> Option<&str> {
        self.hook.as_deref()
    }

    /// What of it will not work, or not do what the configuration says.
    pub(crate) fn faults(&self, site: &Site, folders: &Folders) -> Vec<String> {
        let mut faults = Vec::new();
        if self.off {
            faults.push("it says `autorenew = False`: this certificate is not renewed".to_owned());
        }
        faults.extend(self.challenge_faults(site));
        if self.server.as_deref().is_some_and(|server| server != site.acme.directory) {
            let server = self.server.as_deref().unwrap_or_default();
            faults.push(format!("it asks {server}, and `edge.acme.directory` is {}", site.acme.directory));
        }
        match is_deploy(self.hook.as_deref().unwrap_or_default()) {
            Ok(true) => {}
            Ok(false) if in_folder(&folders.config.join("renewal-hooks/deploy")) => {}
            Ok(false) => {
                faults.push("no deploy hook of Gatehouse: nginx is not told of a new certificate".to_owned());
            }
            Err(what) => faults.push(what),
        }
        faults
    }

    fn challenge_faults(&self, site: &Site) -> Option<String> {
        let authenticator = self.authenticator.as_deref().unwrap_or("nothing");
        if authenticator != "webroot" {
            return Some(format!(
                "it proves the names by `{authenticator}`, not through the folder that the site serves"
            ));
        }
        let ours = &site.acme.webroot;
        let place = |name: &str| {
            let own = self.webroots.iter().find(|(known, _)| known == name).map(|(_, path)| path);
            own.or_else(|| self.webroot.last())
        };
        let wrong = site.names.iter().find(|name| place(name.as_str()) != Some(ours))?;
        let there =
            place(wrong.as_str()).map_or_else(|| "nowhere".to_owned(), |path| path.display().to_string());
        Some(format!("it lays the challenge of {wrong} into {there}, and the site serves {}", ours.display()))
    }
}

/// Whether a hook for all certificates calls ours.
fn in_folder(hooks: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(hooks) else { return false };
    let mut files = entries.filter_map(Result::ok).map(|entry| entry.path()).take(64);
    files.any(|file| {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        super::call::is_program(&file) && text.contains("gatehouse") && text.contains("cert deploy")
    })
}

/// certbot quotes what holds spaces.
fn unquoted(value: &str) -> &str {
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{EdgeSettings, Name};

    const GOOD: &str = "\
# renew_before_expiry = 30 days
version = 2.1.0
fullchain = /etc/letsencrypt/live/ai.example.com/fullchain.pem

# Options used in the renewal process
[renewalparams]
account = 18f786e0d01364939c5ad8e9b4cd85e2
key_type = ecdsa
renew_hook = \"/bin/sh cert deploy --config '/etc/passwd'\"
server = https://acme-v02.api.letsencrypt.org/directory
authenticator = webroot
webroot_path = /var/lib/gatehouse-edge/acme,
[[webroot_map]]
ai.example.com = /var/lib/gatehouse-edge/acme
";

    fn faults(text: &str, config: &Path) -> Vec<String> {
        let names = ["ai.example.com", "www.example.com"].map(|name| Name::parse(name).unwrap());
        let site = Site::new(&Settings::default(), &EdgeSettings::default(), names.to_vec()).unwrap();
        Renewal::parse(text).faults(&site, &Folders::of(config))
    }

    #[test]
    fn each_fault_is_told() {
        let none = Path::new("/nowhere");
        assert_eq!(faults(GOOD, none), Vec::<String>::new());
        assert_eq!(Renewal::parse(GOOD).hook(), Some("/bin/sh cert deploy --config '/etc/passwd'"));
        for (old, new, part) in [
            ("authenticator = webroot", "authenticator = standalone", "`standalone`"),
            (
                "webroot_path = /var/lib/gatehouse-edge/acme,",
                "webroot_path = /var/www,",
                "www.example.com into /var/www",
            ),
            (
                "ai.example.com = /var/lib/gatehouse-edge/acme",
                "ai.example.com = /srv",
                "ai.example.com into /srv",
            ),
            ("/bin/sh cert deploy", "systemctl reload nginx", "no deploy hook"),
            ("/bin/sh cert deploy", "/nowhere/gatehouse cert deploy", "not there any more"),
            ("/etc/passwd", "/nowhere/gatehouse.yaml", "reads /nowhere/gatehouse.yaml"),
            ("version = 2.1.0", "autorenew = False", "autorenew"),
            ("acme-v02", "acme-staging-v02", "staging"),
        ] {
            let found = faults(&GOOD.replace(old, new), none);
            assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
        }
    }

    #[test]
    fn a_hook_for_all_certificates_will_do() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let hooks = folder.path().join("renewal-hooks/deploy");
        std::fs::create_dir_all(&hooks).unwrap();
        let without = GOOD.replace("renew_hook", "some_hook");
        assert_eq!(faults(&without, folder.path()).len(), 1);
        let hook = hooks.join("gatehouse");
        std::fs::write(&hook, "#!/bin/sh\nexec gatehouse cert deploy\n").unwrap();
        assert_eq!(faults(&without, folder.path()).len(), 1, "nobody runs it");
        std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(faults(&without, folder.path()).len(), 0);
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error() {
        assert_eq!(Renewal::read(Path::new("/nowhere/a.conf")), Ok(None));
    }
}
