//! Clients that each hold as much memory as they may: silent ones, ones that never read, slow uploads, bodies of the
//! largest size, answers whose lines never end; and good clients beside them.
//!
//! Why here: each kind in one place, with what the gateway may answer it.
//!
//! Never here: what memory they took; the binary watches the process.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::connection::Connection;
use super::figures::{StreamTimes, Times};
use super::target::Target;
use crate::http1::Inbound;

/// The largest body that the gateway takes.
const BODY_BYTES: usize = 20 << 20;
/// What a slow upload announces; it sends a byte a second.
const SLOW_BODY_BYTES: usize = 1 << 20;
const GOOD_CLIENTS: usize = 4;
const GOOD_TOKENS: usize = 16;
/// Connections that are opened before the next look at the clock.
const OPENED_AT_ONCE: usize = 100;

/// How many of each, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub idle: usize,
    pub never_read: usize,
    pub slow_uploads: usize,
    pub bodies: usize,
    pub lines: usize,
    pub time: Duration,
}

impl Size {
    pub const FULL: Self = Self {
        idle: 10_000,
        never_read: 1_000,
        slow_uploads: 1_000,
        bodies: 500,
        lines: 20,
        time: Duration::from_secs(45),
    };
    pub const SHORT: Self = Self {
        idle: 500,
        never_read: 50,
        slow_uploads: 50,
        bodies: 25,
        lines: 5,
        time: Duration::from_secs(12),
    };

    pub fn connections(&self) -> usize {
        self.idle + self.never_read + self.slow_uploads + self.bodies + self.lines + GOOD_CLIENTS
    }
}

/// What became of them.
#[derive(Debug)]
pub struct Crowd {
    size: Size,
    bodies: Answers,
    lines: Answers,
}

/// Statuses of one kind of clients.
#[derive(Debug, Default)]
struct Answers {
    served: usize,
    refused: usize,
    closed: usize,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { idle, never_read, slow_uploads, bodies, lines, .. } = self.size;
        writeln!(f, "{idle} idle, {never_read} never reading, {slow_uploads} slow uploads, at once with")?;
        let of = |answers: &Answers| {
            format!("{} served, {} refused, {} closed", answers.served, answers.refused, answers.closed)
        };
        writeln!(f, "{bodies} bodies of 20 MiB: {}", of(&self.bodies))?;
        write!(f, "{lines} answers with a line of 100 MiB: {}", of(&self.lines))
    }
}

impl Crowd {
    /// Gathers everybody, stays for the time, and lets them go.
    pub async fn gather(
        target: Rc<Target>,
        size: Size,
        model: &'static str,
        endless: &'static str,
    ) -> Result<Self> {
        let until = Instant::now() + size.time;
        let mut held = JoinSet::new();
        for number in 0..size.idle {
            breathe(number).await;
            let target = Rc::clone(&target);
            held.spawn_local(async move { idle(&target, until).await });
        }
        for number in 0..size.never_read {
            breathe(number).await;
            let target = Rc::clone(&target);
            held.spawn_local(async move { never_reads(&target, model, until).await });
        }
        for number in 0..size.slow_uploads {
            breathe(number).await;
            let target = Rc::clone(&target);
            held.spawn_local(async move { slow_upload(&target, until).await });
        }
        let (mut bodies, mut lines) = (JoinSet::new(), JoinSet::new());
        let body: Rc<[u8]> = "x".repeat(BODY_BYTES).into_bytes().into();
        for _ in 0..size.bodies {
            let (target, body) = (Rc::clone(&target), Rc::clone(&body));
            bodies.spawn_local(async move { largest_body(&target, &body, until).await });
        }
        for _ in 0..size.lines {
            let target = Rc::clone(&target);
            lines.spawn_local(async move { long_line(&target, endless, until).await });
        }
        let (bodies, lines) = (count(bodies).await?, count(lines).await?);
        while let Some(done) = held.join_next().await {
            done.context("a client task")??;
        }
        Ok(Self { size, bodies, lines })
    }
}

