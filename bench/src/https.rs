//! The rows of the table of HTTPS: what the edge costs beside nginx, on connections that are kept and on new ones.
//!
//! Why here: the rows over plain HTTP compare what Gatehouse does beside none at all; these compare ways to end TLS, whose
//! handshakes and records are the larger part.
//!
//! Never here: processes, connections.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::edge::Edge;
use crate::house::{House, MODEL};
use crate::load::run;
use crate::play::frames;
use crate::play::script::Pace;
use crate::report::Table;
use crate::rows::Size;

/// Of an answer to a request of the usual size.
const ANSWER_TOKENS: usize = 64;
/// A server has still to send its tickets when its client is through with the handshake.
const SHAKEN: Duration = Duration::from_millis(50);

/// Every section.
pub async fn all(house: &House, edge: &Edge, table: &mut Table, size: &Size) -> Result<()> {
    table.section("https: json, 64 connections, 1 kB prompt".to_owned());
    json(house, edge, table, size).await?;
    table.section("https: 200 streams at 50 tokens/s".to_owned());
    streams(house, edge, table, size).await?;
    table.section("https: new connections, 16 at once, one small request each".to_owned());
    handshakes(house, edge, table, size).await
}

/// Requests on kept connections; their handshakes are over before anything counts.
async fn json(house: &House, edge: &Edge, table: &mut Table, size: &Size) -> Result<()> {
    const CONNECTIONS: usize = 64;
    house.pace(Pace::default()).await?;
    // Round 0 warms up and is thrown away.
    for round in 0..=size.rounds {
        for target in edge.turn(round) {
            let request = target.request(MODEL, 1_000, ANSWER_TOKENS, false);
            let text = (0..ANSWER_TOKENS).map(frames::text).collect();
            let open = run::open(target, CONNECTIONS).await?;
            sleep(SHAKEN).await;
            let before = edge.cpu_s(target.name)?;
            let done = run::whole_on(open, request, text, size.whole).await;
            let mut done = done.with_context(|| target.name)?;
            if round == 0 {
                continue;
            }
            let spent = edge.cpu_s(target.name)? - before;
            let requests = done.times.len() as f64;
            table.cost("CPU per request", "µs", target.name, spent * 1e6 / requests);
            table.cost("requests per second", "1/s", target.name, requests / done.seconds);
            table.time("p50", "µs", target.name, done.times.permille(500));
            table.time("p99", "µs", target.name, done.times.permille(990));
        }
    }
    Ok(())
}

/// Streams on kept connections, at a pace that models have.
async fn streams(house: &House, edge: &Edge, table: &mut Table, size: &Size) -> Result<()> {
    const STREAMS: usize = 200;
    let tokens = size.paced_tokens;
    house.pace(Pace { tokens_per_s: 50.0, ..Pace::default() }).await?;
    for round in 0..=size.rounds {
        for target in edge.turn(round) {
            let request = target.request(MODEL, 1_000, tokens, true);
            let open = run::open(target, STREAMS).await?;
            sleep(SHAKEN).await;
            let before = edge.cpu_s(target.name)?;
            let done = run::streams_on(open, request, tokens, Duration::from_secs(1)).await;
            let mut done = done.with_context(|| target.name)?;
            if round == 0 {
                continue;
            }
            let spent = edge.cpu_s(target.name)? - before;
            let chunks = (STREAMS * tokens) as f64;
            table.cost("CPU per chunk", "µs", target.name, spent * 1e6 / chunks);
            table.time("first token p50", "µs", target.name, done.to_first.permille(500));
            table.time("first token p99", "µs", target.name, done.to_first.permille(990));
            table.time("gap p99", "µs", target.name, done.gaps.permille(990));
        }
    }
    Ok(())
}

/// A connection for each request; and the same request on kept ones, to tell what the connection costs. At most: a request
/// that comes alone costs more than one in a crowd.
///
/// No times: the clients' half of a handshake is the larger, and all of them share one processor with the player.
async fn handshakes(house: &House, edge: &Edge, table: &mut Table, size: &Size) -> Result<()> {
    const AT_ONCE: usize = 16;
    house.pace(Pace::default()).await?;
    for round in 0..=size.rounds {
        for target in edge.turn(round) {
            let request = target.request(MODEL, 100, 1, false);
            let open = run::open(target, AT_ONCE).await?;
            sleep(SHAKEN).await;
            let before = edge.cpu_s(target.name)?;
            let kept = run::whole_on(open, request.clone(), frames::text(0), size.whole / 2).await;
            let kept = kept.with_context(|| target.name)?;
            let between = edge.cpu_s(target.name)?;
            let fresh = run::fresh(target, request, AT_ONCE, frames::text(0), size.whole).await;
            let fresh = fresh.with_context(|| target.name)?;
            if round == 0 {
                continue;
            }
            let kept_us = (between - before) * 1e6 / kept.times.len() as f64;
            let fresh_us = (edge.cpu_s(target.name)? - between) * 1e6 / fresh.times.len() as f64;
            table.cost("CPU per connection and its request", "µs", target.name, fresh_us);
            table.cost("CPU per request on a kept connection", "µs", target.name, kept_us);
            table.cost("CPU per handshake at most, the difference", "µs", target.name, fresh_us - kept_us);
            table.cost(
                "connections per second",
                "1/s",
                target.name,
                fresh.times.len() as f64 / fresh.seconds,
            );
        }
    }
    Ok(())
}
