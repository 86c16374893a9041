//! One request's way to a part of this program: a connection of its own, which ends with it.
//!
//! Why here: the answer's body owns the connection. Whoever drops the body, because a client has left or takes nothing, closes the
//! connection in the same moment, and the part behind stops its work. Nothing is kept for the next request: two
//! callers never share a connection, so neither can leave anything in it for the other, and none is used that has just been
//! closed. The gateway's need no socket (docs/decisions/0023).
//!
//! Never here: other machines, what requests and answers say.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use gateway::Entrance;
use http::header::EXPECT;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::on_informational;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, Sleep, sleep, timeout};

use super::bounds;
use super::refuse::Refusal;

/// Where a part of this program is asked.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// By a connection on this machine.
    Socket(SocketAddr),
    /// By a connection inside the process.
    Within(Entrance),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(at) => at.fmt(f),
            Self::Within(_) => f.write_str("the gateway"),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Connection = http1::Connection<TokioIo<Box<dyn Stream>>, Upload>;

/// A request's body on its way in: its data, up to a bound.
pub(super) struct Upload {
    /// `None`: read to its end.
    body: Option<Incoming>,
    left: u64,
    fate: Arc<Fate>,
    /// A large body waits for the word that it will be read. A part that refuses a request without reading it closes the connection,
    /// and whoever is still writing then may not get to read why.
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What has become of a body, for who has given it away.
#[derive(Debug, Default)]
pub(super) struct Fate(AtomicU8);

const RUNS: u8 = 0;
const ENDED: u8 = 1;
const OVER: u8 = 2;
const BROKEN: u8 = 3;

impl Fate {
    fn set(&self, fate: u8) {
        self.0.store(fate, Ordering::Relaxed);
    }

    /// Whether the client still has something to send.
    pub(super) fn runs(&self) -> bool {
        self.0.load(Ordering::Relaxed) == RUNS
    }

    /// Why nothing comes of a request whose body was the client's fault.
    fn refusal(&self) -> Option<Refusal> {
        match self.0.load(Ordering::Relaxed) {
            OVER => Some(Refusal::TooLarge),
            BROKEN => Some(Refusal::BadBody),
            _ => None,
        }
    }
}

/// Why a body was not sent on to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the body is larger than it may be")]
    Over,
    #[error("the client's body broke off")]
    Broken(#[from] hyper::Error),
}

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        let fate = Arc::<Fate>::default();
        if body.is_end_stream() {
            fate.set(ENDED);
        }
        Self { body: Some(body), left: u64::MAX, fate, gate: None }
    }

    pub(super) fn fate(&self) -> Arc<Fate> {
        Arc::clone(&self.fate)
    }

    /// What may be anything is not read at all.
    pub(super) fn abandon(&mut self) {
        self.body = None;
    }

    /// Refused at once where the announced length says so; else when it is reached. `announced`: the bound for such a
    /// length, which the part behind would rather refuse itself.
    pub(super) fn bounded(mut self, bytes_max: u64, announced: u64) -> Result<Self, Refusal> {
        let length = self.size_hint();
        if length.lower() > announced {
            return Err(Refusal::TooLarge);
        }
        self.left = length.exact().map_or(bytes_max, |_| announced);
        Ok(self)
    }

    fn is_large(&self) -> bool {
        !self.is_end_stream() && self.size_hint().exact().is_none_or(|length| length > bounds::ASKED_BYTES)
    }

    /// Lets the body wait until the notice, or for a moment.
    fn wait_for(&mut self, notice: Arc<Notify>) {
        self.gate = Some(Box::pin(async move {
            let _late = timeout(bounds::ASKED, notice.notified()).await;
        }));
    }
}

