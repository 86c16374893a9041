//! The body of an upstream's answer, read by whoever wants it, straight from the socket.
//!
//! Why here: no task and no buffer stand between the upstream's socket and the reader. Dropped before its end, the
//! connection is closed at once, and the upstream stops working for nobody; read to its end, it is kept for the next request.
//!
//! Never here: what the bytes mean.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::SendError;
use super::deframe::{Deframer, Framing};
use super::exchange::READ_BYTES;
use super::idle::Idle;
use crate::budget::{Full, Held};
use crate::dial::Stream;

/// Memory for a whole answer is taken in steps of this.
const STEP_BYTES: usize = 16 << 10;

/// A body that has not been read to its end owns its connection.
pub struct AnswerBody {
    /// `None`: over.
    io: Option<Box<dyn Stream>>,
    deframer: Deframer,
    length: Option<u64>,
    /// What came together with the head.
    rest: Vec<u8>,
    /// Where the connection goes when the body has been read.
    home: Option<Arc<Idle>>,
}

/// What a read has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Bytes, and more may follow.
    Some,
    /// The end, perhaps with the last bytes before it.
    End,
}

impl AnswerBody {
    pub(super) fn new(io: Box<dyn Stream>, framing: Framing, rest: Vec<u8>, home: Option<Arc<Idle>>) -> Self {
        let length = if let Framing::Length(length) = framing { Some(length) } else { None };
        let mut body = Self { io: Some(io), deframer: Deframer::new(framing), length, rest, home };
        if body.deframer.is_end() {
            let behind = std::mem::take(&mut body.rest);
            body.close(behind.is_empty());
        }
        body
    }

    /// The bytes of the whole body, if the head said so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Read to its end.
    pub fn is_end(&self) -> bool {
        self.deframer.is_end()
    }

    /// Reads once, and hands every piece of the body in what was read to `take`. After an error there is nothing more.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnMut(&[u8]),
    ) -> Poll<Result<Arrived, SendError>> {
        if self.is_end() {
            return Poll::Ready(Ok(Arrived::End));
        }
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(self.feed(&rest, take));
        }
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(SendError::Broken("read after an error".to_owned())));
        };
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        let outcome = match ready!(Pin::new(io).poll_read(cx, &mut read)) {
            Err(error) => Err(SendError::Broken(error.to_string())),
            Ok(()) if read.filled().is_empty() => {
                if self.deframer.close() {
                    self.io = None;
                    Ok(Arrived::End)
                } else {
                    Err(SendError::Broken("closed inside the answer".to_owned()))
                }
            }
            Ok(()) => self.feed(read.filled(), take),
        };
        if outcome.is_err() {
            self.io = None;
        }
        Poll::Ready(outcome)
    }

    /// [`Self::poll_read`] for who can wait.
    pub async fn read(&mut self, mut take: impl FnMut(&[u8])) -> Result<Arrived, SendError> {
        std::future::poll_fn(|cx| self.poll_read(cx, &mut take)).await
    }

    fn feed(&mut self, mut bytes: &[u8], take: impl FnMut(&[u8])) -> Result<Arrived, SendError> {
        self.deframer.feed(&mut bytes, take).map_err(|fault| {
            self.io = None;
            SendError::Broken(fault.to_string())
        })?;
        if !self.is_end() {
            return Ok(Arrived::Some);
        }
        self.close(bytes.is_empty());
        Ok(Arrived::End)
    }

    /// The message is over; whether the connection is clean behind it.
    fn close(&mut self, clean: bool) {
        let io = self.io.take();
        if let (Some(io), Some(home), true) = (io, self.home.take(), clean) {
            home.put(io);
        }
    }
}

/// Reads a whole body up to a bound that is small enough not to be counted.
pub async fn read_body(body: AnswerBody, bytes_max: usize) -> Result<Bytes, SendError> {
    read(body, bytes_max, |_| Ok(())).await
}

/// Reads a whole body up to a bound, in memory that is taken from a budget as it grows.
pub async fn read_body_within(
    body: AnswerBody,
    bytes_max: usize,
    memory: &mut Held,
) -> Result<Bytes, SendError> {
    read(body, bytes_max, |bytes| memory.fit(bytes.next_multiple_of(STEP_BYTES))).await
}

async fn read(
    mut body: AnswerBody,
    bytes_max: usize,
    mut room: impl FnMut(usize) -> Result<(), Full>,
) -> Result<Bytes, SendError> {
    let announced = body.length().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let too_long = || SendError::Broken(format!("an answer of more than {bytes_max} bytes"));
    if announced > bytes_max {
        return Err(too_long());
    }
    room(announced)?;
    let mut whole = Vec::with_capacity(announced);
    loop {
        // A read brings no more than this.
        room(announced.max(whole.len() + READ_BYTES))?;
        let arrived = body.read(|bytes| whole.extend_from_slice(bytes)).await?;
        if whole.len() > bytes_max {
            return Err(too_long());
        }
        if arrived == Arrived::End {
            return Ok(whole.into());
        }
    }
}
