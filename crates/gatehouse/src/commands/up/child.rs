//! The engine as a child process: started, watched, started again, never left behind.
//!
//! Why here: native code may crash or hang. The gateway then sees a dead upstream and says so; this brings it back on the
//! same port.
//!
//! The child ends when its standard input closes, which the kernel does for us however this process dies.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::commands::ask;
use crate::commands::engine::READY;

/// Large weights on a slow disk need a while to load.
const START_MAX: Duration = Duration::from_secs(120);
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// A single lost check is no proof; the engine answers this one even while it computes.
const CHECKS_LOST_MAX: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A child that ran this long was healthy; its end is a new story.
const STEADY: Duration = Duration::from_secs(60);
/// Answers in the making are over by now, so the child has nothing to finish.
const END_MAX: Duration = Duration::from_secs(8);

/// A child and the task that looks after it.
pub(super) struct Supervised {
    address: SocketAddr,
    keeper: JoinHandle<()>,
    end: tokio::sync::oneshot::Sender<()>,
}

struct Running {
    child: Child,
    // Held apart from the child: waiting for a child closes its input, which is the signal to end.
    input: Option<ChildStdin>,
    // Read to its end, so that the child never writes into a closed pipe.
    output: Lines<BufReader<ChildStdout>>,
    since: Instant,
}

#[derive(Clone, Copy)]
struct Job {
    model: &'static str,
    slots: usize,
}

impl Supervised {
    /// Starts the child and waits until it answers.
    pub(super) async fn start(model: &'static str, slots: usize) -> anyhow::Result<Self> {
        let job = Job { model, slots };
        let (running, address) = start(job, 0).await?;
        let (end, ended) = tokio::sync::oneshot::channel();
        let keeper = tokio::spawn(async move {
            keep(job, running, address, ended).await;
        });
        Ok(Self { address, keeper, end })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the child, by force if it does not go.
    pub(super) async fn end(self) {
        let _ = self.end.send(());
        if let Err(error) = self.keeper.await {
            tracing::error!(%error, "the engine's keeper ended badly");
        }
    }
}

async fn start(job: Job, port: u16) -> anyhow::Result<(Running, SocketAddr)> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    // The first argument decides the profile; a child is always the native program.
    command.arg0("gatehouse").args(["engine", "serve", "--with-parent", "--model", job.model]);
    command.args(["--port", &port.to_string(), "--slots", &job.slots.to_string()]);
    let (running, address) = begin(command).await?;
    tracing::info!(%address, model = job.model, "the engine answers");
    Ok((running, address))
}

/// Runs the command until it has said where it listens.
async fn begin(mut command: Command) -> anyhow::Result<(Running, SocketAddr)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C on the terminal is for the parent: it lets answers finish first.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start the engine")?;
    if let Some(errors) = child.stderr.take() {
        tokio::spawn(log_lines(BufReader::new(errors).lines()));
    }
    let input = child.stdin.take();
    let output = child.stdout.take().context("the engine has no standard output")?;
    let mut output = BufReader::new(output).lines();
    let ready = tokio::time::timeout(START_MAX, ready_line(&mut output)).await;
    let address = ready.context("the engine did not load its model in time")??;
    Ok((Running { child, input, output, since: Instant::now() }, address))
}

async fn ready_line(output: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<SocketAddr> {
    while let Some(line) = output.next_line().await? {
        if let Some(address) = line.strip_prefix(READY) {
            return address.parse().context("the engine stated a strange address");
        }
    }
    anyhow::bail!("the engine ended while it started; the log says why")
}

async fn log_lines(mut lines: Lines<BufReader<tokio::process::ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(target: "engine", "{line}");
    }
}

async fn keep(job: Job, first: Running, address: SocketAddr, mut ended: tokio::sync::oneshot::Receiver<()>) {
    let mut running = first;
    let mut backoff = BACKOFF_MIN;
    loop {
        tokio::select! {
            _ = &mut ended => return stop(running).await,
            () = failed(&mut running, address) => {}
        }
        if running.since.elapsed() > STEADY {
            backoff = BACKOFF_MIN;
        }
        stop(running).await;
        running = loop {
            tracing::warn!(seconds = backoff.as_secs(), "the engine is started again after a pause");
            tokio::select! {
                _ = &mut ended => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
            // The same port: the gateway's configuration names it.
            match start(job, address.port()).await {
                Ok((running, _)) => break running,
                Err(error) => tracing::error!("{error:#}"),
            }
        };
    }
}

/// Returns when the child has ended or no longer answers.
async fn failed(running: &mut Running, address: SocketAddr) {
    let mut lost = 0;
    loop {
        tokio::select! {
            status = running.child.wait() => return told(status),
            line = running.output.next_line() => {
                if !matches!(line, Ok(Some(_))) {
                    // Closed output comes just before the end; a child that lives on without it is ended by the caller.
                    if let Ok(status) = tokio::time::timeout(END_MAX, running.child.wait()).await {
                        told(status);
                    }
                    return;
                }
            }
            () = tokio::time::sleep(CHECK_EVERY) => {
                lost = if ask::version(&address.to_string()).await.is_some() { 0 } else { lost + 1 };
                if lost >= CHECKS_LOST_MAX {
                    tracing::error!("the engine no longer answers and is ended");
                    return;
                }
            }
        }
    }
}

fn told(status: std::io::Result<std::process::ExitStatus>) {
    match status {
        Ok(status) => tracing::error!(%status, "the engine ended"),
        Err(error) => tracing::error!(%error, "the engine cannot be watched"),
    }
}

/// Closing its input asks the child to end; a child that hangs is killed.
async fn stop(mut running: Running) {
    drop(running.input.take());
    if tokio::time::timeout(END_MAX, running.child.wait()).await.is_err() {
        tracing::warn!("the engine did not end by itself and is killed");
        if let Err(error) = running.child.kill().await {
            tracing::error!(%error, "the engine could not be killed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn shell(script: &str) -> anyhow::Result<(Running, SocketAddr)> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        begin(command).await
    }

    #[tokio::test]
    async fn watching_a_child_leaves_its_input_open() {
        let script = "echo loading; echo ready 127.0.0.1:9; read word; echo got $word; read more";
        let (mut running, address) = shell(script).await.unwrap();
        assert_eq!(address.port(), 9);
        tokio::select! {
            biased;
            ended = running.child.wait() => panic!("{ended:?}"),
            () = std::future::ready(()) => {}
        }
        running.input.as_mut().unwrap().write_all(b"alive\n").await.unwrap();
        assert_eq!(running.output.next_line().await.unwrap().unwrap(), "got alive");
        stop(running).await;
    }

    #[tokio::test]
    async fn closing_its_input_ends_it() {
        let (mut running, _) = shell("echo ready 127.0.0.1:9; cat >/dev/null; exit 7").await.unwrap();
        drop(running.input.take());
        assert_eq!(running.child.wait().await.unwrap().code(), Some(7));
        failed(&mut running, SocketAddr::from(([127, 0, 0, 1], 9))).await;
    }

    #[tokio::test]
    async fn a_child_that_never_gets_ready_is_an_error() {
        let error = shell("echo no model >&2; exit 3").await.err().unwrap();
        assert!(error.to_string().contains("ended while it started"), "{error}");
        assert!(shell("echo ready somewhere; cat").await.is_err());
    }
}
