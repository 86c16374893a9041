//! The deadlines of one client connection, kept around its socket.
//!
//! Why here: a client that sends its head a byte at a time, one that opens a connection and says nothing, and one that
//! never reads its answer each hold memory for as long as they like, and the HTTP library bounds none of the three by
//! itself. Only the layer that sees every read and write can.
//!
//! Never here: what the bytes mean.

mod scan;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

pub use self::scan::HeadScan;

/// A kept connection may be silent between two requests for this long: longer than clients and proxies keep theirs
/// (nginx 60 s), so that it is never us who closes while a request is on its way.
const KEPT_IDLE: Duration = Duration::from_secs(90);

/// After so long without a request a kept connection is quiet: what serves it may give its buffers back.
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// A first read takes no more than this; most heads are shorter.
const FIRST_BYTES: usize = 4 << 10;

/// Where a connection stands. Shared with the service, which knows when a head is complete and an answer is over.
#[derive(Debug)]
pub struct Conn {
    pub peer: SocketAddr,
    phase: AtomicU8,
    /// The raw bytes of the head that was just parsed have one meaning.
    sound: AtomicBool,
    /// Header lines of that head.
    headers: AtomicUsize,
    /// Kept, and nothing has happened for a while.
    quiet: AtomicBool,
    /// Whoever waits for the client while a request is served; woken when the clock of a kept connection begins.
    reader: AtomicWaker,
}

/// Nothing of the first request yet.
const FRESH: u8 = 0;
/// Part of a head has come.
const HEAD: u8 = 1;
/// A request is being served; its own clocks count.
const BUSY: u8 = 2;
/// Answered; waiting for the next request.
const KEPT: u8 = 3;
/// No timer is set.
const UNARMED: u8 = 4;

impl Conn {
    pub fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            phase: AtomicU8::new(FRESH),
            sound: AtomicBool::new(false),
            headers: AtomicUsize::new(0),
            quiet: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// Whether nothing of a first request has come yet.
    pub fn is_fresh(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == FRESH
    }

    pub fn busy(&self) {
        self.phase.store(BUSY, Ordering::Relaxed);
    }

    /// Whether a kept connection has just become quiet: told once.
    pub fn took_quiet(&self) -> bool {
        self.quiet.swap(false, Ordering::Relaxed) && self.phase.load(Ordering::Relaxed) == KEPT
    }

    /// Whether the raw bytes of the head that was just parsed, with so many header lines, have one meaning. Part of a head
    /// that came before the last answer was over was not seen here: then what was seen has fewer lines than what was parsed.
    pub fn head_is_sound(&self, headers: usize) -> bool {
        self.sound.load(Ordering::Relaxed) && self.headers.load(Ordering::Relaxed) == headers
    }

    pub fn answered(&self) {
        self.sound.store(false, Ordering::Relaxed);
        self.phase.store(KEPT, Ordering::Relaxed);
        // The HTTP library does not read again after an answer if it is already waiting: without this no alarm is set.
        self.reader.wake();
    }
}

/// The limits it applies.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub header: Duration,
    pub write: Duration,
}

/// A socket with deadlines.
pub struct Guard<S> {
    io: S,
    conn: std::sync::Arc<Conn>,
    patience: Patience,
    read_alarm: Pin<Box<Sleep>>,
    armed_for: u8,
    /// When the clock that is armed runs out.
    closes_at: Instant,
    /// Bytes that were read before anybody asked for them.
    early: Vec<u8>,
    write_alarm: Option<Pin<Box<Sleep>>>,
    scan: HeadScan,
}

impl<S> Guard<S> {
    pub fn new(io: S, conn: std::sync::Arc<Conn>, patience: Patience) -> Self {
        let now = Instant::now();
        let read_alarm = Box::pin(sleep_until(now));
        Self {
            io,
            conn,
            patience,
            read_alarm,
            armed_for: UNARMED,
            closes_at: now,
            early: Vec::new(),
            write_alarm: None,
            scan: HeadScan::default(),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        match self.conn.phase.load(Ordering::Relaxed) {
            FRESH | KEPT if !bytes.is_empty() => {
                // The clock of a head starts with its first byte and is not reset by the next ones.
                self.conn.phase.store(HEAD, Ordering::Relaxed);
                self.armed_for = UNARMED;
                self.scan.restart();
                self.scan.feed(bytes);
            }
            HEAD => self.scan.feed(bytes),
            // A request sent before the last one was answered is not judged here, and so not served.
            _ => return,
        }
        let passed = self.scan.passed();
        self.conn.headers.store(passed.unwrap_or(0), Ordering::Relaxed);
        self.conn.sound.store(passed.is_some(), Ordering::Relaxed);
    }

    fn poll_read_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let phase = self.conn.phase.load(Ordering::Relaxed);
        if phase == BUSY {
            self.armed_for = UNARMED;
            self.conn.reader.register(cx.waker());
            return Poll::Pending;
        }
        if self.armed_for != phase {
            let limit = if phase == KEPT { KEPT_IDLE } else { self.patience.header };
            let first = if phase == KEPT { QUIET_AFTER } else { limit };
            let now = Instant::now();
            self.closes_at = now + limit;
            self.read_alarm.as_mut().reset(now + first);
            self.armed_for = phase;
        }
        loop {
            std::task::ready!(self.read_alarm.as_mut().poll(cx));
            if Instant::now() >= self.closes_at {
                return Poll::Ready(());
            }
            // An answer that the client has not taken whole still lies in the library's buffers.
            if self.write_alarm.is_none() {
                self.conn.quiet.store(true, Ordering::Relaxed);
            }
            self.read_alarm.as_mut().reset(self.closes_at);
        }
    }

    /// Called with the outcome of a write: waits only so long for a client that takes nothing.
    fn judge_write<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_alarm = None;
            return outcome;
        }
        let limit = self.patience.write;
        let alarm = self.write_alarm.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        match alarm.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Waits for a byte of the next request, with no buffer but the stack's. False: the client has closed.
    pub async fn heard(&mut self) -> io::Result<bool> {
        if !self.early.is_empty() {
            return Ok(true);
        }
        std::future::poll_fn(|cx| {
            let mut space = [MaybeUninit::uninit(); FIRST_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            std::task::ready!(Pin::new(&mut *self).poll_read(cx, &mut read))?;
            self.early = read.filled().to_vec();
            Poll::Ready(Ok(!self.early.is_empty()))
        })
        .await
    }
}

impl<S> Guard<S> {
    /// Bytes that were read and not used: the next read begins with them.
    pub fn give_back(&mut self, bytes: &[u8]) {
        self.early.extend_from_slice(bytes);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.early.is_empty() {
            let len = this.early.len().min(buf.remaining());
            buf.put_slice(this.early.get(..len).unwrap_or_default());
            this.early.drain(..len);
            if this.early.is_empty() {
                this.early = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Pending => match this.poll_read_alarm(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
            ready => {
                let read = buf.filled().get(before..).unwrap_or_default();
                this.read(read);
                ready
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, buf);
        this.judge_write(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.judge_write(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(cx);
        this.judge_write(outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_shutdown(cx);
        this.judge_write(outcome, cx)
    }
}
