//! The HTTP rim: sockets, the accept loop, and what a request must be before anything asks what it wants.
//!
//! Why here: the address list is applied before a byte is read; heads are bounded in time, size and number; nothing but
//! HTTP/1 is spoken. One place hands parsed requests to the pipeline, and one place makes response heads.
//!
//! Never here: keys, limits, models.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Core;
use crate::guard::{Conn, Guard, Patience};
use crate::metrics::Metrics;
use crate::pipeline;
use crate::relay::{Body, Cut};
use crate::routes;
use crate::stop::Phase;

/// Connections the kernel may hold for us.
const BACKLOG: i32 = 1_024;
/// What a connection without a socket holds of each direction, as a socket's buffers would.
const WITHIN_BYTES: usize = 16 << 10;
/// What a connection takes at its busiest: the HTTP library's two buffers and the tasks around them. Their number has a
/// bound of its own; here they leave less room for bodies, so that both together stay under one ceiling.
const CONNECTION_BYTES: usize = 15 << 10;
/// Pause after an accept that failed for want of descriptors or memory: spinning would only make it worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection that was accepted just before the drain began may bring its first request within this.
const FIRST_WORDS: Duration = Duration::from_millis(500);
/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// After the drain deadline, how long error events may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Binds a listening socket. `[::]` takes IPv4 too, and falls back to `0.0.0.0` where there is no IPv6.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let any_v6 = address.ip() == Ipv6Addr::UNSPECIFIED;
    match bind_exactly(address) {
        Err(error) if any_v6 && error.kind() != io::ErrorKind::AddrInUse => {
            bind_exactly(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        outcome => outcome,
    }
}

fn bind_exactly(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Where connections come from.
pub trait Source: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Source for TcpListener {
    type Stream = TcpStream;

    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        // That fails only for a peer that has gone.
        stream.set_nodelay(true).map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        Ok((stream, peer))
    }
}

/// A way in without a socket, for who stands in front of this rim in the same process. What comes through it is a client on this
/// machine, and is treated as one.
#[derive(Clone, Debug)]
pub struct Entrance(mpsc::Sender<DuplexStream>);

/// The other end of [`Entrance`].
#[derive(Debug)]
pub struct Within(mpsc::Receiver<DuplexStream>);

impl Entrance {
    pub fn new() -> (Self, Within) {
        let (sender, receiver) = mpsc::channel(BACKLOG as usize);
        (Self(sender), Within(receiver))
    }

    /// Opens a connection; refused when nobody takes one any more.
    pub async fn open(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(WITHIN_BYTES);
        self.0.send(far).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

impl Source for Within {
    type Stream = DuplexStream;

    async fn next(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))),
            // Whoever stood in front has gone.
            None => std::future::pending().await,
        }
    }
}

