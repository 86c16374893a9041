//! The command line.
//!
//! Why here: names, arguments and help texts in one place; what commands do is in [`crate::commands`].
//!
//! Never here: work.

mod edge;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::profile::{self, Profile};

pub(crate) use edge::{
    Asking, Cert, CertCheck, CertDeploy, Edge, EdgeApply, EdgeAssets, EdgeCert, EdgeCheck, EdgeFirewall,
    EdgeHost, EdgeNginx, EdgeReport, From, Init, InitPage, InitTls,
};

const EXAMPLES: &str = "\
Examples:
  gatehouse up                                  a model, the gateway and a chat page on this machine
  gatehouse check gateway.yaml chat.yaml        every mistake of both files, with line and remedy
  gatehouse keys new --id alice                 a key, and the lines for the configuration
  gatehouse gateway --config gateway.yaml       the gateway alone, for a service manager

Exit codes: 0 ended well, 1 a configuration has errors, 2 wrong command line, 3 could not start or failed.";

#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, about = "A gateway, a chat site and a small model for your own machines", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the program was asked to do.
#[derive(Debug)]
pub(crate) enum Invocation {
    Command(Command),
    Gateway { config: PathBuf, profile: Profile },
    Chat { config: PathBuf, gateway_config: Option<PathBuf>, profile: Profile },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything on this machine in one process: model, gateway, chat page
    #[command(
        after_help = "Examples:\n  gatehouse up\n  gatehouse up --model qwen3-0.6b --port 8081\n  gatehouse up --config gatehouse.yaml\n  gatehouse up --domain ai.example.com\n  gatehouse up --tls-cert chain.pem --tls-key key.pem"
    )]
    Up(Up),
    /// The gateway alone
    #[command(
        after_help = "Reads the file again on SIGHUP, hands over to the program as it is on the disk now on SIGUSR2, drains and ends on SIGTERM.\n\nExample:\n  gatehouse gateway --config /etc/gatehouse/gateway.yaml"
    )]
    Gateway(Role),
    /// The chat site alone
    #[command(after_help = "Example:\n  GATEHOUSE_API_KEY=gh_... gatehouse chat --config chat.yaml")]
    Chat(Role),
    /// Read configuration files and print everything that is wrong with them
    #[command(
        after_help = "Example:\n  gatehouse check gateway.yaml chat.yaml && systemctl reload gatehouse"
    )]
    Check {
        /// Files to read
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Make API keys and their digests
    #[command(subcommand)]
    Keys(Keys),
    /// Write a first configuration, with keys, and say what comes next
    #[command(
        after_help = "Asks on a terminal for what no flag says; `?` explains a question. Keys are shown once and stored as digests.\n\nExamples:\n  gatehouse init\n  gatehouse init --yes --domain ai.example.com --email ops@example.com --key alice --key batch\n  gatehouse init --json --config ./gatehouse.yaml"
    )]
    Init(Init),
    /// What stands in front: nginx, HTTPS, the firewall
    #[command(subcommand)]
    Edge(Edge),
    /// The certificate: served, on the disk, and how long it lives
    #[command(subcommand)]
    Cert(Cert),
    /// The embedded small model
    #[command(subcommand)]
    Engine(Engine),
    /// Print what the program's own tables say: configuration keys, the API, manual pages, completions
    #[command(after_help = "Without a page it prints `config`.")]
    Reference {
        #[command(subcommand)]
        page: Option<Page>,
    },
}

/// What `reference` can print.
#[derive(Debug, Subcommand)]
pub(crate) enum Page {
    /// Every configuration key, as Markdown
    Config,
    /// The description of the API, as OpenAPI 3.1
    Openapi,
    /// The routes of the API, as a table
    Routes,
    /// Which dialect reaches which upstream how, as a table
    Lanes,
    /// What `gatehouse edge check` looks at, as a table
    Facts,
    /// A manual page
    #[command(
        after_help = "Examples:\n  gatehouse reference man gatehouse.yaml | man -l -\n  gatehouse reference man --into ./man"
    )]
    Man {
        /// Page, such as `gatehouse-keys-new` or `gatehouse.yaml`
        #[arg(default_value = "gatehouse")]
        name: String,
        /// Write every page into this folder instead
        #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
        into: Option<PathBuf>,
    },
    /// What a shell reads to complete the command's line
    #[command(after_help = "Example:\n  source <(gatehouse reference completions bash)")]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
        /// Command that is completed
        #[arg(long, value_name = "COMMAND", default_value = "gatehouse", value_parser = ["gatehouse", "qwen-gateway", "clawdbot"])]
        of: String,
    },
}

/// Shells whose completions are packaged.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl std::convert::From<Shell> for clap_complete::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

/// The commands under their three names.
pub(crate) fn commands() -> Vec<clap::Command> {
    vec![Cli::command(), SeedGateway::command(), SeedChat::command()]
}

