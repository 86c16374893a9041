//! certbot: where it keeps things, and how it is called.
//!
//! Why here: what is asked for once is what each renewal does later, so the call says everything: names, challenge, key,
//! CA, and the hook that puts a new certificate to use.
//!
//! Never here: ACME, what its log says ([`super::attempts`]), what its files say ([`super::renewal`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::call::{Call, is_program, quoted};
use crate::edge::program::find;
use crate::edge::site::Site;

/// A CA answers within seconds; a busy one within minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Debian's place, which its timer looks at.
pub(crate) const DEFAULT_FOLDER: &str = "/etc/letsencrypt";

/// certbot's three folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folders {
    pub config: PathBuf,
    pub work: PathBuf,
    pub logs: PathBuf,
}

impl Folders {
    pub(crate) fn of(config: &Path) -> Self {
        if config == Path::new(DEFAULT_FOLDER) {
            Self {
                config: config.into(),
                work: "/var/lib/letsencrypt".into(),
                logs: "/var/log/letsencrypt".into(),
            }
        } else {
            Self { config: config.into(), work: config.join("work"), logs: config.join("logs") }
        }
    }

    /// Whether the timer that comes with certbot looks here.
    pub(crate) fn is_default(&self) -> bool {
        self.config == Path::new(DEFAULT_FOLDER)
    }

    pub(crate) fn renewal_file(&self, name: &str) -> PathBuf {
        self.config.join("renewal").join(format!("{name}.conf"))
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        if self.is_default() {
            return Vec::new();
        }
        let pairs = [("--config-dir", &self.config), ("--work-dir", &self.work), ("--logs-dir", &self.logs)];
        pairs
            .into_iter()
            .flat_map(|(option, folder)| [option.to_owned(), folder.display().to_string()])
            .collect()
    }
}

/// The command that certbot runs for each new certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook(String);

