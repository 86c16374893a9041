//! `soak`: everything that fills memory at once, each piece of it legal, against one Gatehouse with a bound on its buffers;
//! and beside it good clients, who must not notice.
//!
//! Why here: each bound is tested alone elsewhere. A process dies of their sum.
//!
//! Never here: how each of them fills memory; see [`bench::load::crowd`].

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bench::control;
use bench::house::{self, KEY, KEY_DIGEST, MODEL};
use bench::load::crowd::{Crowd, Size, good_clients};
use bench::load::target::{Asks, Target};
use bench::machine::Running;
use clap::Parser;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

/// The model whose server sends a line of this size and no line end.
const ENDLESS: &str = "endless:1b";
const LINE_BYTES: usize = 100 << 20;
const MIB: f64 = 1_048_576.0;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    gatehouse: PathBuf,
    #[arg(long)]
    player: PathBuf,
    #[arg(long)]
    folder: PathBuf,
    /// A twentieth of everything, within half a minute.
    #[arg(long)]
    short: bool,
    /// `memory.ceiling_bytes` of its configuration, and the resident memory that the process may never reach.
    #[arg(long, default_value_t = 256)]
    ceiling_mib: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = soak(&arguments) => done,
            _ = terminate.recv() => bail!("stopped"),
            _ = tokio::signal::ctrl_c() => bail!("stopped"),
        }
    })
}

async fn soak(arguments: &Arguments) -> Result<()> {
    let size = if arguments.short { Size::SHORT } else { Size::FULL };
    let mut scene = Scene::set(arguments, &size).await?;
    let empty_bytes = scene.gatehouse.resident_bytes()?;
    let target = Rc::new(scene.target.clone());
    let good = tokio::task::spawn_local(good_clients(target.clone(), MODEL, size.time));
    let crowd = tokio::task::spawn_local(Crowd::gather(target, size, MODEL, ENDLESS));
    let mut peak_bytes: f64 = 0.0;
    let began = Instant::now();
    while !(good.is_finished() && crowd.is_finished()) {
        scene.gatehouse.check()?;
        peak_bytes = peak_bytes.max(scene.gatehouse.resident_bytes()?);
        ensure!(
            peak_bytes < (arguments.ceiling_mib << 20) as f64,
            "{:.0} MiB resident after {:.1} s",
            peak_bytes / MIB,
            began.elapsed().as_secs_f64()
        );
        sleep(Duration::from_millis(50)).await;
    }
    let mut good = good.await?.context("a good client")?;
    let crowd = crowd.await?.context("the crowd")?;
    sleep(Duration::from_secs(2)).await;
    let after_bytes = scene.gatehouse.resident_bytes()?;
    let report = format!(
        "{crowd}\n\
         good clients: {} answers, p50 {:.0} ms, p99 {:.0} ms, slowest {:.0} ms\n\
         resident: {:.1} MiB before, {:.1} at most, {:.1} afterwards; ceiling {} MiB\n",
        good.len(),
        good.permille(500) / 1e3,
        good.permille(990) / 1e3,
        good.permille(1_000) / 1e3,
        empty_bytes / MIB,
        peak_bytes / MIB,
        after_bytes / MIB,
        arguments.ceiling_mib,
    );
    let mut stdout = tokio::io::stdout();
    stdout.write_all(report.as_bytes()).await?;
    stdout.flush().await?;
    Ok(())
}

/// Gatehouse with two servers behind it: one as it should be, one that never ends a line.
struct Scene {
    target: Target,
    gatehouse: Running,
    _players: [Running; 2],
}

impl Scene {
    async fn set(arguments: &Arguments, size: &Size) -> Result<Self> {
        let folder = &arguments.folder;
        std::fs::create_dir_all(folder)?;
        let player = async |name: &'static str, models: &str| {
            let log = folder.join(name);
            let options = ["--models", models, "--records-max", "0"];
            let process = Running::start(name, None, &arguments.player, &options, &log)?;
            anyhow::Ok((process, house::player_addresses(&log).await?))
        };
        let (good, good_at) = player("player", MODEL).await?;
        let (endless, endless_at) = player("endless-player", ENDLESS).await?;
        control::order(endless_at.control, "/script", &endless_line()).await?;
        let address = house::free_address().await?;
        let admin = house::free_address().await?;
        let configuration = json!({
            "listen": address.to_string(),
            "admin_listen": admin.to_string(),
            "upstreams": [
                {"name": "good", "url": format!("http://{}", good_at.api)},
                {"name": "endless", "url": format!("http://{}", endless_at.api)},
            ],
            "models": [{"name": MODEL, "upstream": "good"}, {"name": ENDLESS, "upstream": "endless"}],
            "auth": {"enabled": true, "header_key": "X-Api-Key", "keys": [{"id": "soak", "digest": KEY_DIGEST}]},
            "rate_limit": {"enabled": false},
            "input": {"connections": 3 * size.connections()},
            "memory": {"ceiling_bytes": arguments.ceiling_mib << 20},
            "audit": {"file": "audit.jsonl"},
        });
        let file = folder.join("gateway.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let options = ["gateway", "--config", house::text(&file)?];
        let log = folder.join("gatehouse.log");
        let gatehouse = Running::start("gatehouse", None, &arguments.gatehouse, &options, &log)?;
        house::listens(address).await.with_context(|| format!("see {}", log.display()))?;
        let key = Some(KEY.to_owned());
        let target = Target { name: "gatehouse", address, asks: Asks::OpenAi, key, tls: None };
        Ok(Self { target, gatehouse, _players: [good, endless] })
    }
}

fn endless_line() -> Value {
    let start = "{\"model\":\"endless:1b\",\"message\":{\"role\":\"assistant\",\"content\":\"";
    json!({
        "path": "/api/chat",
        "sticky": true,
        "answers": [{
            "headers": [["content-type", "application/x-ndjson"]],
            "steps": [{"text": start}, {"repeat": {"text": "x".repeat(1_024), "times": LINE_BYTES / 1_024}}],
        }],
    })
}