/// Lets the others work: a thousand connections at one go overflow the listener's queue.
async fn breathe(number: usize) {
    if number.is_multiple_of(OPENED_AT_ONCE) {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn count(mut tasks: JoinSet<Result<Option<u16>>>) -> Result<Answers> {
    let mut answers = Answers::default();
    while let Some(done) = tasks.join_next().await {
        match done.context("a client task")?? {
            None => answers.closed += 1,
            Some(503) => answers.refused += 1,
            // A body of this size holds a prompt that is too long: understood and answered is served.
            Some(200 | 400) => answers.served += 1,
            Some(status) => bail!("an answer of {status}"),
        }
    }
    Ok(answers)
}

fn head(target: &Target, method: &str, path: &str, length: usize) -> String {
    let key = target.key.as_deref().unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n",
        target.address
    )
}

/// Asks once and stays: a kept connection holds more than a fresh one.
async fn idle(target: &Target, until: Instant) -> Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.write_all(head(target, "GET", "/v1/models", 0).as_bytes()).await?;
    let mut inbound = Inbound::default();
    let answer = inbound.answer(&mut socket).await?;
    ensure!(answer.status == 200, "an idle client was answered {}", answer.status);
    inbound.body(&mut socket, answer.framing).await?;
    inbound.buffer = bytes::BytesMut::new();
    sleep_until(until).await;
    Ok(())
}

/// Asks for a long answer and takes none of it. That the gateway ends it is right, too.
async fn never_reads(target: &Target, model: &str, until: Instant) -> Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.write_all(&target.request(model, 1_000, 50_000, true)).await?;
    sleep_until(until).await;
    Ok(())
}

async fn slow_upload(target: &Target, until: Instant) -> Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.write_all(head(target, "POST", "/v1/chat/completions", SLOW_BODY_BYTES).as_bytes()).await?;
    while Instant::now() < until {
        if socket.write_all(b" ").await.is_err() {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Sends all but the last byte, waits for the others, and ends. `None`: closed without an answer.
async fn largest_body(target: &Target, fill: &[u8], until: Instant) -> Result<Option<u16>> {
    let (start, end) = (r#"{"model":"m","messages":[{"role":"user","content":""#, r#""}]}"#);
    let mut socket = TcpStream::connect(target.address).await?;
    let (mut reader, mut writer) = socket.split();
    let fill = fill.get(start.len() + end.len()..).unwrap_or_default();
    let writing = async {
        writer.write_all(head(target, "POST", "/v1/chat/completions", BODY_BYTES).as_bytes()).await?;
        writer.write_all(start.as_bytes()).await?;
        writer.write_all(fill).await?;
        // Held until the middle of the run, so that all who got room hold it at once.
        sleep_until(until - (until - Instant::now()) / 2).await;
        writer.write_all(end.as_bytes()).await
    };
    let mut inbound = Inbound::default();
    let answering = async { inbound.answer(&mut reader).await.ok().map(|answer| answer.status) };
    tokio::pin!(answering);
    tokio::select! {
        answered = &mut answering => return Ok(answered),
        written = writing => if written.is_err() {
            // Refused while it was being sent: the answer may have come before the connection ended.
            return Ok(answering.await);
        },
    }
    timeout_at(until, answering).await.context("no answer to a whole body")
}

/// An answer whose upstream never ends its line: an error in the stream, or a status.
async fn long_line(target: &Target, model: &str, until: Instant) -> Result<Option<u16>> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.write_all(&target.request(model, 100, 16, true)).await?;
    let mut inbound = Inbound::default();
    let answer = timeout_at(until, inbound.answer(&mut socket)).await.context("no answer to a long line")?;
    match answer.map(|answer| answer.status) {
        Ok(502) => Ok(Some(503)),
        Ok(status) => Ok(Some(status)),
        Err(_) => Ok(None),
    }
}

/// Streams one after the other, each of them whole: a refusal or a lost token fails the run.
pub async fn good_clients(target: Rc<Target>, model: &'static str, time: Duration) -> Result<Times> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..GOOD_CLIENTS {
        let target = Rc::clone(&target);
        tasks.spawn_local(async move {
            let request = target.request(model, 1_000, GOOD_TOKENS, true);
            let mut times = Times::default();
            while Instant::now() < until {
                let began = Instant::now();
                let mut connection = Connection::open(&target).await?;
                connection.streamed(&request, GOOD_TOKENS, &mut StreamTimes::default()).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(done) = tasks.join_next().await {
        all.merge(done.context("a client task")??);
    }
    ensure!(!all.is_empty(), "no good client was served");
    Ok(all)
}