impl Hook {
    /// `configs`: whole paths. `domains`: names of the command line, which the files may not hold.
    pub(crate) fn new(program: &Path, configs: &[PathBuf], domains: &[String]) -> Result<Self, String> {
        let program = program.display().to_string();
        // certbot takes the first word up to a space for the program, and refuses what is none.
        if quoted(&program) != program {
            return Err(format!(
                "certbot cannot run {program} as a hook: put the program where its path holds no spaces or quotes"
            ));
        }
        let configs = configs.iter().map(|file| format!(" --config {}", quoted(&file.display().to_string())));
        let domains = domains.iter().map(|name| format!(" --domain {}", quoted(name)));
        Ok(Self(format!("{program} cert deploy{}", configs.chain(domains).collect::<String>())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a hook of certbot's files is one of ours. An error: it is, and cannot work any more.
pub(crate) fn is_deploy(hook: &str) -> Result<bool, String> {
    if !hook.contains(" cert deploy") {
        return Ok(false);
    }
    let program = hook.split_whitespace().next().unwrap_or_default();
    if !is_program(Path::new(program)) {
        return Err(format!("the hook's program {program} is not there any more"));
    }
    let mut words = hook.split(" --config ").skip(1).map(first_word);
    match words.find(|file| !Path::new(file).is_file()) {
        Some(file) => Err(format!("the hook reads {file}, which is not there any more")),
        None => Ok(true),
    }
}

/// As [`quoted`] wrote it.
fn first_word(text: &str) -> String {
    match text.strip_prefix('\'') {
        Some(rest) => rest.split('\'').next().unwrap_or_default().to_owned(),
        None => text.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}

/// How the certificate is asked for. `anew`: even if the one that is there lives on.
pub(crate) fn certonly(site: &Site, folders: &Folders, hook: &Hook, anew: bool) -> Call {
    let acme = &site.acme;
    let name = site.canonical().map(ToString::to_string).unwrap_or_default();
    let mut call = Call::new(find("certbot").unwrap_or_else(|| "certbot".into()))
        .args(["certonly", "--non-interactive", "--agree-tos", "--cert-name"])
        .arg(name)
        .args(site.names.iter().flat_map(|name| ["-d", name.as_str()]))
        .args(["--webroot", "--webroot-path"])
        .arg(acme.webroot.as_os_str())
        .args(["--key-type", "ecdsa", "--server", acme.directory.as_str()])
        // Names may have come or gone since the last time.
        .arg("--renew-with-new-domains")
        .arg(if anew { "--force-renewal" } else { "--keep-until-expiring" });
    call = match &acme.email {
        Some(email) => call.args(["--email", email, "--no-eff-email"]),
        None => call.arg("--register-unsafely-without-email"),
    };
    call = call.args(folders.arguments()).arg("--deploy-hook").arg(hook.as_str());
    match &acme.ca_file {
        Some(file) => call.env("REQUESTS_CA_BUNDLE", file.as_os_str()),
        None => call,
    }
}

/// What certbot says went wrong, without its advice and ornaments.
pub(crate) fn complaint(said: &str) -> String {
    const CHATTER: [&str; 5] =
        ["Saving debug log", "Ask for help", "Hint:", "Requesting a certificate", "Account registered"];
    let lines = said.lines().map(str::trim_end);
    let kept = lines.filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("- - -") && !CHATTER.iter().any(|word| line.starts_with(word))
    });
    let kept: Vec<&str> = kept.collect();
    kept.get(kept.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{EdgeSettings, Name};

    fn site(change: impl FnOnce(&mut EdgeSettings)) -> Site {
        let mut edge = EdgeSettings::default();
        change(&mut edge);
        let names = ["ai.example.com", "www.example.com"].map(|name| Name::parse(name).unwrap());
        Site::new(&Settings::default(), &edge, names.to_vec()).unwrap()
    }

    fn words(call: &Call) -> String {
        let words: Vec<_> = call.arguments.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn the_call_says_everything_that_a_renewal_needs() {
        let hook = Hook::new(Path::new("/usr/bin/gatehouse"), &["/etc/gatehouse/gatehouse.yaml".into()], &[])
            .unwrap();
        let site = site(|_| {});
        let call = certonly(&site, &Folders::of(Path::new(DEFAULT_FOLDER)), &hook, false);
        assert_eq!(
            words(&call),
            "certonly --non-interactive --agree-tos --cert-name ai.example.com -d ai.example.com -d www.example.com --webroot --webroot-path /var/lib/gatehouse-edge/acme --key-type ecdsa --server https://acme-v02.api.letsencrypt.org/directory --renew-with-new-domains --keep-until-expiring --register-unsafely-without-email --deploy-hook /usr/bin/gatehouse cert deploy --config /etc/gatehouse/gatehouse.yaml"
        );
        assert!(call.environment.is_empty());
    }

    #[test]
    fn a_private_ca_and_other_folders_are_told() {
        let hook = Hook::new(Path::new("/usr/bin/gatehouse"), &[], &["a.example.com".into()]).unwrap();
        let site = site(|edge| {
            edge.acme.ca_file = Some("/srv/roots.pem".into());
            edge.acme.email = Some("ops@example.com".into());
        });
        let call = certonly(&site, &Folders::of(Path::new("/srv/certbot")), &hook, true);
        let said = words(&call);
        for part in [
            "--force-renewal",
            "--email ops@example.com",
            "--config-dir /srv/certbot --work-dir /srv/certbot/work --logs-dir /srv/certbot/logs",
            "cert deploy --domain a.example.com",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(call.shown().starts_with("REQUESTS_CA_BUNDLE=/srv/roots.pem "), "{}", call.shown());
    }

    #[test]
    fn a_hook_is_a_line_for_a_shell_whose_first_word_is_a_program() {
        let hook = Hook::new(Path::new("/usr/bin/gatehouse"), &["/etc/a b.yaml".into()], &[]).unwrap();
        assert_eq!(hook.as_str(), "/usr/bin/gatehouse cert deploy --config '/etc/a b.yaml'");
        assert!(Hook::new(Path::new("/opt/my programs/gatehouse"), &[], &[]).is_err());
        assert_eq!(is_deploy("systemctl reload nginx"), Ok(false));
        assert_eq!(is_deploy("/bin/sh cert deploy --config /etc/passwd --config '/etc/passwd'"), Ok(true));
        for gone in ["/nowhere/a.yaml", "'/nowhere/a b.yaml'"] {
            let said = is_deploy(&format!("/bin/sh cert deploy --config {gone}")).unwrap_err();
            assert!(said.contains(gone.trim_matches('\'')), "{said}");
        }
        assert!(is_deploy("/nowhere/gatehouse cert deploy").unwrap_err().contains("not there"));
    }

    #[test]
    fn of_what_certbot_says_the_reason_is_kept() {
        let said = "Saving debug log to /x\nRequesting a certificate for a\n\nCertbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:\n  Domain: a\n  Type:   connection\n  Detail: refused\n\nHint: The CA failed\n\nSome challenges have failed.\nAsk for help or search";
        let kept = complaint(said);
        assert!(kept.starts_with("Certbot failed") && kept.contains("Detail: refused"), "{kept}");
        assert!(kept.ends_with("Some challenges have failed."), "{kept}");
    }
}