impl Drop for Upload {
    /// Cutting short a client that still sends would take the answer away with it: most read only when they have written all.
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // While the process ends there may be nobody left to do it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(bounds::LINGER, async move {
                while let Ok(Some(Ok(_))) = timeout(bounds::LINGER_IDLE, body.frame()).await {}
            }));
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = self.get_mut();
        if let Some(gate) = &mut this.gate {
            ready!(gate.as_mut().poll(cx));
            this.gate = None;
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.fate.set(BROKEN);
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    this.fate.set(ENDED);
                    this.body = None;
                    return Poll::Ready(None);
                }
            };
            // Trailers are nobody's to interpret.
            let Ok(data) = frame.into_data() else { continue };
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let Some(left) = this.left.checked_sub(length) else {
                this.fate.set(OVER);
                return Poll::Ready(Some(Err(UploadError::Over)));
            };
            this.left = left;
            if body.is_end_stream() {
                this.fate.set(ENDED);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// An answer's body, and the connection that it comes through.
pub(super) struct Download {
    body: Incoming,
    connection: Option<Box<Connection>>,
    patience: Duration,
    heard: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// Why an answer ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the part behind broke off")]
    Broken(#[from] hyper::Error),
    #[error("the part behind fell silent")]
    Silent,
}

/// Sends a request and waits for the answer's head.
pub(super) async fn send(
    way: &Way,
    mut request: Request<Upload>,
    patience: Duration,
) -> Result<Response<Download>, Refusal> {
    if request.body().is_large() {
        let notice = Arc::new(Notify::new());
        request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        request.body_mut().wait_for(Arc::clone(&notice));
        on_informational(&mut request, move |_| notice.notify_one());
    }
    let fate = request.body().fate();
    let refused = |error: &hyper::Error| {
        if let Some(refusal) = fate.refusal() {
            return refusal;
        }
        tracing::warn!(at = %way, %error, "a part of this program broke off before it answered");
        Refusal::Unreachable
    };
    let (mut sender, connection) = connect(way).await?;
    let mut connection = Some(Box::new(connection));
    let exchange = async {
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        std::future::poll_fn(|cx| {
            // The connection first: it is what brings the answer.
            let ended = match &mut connection {
                Some(running) => Pin::new(running).poll(cx).is_ready(),
                None => false,
            };
            if ended {
                connection = None;
            }
            answer.as_mut().poll(cx)
        })
        .await
    };
    let answer = timeout(patience, exchange).await.map_err(|_| Refusal::Late)?;
    let answer = answer.map_err(|error| refused(&error))?;
    let alarm = Box::pin(sleep(patience));
    Ok(answer.map(|body| Download { body, connection, patience, heard: Instant::now(), alarm }))
}

async fn connect(way: &Way) -> Result<(http1::SendRequest<Upload>, Connection), Refusal> {
    let opened = timeout(bounds::CONNECT, open(way)).await;
    let stream = opened.map_err(io::Error::other).and_then(|opened| opened).map_err(|error| {
        tracing::warn!(at = %way, %error, "a part of this program cannot be reached");
        Refusal::Unreachable
    })?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(bounds::READ_AHEAD_BYTES);
    builder.handshake(TokioIo::new(stream)).await.map_err(|_| Refusal::Unreachable)
}

async fn open(way: &Way) -> io::Result<Box<dyn Stream>> {
    match way {
        Way::Within(entrance) => Ok(Box::new(entrance.open().await?)),
        Way::Socket(at) => {
            let stream = TcpStream::connect(at).await?;
            // Small events must leave at once; failing to ask for that costs speed only.
            let _set = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
    }
}

impl Download {
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let end = self.heard + self.patience;
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            // Not moved by each piece that passes; it looks again when it would have rung.
            self.alarm.as_mut().reset(end);
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            if let Some(connection) = &mut this.connection
                && Pin::new(connection).poll(cx).is_ready()
            {
                // What it has brought is still in the body, and so is the reason if it broke off.
                this.connection = None;
            }
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.heard = Instant::now();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    this.connection = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            ready!(this.poll_alarm(cx));
            return Poll::Ready(Some(Err(Cut::Silent)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
