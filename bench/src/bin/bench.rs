//! `bench`: the same load on the played Ollama directly, through nginx as a plain proxy, and through Gatehouse with
//! keys, limits, audit and metrics on; round by round in turn, so that what drifts on the machine drifts for all.
//!
//! Why here: the order of runs, the processes and the table. What a round measures is in [`bench::load`].
//!
//! Never here: a figure that was not measured in this run. Any wrong status or lost token fails the whole run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bench::http1::Inbound;
use bench::load::run::{self, Held};
use bench::load::target::{Asks, Target};
use bench::machine::{self, Running};
use bench::play::script::Pace;
use bench::report::Table;
use clap::Parser;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

const MODEL: &str = "qwen3:32b";
const KEY: &str = "gh-bench-0123456789abcdefghijklmnopqrstuvwxyz";
/// SHA-256 of [`KEY`].
const KEY_DIGEST: &str = "sha256:1395386189bc56d29a4bc3086e64b63f3065914712301129a273136fcb3965b3";
const ANSWER_TOKENS: usize = 64;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    gatehouse: PathBuf,
    #[arg(long)]
    player: PathBuf,
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Folder for configuration, logs and the audit file of this run.
    #[arg(long)]
    folder: PathBuf,
    /// Fewer and shorter rounds: about two minutes.
    #[arg(long)]
    quick: bool,
    /// The processor of the proxies. The generator and the player stay where this process was started.
    #[arg(long)]
    proxy_processor: Option<usize>,
    /// Only sections whose title contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// How long and how much.
struct Size {
    rounds: usize,
    whole: Duration,
    paced_tokens: usize,
    flood_tokens: usize,
    slow_streams: usize,
}

impl Size {
    fn of(quick: bool) -> Self {
        if quick {
            let whole = Duration::from_millis(1_000);
            Self { rounds: 3, whole, paced_tokens: 100, flood_tokens: 500, slow_streams: 500 }
        } else {
            let whole = Duration::from_millis(2_000);
            Self { rounds: 7, whole, paced_tokens: 150, flood_tokens: 2_000, slow_streams: 1_000 }
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = bench(&arguments) => done,
            _ = terminate.recv() => bail!("stopped"),
            _ = tokio::signal::ctrl_c() => bail!("stopped"),
        }
    })
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let mut house = House::start(arguments).await?;
    let mut table = Table::default();
    let size = Size::of(arguments.quick);
    let began = Instant::now();
    let wanted = |title: &str| title.contains(&arguments.only);
    for (title, connections, prompt_bytes) in [
        ("json, 1 connection, 1 kB prompt", 1, 1_000),
        ("json, 64 connections, 1 kB prompt", 64, 1_000),
        ("json, 1 connection, 100 kB prompt", 1, 100_000),
        ("json, 8 connections, 100 kB prompt", 8, 100_000),
    ] {
        if wanted(title) {
            table.section(title.to_owned());
            house.json(&mut table, &size, connections, prompt_bytes).await?;
        }
    }
    if wanted("streams paced") {
        table.section("200 streams at 50 tokens/s".to_owned());
        let pace = Pace { tokens_per_s: 50.0, ..Pace::default() };
        house.streams(&mut table, &size, pace, size.paced_tokens, Duration::from_secs(1)).await?;
    }
    if wanted("streams flood") {
        table.section("200 streams without gaps".to_owned());
        let pace = Pace { frames_per_write: 16, ..Pace::default() };
        house.streams(&mut table, &size, pace, size.flood_tokens, Duration::ZERO).await?;
    }
    if wanted("memory") {
        table.section(format!("{} slow streams, 1 token/s", size.slow_streams));
        house.memory(&mut table, size.slow_streams).await?;
    }
    house.check()?;
    let kind = if arguments.quick { "quick run" } else { "full run" };
    let foot = format!(
        "{kind}: {} rounds in turn, {:.0} s. {}.\n",
        size.rounds,
        began.elapsed().as_secs_f64(),
        machine::description()
    );
    say(&format!("{}\n{foot}", table.markdown())).await
}

