//! The processes of a run: the player, nginx as a plain proxy, Gatehouse with everything on; their configurations.
//!
//! Why here: the benchmark and the soak measure the same set-up.
//!
//! Never here: load, figures; TLS and what ends it, see [`crate::edge`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::certificate::Certificate;
use crate::control;
use crate::load::connection::Connection;
use crate::load::target::{self, Asks, Target};
use crate::machine::Running;
use crate::play::frames;
use crate::play::script::Pace;

pub const MODEL: &str = "qwen3:32b";
/// The same model on the same player, asked in OpenAI's dialect.
pub const COMPATIBLE_MODEL: &str = "compatible:32b";
pub const KEY: &str = "gh-bench-0123456789abcdefghijklmnopqrstuvwxyz";
/// SHA-256 of [`KEY`].
pub const KEY_DIGEST: &str = "sha256:1395386189bc56d29a4bc3086e64b63f3065914712301129a273136fcb3965b3";

/// Longer than this no proxy takes to start.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// Where the programs are, and where their files go.
#[derive(Clone, Debug)]
pub struct Programs {
    pub gatehouse: PathBuf,
    pub player: PathBuf,
    pub nginx: PathBuf,
    pub folder: PathBuf,
    /// The processor of the proxies.
    pub proxy_processor: Option<usize>,
}

/// Everything that runs.
#[derive(Debug)]
pub struct House {
    pub targets: [Target; 3],
    pub control: SocketAddr,
    pub programs: Programs,
    // Ended in this order: proxies first.
    gatehouse: Running,
    nginx: Running,
    player: Running,
}

/// Where a player listens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Addresses {
    pub api: SocketAddr,
    pub control: SocketAddr,
}

impl House {
    pub async fn start(programs: Programs) -> Result<Self> {
        let folder = &programs.folder.clone();
        std::fs::create_dir_all(folder)?;
        let log = folder.join("player.log");
        let options = ["--models", MODEL, "--records-max", "0"];
        let player = Running::start("the player", None, &programs.player, &options, &log)?;
        let addresses = player_addresses(&log).await?;

        let nginx_address = free_address().await?;
        let file = folder.join("nginx.conf");
        std::fs::write(&file, nginx_configuration(folder, nginx_address, addresses.api, None))?;
        let options = ["-p", text(folder)?, "-c", text(&file)?];
        let on = programs.proxy_processor;
        let nginx = Running::start("nginx", on, &programs.nginx, &options, &folder.join("nginx.log"))?;

        let (api, admin) = (free_address().await?, free_address().await?);
        let file = folder.join("gateway.yaml");
        std::fs::write(&file, gateway_configuration(api, admin, addresses.api).to_string())?;
        let options = ["gateway", "--config", text(&file)?];
        let gatehouse =
            Running::start("gatehouse", on, &programs.gatehouse, &options, &folder.join("gatehouse.log"))?;

        let target = |name, address, asks, key| Target { name, address, asks, key, tls: None };
        let targets = [
            target("direct", addresses.api, Asks::Ollama, None),
            target("nginx", nginx_address, Asks::Ollama, None),
            target("gatehouse", api, Asks::OpenAi, Some(KEY.to_owned())),
        ];
        let mut house = Self { targets, control: addresses.control, programs, gatehouse, nginx, player };
        for address in [nginx_address, api] {
            listens(address).await.with_context(|| format!("logs are in {}", folder.display()))?;
        }
        house.check()?;
        Ok(house)
    }

    pub fn check(&mut self) -> Result<()> {
        self.player.check()?;
        self.nginx.check()?;
        self.gatehouse.check()
    }

    pub fn process(&self, target: &str) -> Option<&Running> {
        match target {
            "nginx" => Some(&self.nginx),
            "gatehouse" => Some(&self.gatehouse),
            _ => None,
        }
    }

    pub fn cpu_s(&self, target: &str) -> Result<Option<f64>> {
        self.process(target).map(Running::cpu_s).transpose()
    }

    /// The targets, beginning with another one each round.
    pub fn turn(&self, round: usize) -> impl Iterator<Item = &Target> {
        target::turn(&self.targets, round)
    }

    /// How the player answers from now on.
    pub async fn pace(&self, pace: Pace) -> Result<()> {
        control::order(self.control, "/pace", &serde_json::to_value(pace)?).await.map(drop)
    }

