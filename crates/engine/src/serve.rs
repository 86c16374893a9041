//! The engine's process: checks, loads the model, listens on loopback, ends when told to.
//!
//! Why here: what can go wrong before the first request (a foreign address, a processor without AVX2, a port in use, a file
//! that is no model) is told in one sentence each, so that the parent can show it.
//!
//! Never here: a listener on anything but loopback; starting itself again (the parent does).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::api::Api;
use crate::cpu;
use crate::options::{EngineError, ServeOptions};

/// The gateway is the only client; it needs a connection for each request that runs or waits.
const CONNECTIONS_MAX: usize = 1024;
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// After this the parent's patience is over and answers in the making are cut.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const SLOTS_MAX: usize = 64;
const CONTEXT_MIN_TOKENS: usize = 64;

/// One core is left to everything else: threads that wait for each other lose most when a machine is busy.
pub fn threads_by_default() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().saturating_sub(1).max(1))
}

/// Serves until `shutdown` is done. `ready` is told the address as soon as the model is loaded and requests are answered.
pub async fn serve(
    options: ServeOptions,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), EngineError> {
    check(&options)?;
    let listener = bind(options.listen).await?;
    let api = load(options).await?;
    listen(listener, api, ready, shutdown).await
}

fn check(options: &ServeOptions) -> Result<(), EngineError> {
    if !options.listen.ip().is_loopback() {
        return Err(EngineError::NotLoopback(options.listen));
    }
    if !(1..=SLOTS_MAX).contains(&options.slots) {
        return Err(EngineError::Setting(format!("slots must be between 1 and {SLOTS_MAX}")));
    }
    if options.context_per_slot < CONTEXT_MIN_TOKENS {
        return Err(EngineError::Setting(format!(
            "the context of a slot must be at least {CONTEXT_MIN_TOKENS} tokens"
        )));
    }
    if options.model_name.is_empty() || options.threads == 0 {
        return Err(EngineError::Setting("the engine needs a model name and at least one thread".into()));
    }
    let missing = cpu::missing();
    if missing.is_empty() { Ok(()) } else { Err(EngineError::Processor(missing.join(", "))) }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, EngineError> {
    TcpListener::bind(address).await.map_err(|e| EngineError::Listen(address, e))
}

#[cfg(feature = "llama")]
async fn load(options: ServeOptions) -> Result<Api, EngineError> {
    tokio::task::spawn_blocking(move || crate::llama::load(&options))
        .await
        .map_err(|_| EngineError::RunnerStopped)?
}

#[cfg(not(feature = "llama"))]
#[expect(clippy::unused_async, reason = "the signature is that of the build with the native library")]
async fn load(_options: ServeOptions) -> Result<Api, EngineError> {
    Err(EngineError::NotBuilt)
}

/// Accepts until told to stop, or until the model's thread is gone (then the process is of no use any more).
pub(crate) async fn listen(
    listener: TcpListener,
    api: Api,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), EngineError> {
    let api = Arc::new(api);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let address = listener.local_addr().map_err(|e| EngineError::Listen(([127, 0, 0, 1], 0).into(), e))?;
    ready(address);
    tokio::pin!(shutdown);
    let stopped = api.queue.stopped();
    tokio::pin!(stopped);
    loop {
        let permit = Arc::clone(&connections).acquire_owned();
        let accept = async { (permit.await, listener.accept().await) };
        tokio::select! {
            () = &mut shutdown => break,
            () = &mut stopped => return Err(EngineError::RunnerStopped),
            (permit, accepted) = accept => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, Arc::clone(&api));
                    let connection = graceful.watch(connection);
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection ended early");
                        }
                        drop(permit);
                    });
                }
                // Out of file descriptors, or a client that was gone already: the next accept may do better.
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("answers in the making were cut");
    }
    Ok(())
}

type Served = http1::Connection<TokioIo<TcpStream>, Handler>;

/// hyper's service for one connection, named so that its connection has a type.
struct Handler(Arc<Api>);

impl hyper::service::Service<http::Request<hyper::body::Incoming>> for Handler {
    type Response = http::Response<crate::api::Answer>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        Box::pin(Arc::clone(&self.0).handle(request))
    }
}

fn connection(stream: TcpStream, api: Arc<Api>) -> Served {
    // A piece of an answer is smaller than a segment; waiting to fill one would hold it back.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .serve_connection(TokioIo::new(stream), Handler(api))
}
