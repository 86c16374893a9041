//! `gatehouse up`: a model, the gateway and the chat page on this machine, in one process.
//!
//! Why here: a first answer should need one command. What `up` runs are the same parts as a real installation, wired by
//! the same configuration types.
//!
//! Never here: a way around keys or limits. The page has a key of its own, and so has the person at the terminal.

mod child;
mod home;
mod model;
mod plan;
mod screen;

use anyhow::Context as _;
use gateway::Gateway;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::home::Home;
use self::model::Runtime;
use self::plan::Plan;
use super::{chat as chat_command, gateway as gateway_command, start};
use crate::Outcome;
use crate::chat::{self, ChatConfig, ChatError};
use crate::cli::Up;
use crate::logging;
use crate::signals::{Request, Signals};
use crate::terminal::Terminal;

pub(super) async fn run(options: Up, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(mut plan) = Plan::read(&options, terminal)? else { return Ok(Outcome::Refused) };
    let home = Home::open(&plan.data_dir(&options)?)?;
    logging::start(plan.log, Some(&home.log_file()))?;
    plan.report.iter().for_each(start::log_warnings);
    let mut signals = Signals::catch().context("cannot listen to signals")?;
    let keys = plan::Keys { api: home.key("api")?, chat: home.key("chat")? };
    let runtime = tokio::select! {
        runtime = plan.runtime(&options, terminal) => runtime?,
        () = end_of(&mut signals) => return Ok(Outcome::Done),
    };
    let config = plan.gateway(&options, runtime.as_ref(), &keys, &home);
    let gateway = Gateway::start(config).await.context("the gateway did not start")?;
    gateway_command::announce(&gateway);
    let chat = plan.chat(&options, &gateway, &keys)?;
    let chat = Site::start(chat_command::checked(chat, home.dir())?).await;
    let (ended, chat) = match chat {
        Ok(site) => {
            terminal.say(&screen::ready(
                &gateway,
                &site,
                &keys,
                plan.example_model(runtime.as_ref()).as_deref(),
                &home,
            ));
            (wait(&mut signals, &gateway, site, &plan).await, Ok(()))
        }
        Err(error) => (None, Err(error)),
    };
    stop(ended, gateway, runtime, signals, terminal).await;
    chat.map(|()| Outcome::Done)
}

/// The chat site as a task.
struct Site {
    address: std::net::SocketAddr,
    end: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ChatError>>,
}

impl Site {
    async fn start(config: ChatConfig) -> anyhow::Result<Self> {
        let (bound, address) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(chat::serve(
            config,
            |address| {
                let _ = bound.send(address);
            },
            async {
                let _ = ended.await;
            },
        ));
        match address.await {
            Ok(address) => Ok(Self { address, end, task }),
            // The sender went away unused: the task ended before it listened, and its result says why.
            Err(_) => {
                task.await.context("the chat page ended badly")??;
                anyhow::bail!("the chat page ended before it began")
            }
        }
    }

    async fn end(self) {
        let _ = self.end.send(());
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the chat page ended badly"),
            Err(error) => tracing::error!(%error, "the chat page ended badly"),
        }
    }
}

/// Serves until told to end. The site comes back to be ended in its turn.
async fn wait(signals: &mut Signals, gateway: &Gateway, site: Site, plan: &Plan) -> Option<Site> {
    loop {
        match signals.next().await {
            Request::End => return Some(site),
            Request::Upgrade => {
                tracing::warn!("`up` is not upgraded in place; end it and start it again");
            }
            Request::Reload => {
                // What `up` adds to a file (keys, upstream) is decided at start; only log files are opened anew.
                gateway.reopen_audit();
                tracing::info!(file = ?plan.file(), "audit log opened anew; `up` reads its configuration at start only");
            }
        }
    }
}

async fn end_of(signals: &mut Signals) {
    while signals.next().await != Request::End {}
}

/// From the outside in, so that nothing is asked of a part that is gone. A second signal ends at once.
async fn stop(
    site: Option<Site>,
    gateway: Gateway,
    runtime: Option<Runtime>,
    mut signals: Signals,
    terminal: &Terminal,
) {
    terminal.note("Ending: running answers may finish. Press Ctrl-C again to end at once.");
    let orderly = async {
        if let Some(site) = site {
            site.end().await;
        }
        gateway.drain().await;
        if let Some(child) = runtime.and_then(|runtime| runtime.child) {
            child.end().await;
        }
    };
    tokio::select! {
        () = orderly => {}
        () = end_of(&mut signals) => terminal.note("Ended at once."),
    }
}
