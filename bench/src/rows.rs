//! The rows of the table: for each, the load on every target in turn and the figures that it gives.
//!
//! Why here: what is compared, and how, stands in one place.
//!
//! Never here: processes, connections.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::house::{COMPATIBLE_MODEL, House, MODEL};
use crate::load::leave;
use crate::load::run::{self, Held};
use crate::load::target::{Asks, Target};
use crate::play::frames;
use crate::play::script::Pace;
use crate::play::vectors;
use crate::report::Table;

const ANSWER_TOKENS: usize = 64;

/// A client's dialect in front of an upstream's.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    pub name: &'static str,
    pub client: Asks,
    pub upstream: Asks,
    /// Which of the gateway's upstreams is asked.
    pub model: &'static str,
}

/// Every lane that can stream: one row each.
pub const LANES: [Lane; 12] = {
    use Asks::{Anthropic, Completions, Generate, Ollama, OpenAi, Responses};
    const fn native(name: &'static str, client: Asks, upstream: Asks) -> Lane {
        Lane { name, client, upstream, model: MODEL }
    }
    const fn compatible(name: &'static str, client: Asks, upstream: Asks) -> Lane {
        Lane { name, client, upstream, model: COMPATIBLE_MODEL }
    }
    [
        native("OpenAI chat on Ollama", OpenAi, Ollama),
        native("OpenAI completions on Ollama", Completions, Generate),
        native("OpenAI Responses on Ollama", Responses, Ollama),
        native("Anthropic on Ollama", Anthropic, Ollama),
        native("Ollama chat on Ollama", Ollama, Ollama),
        native("Ollama generate on Ollama", Generate, Generate),
        compatible("OpenAI chat on OpenAI (relay)", OpenAi, OpenAi),
        compatible("OpenAI completions on OpenAI (relay)", Completions, Completions),
        compatible("OpenAI Responses on OpenAI", Responses, OpenAi),
        compatible("Anthropic on OpenAI", Anthropic, OpenAi),
        compatible("Ollama chat on OpenAI", Ollama, OpenAi),
        compatible("Ollama generate on OpenAI", Generate, OpenAi),
    ]
};

/// A client's way of asking for vectors in front of an upstream's.
#[derive(Clone, Copy, Debug)]
pub struct VectorLane {
    pub name: &'static str,
    pub client: &'static str,
    pub upstream: &'static str,
    pub model: &'static str,
}

/// Every lane of vectors. The SDKs of OpenAI's dialect ask for base64.
pub const VECTOR_LANES: [VectorLane; 4] = {
    const OLLAMA: &str = "/api/embed";
    const OPENAI: &str = "/v1/embeddings";
    const fn lane(
        name: &'static str,
        client: &'static str,
        upstream: &'static str,
        model: &'static str,
    ) -> VectorLane {
        VectorLane { name, client, upstream, model }
    }
    [
        lane("OpenAI embeddings on Ollama", OPENAI, OLLAMA, MODEL),
        lane("Ollama embed on Ollama", OLLAMA, OLLAMA, MODEL),
        lane("OpenAI embeddings on OpenAI", OPENAI, OPENAI, COMPATIBLE_MODEL),
        lane("Ollama embed on OpenAI", OLLAMA, OPENAI, COMPATIBLE_MODEL),
    ]
};

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub rounds: usize,
    pub whole: Duration,
    pub paced_tokens: usize,
    pub flood_tokens: usize,
    pub slow_streams: [usize; 2],
    pub leaving: usize,
}

impl Size {
    pub fn of(quick: bool) -> Self {
        let whole = Duration::from_millis;
        if quick {
            Self {
                rounds: 3,
                whole: whole(1_000),
                paced_tokens: 100,
                flood_tokens: 500,
                slow_streams: [500, 1_500],
                leaving: 1_000,
            }
        } else {
            Self {
                rounds: 7,
                whole: whole(2_000),
                paced_tokens: 150,
                flood_tokens: 2_000,
                slow_streams: [1_000, 5_000],
                leaving: 10_000,
            }
        }
    }
}

