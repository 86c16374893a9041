//! `play-ollama`: the played Ollama as a process of its own, so that it can be stopped, killed and left like one.
//!
//! Why here: the end-to-end tests and the benchmark start it and steer it over its control port.
//!
//! Never here: answers and faults; see [`bench::play`].

use std::net::SocketAddr;

use anyhow::Result;
use bench::play::script::Pace;
use bench::play::state::State;
use bench::play::{control, server};
use clap::Parser;
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;

/// Plays Ollama on loopback; prints one JSON line with its addresses when it listens.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Models that exist, by comma. None: every name is answered.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "completion,tools,thinking,vision")]
    capabilities: Vec<String>,
    #[arg(long, default_value_t = 8)]
    tokens: usize,
    /// 0: as fast as the reader takes them.
    #[arg(long, default_value_t = 0.0)]
    tokens_per_s: f64,
    #[arg(long, default_value_t = 0)]
    first_delay_ms: u64,
    /// Requests kept for inspection.
    #[arg(long, default_value_t = 10_000)]
    records_max: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // One thread: the counts need no locks, and the other cores belong to what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let pace = Pace {
        tokens: arguments.tokens,
        tokens_per_s: arguments.tokens_per_s,
        first_delay_ms: arguments.first_delay_ms,
        ..Pace::default()
    };
    let state = State::new(arguments.models, arguments.capabilities, pace, arguments.records_max);
    let api = server::bind(arguments.listen)?;
    let control = server::bind(arguments.control)?;
    let line = serde_json::json!({"api": api.local_addr()?, "control": control.local_addr()?});
    let mut stdout = tokio::io::stdout();
    stdout.write_all(format!("{line}\n").as_bytes()).await?;
    stdout.flush().await?;
    tokio::select! {
        served = server::serve(std::rc::Rc::clone(&state), api) => served,
        served = control::serve(state, control, pace) => served,
        signal = tokio::signal::ctrl_c() => Ok(signal?),
    }
}
