//! The command line of the edge: `gatehouse edge ...`, `gatehouse cert ...`, `gatehouse init`.
//!
//! Why here: see [`super`].

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

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
}

#[derive(Debug, Args)]
pub(crate) struct EdgeReport {
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) telling: Telling,
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

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where the configuration is written [default: /etc/gatehouse/gatehouse.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}
