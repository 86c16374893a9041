//! Clients that leave at a random moment, and what the upstream saw of it.
//!
//! Why here: "stop means stop" is a figure: the time from a client's last packet to the end of the work that was done for
//! it, over thousands of moments, and no work that nobody waits for afterwards.
//!
//! Never here: how the player notices; it reads its sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::figures::Times;
use super::target::Target;
use crate::control;
use crate::play::script::Pace;
use crate::play::state::unix_ms;

/// Clients at the same time.
const AT_ONCE: usize = 64;
/// The player keeps so many requests between two looks.
const BATCH: usize = 1_000;
/// The longest stay: a little more than an answer takes, so that some are left after their end.
const STAY_MAX: Duration = Duration::from_millis(180);
/// What is not over by then is a leak.
const SETTLE_MS: u64 = 5_000;
const TOKENS: usize = 24;

/// How the player has to answer: late enough to be left before the first byte, long enough to be left within.
pub const PACE: Pace = Pace { tokens: TOKENS, tokens_per_s: 200.0, first_delay_ms: 40, frames_per_write: 1 };

/// What happened to so many clients.
#[derive(Debug, Default)]
pub struct Left {
    /// From the client's leaving to the end of the upstream's request, of those that were being worked on.
    pub times: Times,
    pub clients: usize,
    /// Requests that the upstream still works on, though everybody has left.
    pub leaked: usize,
}

#[derive(Deserialize)]
struct Seen {
    body: String,
    ended_unix_ms: Option<f64>,
    end: Option<String>,
}

/// Lets so many clients come and leave. The player has to answer at [`PACE`].
pub async fn run(target: &Target, model: &str, control: SocketAddr, clients: usize) -> Result<Left> {
    let mut left = Left::default();
    control::order(control, "/keep", &json!({"records_max": BATCH * 2})).await?;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    while left.clients < clients {
        control::order(control, "/reset", &json!({})).await?;
        control::order(control, "/pace", &serde_json::to_value(PACE)?).await?;
        let batch = BATCH.min(clients - left.clients);
        let moments = leave(target, model, batch, &mut random).await?;
        settle(control).await?;
        left.count(&moments, control).await?;
        left.clients += batch;
    }
    control::order(control, "/keep", &json!({"records_max": 0})).await?;
    Ok(left)
}

/// When each client of a batch left, by its number.
async fn leave(target: &Target, model: &str, batch: usize, random: &mut Random) -> Result<Vec<f64>> {
    let plans: Vec<(Duration, bool)> =
        (0..batch).map(|_| (STAY_MAX.mul_f64(random.share()), random.share() < 0.75)).collect();
    let plans = Rc::new(plans);
    let mut tasks = JoinSet::new();
    for lane in 0..AT_ONCE {
        let (plans, target, model) = (Rc::clone(&plans), target.clone(), model.to_owned());
        tasks.spawn_local(async move {
            let mut moments = Vec::new();
            for (number, (stay, stream)) in plans.iter().enumerate().skip(lane).step_by(AT_ONCE) {
                moments.push((number, one(&target, &model, number, *stay, *stream).await?));
            }
            anyhow::Ok(moments)
        });
    }
    let mut moments = vec![0.0; batch];
    while let Some(done) = tasks.join_next().await {
        for (number, moment) in done.context("a client task")?? {
            if let Some(slot) = moments.get_mut(number) {
                *slot = moment;
            }
        }
    }
    Ok(moments)
}

/// Asks, stays, leaves; returns the moment.
async fn one(target: &Target, model: &str, number: usize, stay: Duration, stream: bool) -> Result<f64> {
    let until = Instant::now() + stay;
    let mut socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&target.asking(model, &mark(number), TOKENS, stream)).await?;
    let mut space = [0; 4 << 10];
    // Reads as clients do, so that the socket is closed by FIN and not, for unread bytes, by RST.
    let reading = async { while !matches!(socket.read(&mut space).await, Ok(0) | Err(_)) {} };
    tokio::select! {
        () = reading => {}
        () = sleep(until - Instant::now()) => {}
    }
    let moment = unix_ms();
    drop(socket);
    Ok(moment)
}

fn mark(number: usize) -> String {
    format!("client {number} leaves")
}

/// Waits until the upstream has nothing to do, or has had time enough for it.
async fn settle(control: SocketAddr) -> Result<()> {
    let wait = json!({"timeout_ms": SETTLE_MS, "in_flight_at_most": 0});
    control::order(control, "/wait", &wait).await.map(drop)
}

impl Left {
    async fn count(&mut self, moments: &[f64], control: SocketAddr) -> Result<()> {
        let seen: Vec<Seen> = serde_json::from_value(control::ask(control, "/requests").await?)?;
        let by_mark: HashMap<String, f64> =
            moments.iter().enumerate().map(|(number, moment)| (mark(number), *moment)).collect();
        for request in seen {
            let number = request.body.find("client ").and_then(|at| request.body.get(at..));
            let Some(text) = number.and_then(|text| text.split_once(" leaves")) else { continue };
            let moment = by_mark.get(&format!("{} leaves", text.0)).context("a request of nobody")?;
            match (request.end.as_deref(), request.ended_unix_ms) {
                (Some("aborted"), Some(ended)) => {
                    self.times.push(Duration::from_secs_f64((ended - moment).max(0.0) / 1e3));
                }
                (Some(_), _) => {}
                (None, _) => self.leaked += 1,
            }
        }
        ensure!(!self.times.is_empty(), "nobody was seen to leave");
        Ok(())
    }
}

/// Xorshift: the same moments in every run.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
