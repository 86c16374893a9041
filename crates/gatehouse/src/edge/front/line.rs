//! A client's byte stream with what has to be noticed on it: that it speaks, and in one meaning; that it floods; that it takes
//! nothing.
//!
//! Why here: only the layer that sees every read and write can tell. The HTTP library waits for ever for a client that does
//! not read.
//!
//! Never here: TLS, what the bytes mean.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use gateway::HeadScan;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::frames::Frames;
use super::watch::{Part, Watch};

pub(super) struct Line<S> {
    io: S,
    watch: Arc<Watch>,
    kind: Kind,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What the bytes are.
enum Kind {
    Http1(HeadScan),
    Http2(Frames),
}

impl<S> Line<S> {
    /// `patience`: for a client that takes nothing.
    pub(super) fn new(io: S, watch: Arc<Watch>, patience: Duration, http2: bool) -> Self {
        let kind = match http2 {
            true => Kind::Http2(Frames::new(Instant::now())),
            false => Kind::Http1(HeadScan::default()),
        };
        Self { io, watch, kind, patience, stalled: None }
    }

    fn notice(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            // Pings and settings are no beginning of a request; half a head is bounded by the ping that it cannot answer.
            Kind::Http2(frames) => frames
                .feed(bytes, Instant::now())
                .map_err(|_| io::Error::other("more control frames than any client needs"))?,
            Kind::Http1(_) if bytes.is_empty() => {}
            Kind::Http1(scan) => {
                match self.watch.heard() {
                    Part::NewHead => scan.restart(),
                    Part::Head => {}
                    Part::Other => return Ok(()),
                }
                scan.feed(bytes);
                self.watch.judged(scan.passed());
            }
        }
        Ok(())
    }

    fn judge<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let noticed = this.notice(buf.filled().get(before..).unwrap_or_default());
        if noticed.is_err() {
            // A failed read has brought nothing.
            buf.set_filled(before);
        }
        Poll::Ready(noticed)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, buf);
        this.judge(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.judge(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(cx);
        this.judge(outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_shutdown(cx);
        this.judge(outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_let_go_and_who_takes_slowly_is_not() {
        let (mut client, server) = duplex(8);
        let mut line = Line::new(server, Watch::new(false), PATIENCE, false);
        let slow = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
                client.read_exact(&mut [0; 8]).await.unwrap();
            }
            client
        });
        line.write_all(&[7; 40]).await.unwrap();
        let _client = slow.await.unwrap();
        let error = line.write_all(&[7; 40]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_flood_ends_the_line() {
        let (mut client, server) = duplex(1 << 20);
        let mut line = Line::new(server, Watch::new(true), PATIENCE, true);
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0].repeat(1_000)).await.unwrap();
        drop(client);
        let mut all = Vec::new();
        assert!(line.read_to_end(&mut all).await.unwrap_err().to_string().contains("control frames"));
    }
}