    /// Starts each proxy anew on ports of its own and returns the time until it has answered a request, and what it holds then.
    pub async fn start_again(&self, name: &'static str) -> Result<(Duration, f64)> {
        let folder = self.programs.folder.join("again");
        std::fs::create_dir_all(&folder)?;
        let (upstream, mut target) = match &self.targets {
            [direct, nginx, _] if name == "nginx" => (direct.address, nginx.clone()),
            [direct, _, gatehouse] => (direct.address, gatehouse.clone()),
        };
        target.address = free_address().await?;
        let log = folder.join("again.log");
        let file = folder.join("configuration");
        let (program, options) = if name == "nginx" {
            std::fs::write(&file, nginx_configuration(&folder, target.address, upstream, None))?;
            (&self.programs.nginx, ["-p", text(&folder)?, "-c", text(&file)?])
        } else {
            let admin = free_address().await?;
            std::fs::write(&file, gateway_configuration(target.address, admin, upstream).to_string())?;
            (&self.programs.gatehouse, ["gateway", "--config", text(&file)?, "--"])
        };
        let options = options.iter().take_while(|option| **option != "--").copied().collect::<Vec<_>>();
        let request = target.request(MODEL, 100, 1, false);
        let began = Instant::now();
        let process = Running::start(name, self.programs.proxy_processor, program, &options, &log)?;
        while Instant::now() - began < READY_TIME_MAX {
            if let Ok(mut connection) = Connection::open(&target).await {
                connection.whole(&request, frames::text(0).as_bytes()).await?;
                let ready = began.elapsed();
                sleep(Duration::from_secs(1)).await;
                return Ok((ready, process.resident_bytes()?));
            }
            sleep(Duration::from_micros(500)).await;
        }
        bail!("{name} does not start; see {}", log.display())
    }
}

pub fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

pub async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

pub async fn listens(address: SocketAddr) -> Result<()> {
    for _ in 0..250 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("nothing listens on {address}")
}

pub async fn player_addresses(log: &Path) -> Result<Addresses> {
    for _ in 0..250 {
        if let Ok(addresses) = serde_json::from_str(&std::fs::read_to_string(log)?) {
            return Ok(addresses);
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the player does not start; see {}", log.display())
}

/// nginx at its best for this path: no log, no buffering, connections kept, bodies in memory; with a certificate TLS 1.3.
pub fn nginx_configuration(
    folder: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    certificate: Option<&Certificate>,
) -> String {
    let folder = folder.display();
    let (ssl, tls) = match certificate {
        None => ("", String::new()),
        Some(Certificate { chain, key, .. }) => {
            let (chain, key) = (chain.display(), key.display());
            (" ssl", format!("ssl_protocols TLSv1.3; ssl_certificate {chain}; ssl_certificate_key {key};"))
        }
    };
    format!(
        "daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
worker_processes 1;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    client_body_buffer_size 1m; client_max_body_size 32m;
    keepalive_requests 100000000; tcp_nodelay on;
    upstream played {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
    server {{
        listen {listen}{ssl} backlog=4096;
        {tls}
        location / {{
            proxy_pass http://played;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"
    )
}

/// Gatehouse as it is meant to run: keys, limits, audit to a file, metrics; only the bounds are out of the load's way.
pub fn gateway_configuration(listen: SocketAddr, admin: SocketAddr, upstream: SocketAddr) -> Value {
    serde_json::json!({
        "listen": listen.to_string(),
        "admin_listen": admin.to_string(),
        "upstreams": [
            {"name": "native", "url": format!("http://{upstream}"), "format": "ollama"},
            {"name": "compatible", "url": format!("http://{upstream}"), "format": "openai"},
        ],
        "models": [
            {"name": MODEL, "upstream": "native"},
            {"name": COMPATIBLE_MODEL, "internal": MODEL, "upstream": "compatible"},
        ],
        "auth": {"enabled": true, "header_key": "X-Api-Key", "keys": [{"id": "bench", "digest": KEY_DIGEST}]},
        "rate_limit": {"enabled": true, "max_requests": 1_000_000, "window_seconds": 60},
        "input": {"prompt_chars": 1_000_000},
        "audit": {"file": "audit.jsonl"},
    })
}