async fn say(text: &str) -> Result<()> {
    let mut stdout = tokio::io::stdout();
    stdout.write_all(text.as_bytes()).await?;
    Ok(stdout.flush().await?)
}

/// Everything that runs.
struct House {
    targets: [Target; 3],
    control: SocketAddr,
    // Ended in this order: proxies first.
    gatehouse: Running,
    nginx: Running,
    player: Running,
}

#[derive(Deserialize)]
struct Addresses {
    api: SocketAddr,
    control: SocketAddr,
}

impl House {
    async fn start(arguments: &Arguments) -> Result<Self> {
        let folder = &arguments.folder;
        std::fs::create_dir_all(folder)?;
        let log = folder.join("player.log");
        let options = ["--models", MODEL, "--records-max", "0"];
        let player = Running::start("the player", None, &arguments.player, &options, &log)?;
        let addresses = player_addresses(&log).await?;

        let nginx_address = free_address().await?;
        let file = folder.join("nginx.conf");
        std::fs::write(&file, nginx_configuration(folder, nginx_address, addresses.api))?;
        let options = ["-p", text(folder)?, "-c", text(&file)?];
        let on = arguments.proxy_processor;
        let nginx = Running::start("nginx", on, &arguments.nginx, &options, &folder.join("nginx.log"))?;

        let (api, admin) = (free_address().await?, free_address().await?);
        let file = folder.join("gateway.yaml");
        std::fs::write(&file, gateway_configuration(api, admin, addresses.api))?;
        let options = ["gateway", "--config", text(&file)?];
        let gatehouse =
            Running::start("gatehouse", on, &arguments.gatehouse, &options, &folder.join("gatehouse.log"))?;

        let target = |name, address, asks, key| Target { name, address, asks, key };
        let targets = [
            target("direct", addresses.api, Asks::Ollama, None),
            target("nginx", nginx_address, Asks::Ollama, None),
            target("gatehouse", api, Asks::OpenAi, Some(KEY.to_owned())),
        ];
        let mut house = Self { targets, control: addresses.control, gatehouse, nginx, player };
        for address in [nginx_address, api] {
            listens(address).await.with_context(|| format!("logs are in {}", folder.display()))?;
        }
        house.check()?;
        Ok(house)
    }

    fn check(&mut self) -> Result<()> {
        self.player.check()?;
        self.nginx.check()?;
        self.gatehouse.check()
    }

    fn process(&self, target: &str) -> Option<&Running> {
        match target {
            "nginx" => Some(&self.nginx),
            "gatehouse" => Some(&self.gatehouse),
            _ => None,
        }
    }

    fn cpu_s(&self, target: &str) -> Result<Option<f64>> {
        self.process(target).map(Running::cpu_s).transpose()
    }

    /// The targets, beginning with another one each round.
    fn turn(&self, round: usize) -> impl Iterator<Item = &Target> {
        self.targets.iter().cycle().skip(round % self.targets.len()).take(self.targets.len())
    }

    async fn json(
        &self,
        table: &mut Table,
        size: &Size,
        connections: usize,
        prompt_bytes: usize,
    ) -> Result<()> {
        self.pace(Pace::default()).await?;
        // Round 0 warms up and is thrown away.
        for round in 0..=size.rounds {
            for target in self.turn(round) {
                let request = target.request(MODEL, prompt_bytes, ANSWER_TOKENS, false);
                let before = self.cpu_s(target.name)?;
                let mut done = run::whole(target, request, connections, ANSWER_TOKENS, size.whole)
                    .await
                    .with_context(|| target.name)?;
                if round == 0 {
                    continue;
                }
                let requests = done.times.len() as f64;
                if let (Some(before), Some(after)) = (before, self.cpu_s(target.name)?) {
                    table.cost("CPU per request", "µs", target.name, (after - before) * 1e6 / requests);
                }
                table.cost("requests per second", "1/s", target.name, requests / done.seconds);
                table.time("p50", "µs", target.name, done.times.permille(500));
                table.time("p99", "µs", target.name, done.times.permille(990));
            }
        }
        Ok(())
    }

