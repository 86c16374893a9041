//! The listener for HTTPS: accepts, shakes hands, and drives each connection to its end.
//!
//! Why here: bounds on connections, deadlines of handshakes and the choice between HTTP/1.1 and HTTP/2 come before any
//! request. The version is what TLS has agreed on, so nobody speaks HTTP/2 in the clear or switches to it later.
//!
//! Never here: what requests mean.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch as channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::bounds;
use super::line::Line;
use super::pass::Passage;
use super::plain::Plain;
use super::rates::Addresses;
use super::stall::Streams;
use super::tls::{self, Certificate};
use super::watch::Watch;
use crate::config::edge::Name;

/// What a listener does with a connection.
pub(super) enum Behind {
    Tls(Secure),
    Plain(Plain),
}

/// What is needed to speak TLS.
pub(super) struct Secure {
    pub(super) names: Vec<Name>,
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: Arc<Certificate>,
    pub(super) passage: Arc<Passage>,
}

/// One listener and what all of its connections share.
pub(super) struct Door {
    pub(super) behind: Behind,
    pub(super) addresses: Arc<Addresses>,
    /// Places for connections; all listeners share them.
    pub(super) seats: Arc<Semaphore>,
    /// For a client that takes nothing.
    pub(super) patience: Duration,
    pub(super) closing: channel::Receiver<bool>,
}

impl Door {
    /// Accepts until the front closes, then waits for the connections for as long as it is let.
    pub(super) async fn open(self, listener: TcpListener) {
        let door = Arc::new(self);
        let mut closing = door.closing.clone();
        let mut connections = JoinSet::new();
        loop {
            let seat = tokio::select! {
                () = closed(&mut closing) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                seat = Arc::clone(&door.seats).acquire_owned() => seat,
            };
            let Ok(seat) = seat else { break };
            let accepted = tokio::select! {
                () = closed(&mut closing) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Beyond its share an address gets nothing, not even a handshake, which would cost us more than it.
                    let Some(place) = door.addresses.connect(peer.ip()) else { continue };
                    let door = Arc::clone(&door);
                    connections.spawn(async move {
                        let _held = (seat, place);
                        door.receive(stream, peer).await;
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(bounds::ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn receive(&self, stream: TcpStream, peer: SocketAddr) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let mut closing = self.closing.clone();
        match &self.behind {
            Behind::Tls(secure) => {
                let shaken = tokio::select! {
                    shaken = secure.shake_hands(stream) => shaken,
                    () = closed(&mut closing) => None,
                };
                let Some(stream) = shaken else { return };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
                let watch = Watch::new();
                let answer =
                    |request| Arc::clone(&secure.passage).answer(peer.ip(), Arc::clone(&watch), request);
                self.drive(stream, http2, &watch, answer).await;
            }
            Behind::Plain(plain) => {
                let watch = Watch::new();
                let answer = |request: Request<Incoming>| {
                    let response = plain.answer(&self.addresses, peer.ip(), &watch, &request);
                    async move { Ok(response) }
                };
                self.drive(stream, false, &watch, answer).await;
            }
        }
    }

    /// Serves one connection until it ends, its time is over, or the front closes and it has nothing left to do.
    async fn drive<S, A, F, B>(&self, stream: S, http2: bool, watch: &Arc<Watch>, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Incoming>) -> F,
        F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let line = Line::new(stream, Arc::clone(watch), self.patience, http2);
        let builder = builder(http2, self.patience);
        // The library keeps room for this future for as long as it serves: a pointer's worth, not all of it.
        let service = service_fn(|request| Box::pin(answer(request)));
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(line), service));
        let mut closing = self.closing.clone();
        tokio::select! {
            ended = connection.as_mut() => return told(ended),
            () = closed(&mut closing) => {
                connection.as_mut().graceful_shutdown();
            }
            () = watch.expired() => {
                // On HTTP/1 nobody waits for a word; on HTTP/2 the client is told that it was not its last request.
                connection.as_mut().graceful_shutdown();
                if let Ok(ended) = timeout(bounds::LAST_WORDS, connection.as_mut()).await {
                    return told(ended);
                }
                // A request that crossed that word is answered: see below.
            }
        }
        // What runs may finish. Who had nothing to say is not waited for.
        tokio::select! {
            ended = connection.as_mut() => told(ended),
            () = watch.expired() => {}
        }
    }
}

fn told(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

impl Secure {
    /// The stream inside of TLS; `None` where the client gave up, took too long, or named somebody else.
    async fn shake_hands(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let deadline = Instant::now() + bounds::HANDSHAKE;
        let greeted = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let mut start = timeout_at(deadline, greeted).await.ok()?.ok()?;
        if !tls::is_ours(start.client_hello().server_name(), &self.names) || !self.certificate.is_there() {
            // The library would say "access denied"; this is the word that clients have an explanation for.
            let said = start.io.write_all(&tls::UNRECOGNIZED_NAME);
            let _said = timeout_at(deadline, said).await;
            return None;
        }
        let shaken = timeout_at(deadline, start.into_stream(Arc::clone(&self.config))).await.ok()?;
        shaken.inspect_err(|error| tracing::debug!(%error, "handshake")).ok()
    }
}

/// Returns when the front is to close; a front that is gone closes too.
async fn closed(closing: &mut channel::Receiver<bool>) {
    let _end = closing.wait_for(|closing| *closing).await.map(|_| ());
}

/// The HTTP library with every bound that it has.
fn builder(http2: bool, patience: Duration) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams::new(patience));
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch's clocks count; this one would also end kept connections that are merely idle.
        .header_read_timeout(None)
        .max_headers(bounds::HEADERS)
        .max_buf_size(bounds::HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds::STREAMS)
        .max_header_list_size(bounds::HEADER_BYTES)
        .max_send_buf_size(bounds::STREAM_SEND_BYTES)
        .initial_stream_window_size(bounds::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(bounds::CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(bounds::RESETS)
        .max_local_error_reset_streams(bounds::ERRORS)
        .keep_alive_interval(bounds::PING_EVERY)
        .keep_alive_timeout(patience);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
