//! The listener: accepts, bounds, and lets go in good order.
//!
//! Why here: the stock server of the web framework has no time limit for a request's head and no bound on connections.
//!
//! Never here: routes.

use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Duration, sleep, timeout};

use super::bounds;

/// Serves until `closing` turns true, then waits for the connections, not longer than [`bounds::DRAIN`].
pub(super) async fn run(listener: TcpListener, router: Router, mut closing: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(bounds::CONNECTIONS));
    let everybody = u32::try_from(bounds::CONNECTIONS).unwrap_or(u32::MAX);
    loop {
        let seat = tokio::select! {
            () = closed(&mut closing) => break,
            seat = Arc::clone(&seats).acquire_owned() => seat,
        };
        let Ok(seat) = seat else { break };
        let accepted = tokio::select! {
            () = closed(&mut closing) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                tokio::spawn(connection(stream, router.clone(), closing.clone(), seat));
            }
            // Out of descriptors, or the peer is gone already: the next accept must not spin.
            Err(error) => {
                tracing::warn!(%error, "accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if timeout(bounds::DRAIN, seats.acquire_many(everybody)).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut");
    }
}

/// Returns when the server is to end; a server that is gone ends too.
pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    let _end = closing.wait_for(|closing| *closing).await.map(|_| ());
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut closing: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
) {
    // Small events must leave at once; failing to ask for that costs speed only.
    let _set = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds::HEADER_TIME)
        .max_headers(bounds::HEADERS)
        .max_buf_size(bounds::HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let end = tokio::select! {
        end = connection.as_mut() => end,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = end {
        tracing::debug!(%error, "connection");
    }
}
