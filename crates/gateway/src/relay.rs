//! The response body: it owns the permit and the exchange, moves the answer, and settles once, however the answer ends.
//!
//! Why here: a limit or a slot that is given back at the response head is the classic bug of this field. Whoever drops this
//! body (client gone, connection broken, process stopping) gives everything back, because everything is inside.
//!
//! Never here: choosing upstreams, reading dialects (that is `wire`'s decoder, fed from here).

mod inflow;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use wire::{Format, Metered, Progress};

pub use self::inflow::Inflow;
use crate::admit::Permit;
use crate::budget::{Budget, Held};
use crate::error::{Clock, Error, ErrorRender};
use crate::exchange::{End, Exchange};
use crate::progress::Stage;
use crate::stop::Reached;
use crate::upstream::Upstream;

/// Bytes gathered from frames that are already there before one write is made of them.
const GATHER_BYTES: usize = 16 << 10;
/// A write of at least this size counts as buffered until the client has taken it.
const COUNTED_BYTES: usize = 4 << 10;

/// A stream whose first event has arrived, and all that it holds.
pub struct Flow {
    pub inflow: Inflow,
    /// The stream's dialect is the route's own, also where error bodies take another.
    pub client: Format,
    /// Memory of bytes that the client has not taken.
    pub unsent: Budget,
    /// What the first events made.
    pub first: Vec<u8>,
    /// How far the first bytes came: the stream may have ended with them, well or not.
    pub progress: Progress,
    /// A slot of the model; what no model works on needs none.
    pub permit: Option<Permit<Upstream>>,
    pub clocks: StreamClocks,
    /// Resolves when the drain deadline of a stopping process has passed.
    pub cut: Reached,
}

/// The clocks that go on ticking while a stream flows.
#[derive(Clone, Copy, Debug)]
pub struct StreamClocks {
    pub idle: Duration,
    pub heartbeat: Duration,
    /// When the whole answer must be over.
    pub total_at: Instant,
}

/// A stream that waits for its first event: resolves to the flow, or to the reason why there is none.
pub type Opening = Pin<Box<dyn Future<Output = (Result<Flow, Error>, Exchange)> + Send>>;

/// What hyper sends to a client.
pub enum Body {
    /// Bytes that are all there; settled when they are taken.
    Whole {
        bytes: Option<Bytes>,
        settling: Option<Box<Settling>>,
    },
    Relay(Box<Relay>),
}

/// How an exchange ends when its answer is taken. Dropped before, the client has left; what was spent was spent.
pub struct Settling(Option<(Exchange, End)>, Metered);

impl Settling {
    fn settle(mut self) {
        if let Some((exchange, end)) = self.0.take() {
            exchange.settle(end, self.1);
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some((exchange, _)) = self.0.take() {
            exchange.settle(End::ClientGone, self.1);
        }
    }
}

/// A streamed answer.
pub struct Relay {
    phase: Phase,
    out: Vec<u8>,
    /// Known once the stream flows; what is said before is short.
    memory: Option<Budget>,
    /// One timer for all clocks: it sleeps until the next of them could run out and is not touched by passing tokens.
    alarm: Pin<Box<Sleep>>,
}

#[expect(clippy::large_enum_variant, reason = "lives in the relay's one box and is moved twice in its life")]
enum Phase {
    Opening {
        opening: Opening,
        stage: Option<Stage>,
        told: wire::Opening,
        errors: ErrorRender,
        heartbeat: Duration,
        next_tick: Instant,
    },
    Flowing {
        flow: Flow,
        exchange: Exchange,
        heard_at: Instant,
        wrote_at: Instant,
    },
    Done,
}

/// How often a caller that asked for it is told where it stands.
const STAGE_EVERY: Duration = Duration::from_millis(500);

impl Body {
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole { bytes: Some(bytes.into()), settling: None }
    }

    /// Bytes whose exchange ends when they are handed over.
    pub fn settled(bytes: impl Into<Bytes>, exchange: Exchange, end: End, metered: Metered) -> Self {
        let settling = Settling(Some((exchange, end)), metered);
        Self::Whole { bytes: Some(bytes.into()), settling: Some(Box::new(settling)) }
    }

