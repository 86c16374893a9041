//! The command line of the edge: `gatehouse edge ...`, `gatehouse cert ...`, `gatehouse init`.
//!
//! Why here: see [`super`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// Where the configuration of an edge command comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct From {
    /// Configuration file; may be given again for sections that stand in another file [default: /etc/gatehouse/gatehouse.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// Name under which the service is reached, instead of `edge.domain`; may be given again
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,
}

/// How a check tells what it found.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Telling {
    /// As one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Warnings count as failures
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Edge {
    /// Print the site for the nginx that is installed here
    Nginx(EdgeNginx),
    /// Write the page's files to where nginx serves them
    Assets(EdgeAssets),
    /// Ask the running site whether it keeps its word
    Check(EdgeCheck),
    /// Render, compare, test, reload, check; and put the old site back when a check fails
    Apply(EdgeApply),
    /// Ask for a certificate with certbot, and have it renewed
    Cert(EdgeCert),
    /// Print the packet filter's rules for the configured listeners
    Firewall(EdgeFirewall),
    /// Show or write hardening for the services around: nginx, certbot, Ollama
    #[command(
        after_help = "Examples:\n  gatehouse edge host\n  gatehouse edge host ollama --apply && systemctl daemon-reload && systemctl restart ollama"
    )]
    Host(EdgeHost),
    /// The four layers: what protects each, and whether it can be walked around on this machine now
    Report(EdgeReport),
}

#[derive(Debug, Args)]
pub(crate) struct EdgeNginx {
    #[command(flatten)]
    pub(crate) from: From,
    /// A whole main configuration around the site, for a machine or container whose nginx serves nothing else
    #[arg(long)]
    pub(crate) whole: bool,
    /// For this version instead of the installed one, such as 1.22.1
    #[arg(long, value_name = "VERSION")]
    pub(crate) nginx_version: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeAssets {
    #[command(flatten)]
    pub(crate) from: From,
    /// Folder, instead of `edge.assets_dir`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeCheck {
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) telling: Telling,
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Facts to look at, by id or by the beginning of several (`tls`); comma between
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Send more requests than the site allows one address, to see them refused; takes from everybody behind the same address
    #[arg(long)]
    pub(crate) burst: bool,
    /// Send a head in single bytes, to see it cut; takes as long as the site lets it
    #[arg(long)]
    pub(crate) slow: bool,
}

/// How the running site is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Asking {
    /// Address to ask at, instead of the listeners' own
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// Roots to judge the certificate by, PEM, instead of `edge.acme.ca_file` and the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File with a key of the gateway: a short answer is asked for, to see it arrive piece by piece
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Model to ask, instead of the first that is listed
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeApply {
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeCert {
    #[command(flatten)]
    pub(crate) from: From,
    /// Show what would be run, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeFirewall {
    #[command(flatten)]
    pub(crate) from: From,
    /// Load the rules, and take them back unless you confirm that you still get in
    #[arg(long)]
    pub(crate) apply: bool,
    /// How long to wait for the confirmation, such as 60s or 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = seconds, requires = "apply")]
    pub(crate) confirm_within: Duration,
    /// Load them also when they would shut out an ssh connection that is open now
    #[arg(long, requires = "apply")]
    pub(crate) anyway: bool,
    /// Be the process that takes the rules back; --apply starts it
    #[arg(long, hide = true, conflicts_with = "apply")]
    pub(crate) guard: bool,
}

/// `60`, `60s` or `5m`; long enough to try, short enough to be let in again.
fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=3_600) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a time from 1s to 60m".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct EdgeHost {
    /// Services [default: those that this machine has]
    #[arg(value_name = "SERVICE", value_parser = ["nginx", "certbot", "ollama"])]
    pub(crate) services: Vec<String>,
    /// Write the files; without it they are only shown
    #[arg(long)]
    pub(crate) apply: bool,
    /// Folder of the units [default: /etc/systemd/system]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeReport {
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) telling: Telling,
    /// Prove it from another network namespace, over a cable that is there for a second; needs root
    #[arg(long)]
    pub(crate) probe: bool,
    /// Be the process that looks from there; --probe starts it
    #[arg(long, hide = true, conflicts_with = "probe")]
    pub(crate) outside: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Compare what is served with what lies on the disk, and say how much life is left
    Check(CertCheck),
    /// certbot's deploy hook: test and reload nginx, and see the new certificate served
    Deploy(CertDeploy),
}

#[derive(Debug, Args)]
pub(crate) struct CertCheck {
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, Args)]
pub(crate) struct CertDeploy {
    #[command(flatten)]
    pub(crate) from: From,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Init {
    /// Where the configuration is written [default: /etc/gatehouse/gatehouse.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name under which people reach the service; may be given again. Without one it serves this machine alone
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,
    /// Who does HTTPS, and with which certificate [default: certbot]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) tls: Option<InitTls>,
    /// A certificate of your own, with its chain, PEM
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) certificate_key: Option<PathBuf>,
    /// Address for mail that the certificate authority is told
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Where Ollama answers [default: http://127.0.0.1:11434]
    #[arg(long, value_name = "URL")]
    pub(crate) ollama: Option<String>,
    /// A model to serve, as Ollama calls it, or PUBLIC=INTERNAL; may be given again. Without one: all
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Vec<String>,
    /// Address or network that may come; may be given again. Without one: everybody with a key
    #[arg(long, value_name = "NETWORK")]
    pub(crate) allow: Vec<String>,
    /// Who may open the chat page, which has no accounts [default: open with --allow, else password]
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) page: Option<InitPage>,
    /// A person or program that gets a key; may be given again [default: first]
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Vec<String>,
    /// Write although the file is there; the old one is kept beside it
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing: what no flag says takes its default
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Ask nothing, and print keys and paths as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who ends TLS, and with which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitTls {
    /// nginx, with certificates that certbot asks for and renews
    Certbot,
    /// nginx, with a certificate of your own
    Files,
    /// nobody: plain HTTP by nginx, for a network that you trust
    Off,
    /// this program itself, without nginx: `gatehouse up`
    Up,
}

/// Who may open the chat page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitPage {
    /// who has a key: its name and the key itself are asked for
    Password,
    /// everybody who may come
    Open,
    /// nobody: the API alone
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_people_write() {
        for (text, expected) in [
            ("60s", Some(60)),
            ("60", Some(60)),
            ("5m", Some(300)),
            ("60m", Some(3_600)),
            ("0", None),
            ("61m", None),
            ("1h", None),
            ("-1s", None),
            ("", None),
            ("99999999999999999999m", None),
        ] {
            assert_eq!(seconds(text).ok().map(|time| time.as_secs()), expected, "{text}");
        }
    }
}