#[derive(Debug, Args)]
pub(crate) struct Role {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Configuration file with a section `gateway`, `chat` or both; what it leaves out takes its defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Port of the chat page on 127.0.0.1 [default: 8080]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Port of the gateway on 127.0.0.1 [default: 18789]
    #[arg(long, value_name = "PORT")]
    pub(crate) gateway_port: Option<u16>,
    /// Model of the embedded engine, used when no Ollama answers on this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Use the embedded engine even when Ollama answers
    #[arg(long)]
    pub(crate) engine: bool,
    /// Folder for keys, conversations, audit records and logs [default: $XDG_DATA_HOME/gatehouse]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Serve HTTPS under this name, with a certificate from Let's Encrypt or `edge.acme.directory`; may be given again
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,
    /// Serve HTTPS with this certificate and its chain, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve HTTPS as the configuration's `edge` section says
    #[arg(long)]
    pub(crate) https: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key; it is printed once and stored nowhere
    #[command(after_help = "Example:\n  gatehouse keys new --id chat --speaks-for-users")]
    New {
        /// Name in logs and audit records [default: the id inside the key]
        #[arg(long)]
        id: Option<String>,
        /// The key may name users in `X-User-Id`
        #[arg(long)]
        speaks_for_users: bool,
    },
    /// Print the digest of a key read from standard input
    #[command(after_help = "Example:\n  gatehouse keys digest < key.txt")]
    Digest,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Engine {
    /// Serve a model in Ollama's format on a loopback port
    Serve(EngineServe),
    /// Fetch the weights of a model
    Pull {
        /// Name from `gatehouse engine list`
        #[arg(value_name = "NAME", default_value = DEFAULT_MODEL)]
        model: String,
    },
    /// The models that can be fetched
    List,
}

#[derive(Debug, Args)]
pub(crate) struct EngineServe {
    /// Model to serve
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MODEL)]
    pub(crate) model: String,
    /// Weights file to serve instead of a fetched one
    #[arg(long, value_name = "FILE")]
    pub(crate) model_file: Option<PathBuf>,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Requests that run at once
    #[arg(long, default_value_t = DEFAULT_SLOTS)]
    pub(crate) slots: usize,
    /// Processor threads [default: one less than there are]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// End when standard input closes, so that a child never outlives its parent
    #[arg(long)]
    pub(crate) with_parent: bool,
}

/// The model that `up` uses unless told otherwise: small enough to be there within seconds.
pub(crate) const DEFAULT_MODEL: &str = "smollm2-135m";
/// What two cores carry without stopping each other.
pub(crate) const DEFAULT_SLOTS: usize = 4;

/// The command of the seed profile's gateway.
#[derive(Debug, Parser)]
#[command(
    name = "qwen-gateway",
    version,
    about = "The gateway, with the configuration file of the seed profile"
)]
struct SeedGateway {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// The command of the seed profile's chat.
#[derive(Debug, Parser)]
#[command(
    name = "clawdbot",
    version,
    about = "The chat site, with the configuration file of the seed profile"
)]
struct SeedChat {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The gateway's configuration file on this machine, read for a key when no other is given
    #[arg(long, value_name = "FILE")]
    gateway_config: Option<PathBuf>,
}

/// Reads the arguments under the name that the program was called by.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let (profile, args) = profile::split(args.collect());
    match profile {
        Profile::Native => Cli::try_parse_from(args).map(|cli| Invocation::Command(cli.command)),
        Profile::QwenGateway => {
            let SeedGateway { config } = SeedGateway::try_parse_from(args)?;
            Ok(Invocation::Gateway { config, profile })
        }
        Profile::Clawdbot => {
            let SeedChat { config, gateway_config } = SeedChat::try_parse_from(args)?;
            Ok(Invocation::Chat { config, gateway_config, profile })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(line: &str) -> Result<Invocation, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_definitions_are_sound() {
        for command in commands() {
            command.debug_assert();
        }
    }

    #[test]
    fn the_name_decides() {
        for (line, profile) in [
            ("qwen-gateway --config /etc/qwen-gateway/config.yaml", Profile::QwenGateway),
            ("/usr/local/bin/qwen-gateway --config a", Profile::QwenGateway),
            ("gatehouse --as qwen-gateway --config a", Profile::QwenGateway),
        ] {
            assert!(
                matches!(invocation(line), Ok(Invocation::Gateway { profile: p, .. }) if p == profile),
                "{line}"
            );
        }
        for line in ["./clawdbot --config config.yaml", "gatehouse --as clawdbot --config config.yaml"] {
            assert!(
                matches!(invocation(line), Ok(Invocation::Chat { profile: Profile::Clawdbot, .. })),
                "{line}"
            );
        }
        assert!(matches!(invocation("gatehouse up"), Ok(Invocation::Command(Command::Up(_)))));
    }

    #[test]
    fn wrong_lines_are_refused_with_code_two() {
        for line in [
            "gatehouse",
            "gatehouse fly",
            "gatehouse check",
            "gatehouse gateway",
            "qwen-gateway",
            "clawdbot up",
        ] {
            assert_eq!(invocation(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
