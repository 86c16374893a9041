//! Many connections at once for a bounded time or a bounded number of streams.
//!
//! Why here: the two shapes of load, each returning what the table needs.
//!
//! Never here: pace of the upstream, processes, CPU.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::Connection;
use super::figures::{StreamTimes, Times};
use super::target::Target;

/// Nothing in a run may take longer than this; a hang is a failure, not a slow figure.
const STREAM_TIME_MAX: Duration = Duration::from_secs(60);

pub struct Whole {
    pub times: Times,
    pub seconds: f64,
}

/// So many connections, one after the other.
pub async fn open(target: &Target, connections: usize) -> Result<Vec<Connection>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(timeout(STREAM_TIME_MAX, Connection::open(target)).await??);
    }
    Ok(open)
}

/// Requests one after the other on each of so many connections, for so long. Each answer has to hold the text.
pub async fn whole(
    target: &Target,
    request: Vec<u8>,
    connections: usize,
    text: String,
    time: Duration,
) -> Result<Whole> {
    whole_on(open(target, connections).await?, request, text, time).await
}

/// The same on connections that are open.
pub async fn whole_on(
    open: Vec<Connection>,
    request: Vec<u8>,
    text: String,
    time: Duration,
) -> Result<Whole> {
    let (request, text) = (Rc::new(request), Rc::new(text));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let (request, text) = (Rc::clone(&request), Rc::clone(&text));
        tasks.spawn_local(async move {
            let mut times = Times::default();
            while began.elapsed() < time {
                let sent = Instant::now();
                timeout(STREAM_TIME_MAX, connection.whole(&request, text.as_bytes())).await??;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    together(tasks, began).await
}

/// A connection of its own for each request, opened, asked once and closed; so many at the same time, for so long.
pub async fn fresh(
    target: &Target,
    request: Vec<u8>,
    at_once: usize,
    text: String,
    time: Duration,
) -> Result<Whole> {
    let (target, request, text) = (Rc::new(target.clone()), Rc::new(request), Rc::new(text));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (target, request, text) = (Rc::clone(&target), Rc::clone(&request), Rc::clone(&text));
        let once = async move || {
            let mut connection = Connection::open(&target).await?;
            connection.whole(&request, text.as_bytes()).await?;
            connection.close().await
        };
        tasks.spawn_local(async move {
            let mut times = Times::default();
            while began.elapsed() < time {
                let opened = Instant::now();
                timeout(STREAM_TIME_MAX, once()).await??;
                times.push(opened.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    together(tasks, began).await
}

async fn together(mut tasks: JoinSet<Result<Times>>, began: Instant) -> Result<Whole> {
    let mut all = Times::default();
    while let Some(done) = tasks.join_next().await {
        all.merge(done.context("a client task")??);
    }
    ensure!(!all.is_empty(), "no request was answered");
    Ok(Whole { times: all, seconds: began.elapsed().as_secs_f64() })
}

/// So many streams, started evenly over `over`, each on a connection of its own that is open beforehand.
pub async fn streams(
    target: &Target,
    request: Vec<u8>,
    streams: usize,
    tokens: usize,
    over: Duration,
) -> Result<StreamTimes> {
    streams_on(open(target, streams).await?, request, tokens, over).await
}

/// The same on connections that are open, one for each stream.
pub async fn streams_on(
    open: Vec<Connection>,
    request: Vec<u8>,
    tokens: usize,
    over: Duration,
) -> Result<StreamTimes> {
    let (request, streams) = (Rc::new(request), open.len());
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, mut connection) in open.into_iter().enumerate() {
        let request = Rc::clone(&request);
        tasks.spawn_local(async move {
            sleep_until(began + over.mul_f64(number as f64 / streams as f64)).await;
            let mut times = StreamTimes::default();
            timeout(STREAM_TIME_MAX, connection.streamed(&request, tokens, &mut times)).await??;
            anyhow::Ok(times)
        });
    }
    let mut all = StreamTimes::default();
    while let Some(done) = tasks.join_next().await {
        all.merge(done.context("a client task")??);
    }
    Ok(all)
}

/// Streams that stay open while something is measured.
pub struct Held {
    finish: Rc<Semaphore>,
    tasks: JoinSet<Result<()>>,
}

impl Held {
    /// Opens the streams and returns when each has shown its first token.
    pub async fn open(target: &Target, request: Vec<u8>, streams: usize, tokens: usize) -> Result<Self> {
        let request = Rc::new(request);
        let begun = Rc::new(Semaphore::new(0));
        let finish = Rc::new(Semaphore::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..streams {
            let mut connection = Connection::open(target).await?;
            let (request, begun, finish) = (Rc::clone(&request), Rc::clone(&begun), Rc::clone(&finish));
            tasks.spawn_local(async move {
                let mut times = StreamTimes { begun: Some(begun), ..StreamTimes::default() };
                tokio::select! {
                    read = connection.streamed(&request, tokens, &mut times) => read,
                    _ = finish.acquire() => Ok(()),
                }
            });
        }
        let all = u32::try_from(streams).context("streams")?;
        timeout(STREAM_TIME_MAX, begun.acquire_many(all)).await??.forget();
        Ok(Self { finish, tasks })
    }

    /// None may have failed or ended meanwhile.
    pub async fn close(mut self) -> Result<()> {
        if let Some(done) = self.tasks.try_join_next() {
            done.context("a client task")??;
            anyhow::bail!("a stream that should have stayed open ended");
        }
        self.finish.close();
        while let Some(done) = self.tasks.join_next().await {
            done.context("a client task")??;
        }
        Ok(())
    }
}
