//! Connections that wait for their next request.
//!
//! Why here: the newest is used first, so that what is not needed grows old and is closed.
//!
//! Never here: a task: what has grown old is closed by whoever comes next, and the probe comes every half second.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::dial::Stream;

/// Connections kept to one upstream.
const KEPT_MAX: usize = 1_024;
/// How long a kept connection is trusted. Shorter than what servers and proxies keep (Ollama keeps for ever, nginx 60 s).
const KEPT_TIME: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Idle(Mutex<VecDeque<Kept>>);

struct Kept {
    io: Box<dyn Stream>,
    since: Instant,
}

impl Idle {
    /// The newest that is still open.
    pub(super) fn take(&self) -> Option<Box<dyn Stream>> {
        loop {
            let (kept, old) = {
                let mut all = self.all();
                let fresh = all.iter().position(|kept| kept.since.elapsed() < KEPT_TIME).unwrap_or(all.len());
                let old: Vec<Kept> = all.drain(..fresh).collect();
                (all.pop_back(), old)
            };
            // Closed outside the lock.
            drop(old);
            let mut io = kept?.io;
            if is_quiet(&mut *io) {
                return Some(io);
            }
        }
    }

    pub(super) fn put(&self, mut io: Box<dyn Stream>) {
        if is_quiet(&mut *io) {
            let mut all = self.all();
            if all.len() < KEPT_MAX {
                all.push_back(Kept { io, since: Instant::now() });
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither closed by the peer nor with bytes that nobody asked for.
fn is_quiet(io: &mut dyn Stream) -> bool {
    let mut space = [MaybeUninit::uninit(); 1];
    let mut read = ReadBuf::uninit(&mut space);
    Pin::new(io).poll_read(&mut Context::from_waker(Waker::noop()), &mut read).is_pending()
}
