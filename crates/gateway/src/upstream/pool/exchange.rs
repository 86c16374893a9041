//! One request written and the head of its answer read, on one connection.
//!
//! Why here: writing and reading go on together. A server that refuses a large body answers before it has read it, and
//! whoever only writes would wait for it for ever.
//!
//! Never here: which connection, and whether to try another.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::head::{self, Found, Head};
use crate::dial::Stream;

/// What one read takes at most. The space is the stack's: a connection that waits holds none of it.
pub(super) const READ_BYTES: usize = 16 << 10;

/// A request on its way.
pub(super) struct Outgoing {
    head: Bytes,
    body: Bytes,
    /// What has not been written yet.
    unsent: (Bytes, Bytes),
}

/// No answer on this connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub why: String,
    /// Not one byte came back.
    pub silent: bool,
}

impl Outgoing {
    pub(super) fn new(head: Vec<u8>, body: Bytes) -> Self {
        let head = Bytes::from(head);
        Self { unsent: (head.clone(), body.clone()), head, body }
    }

    /// The answer is a head alone, whatever it says of a body.
    pub(super) fn wants_no_body(&self) -> bool {
        self.head.starts_with(b"HEAD ")
    }

    pub(super) fn is_sent(&self) -> bool {
        self.unsent.0.is_empty() && self.unsent.1.is_empty()
    }

    /// From the start again, for another connection.
    pub(super) fn rewind(&mut self) {
        self.unsent = (self.head.clone(), self.body.clone());
    }

    fn poll_write(&mut self, io: &mut dyn Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (head, body) = &mut self.unsent;
        while !(head.is_empty() && body.is_empty()) {
            let slices = [io::IoSlice::new(head), io::IoSlice::new(body)];
            let slices =
                if head.is_empty() { slices.get(1..) } else { Some(&slices[..]) }.unwrap_or_default();
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            head.advance(of_head);
            body.advance(written - of_head);
        }
        Pin::new(io).poll_flush(cx)
    }
}

/// Sends and waits for the head. The second value is what came behind it.
pub(super) async fn run(io: &mut dyn Stream, request: &mut Outgoing) -> Result<(Head, Vec<u8>), Failure> {
    let mut incoming = Vec::new();
    std::future::poll_fn(|cx| poll(io, request, &mut incoming, cx))
        .await
        .map_err(|why| Failure { why, silent: incoming.is_empty() })
}

fn poll(
    io: &mut dyn Stream,
    request: &mut Outgoing,
    incoming: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<(Head, Vec<u8>), String>> {
    // A peer that stopped listening may have said why before.
    let refused = match request.poll_write(io, cx) {
        Poll::Ready(Err(error)) => Some(error),
        Poll::Ready(Ok(())) | Poll::Pending => None,
    };
    loop {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *io).poll_read(cx, &mut read) {
            Poll::Pending => {
                return refused.map_or(Poll::Pending, |error| Poll::Ready(Err(error.to_string())));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(refused.unwrap_or(error).to_string())),
            Poll::Ready(Ok(())) if read.filled().is_empty() => {
                let why = refused.map_or("closed without an answer".to_owned(), |error| error.to_string());
                return Poll::Ready(Err(why));
            }
            Poll::Ready(Ok(())) => {}
        }
        match take(incoming, read.filled()) {
            Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
            Ok(None) => {}
            Err(fault) => return Poll::Ready(Err(fault.to_string())),
        }
    }
}

/// Usually the head lies whole in the first read, and nothing of it is copied.
fn take(incoming: &mut Vec<u8>, read: &[u8]) -> Result<Option<(Head, Vec<u8>)>, head::Fault> {
    if incoming.is_empty()
        && let Ok(Found::Head(head, len)) = head::find(read)
    {
        return Ok(Some((head, read.get(len..).unwrap_or_default().to_vec())));
    }
    // Kept also where it is nonsense: a peer that has said anything may have run the request, and is not asked again.
    incoming.extend_from_slice(read);
    Ok(match head::find(incoming)? {
        Found::Head(head, len) => Some((head, incoming.split_off(len))),
        Found::Not => None,
    })
}
