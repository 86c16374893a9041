//! Who runs the model: Ollama where it answers, else the embedded engine as a child.
//!
//! Why here: the rest of `up` only sees an upstream; which of the two it is, is said plainly and then forgotten.

use http::uri::Authority;

use super::child::Supervised;
use crate::cli::{DEFAULT_MODEL, DEFAULT_SLOTS};
use crate::commands::{ask, engine};
use crate::terminal::Terminal;

const OLLAMA: &str = "127.0.0.1:11434";

/// A runtime that answers.
pub(super) struct Runtime {
    pub(super) name: &'static str,
    pub(super) authority: Authority,
    /// `None`: the runtime queues by itself, and its count is not known.
    pub(super) slots: Option<usize>,
    /// One that can be shown in an example.
    pub(super) model: Option<String>,
    /// Ends with this value.
    pub(super) child: Option<Supervised>,
}

/// Finds or starts a runtime. `asked`: the model named on the command line.
pub(super) async fn find(
    asked: Option<&str>,
    engine_only: bool,
    terminal: &Terminal,
) -> anyhow::Result<Runtime> {
    let ollama = if engine_only || asked.is_some() { None } else { ask::version(OLLAMA).await };
    match ollama {
        Some(version) => Ok(with_ollama(&version, terminal).await),
        None => {
            let why = match (engine_only, asked) {
                (true, _) => "as asked".to_owned(),
                (_, Some(model)) => format!("for the model {model}"),
                _ => format!("because no Ollama answers on {OLLAMA}"),
            };
            with_engine(asked.unwrap_or(DEFAULT_MODEL), &why, terminal).await
        }
    }
}

async fn with_ollama(version: &str, terminal: &Terminal) -> Runtime {
    let model = first_model(OLLAMA).await;
    terminal.note(&format!("Ollama {version} answers on {OLLAMA}; its models are used."));
    if model.is_none() {
        terminal.note("It has no model yet: run `ollama pull qwen3:4b`, or start again with --engine.");
    }
    let authority = Authority::from_static(OLLAMA);
    Runtime { name: "ollama", authority, slots: None, model, child: None }
}

async fn with_engine(model: &str, why: &str, terminal: &Terminal) -> anyhow::Result<Runtime> {
    anyhow::ensure!(
        cfg!(feature = "engine"),
        "the embedded engine is wanted {why}, but this program was built without it: \
         start Ollama, or build with `cargo build --release --features engine`"
    );
    let known = engine::known(model)?;
    terminal.note(&format!("The embedded engine runs the model, {why}."));
    // Fetching blocks its thread for as long as it takes; signals still end the program meanwhile.
    let file = tokio::task::spawn_blocking(move || engine::pull(known.id)).await??;
    tracing::info!(file = %file.display(), "weights are there");
    let child = Supervised::start(known.id, DEFAULT_SLOTS).await?;
    let authority = Authority::try_from(child.address().to_string())?;
    let model = Some(known.model_name.to_owned());
    Ok(Runtime { name: "engine", authority, slots: Some(DEFAULT_SLOTS), model, child: Some(child) })
}

async fn first_model(authority: &str) -> Option<String> {
    let body = ask::get(authority, "/api/tags", ask::PATIENCE).await?;
    ask::read_models(&body)?.into_iter().map(|tag| tag.name).next()
}
