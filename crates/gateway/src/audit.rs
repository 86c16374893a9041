//! The audit log: one line for every request, off the token path, bounded, and never silently incomplete.
//!
//! Why here: a request takes its place in the log ([`Slot`]) before it is served, so the record of its end can neither
//! block nor find the log full. One thread of its own writes; a disk that hangs stops that thread and nothing else.
//!
//! When the log cannot be written, [`AuditPolicy::Refuse`] keeps what it has, refuses new requests and tries again by
//! itself; [`AuditPolicy::Drop`] serves on and counts what is lost. The sequence numbers show every gap.
//!
//! Never here: prompt or answer text; an unbounded queue; half a line.

mod file;
mod record;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

pub use record::Record;

use crate::config::{self, AuditPolicy};
use crate::error::Error;
use file::FileSink;

/// Between two attempts on a log that cannot be written. Well below the second within which service has to follow.
const RETRY: Duration = Duration::from_millis(250);
/// One write call carries at most about this much.
const BATCH_BYTES: usize = 256 << 10;

/// Where lines go. The writer's logic is the same for a file, the process log and a test's failing disk.
trait Sink: Send {
    /// Appends whole lines, all or none.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
    /// Begins with a new file where there is one.
    fn reopen(&mut self) -> io::Result<()>;
    /// Nothing more will come.
    fn finish(&mut self);
}

/// The running log. Dropped without [`AuditLog::close`], it still writes what it holds.
pub struct AuditLog {
    shared: Arc<Shared>,
    /// Its sender lives in the writer thread and goes with it.
    finished: watch::Receiver<()>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    places_max: usize,
    policy: AuditPolicy,
    written: AtomicU64,
    errors: AtomicU64,
    lost: AtomicU64,
}

struct State {
    queued: VecDeque<Record>,
    /// Reserved, queued, or on its way to the disk.
    places_taken: usize,
    /// The last write succeeded.
    healthy: bool,
    reopen: bool,
    closing: bool,
    /// The writer is gone.
    closed: bool,
}

/// A place in the log that nobody can take away. Dropped unwritten, it is free again.
#[must_use = "a request without a record must not be served"]
pub struct Slot {
    shared: Arc<Shared>,
    arrived: Timestamp,
    /// False where the policy serves on although all places are taken.
    placed: bool,
}

impl AuditLog {
    /// Opens the log and starts its writer.
    pub fn start(config: &config::Audit) -> io::Result<Self> {
        match &config.file {
            Some(path) => {
                let (sink, seq) = FileSink::open(path, config.rotate_bytes, config.keep_files)?;
                Self::with_sink(config, Box::new(sink), seq)
            }
            None => Self::with_sink(config, Box::new(ProcessLog), 0),
        }
    }

    fn with_sink(config: &config::Audit, sink: Box<dyn Sink>, seq: u64) -> io::Result<Self> {
        let state = State {
            queued: VecDeque::new(),
            places_taken: 0,
            healthy: true,
            reopen: false,
            closing: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            places_max: config.buffer_records.max(1),
            policy: config.on_error,
            written: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let (alive, finished) = watch::channel(());
        let mut writer =
            Writer { shared: Arc::clone(&shared), sink, seq, lines: Vec::new(), held: 0, _alive: alive };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared, finished })
    }

    /// A place for the record of a request that is about to be served.
    pub fn reserve(&self) -> Result<Slot, Error> {
        let mut state = self.shared.lock();
        let free = state.places_taken < self.shared.places_max;
        let refuse = self.shared.policy == AuditPolicy::Refuse && !(free && state.healthy);
        if state.closing || refuse {
            return Err(Error::AuditUnavailable);
        }
        state.places_taken += usize::from(free);
        drop(state);
        Ok(Slot { shared: Arc::clone(&self.shared), arrived: Timestamp::now(), placed: free })
    }

    /// Continues in a new file, after the old one was moved away.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_one();
    }

    /// Whether the last write succeeded.
    pub fn healthy(&self) -> bool {
        self.shared.lock().healthy
    }

    /// Records written.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Failed attempts to write or to open.
    pub fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }

    /// Records that could not be kept.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Writes what is queued and stops. Places that are still held after this lead nowhere; their records count as lost.
    pub async fn close(&self) {
        self.shared.close();
        let mut finished = self.finished.clone();
        // An error is the news: the sender went with the writer.
        while finished.changed().await.is_ok() {}
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Slot {
    /// Hands the record over. Never blocks.
    pub fn write(mut self, mut record: Record) {
        record.ts = self.arrived;
        let mut state = self.shared.lock();
        if !self.placed || state.closed {
            drop(state);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // From here the place belongs to the record; the writer gives it back.
        self.placed = false;
        state.queued.push_back(record);
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.placed {
            let mut state = self.shared.lock();
            state.places_taken = state.places_taken.saturating_sub(1);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }
}

/// The thread that owns the sink.
struct Writer {
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    seq: u64,
    /// Encoded, not yet written; whole lines.
    lines: Vec<u8>,
    /// Records in `lines`.
    held: usize,
    _alive: watch::Sender<()>,
}

/// What the writer woke up for.
struct Turn {
    reopen: bool,
    closing: bool,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let turn = self.wait();
            if turn.reopen {
                let outcome = self.sink.reopen();
                self.note(&outcome);
            }
            let written = self.write();
            if turn.closing && (!written || self.idle()) {
                break;
            }
        }
        self.give_up();
        self.sink.finish();
    }

    /// Sleeps until there is something to do; while a write is owed, only until the next attempt.
    fn wait(&mut self) -> Turn {
        let mut state = self.shared.lock();
        if self.held > 0 && !state.closing && !state.reopen {
            let waited = self.shared.changed.wait_timeout_while(state, RETRY, |state| !state.closing && !state.reopen);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else {
            let idle = |state: &mut State| state.queued.is_empty() && !state.closing && !state.reopen;
            let held = self.held > 0;
            let waited = self.shared.changed.wait_while(state, |state| !held && idle(state));
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Turn { reopen: std::mem::take(&mut state.reopen), closing: state.closing }
    }

    /// Writes all that is queued; false where the sink fails and what it failed on is kept or counted as lost.
    fn write(&mut self) -> bool {
        loop {
            self.encode();
            if self.held == 0 {
                return true;
            }
            let outcome = self.sink.append(&self.lines);
            self.note(&outcome);
            match (outcome.is_ok(), self.shared.policy) {
                (true, _) => self.settle(&self.shared.written),
                (false, AuditPolicy::Drop) => self.settle(&self.shared.lost),
                (false, AuditPolicy::Refuse) => return false,
            }
            if outcome.is_err() {
                return false;
            }
        }
    }
}
