//! One reader of a run: from the store up to now, then live, without a gap and without a repetition.
//!
//! Why here: the reader subscribes first, reads the store second, and drops what it has already. Because a piece is
//! stored before it is told, nothing can fall between the two. A reader that lags is sent back to the store.
//!
//! Never here: stopping a run. Who only listens changes nothing.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use store::{Ending, Status, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep_until};

use super::api::Event;
use super::clock::now_ms;
use super::hub::{Kind, Published, StreamSeat};
use super::server::closed;
use super::{Site, bounds, failure, records};

/// Which run, for whom, from where.
pub(super) struct Reader {
    pub owner: String,
    pub run_id: String,
    pub after: u64,
    /// Held while the stream is open.
    pub _seat: StreamSeat,
}

/// What ends the reading.
enum Over {
    /// The final event is out, or the client is gone, or the server stops.
    Done,
    /// Read the store again: the reader lagged or the run's sender is gone.
    Again,
}

/// Starts a task that writes the stream; it ends with the run, with the client, or with the server.
pub(super) fn stream(site: Arc<Site>, reader: Reader) -> Body {
    let (out, lines) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut follower = Follower { site: &site, reader: &reader, out, last: reader.after };
        follower.follow().await;
    });
    Body::new(Lines(lines))
}

/// A stream that has nothing to say and ends.
pub(super) fn nothing() -> Body {
    Body::from(": nothing is being written here\n\n")
}

struct Follower<'a> {
    site: &'a Site,
    reader: &'a Reader,
    out: mpsc::Sender<Bytes>,
    /// Number of the last event that went out.
    last: u64,
}

impl Follower<'_> {
    async fn follow(&mut self) {
        let out = self.out.clone();
        tokio::select! {
            () = out.closed() => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&mut self) {
        // A comment at once: proxies and the page see that the stream is open before the model says anything.
        if self.send(Bytes::from_static(b": open\n\n")).await.is_none() {
            return;
        }
        loop {
            let live = self.site.hub.find(&self.reader.owner, &self.reader.run_id).map(|run| run.listen());
            match self.catch_up(live.is_some()).await {
                Ok(Over::Done) => return,
                Ok(Over::Again) => {}
                Err(error) => {
                    // The stream just ends: the page reconnects from where it is.
                    tracing::warn!(%error, "an event stream could not be read from the store");
                    return;
                }
            }
            if let Some((status, events)) = live
                && matches!(self.listen(status, events).await, Over::Done)
            {
                return;
            }
        }
    }

    /// Sends what the store has after `last`. `Again`: the run goes on.
    async fn catch_up(&mut self, alive: bool) -> Result<Over, StoreError> {
        loop {
            let (owner, run_id) = (&self.reader.owner, &self.reader.run_id);
            let tail = self.site.store.tail(owner, run_id, self.last, bounds::CATCH_UP_PIECES).await?;
            if let Some(settled) = tail.settled {
                let seq = tail.run.seq;
                if self.last + 1 < seq {
                    let (text, thinking) = (settled.text.clone(), settled.thinking.clone());
                    self.event(&Event::Snapshot { seq: seq - 1, text, thinking }).await;
                }
                self.event(&records::final_event(seq, tail.run.message_id, &settled)).await;
                return Ok(Over::Done);
            }
            let more = tail.pieces.len() >= usize::try_from(bounds::CATCH_UP_PIECES).unwrap_or(usize::MAX);
            for piece in tail.pieces {
                self.last = piece.seq;
                if self.event(&records::piece_event(piece)).await.is_none() {
                    return Ok(Over::Done);
                }
            }
            if more {
                continue;
            }
            if alive {
                return Ok(Over::Again);
            }
            // Open in the store and nobody writes it: a leftover. Closed here, then read again as ended.
            self.site.close_leftover(owner, run_id).await?;
        }
    }

    async fn listen(
        &mut self,
        status: Option<Published>,
        mut events: broadcast::Receiver<Published>,
    ) -> Over {
        if let Some(status) = status.filter(|s| s.seq >= self.last)
            && self.send(status.frame).await.is_none()
        {
            return Over::Done;
        }
        let mut closing = self.site.closing.subscribe();
        let mut beat = Instant::now() + bounds::HEARTBEAT;
        loop {
            let published = tokio::select! {
                // In this order: a server that stops ends its runs first, and their last words still go out.
                biased;
                published = events.recv() => published,
                () = closed(&mut closing) => return Over::Done,
                () = sleep_until(beat) => {
                    beat = Instant::now() + bounds::HEARTBEAT;
                    if self.send(Bytes::from_static(b": keepalive\n\n")).await.is_none() {
                        return Over::Done;
                    }
                    continue;
                }
            };
            match published {
                Err(RecvError::Lagged(_) | RecvError::Closed) => return Over::Again,
                Ok(event) if event.kind == Kind::Status => {
                    if self.send(event.frame).await.is_none() {
                        return Over::Done;
                    }
                }
                Ok(event) if event.seq <= self.last && event.kind == Kind::Piece => {}
                // A gap would lose text for good: the store has it.
                Ok(event) if event.seq > self.last + 1 => return Over::Again,
                Ok(event) => {
                    self.last = event.seq;
                    if self.send(event.frame).await.is_none() || event.kind == Kind::Final {
                        return Over::Done;
                    }
                }
            }
        }
    }

    async fn event(&self, event: &Event) -> Option<()> {
        self.send(Published::new(event).frame).await
    }

    /// `None`: the client is gone.
    async fn send(&self, frame: Bytes) -> Option<()> {
        self.out.send(frame).await.ok()
    }
}

impl Site {
    /// Ends a run that is open in the store though nobody writes it. A run that has just ended by itself stays as it is.
    pub(super) async fn close_leftover(&self, owner: &str, run_id: &str) -> Result<(), StoreError> {
        if self.hub.find(owner, run_id).is_some() {
            return Ok(());
        }
        let failure = records::write_failure(&failure::interrupted());
        let ending =
            Ending { status: Status::Failed, failure: Some(&failure), usage: None, now_ms: now_ms() };
        self.store.finish(owner, run_id, &ending).await.map(|_| ())
    }
}

/// The receiving end as a response body.
struct Lines(mpsc::Receiver<Bytes>);

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
    }
}
