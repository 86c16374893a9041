//! An answer on its way to the client: the front's own words, or what a part behind says, with all that is held for it.
//!
//! Why here: places, permits and the connection behind are given back in one moment, when the answer is over or the client
//! has left: by dropping this.
//!
//! Never here: heads.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::hop::{Cut, Download};
use super::rates::Place;
use super::stall::Stall;
use super::watch::Serving;

/// What is given back with the answer.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) _serving: Serving,
    pub(super) _place: Option<Place>,
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

pub(super) struct Answer {
    said: Said,
    stall: Option<Arc<Stall>>,
    _held: Held,
}

enum Said {
    Own(Option<Bytes>),
    Passed(Download),
}

impl Answer {
    pub(super) fn own(bytes: Bytes, held: Held) -> Self {
        Self { said: Said::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), stall: None, _held: held }
    }

    pub(super) fn passed(body: Download, held: Held) -> Self {
        Self { said: Said::Passed(body), stall: Stall::of_this_stream(), _held: held }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let body = match &mut this.said {
            Said::Own(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Said::Passed(body) => body,
        };
        if let Some(stall) = &this.stall {
            stall.taken();
        }
        let polled = Pin::new(body).poll_frame(cx);
        if let (Some(stall), Poll::Ready(Some(Ok(_)))) = (&this.stall, &polled) {
            stall.handed();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.said {
            Said::Own(bytes) => bytes.is_none(),
            Said::Passed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.said {
            Said::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Said::Passed(body) => body.size_hint(),
        }
    }
}