    async fn streams(
        &self,
        table: &mut Table,
        size: &Size,
        pace: Pace,
        tokens: usize,
        over: Duration,
    ) -> Result<()> {
        const STREAMS: usize = 200;
        self.pace(pace).await?;
        for round in 0..=size.rounds {
            for target in self.turn(round) {
                let request = target.request(MODEL, 1_000, tokens, true);
                let before = self.cpu_s(target.name)?;
                let mut done = run::streams(target, request, STREAMS, tokens, over)
                    .await
                    .with_context(|| target.name)?;
                if round == 0 {
                    continue;
                }
                if let (Some(before), Some(after)) = (before, self.cpu_s(target.name)?) {
                    let chunks = (STREAMS * tokens) as f64;
                    table.cost("CPU per chunk", "µs", target.name, (after - before) * 1e6 / chunks);
                }
                table.time("first token p50", "µs", target.name, done.to_first.permille(500));
                table.time("first token p99", "µs", target.name, done.to_first.permille(990));
                table.time("gap p99", "µs", target.name, done.gaps.permille(990));
            }
        }
        Ok(())
    }

    async fn memory(&self, table: &mut Table, streams: usize) -> Result<()> {
        self.pace(Pace { tokens_per_s: 1.0, ..Pace::default() }).await?;
        for target in &self.targets {
            let Some(process) = self.process(target.name) else { continue };
            let before = process.resident_bytes()?;
            let request = target.request(MODEL, 1_000, 600, true);
            let held = Held::open(target, request, streams, 600).await.with_context(|| target.name)?;
            // A few tokens on every stream, so that buffers have their usual size.
            sleep(Duration::from_secs(3)).await;
            let during = process.resident_bytes()?;
            held.close().await.with_context(|| target.name)?;
            table.cost("resident before", "MiB", target.name, before / f64::from(1 << 20));
            table.cost(
                "resident per stream",
                "KiB",
                target.name,
                (during - before) / 1024.0 / streams as f64,
            );
        }
        Ok(())
    }

    async fn pace(&self, pace: Pace) -> Result<()> {
        let body = serde_json::to_string(&pace)?;
        let mut stream = TcpStream::connect(self.control).await?;
        let head = format!("POST /pace HTTP/1.1\r\nhost: control\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await?;
        let answer = Inbound::default().answer(&mut stream).await?;
        ensure!(answer.status == 200, "the player refuses the pace");
        Ok(())
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

async fn listens(address: SocketAddr) -> Result<()> {
    for _ in 0..250 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("nothing listens on {address}")
}

async fn player_addresses(log: &Path) -> Result<Addresses> {
    for _ in 0..250 {
        if let Ok(addresses) = serde_json::from_str(&std::fs::read_to_string(log)?) {
            return Ok(addresses);
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the player does not start; see {}", log.display())
}

/// nginx at its best for this path: no log, no buffering, connections kept, bodies in memory.
fn nginx_configuration(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    client_body_buffer_size 1m; client_max_body_size 32m;
    keepalive_requests 100000000; tcp_nodelay on;
    upstream played {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
    server {{
        listen {listen} backlog=4096;
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
fn gateway_configuration(listen: SocketAddr, admin: SocketAddr, upstream: SocketAddr) -> String {
    serde_json::json!({
        "listen": listen.to_string(),
        "admin_listen": admin.to_string(),
        "ollama_api": format!("http://{upstream}"),
        "auth": {"enabled": true, "header_key": "X-Api-Key", "keys": [{"id": "bench", "digest": KEY_DIGEST}]},
        "rate_limit": {"enabled": true, "max_requests": 1_000_000, "window_seconds": 60},
        "input": {"prompt_chars": 1_000_000},
        "audit": {"file": "audit.jsonl"},
    })
    .to_string()
}
