//! `gatehouse up`: a model, the gateway and the chat page on this machine, in one process.
//!
//! Why here: a first answer should need one command. What `up` runs are the same parts as a real installation, wired by
//! the same configuration types.
//!
//! Never here: a way around keys or limits. The page has a key of its own, and so has the person at the terminal.

mod child;
mod front;
mod home;
mod model;
mod plan;
mod screen;

use std::path::Path;

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
use crate::edge;
use crate::edge::front::{Front, Parts, Sockets};
use crate::folders::private_dir;
use crate::logging;
use crate::signals::{Request, Signals};
use crate::terminal::Terminal;

pub(super) async fn run(options: Up, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(mut plan) = Plan::read(&options, terminal)? else { return Ok(Outcome::Refused) };
    let home = Home::open(&plan.data_dir(&options)?)?;
    let front = plan.front(&options, home.dir())?;
    if let Some(front) = &front {
        edge::front::check(&front.site, &front.source)?;
    }
    logging::start(plan.log, Some(&home.log_file()))?;
    plan.report.iter().for_each(start::log_warnings);
    let mut signals = Signals::catch().context("cannot listen to signals")?;
    let sockets = front.as_ref().map(|front| Sockets::bind(&front.site)).transpose()?;
    let keys = plan::Keys { api: home.key("api")?, chat: home.key("chat")? };
    let runtime = tokio::select! {
        runtime = plan.runtime(&options, terminal) => runtime?,
        () = end_of(&mut signals) => return Ok(Outcome::Done),
    };
    let config = plan.gateway(&options, runtime.as_ref(), &keys, &home, front.as_ref());
    if let Some(folder) =
        config.audit.file.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty())
    {
        private_dir(folder)?;
    }
    let gateway = Gateway::start(config).await.context("the gateway did not start")?;
    gateway_command::announce(&gateway);
    let mut running = Running { front: None, site: None, gateway, runtime };
    let begun = async {
        let chat = plan.chat(&options, &running.gateway, &keys, front.as_ref())?;
        let open = front.is_some() && !chat.guarded;
        let site = Site::start(chat_command::checked(chat, home.dir())?).await?;
        let site = running.site.insert(site);
        if let (Some(plan), Some(sockets)) = (&front, sockets) {
            let parts = Parts {
                gateway: edge::front::Way::Within(running.gateway.entrance()),
                page: plan.has_page().then_some(site.address),
            };
            running.front = Some(Front::start(&plan.site, &plan.source, sockets, parts, terminal.clone())?);
        }
        let outside = running.front.as_ref().map(|running| screen::Outside {
            base: running.base(),
            page: front.as_ref().is_some_and(front::Front::has_page),
            open,
            words: running.first_words(),
        });
        let model = plan.example_model(running.runtime.as_ref());
        terminal.say(&screen::ready(
            &running.gateway,
            site,
            &keys,
            model.as_deref(),
            &home,
            outside.as_ref(),
        ));
        anyhow::Ok(())
    };
    let begun = begun.await;
    if begun.is_ok() {
        wait(&mut signals, &running, &plan).await;
    }
    stop(running, signals, terminal).await;
    begun.map(|()| Outcome::Done)
}

/// Everything that has to be ended.
struct Running {
    front: Option<Front>,
    site: Option<Site>,
    gateway: Gateway,
    runtime: Option<Runtime>,
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

/// Serves until told to end.
async fn wait(signals: &mut Signals, running: &Running, plan: &Plan) {
    loop {
        match signals.next().await {
            Request::End => return,
            Request::Upgrade => {
                tracing::warn!("`up` is not upgraded in place; end it and start it again");
            }
            Request::Reload => {
                // What `up` adds to a file (keys, upstream) is decided at start; log files are opened anew, and the
                // certificate's files are looked at.
                running.gateway.reopen_audit();
                running.front.iter().for_each(Front::reread);
                tracing::info!(file = ?plan.file(), "audit log opened anew; `up` reads its configuration at start only");
            }
        }
    }
}

async fn end_of(signals: &mut Signals) {
    while signals.next().await != Request::End {}
}

/// From the outside in, so that nothing is asked of a part that is gone. The front says what the parts behind still have
/// to say, so it goes last. A second signal ends at once.
async fn stop(running: Running, mut signals: Signals, terminal: &Terminal) {
    terminal.note("Ending: running answers may finish. Press Ctrl-C again to end at once.");
    let Running { front, site, gateway, runtime } = running;
    let orderly = async {
        front.iter().for_each(Front::close);
        if let Some(site) = site {
            site.end().await;
        }
        gateway.drain().await;
        if let Some(front) = front {
            front.end().await;
        }
        if let Some(child) = runtime.and_then(|runtime| runtime.child) {
            child.end().await;
        }
    };
    tokio::select! {
        () = orderly => {}
        () = end_of(&mut signals) => terminal.note("Ended at once."),
    }
}