    pub fn flowing(flow: Flow, mut exchange: Exchange) -> Self {
        exchange.first_byte();
        let now = Instant::now();
        let alarm = Box::pin(sleep_until(now));
        let mut relay = Relay { phase: Phase::Done, out: Vec::new(), memory: None, alarm };
        relay.start(flow, exchange, now);
        Self::Relay(Box::new(relay))
    }

    /// A body that begins before the answer does: comments keep the connection open, and tell the stage to who asked.
    pub fn opening(
        opening: Opening,
        stage: Option<Stage>,
        told: wire::Opening,
        errors: ErrorRender,
        heartbeat: Duration,
    ) -> Self {
        let now = Instant::now();
        let phase = Phase::Opening { opening, stage, told, errors, heartbeat, next_tick: now };
        let alarm = Box::pin(sleep_until(now));
        Self::Relay(Box::new(Relay { phase, out: Vec::new(), memory: None, alarm }))
    }
}

impl Body {
    /// After a panic in it nothing of it is trusted: it ends without a word, and nobody pays for it.
    pub fn break_off(&mut self) {
        let broken = std::mem::replace(self, Self::whole(Bytes::new()));
        if let Self::Relay(mut relay) = broken
            && let Phase::Flowing { flow, exchange, .. } = std::mem::replace(&mut relay.phase, Phase::Done)
        {
            exchange.settle(End::Failed(Error::Internal.label()), flow.inflow.metered());
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole { bytes, settling } => {
                if let Some(settling) = settling.take() {
                    settling.settle();
                }
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Relay(relay) => relay.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { bytes, .. } => bytes.is_none(),
            Self::Relay(relay) => matches!(relay.phase, Phase::Done) && relay.out.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Relay(_) => SizeHint::default(),
        }
    }
}

/// What goes wrong is told in the stream; only a defect of ours breaks the connection.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    #[error("a defect of the gateway ended the answer")]
    Defect,
}

impl Relay {
    fn start(&mut self, mut flow: Flow, exchange: Exchange, now: Instant) {
        self.out.append(&mut flow.first);
        self.memory = Some(flow.unsent.clone());
        match std::mem::replace(&mut flow.progress, Progress::Flowing) {
            Progress::Complete => finish(flow, exchange),
            progress => {
                self.phase = Phase::Flowing { flow, exchange, heard_at: now, wrote_at: now };
                if let Progress::Failed(fault) = progress {
                    self.fail(&Error::Upstream(fault), End::UpstreamCut);
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let ready = match self.phase {
                Phase::Opening { .. } => self.poll_opening(cx),
                Phase::Flowing { .. } => self.poll_flowing(cx),
                Phase::Done if self.out.is_empty() => return Poll::Ready(None),
                Phase::Done => Poll::Ready(()),
            };
            if !self.out.is_empty() {
                return Poll::Ready(Some(piece(std::mem::take(&mut self.out), self.memory.as_ref())));
            }
            if ready.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Opening { opening, stage, told, errors, heartbeat, next_tick } = &mut self.phase else {
            return Poll::Ready(());
        };
        if let Poll::Ready((result, mut exchange)) = opening.as_mut().poll(cx) {
            match result {
                Ok(flow) => {
                    self.phase = Phase::Done;
                    exchange.first_byte();
                    self.start(flow, exchange, Instant::now());
                }
                Err(error) => {
                    errors.lend(&error, exchange.id(), |body| told.fail(body, &mut self.out));
                    self.phase = Phase::Done;
                    exchange.settle_unanswered(&error);
                }
            }
            return Poll::Ready(());
        }
        let now = Instant::now();
        if now >= *next_tick {
            let every = match stage {
                Some(stage) => {
                    stage.write_comment(told, &mut self.out);
                    STAGE_EVERY
                }
                None => {
                    told.heartbeat(&mut self.out);
                    *heartbeat
                }
            };
            *next_tick = now + every;
        }
        let next = *next_tick;
        self.sleep_until(next, cx)
    }

    fn poll_flowing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Flowing { flow, exchange: _, heard_at, wrote_at } = &mut self.phase else {
            return Poll::Ready(());
        };
        // Also where bytes never run out behind a slow reader, the process and the last clock have the last word.
        if flow.cut.as_mut().poll(cx).is_ready() {
            self.fail(&Error::Draining, End::Drained);
            return Poll::Ready(());
        }
        while self.out.len() < GATHER_BYTES {
            let Poll::Ready(progress) = flow.inflow.poll(cx, &mut self.out) else { break };
            *heard_at = Instant::now();
            if *heard_at >= flow.clocks.total_at && progress != Progress::Complete {
                self.fail(&Error::Deadline(Clock::Total), End::Deadline);
                return Poll::Ready(());
            }
            match progress {
                Progress::Waiting | Progress::Flowing => {}
                Progress::Complete => return self.complete(),
                Progress::Failed(fault) => {
                    self.fail(&Error::Upstream(fault), End::UpstreamCut);
                    return Poll::Ready(());
                }
            }
        }
        if !self.out.is_empty() {
            *wrote_at = Instant::now();
            return Poll::Ready(());
        }
        self.poll_clocks(cx)
    }

    /// Nothing moves: looks whether a clock has run out, and sleeps until the next could.
    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Flowing { flow, heard_at, wrote_at, .. } = &mut self.phase else {
            return Poll::Ready(());
        };
        let now = Instant::now();
        let idle_at = *heard_at + flow.clocks.idle;
        if now >= flow.clocks.total_at {
            self.fail(&Error::Deadline(Clock::Total), End::Deadline);
            return Poll::Ready(());
        }
        if now >= idle_at {
            self.fail(&Error::Deadline(Clock::Idle), End::Deadline);
            return Poll::Ready(());
        }
        if now >= *wrote_at + flow.clocks.heartbeat {
            flow.inflow.heartbeat(&mut self.out);
            *wrote_at = now;
            return Poll::Ready(());
        }
        let next = idle_at.min(flow.clocks.total_at).min(*wrote_at + flow.clocks.heartbeat);
        self.sleep_until(next, cx)
    }

    fn sleep_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.deadline() != at {
            self.alarm.as_mut().reset(at);
        }
        self.alarm.as_mut().poll(cx)
    }

