//! `gatehouse engine`: the embedded model as a process of its own, and its weights.
//!
//! Why here: `up` starts this command as a child, so that a fault in native code ends the child and nothing else.
//!
//! Never here: weights of unknown origin; the engine's table of digests decides.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use engine::ServeOptions;
use engine::weights::{self, CacheState, Listed, Weights};

use crate::Outcome;
use crate::cli::{Engine, EngineServe};
use crate::config::LogSettings;
use crate::logging;
use crate::signals::{Request, Signals};
use crate::terminal::Terminal;

/// Tokens of prompt and answer together, for each request that runs.
const CONTEXT_TOKENS: usize = 2_048;
/// The gateway queues; what waits here has already been let through.
const QUEUE_MAX: usize = 16;
/// Begins the line on standard output that tells a parent where the engine listens.
pub(super) const READY: &str = "ready ";

pub(super) fn run(command: Engine, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match command {
        Engine::Serve(options) => super::serve(serve(options, terminal.clone())),
        Engine::Pull { model } => {
            let file = pull(&model)?;
            terminal.say(&file.display().to_string());
            Ok(Outcome::Done)
        }
        Engine::List => {
            for listed in weights::list(&cache_dir()?) {
                terminal.say(&row(&listed));
            }
            Ok(Outcome::Done)
        }
    }
}

/// The weights of a model, fetched if they are not there yet.
pub(super) fn pull(model: &str) -> anyhow::Result<PathBuf> {
    let mut progress = weights::progress_for_stderr();
    Ok(weights::pull(known(model)?.id, &cache_dir()?, &mut *progress)?)
}

/// A row of the table of models, or an error that lists what there is.
pub(super) fn known(model: &str) -> anyhow::Result<&'static Weights> {
    Weights::find(model).with_context(|| {
        let names: Vec<_> = weights::TABLE.iter().map(|w| w.id).collect();
        format!("the engine knows no model `{model}`; there are: {}", names.join(", "))
    })
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    weights::default_cache_dir().context("no folder for weights: set HOME or XDG_CACHE_HOME")
}

fn row(listed: &Listed) -> String {
    let Weights { id, bytes, licence, title, .. } = listed.weights;
    let state = match listed.state {
        CacheState::Absent => "not fetched".to_owned(),
        CacheState::Partial(there) => format!("{} MB fetched", there / 1_000_000),
        CacheState::Present => listed.path.display().to_string(),
    };
    format!("{id:22} {:>5} MB  {licence:12} {title}: {state}", bytes / 1_000_000)
}

async fn serve(options: EngineServe, terminal: Terminal) -> anyhow::Result<Outcome> {
    logging::start(LogSettings { level: "info", json: false }, None)?;
    let (model_file, model_name) = model(&options)?;
    let serve = ServeOptions {
        listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), options.port),
        model_file,
        model_name,
        slots: options.slots,
        context_per_slot: CONTEXT_TOKENS,
        threads: options.threads.unwrap_or_else(engine::threads_by_default),
        queue_max: QUEUE_MAX,
    };
    let ready = |address: SocketAddr| terminal.say(&format!("{READY}{address}"));
    engine::serve(serve, ready, told_to_end(options.with_parent)?).await?;
    Ok(Outcome::Done)
}

fn model(options: &EngineServe) -> anyhow::Result<(PathBuf, String)> {
    match &options.model_file {
        Some(file) => Ok((file.clone(), stem(file))),
        None => Ok((pull(&options.model)?, known(&options.model)?.model_name.to_owned())),
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// A signal, or the end of the parent: its end of our standard input closes however it dies.
fn told_to_end(with_parent: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = Signals::catch().context("cannot listen to signals")?;
    Ok(async move {
        let parent_gone = async {
            if with_parent {
                let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let signalled = async { while signals.next().await != Request::End {} };
        tokio::select! {
            () = parent_gone => {}
            () = signalled => {}
        }
    })
}
