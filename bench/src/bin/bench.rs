//! `bench`: the same load on the played Ollama directly, through nginx as a plain proxy, and through Gatehouse with
//! keys, limits, audit and metrics on; and over TLS through nginx, the rendered site and `gatehouse up`. Round by round in
//! turn, so that what drifts on the machine drifts for all.
//!
//! Why here: the order of runs, the processes and the table. What a round measures is in [`bench::load`].
//!
//! Never here: a figure that was not measured in this run. Any wrong status or lost token fails the whole run.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use bench::edge::Edge;
use bench::house::{House, Programs};
use bench::https;
use bench::machine;
use bench::play::script::Pace;
use bench::report::{Form, Table};
use bench::rows::{LANES, Size, VECTOR_LANES};
use clap::Parser;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::Instant;

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

impl Arguments {
    fn programs(&self) -> Programs {
        Programs {
            gatehouse: self.gatehouse.clone(),
            player: self.player.clone(),
            nginx: self.nginx.clone(),
            folder: self.folder.clone(),
            proxy_processor: self.proxy_processor,
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
    let mut house = House::start(arguments.programs()).await?;
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
    for lane in &LANES {
        if wanted("lanes") || wanted(lane.name) {
            table.section(format!("lane: {}, 100 streams without gaps", lane.name));
            house.lane(&mut table, &size, lane).await?;
        }
    }
    for lane in &VECTOR_LANES {
        if wanted("lanes") || wanted(lane.name) {
            table.section(format!("lane: {}, 16 texts, 8 connections", lane.name));
            house.vectors(&mut table, &size, lane).await?;
        }
    }
    for streams in size.slow_streams {
        if wanted("memory") {
            table.section(format!("{streams} slow streams, 1 token/s"));
            house.memory(&mut table, streams).await?;
        }
    }
    if wanted("starts") {
        table.section("Start, and nothing to do".to_owned());
        house.starts(&mut table, &size).await?;
    }
    if wanted("leaving") {
        table.section(format!("{} clients leave at random moments", size.leaving));
        house.leaving(&mut table, &size).await?;
    }
    let mut secured = Table::of(Form::Https);
    if wanted("https") {
        let mut edge = Edge::start(&house).await?;
        https::all(&house, &edge, &mut secured, &size).await?;
        edge.check()?;
    }
    house.check()?;
    let kind = if arguments.quick { "quick run" } else { "full run" };
    let foot = format!(
        "{kind}: {} rounds in turn, {:.0} s. {}.\n",
        size.rounds,
        began.elapsed().as_secs_f64(),
        machine::description()
    );
    say(&format!("{}{}{foot}", table.markdown(), secured.markdown())).await
}

async fn say(text: &str) -> Result<()> {
    let mut stdout = tokio::io::stdout();
    stdout.write_all(text.as_bytes()).await?;
    Ok(stdout.flush().await?)
}
