//! The upstream's stream on its way through the decoder, and the memory that a growing event takes.
//!
//! Why here: before the first event and after it a stream is read in the same way: everything that one read brought goes
//! through the decoder into one buffer. And an event that does not end has to ask for its memory, or a few upstreams that
//! never send a line end would take that of everybody.
//!
//! Never here: clocks, what is done with the bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};
use wire::{AnswerStream, ErrorBody, Metered, Progress, UpstreamFault, UpstreamFaultKind};

use crate::budget::Held;
use crate::error::Error;
use crate::upstream::{AnswerBody, Arrived, Upstream, outlier};

/// What our own frame of an event adds to the upstream's.
const EVENT_BYTES: usize = 256;
/// An unfinished event of this size is every stream's own; a longer one takes its memory from the budget.
const FREE_BYTES: usize = 16 << 10;
/// Memory is taken in steps of this, so that a long event does not ask at every read.
const STEP_BYTES: usize = 64 << 10;
/// Without memory nothing is read; after this it is asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// After so long without memory the stream ends: streams that wait for each other's would wait for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an upstream may take to close its answer after the last event, so that its connection can be used again.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// A stream that is being read.
pub struct Inflow {
    upstream: Arc<Upstream>,
    body: AnswerBody,
    stream: AnswerStream,
    memory: Held,
    /// Bytes read since something was last written: at least what the unfinished event holds.
    unwritten_bytes: usize,
    waiting: Option<Waiting>,
}

/// For memory.
struct Waiting {
    since: Instant,
    pause: Pin<Box<Sleep>>,
}

impl Inflow {
    /// `memory` is where a long event's bytes come from.
    pub fn new(upstream: Arc<Upstream>, body: AnswerBody, stream: AnswerStream, memory: Held) -> Self {
        Self { upstream, body, stream, memory, unwritten_bytes: 0, waiting: None }
    }

    /// Reads once and appends what it made to `out`. The end of the upstream's answer is a `Complete` or a `Failed`.
    pub fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Progress> {
        if let Some(fault) = ready!(self.poll_room(cx)) {
            return Poll::Ready(Progress::Failed(fault));
        }
        let Self { body, stream, unwritten_bytes, .. } = self;
        let mut progress = Progress::Waiting;
        let before = out.len();
        let arrived = ready!(body.poll_read(cx, |bytes| {
            *unwritten_bytes += bytes.len();
            // One allocation a write: an event is about as long as what it came from.
            out.reserve(bytes.len() + EVENT_BYTES);
            progress = stream.push(bytes, out);
        }));
        if out.len() > before {
            self.unwritten_bytes = 0;
        }
        let over = match arrived {
            Ok(arrived) => {
                self.upstream.heard();
                arrived == Arrived::End
            }
            Err(error) => {
                tracing::debug!(%error, "the upstream's stream broke");
                true
            }
        };
        if over && matches!(progress, Progress::Waiting | Progress::Flowing) {
            progress = self.stream.end(out);
        }
        Poll::Ready(progress)
    }

    /// [`Self::poll`] for who can wait.
    pub async fn next(&mut self, out: &mut Vec<u8>) -> Progress {
        std::future::poll_fn(|cx| self.poll(cx, out)).await
    }

    /// Ready when there is memory for a read; with a fault when there was none for too long.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpstreamFault>> {
        // Some dialects tell the whole answer once more at its end: until then it lies here.
        let lying_bytes = self.unwritten_bytes + self.stream.held_bytes();
        if lying_bytes <= FREE_BYTES {
            self.memory.shrink_to(0);
            return Poll::Ready(None);
        }
        let wanted = lying_bytes.next_multiple_of(STEP_BYTES);
        loop {
            if self.memory.fit(wanted).is_ok() {
                self.waiting = None;
                return Poll::Ready(None);
            }
            let waiting = self
                .waiting
                .get_or_insert_with(|| Waiting { since: Instant::now(), pause: Box::pin(sleep(PAUSE)) });
            if waiting.since.elapsed() >= PATIENCE {
                return Poll::Ready(Some(no_memory()));
            }
            ready!(waiting.pause.as_mut().poll(cx));
            waiting.pause.as_mut().reset(Instant::now() + PAUSE);
        }
    }

    /// Ends the client's stream with an error event.
    pub fn fail(&mut self, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        self.stream.fail(error, out);
    }

    /// Bytes that keep the client's stream open and say nothing.
    pub fn heartbeat(&mut self, out: &mut Vec<u8>) {
        self.stream.heartbeat(out);
    }

    pub fn metered(&self) -> Metered {
        self.stream.metered()
    }

    /// The answer broke off: that counts against the upstream as a refusal would.
    pub fn upstream_failed(&self, error: &Error) {
        if outlier::is_failure(error) {
            self.upstream.failed();
        }
    }

    /// The client has its answer. Lets the upstream close its own, so that the connection is kept; one that would go on
    /// talking is closed.
    pub fn finish(self) {
        self.upstream.succeeded();
        let mut body = self.body;
        if body.is_end() || !self.stream.upstream_done() {
            return;
        }
        tokio::spawn(async move {
            let rest = async { while let Ok(Arrived::Some) = body.read(|_| {}).await {} };
            // What does not close by itself is closed by the drop.
            drop(tokio::time::timeout(CLOSING_TIME, rest).await);
        });
    }
}

fn no_memory() -> UpstreamFault {
    UpstreamFault {
        kind: UpstreamFaultKind::Overloaded,
        message: "the gateway has no memory left for an answer of this size".into(),
        detail: "an event of the upstream grows, and all memory for buffers is in use".to_owned(),
    }
}