impl House {
    pub async fn json(
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
                let text = (0..ANSWER_TOKENS).map(frames::text).collect();
                let mut done = run::whole(target, request, connections, text, size.whole)
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

    pub async fn streams(
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

    /// Streams without gaps in every dialect that a client can speak, in front of an upstream of one: the proxies beside it
    /// pass that upstream's own bytes.
    pub async fn lane(&self, table: &mut Table, size: &Size, lane: &Lane) -> Result<()> {
        const STREAMS: usize = 100;
        let tokens = size.flood_tokens / 2;
        self.pace(Pace { frames_per_write: 16, ..Pace::default() }).await?;
        for round in 0..=size.rounds {
            for target in self.turn(round) {
                let ours = target.name == "gatehouse";
                let asks = if ours { lane.client } else { lane.upstream };
                let target = Target { asks, ..target.clone() };
                let model = if ours { lane.model } else { MODEL };
                let request = target.request(model, 1_000, tokens, true);
                let before = self.cpu_s(target.name)?;
                run::streams(&target, request, STREAMS, tokens, Duration::ZERO)
                    .await
                    .with_context(|| format!("{}: {}", lane.name, target.name))?;
                if let (1.., Some(before), Some(after)) = (round, before, self.cpu_s(target.name)?) {
                    let chunks = (STREAMS * tokens) as f64;
                    table.cost("CPU per chunk", "µs", target.name, (after - before) * 1e6 / chunks);
                }
            }
        }
        Ok(())
    }

    /// Whole answers full of numbers; the proxies beside it pass the upstream's own.
    pub async fn vectors(&self, table: &mut Table, size: &Size, lane: &VectorLane) -> Result<()> {
        const CONNECTIONS: usize = 8;
        self.pace(Pace::default()).await?;
        for round in 0..=size.rounds {
            for target in self.turn(round) {
                let ours = target.name == "gatehouse";
                let (path, model) = if ours { (lane.client, lane.model) } else { (lane.upstream, MODEL) };
                let (body, text) = vectors::order(path, model);
                let before = self.cpu_s(target.name)?;
                let done = run::whole(target, target.post(path, &body), CONNECTIONS, text, size.whole)
                    .await
                    .with_context(|| format!("{}: {}", lane.name, target.name))?;
                if let (1.., Some(before), Some(after)) = (round, before, self.cpu_s(target.name)?) {
                    let requests = done.times.len() as f64;
                    table.cost("CPU per request", "µs", target.name, (after - before) * 1e6 / requests);
                }
            }
        }
        Ok(())
    }

    pub async fn memory(&self, table: &mut Table, streams: usize) -> Result<()> {
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

    /// From the start of the process to its first answer, and what it holds a second later.
    pub async fn starts(&self, table: &mut Table, size: &Size) -> Result<()> {
        self.pace(Pace::default()).await?;
        for _ in 0..size.rounds {
            for name in ["nginx", "gatehouse"] {
                let (ready, resident) = self.start_again(name).await?;
                table.cost("ready after", "ms", name, ready.as_secs_f64() * 1e3);
                table.cost("resident", "MiB", name, resident / f64::from(1 << 20));
            }
        }
        Ok(())
    }

    /// Clients that leave at random moments.
    pub async fn leaving(&self, table: &mut Table, size: &Size) -> Result<()> {
        for target in &self.targets {
            let mut left =
                leave::run(target, MODEL, self.control, size.leaving).await.with_context(|| target.name)?;
            table.cost("upstream told p50", "µs", target.name, left.times.permille(500));
            table.cost("upstream told p99", "µs", target.name, left.times.permille(990));
            table.cost("requests worked on for nobody", "", target.name, left.leaked as f64);
        }
        Ok(())
    }
}
