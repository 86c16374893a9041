//! Empty questions: in Ollama's dialect they load a model, or let it go.
//!
//! Why here: loads are the gateway's own, so that a client that leaves takes none along; and letting a model go acts on
//! everybody who uses it, so that is for keys that may say how long a model stays.
//!
//! Never here: questions that are not empty.

use bytes::Bytes;
use tokio::time::timeout;
use wire::{ModelRequest, Reply};

use super::{Known, head};
use crate::Core;
use crate::admit::Runner as _;
use crate::error::{Clock, Error};
use crate::exchange::Exchange;
use crate::route::Target;
use crate::stop::Phase;

/// Who may say how long a model stays names this option.
const KEEP_ALIVE: &str = "keep_alive";

pub(super) async fn serve(
    core: &Core,
    known: &Known,
    request: &ModelRequest<'_>,
    exchange: &mut Exchange,
) -> Result<Bytes, Error> {
    let snapshot = &known.snapshot;
    let config = &snapshot.config;
    let pool = snapshot.fleet.find(&config.models, &known.principal, request.model()).await?;
    known.charge_listing(core, exchange)?;
    let alive: Vec<&Target> = pool.targets.iter().filter(|target| target.runner.takes()).collect();
    let target = *alive.first().ok_or(Error::UpstreamDown)?;
    exchange.works_on(target.runner.name.clone());
    let upstream = &target.runner;
    let unloads = wire::unloads(request);
    if unloads && !known.principal.options.iter().any(|option| option == KEEP_ALIVE) {
        return Err(Error::NotGranted);
    }
    let stop = core.stop.listen();
    let done = async {
        if unloads {
            // It is gone when nobody holds it; a load needs one.
            for target in &alive {
                target.runner.unload(&target.internal).await?;
            }
            return Ok(());
        }
        if upstream.resident(&target.internal) == Some(true) {
            return Ok(());
        }
        let keep_alive = pool.keep_alive.as_deref();
        let mut load = upstream.load(&target.internal, keep_alive, pool.context_tokens, config.clocks.load);
        load.done().await
    };
    tokio::select! {
        biased;
        done = timeout(config.clocks.load, done) => done.unwrap_or(Err(Error::Deadline(Clock::Load)))?,
        () = stop.reached(Phase::Cut) => return Err(Error::Draining),
    }
    let reply = Reply {
        strip: config.answer.strip,
        created: head::unix_seconds(),
        ..Reply::new(head::random_hex(), pool.public.to_string())
    };
    let mut out = Vec::with_capacity(128);
    wire::write_loaded(request.operation(), &reply, unloads, &mut out);
    Ok(out.into())
}