    fn complete(&mut self) -> Poll<()> {
        if let Phase::Flowing { flow, exchange, .. } = std::mem::replace(&mut self.phase, Phase::Done) {
            finish(flow, exchange);
        }
        Poll::Ready(())
    }

    fn fail(&mut self, error: &Error, end: End) {
        if let Phase::Flowing { mut flow, exchange, .. } = std::mem::replace(&mut self.phase, Phase::Done) {
            exchange.log(error);
            if end == End::UpstreamCut {
                flow.inflow.upstream_failed(error);
            }
            let errors = ErrorRender { format: flow.client, ..exchange.errors() };
            errors.lend(error, exchange.id(), |body| flow.inflow.fail(body, &mut self.out));
            exchange.settle_failed(end, error, flow.inflow.metered());
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The client left mid-stream: what has passed so far is what it is charged for. (An opening that is dropped drops
        // its exchange, which settles itself.)
        if let Phase::Flowing { flow, exchange, .. } = std::mem::replace(&mut self.phase, Phase::Done) {
            exchange.settle(End::ClientGone, flow.inflow.metered());
        }
    }
}

/// The answer is complete: settles, frees the slot, and lets the upstream close its message so that the connection is kept.
fn finish(flow: Flow, exchange: Exchange) {
    exchange.settle(End::Complete, flow.inflow.metered());
    if let Some(permit) = flow.permit {
        permit.served();
    }
    flow.inflow.finish();
}

/// Bytes that wait for the client, and the memory they count as.
struct Unsent {
    bytes: Vec<u8>,
    _memory: Held,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that count until the client has taken them.
pub fn unsent(bytes: Vec<u8>, memory: Held) -> Bytes {
    Bytes::from_owner(Unsent { bytes, _memory: memory })
}

/// Small pieces are every connection's own.
fn piece(bytes: Vec<u8>, budget: Option<&Budget>) -> Bytes {
    let Some(budget) = budget.filter(|_| bytes.len() >= COUNTED_BYTES) else { return bytes.into() };
    let mut memory = budget.hold();
    memory.own_up_to(bytes.len());
    unsent(bytes, memory)
}
