//! The second port: orders in, observations out, JSON both ways.
//!
//! Why here: tests in any language steer the player by plain HTTP, without a library of ours.
//!
//! Never here: anything on the played API's port; a gateway under test must not be able to reach this by mistake.
//!
//! `POST /script` | `/pace` | `/capabilities` | `/keep {"records_max"}` | `/gate {"name"}` | `/listen` | `/wait` | `/reset`; `GET /state` | `/requests`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::script::{Listen, Pace, Script, Wait};
use super::state::State;
use crate::http1::Inbound;

const WAIT_MS_MAX: u64 = 60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    records_max: usize,
}

pub async fn serve(state: Rc<State>, listener: TcpListener, pace: Pace) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let state = Rc::clone(&state);
        spawn_local(async move {
            // A test that hangs up in the middle is its own affair.
            let _ = converse(&state, stream, pace).await;
        });
    }
}

async fn converse(state: &State, mut stream: TcpStream, pace: Pace) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut inbound = Inbound::default();
    while let Some(head) = inbound.request(&mut stream).await? {
        let body = inbound.body(&mut stream, head.framing).await?;
        let (status, value) = match obey(state, &head.method, &head.path, &body, pace).await {
            Ok(value) => (200, value),
            Err(error) => (400, json!({"error": format!("{error:#}")})),
        };
        let text = value.to_string();
        let whole = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(whole.as_bytes()).await?;
    }
    Ok(())
}

async fn obey(state: &State, method: &str, path: &str, body: &[u8], pace: Pace) -> Result<Value> {
    match (method, path) {
        ("POST", "/script") => state.order(parse::<Script>(body)?),
        ("POST", "/pace") => state.pace.set(parse::<Pace>(body)?),
        ("POST", "/capabilities") => {
            state.capabilities.replace(parse(body)?);
        }
        ("POST", "/keep") => state.records_max.set(parse::<Keep>(body)?.records_max),
        ("POST", "/gate") => state.open_gate(parse::<Gate>(body)?.name),
        ("POST", "/listen") => {
            state.listen.send_replace(parse::<Listen>(body)?);
        }
        ("POST", "/reset") => state.reset(pace),
        ("POST", "/wait") => return wait(state, &parse(body)?).await,
        ("GET", "/state") => return Ok(serde_json::to_value(state.counts.get())?),
        ("GET", "/requests") => return Ok(serde_json::to_value(state.records())?),
        _ => anyhow::bail!("no such order: {method} {path}"),
    }
    Ok(json!({}))
}

async fn wait(state: &State, wait: &Wait) -> Result<Value> {
    let began = Instant::now();
    let bound = Duration::from_millis(wait.timeout_ms.min(WAIT_MS_MAX));
    let met = timeout(bound, state.reached(wait)).await.is_ok();
    let waited_ms = began.elapsed().as_secs_f64() * 1e3;
    Ok(json!({"met": met, "waited_ms": waited_ms, "state": state.counts.get()}))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).context("the order")
}