/// Accepts until the process drains, then waits for what runs, at most until the drain is over.
pub async fn accept<S: Source>(core: Arc<Core>, mut source: S) {
    let mut connections = JoinSet::new();
    let mut draining = core.stop.listen().reached(Phase::Drain);
    loop {
        let accepted = tokio::select! {
            () = &mut draining => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = source.next(), if connections.len() < core.snapshot().config.input.connections_max => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if !core.snapshot().addresses.accepts(peer.ip()) {
                    core.metrics.address_refused();
                    continue; // the drop closes it: not a byte is read or written
                }
                connections.spawn(serve(core.clone(), stream, peer));
            }
            // The peer had already gone: nothing is wrong with us.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(source);
    let mut cut = core.stop.listen().reached(Phase::Cut);
    tokio::select! {
        () = &mut cut => {}
        () = all_gone(&mut connections) => {}
    }
    drop(tokio::time::timeout(LAST_WORDS, all_gone(&mut connections)).await);
    // Whoever is left does not read: half-sent heads, stalled clients.
    connections.shutdown().await;
}

async fn all_gone(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Serves one connection over any byte stream.
pub async fn serve<S>(core: Arc<Core>, stream: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _open = core.metrics.connection_opened();
    let mut memory = core.budget.hold();
    memory.own_up_to(CONNECTION_BYTES);
    let (builder, patience) = {
        let snapshot = core.snapshot();
        let input = &snapshot.config.input;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The guard's clocks count; this one would also close kept connections that are merely idle.
            .header_read_timeout(None)
            .max_headers(input.headers_max)
            .max_buf_size(input.header_bytes_max.max(8 << 10));
        (builder, Patience { header: input.header_time, write: snapshot.config.clocks.client_write })
    };
    let conn = Arc::new(Conn::new(peer));
    let mut guard = Guard::new(stream, conn.clone(), patience);
    let mut draining = std::pin::pin!(first_words(&core, &conn));
    loop {
        // The library holds two buffers from the start to the end of its service: a quiet connection does without both.
        tokio::select! {
            biased;
            heard = guard.heard() => if !matches!(heard, Ok(true)) { return },
            () = &mut draining => return,
        }
        let service = service_fn(|request: Request<Incoming>| {
            conn.busy();
            // The library keeps room for this future for as long as it serves: a pointer's worth, not all of it.
            Box::pin(answer(core.clone(), conn.clone(), request))
        });
        let mut serving = builder.serve_connection(TokioIo::new(guard), service);
        let until_quiet = std::future::poll_fn(|cx| match serving.poll_without_shutdown(cx) {
            Poll::Pending if conn.took_quiet() => Poll::Ready(None),
            ended => ended.map(Some),
        });
        let ended = tokio::select! {
            // What was heard is begun before a stop is: the library ends at once what it has not begun.
            biased;
            ended = until_quiet => ended,
            () = &mut draining => {
                Pin::new(&mut serving).graceful_shutdown();
                Some(std::future::poll_fn(|cx| serving.poll_without_shutdown(cx)).await)
            }
        };
        match ended {
            None => {
                let parts = serving.into_parts();
                guard = parts.io.into_inner();
                guard.give_back(&parts.read_buf);
            }
            Some(ended) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, peer = %peer.ip(), "connection ended");
                }
                return;
            }
        }
    }
}

/// Resolves when a connection has to end because the process drains. The library closes one that has said nothing at once,
/// and with it a request that is on its way, although this process accepted it: that one is heard first.
async fn first_words(core: &Core, conn: &Conn) {
    core.stop.listen().reached(Phase::Drain).await;
    if conn.is_fresh() {
        // In a box of its own, because every idle connection would keep room for it.
        Box::pin(heard_or_late(conn)).await;
    }
}

async fn heard_or_late(conn: &Conn) {
    let late = tokio::time::Instant::now() + FIRST_WORDS;
    while conn.is_fresh() && tokio::time::Instant::now() < late {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One request: nothing that it does can take the process or another request down.
async fn answer(
    core: Arc<Core>,
    conn: Arc<Conn>,
    request: Request<Incoming>,
) -> Result<Response<Tracked>, std::convert::Infallible> {
    let format = routes::dialect(request.uri().path(), request.headers());
    let served = AssertUnwindSafe(pipeline::serve(&core, &conn, request)).catch_unwind().await;
    let response = served.unwrap_or_else(|_| {
        core.metrics.panicked();
        pipeline::internal_error(format)
    });
    let metrics = core.metrics.clone();
    Ok(response.map(|body| Tracked { body, conn, metrics }))
}

/// A body that tells its connection when the answer is over, and keeps a defect in it to itself.
pub struct Tracked {
    body: Body,
    conn: Arc<Conn>,
    metrics: Arc<Metrics>,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = &mut self.body;
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
        polled.unwrap_or_else(|_| {
            self.metrics.panicked();
            self.body.break_off();
            Poll::Ready(Some(Err(Cut::Defect)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.conn.answered();
    }
}
