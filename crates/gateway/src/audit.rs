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
mod successor;

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

/// Records of this time are written together.
const GATHER: Duration = Duration::from_millis(2);
/// Between two attempts on a log that cannot be written. Well below the second within which service has to follow.
const RETRY: Duration = Duration::from_millis(250);
/// Records that one write carries at most.
const BATCH_RECORDS: usize = 256;

/// Where lines go. The writer's logic is the same for a file, the process log and a test's failing disk.
trait Sink: Send {
    /// Appends whole lines, all or none.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
    /// Begins with a new file where there is one.
    fn reopen(&mut self) -> io::Result<()>;
    /// Nothing more will come.
    fn finish(&mut self);
}

/// A sink, and the number of the last record in it.
type Opened = (Box<dyn Sink>, u64);

fn open(config: &config::Audit) -> io::Result<Opened> {
    Ok(match &config.file {
        Some(path) => {
            let (sink, seq) = FileSink::open(path, config.rotate_bytes, config.keep_files)?;
            (Box::new(sink), seq)
        }
        None => (Box::new(ProcessLog), 0),
    })
}

/// The running log. Dropped without [`AuditLog::close`], it still writes what it holds.
pub struct AuditLog {
    shared: Arc<Shared>,
    /// Its sender lives in the writer thread and goes with it.
    finished: watch::Receiver<()>,
    /// True once there is a sink to write to.
    opened: watch::Receiver<bool>,
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
        let (sink, seq) = open(config)?;
        Self::with_sink(config, sink, seq)
    }

    /// As [`AuditLog::start`], but another process may still write the file: then records wait in their places until it has
    /// let go. One writer at a time keeps lines whole and numbers without gaps, whoever rotates or mends.
    pub fn take_over(config: &config::Audit) -> io::Result<Self> {
        match open(config) {
            Ok((sink, seq)) => Self::with_sink(config, sink, seq),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let config = config.clone();
                Self::spawn(&config.clone(), move |shared| successor::wait(shared, || open(&config)))
            }
            Err(error) => Err(error),
        }
    }

    fn with_sink(config: &config::Audit, sink: Box<dyn Sink>, seq: u64) -> io::Result<Self> {
        Self::spawn(config, move |_| Some((sink, seq)))
    }

    /// Starts the writer thread, which opens its sink first.
    fn spawn(
        config: &config::Audit,
        opening: impl FnOnce(&Shared) -> Option<Opened> + Send + 'static,
    ) -> io::Result<Self> {
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
        let (tell_opened, opened) = watch::channel(false);
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let owned = Arc::clone(&shared);
        thread.spawn(move || {
            let (sink, seq) = opening(&owned).unwrap_or_else(|| (Box::new(Unopened), 0));
            tell_opened.send_replace(true);
            let (batch, lines, held) = (Vec::new(), Vec::new(), 0);
            Writer { shared: owned, sink, seq, batch, lines, held, _alive: alive }.run();
        })?;
        Ok(Self { shared, finished, opened })
    }

    /// Waits until the log is this process's own.
    pub async fn opened(&self) {
        // An error means that the writer is gone: there is nothing to wait for.
        drop(self.opened.clone().wait_for(|opened| *opened).await);
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
        let first = state.queued.is_empty();
        state.queued.push_back(record);
        drop(state);
        // Further ones are found by the writer, which gathers for a moment anyway.
        if first {
            self.shared.changed.notify_one();
        }
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
    /// Taken from the queue together; empty between two turns.
    batch: Vec<Record>,
    /// Encoded and not yet written; whole lines.
    lines: Vec<u8>,
    /// Records in `lines`.
    held: usize,
    _alive: watch::Sender<()>,
}

/// What the writer woke up for, beside records.
struct Turn {
    reopen: bool,
    closing: bool,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let turn = self.wait();
            if turn.reopen {
                self.reopen();
            }
            // The last attempt on a broken sink is the one made while closing.
            let all_written = self.write_queued();
            if turn.closing && (!all_written || self.shared.lock().queued.is_empty()) {
                break;
            }
        }
        self.give_up();
        self.sink.finish();
    }

    /// Sleeps until there is something to do; while a write is owed, until the next attempt.
    fn wait(&mut self) -> Turn {
        let quiet = |state: &mut State| !state.closing && !state.reopen;
        let (state, changed) = (self.shared.lock(), &self.shared.changed);
        let mut state = if self.held > 0 {
            changed.wait_timeout_while(state, RETRY, quiet).unwrap_or_else(PoisonError::into_inner).0
        } else {
            let idle = |state: &mut State| state.queued.is_empty() && quiet(state);
            let state = changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            // Waking for every record would cost a busy gateway more than writing them.
            changed.wait_timeout_while(state, GATHER, quiet).unwrap_or_else(PoisonError::into_inner).0
        };
        Turn { reopen: std::mem::take(&mut state.reopen), closing: state.closing }
    }

    /// False where the sink failed. What it failed on is kept for the next attempt, or lost, as the policy says.
    fn write_queued(&mut self) -> bool {
        loop {
            self.take_batch();
            if self.held == 0 {
                return true;
            }
            let outcome = self.sink.append(&self.lines);
            self.note(&outcome);
            match (&outcome, self.shared.policy) {
                (Ok(()), _) => self.settle(&Arc::clone(&self.shared).written),
                (Err(_), AuditPolicy::Drop) => self.settle(&Arc::clone(&self.shared).lost),
                (Err(_), AuditPolicy::Refuse) => {}
            }
            if outcome.is_err() {
                return false;
            }
        }
    }

    /// Encodes what is queued, unless an earlier batch is still owed.
    fn take_batch(&mut self) {
        if self.held > 0 {
            return;
        }
        let mut state = self.shared.lock();
        let count = state.queued.len().min(BATCH_RECORDS);
        self.batch.extend(state.queued.drain(..count));
        drop(state);
        for mut record in self.batch.drain(..) {
            self.seq += 1;
            record.seq = self.seq;
            record.write_line(&mut self.lines);
            self.held += 1;
        }
    }

    /// The batch is dealt with: counts it and gives its places back.
    fn settle(&mut self, counter: &AtomicU64) {
        counter.fetch_add(u64::try_from(self.held).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut state = self.shared.lock();
        state.places_taken = state.places_taken.saturating_sub(self.held);
        drop(state);
        self.held = 0;
        self.lines.clear();
    }

    /// Remembers whether the sink works; tells the operator when that changes, not at every attempt.
    fn note(&self, outcome: &io::Result<()>) {
        let before = std::mem::replace(&mut self.shared.lock().healthy, outcome.is_ok());
        match outcome {
            Ok(()) if !before => tracing::info!("the audit log can be written again"),
            Ok(()) => {}
            Err(error) => {
                self.shared.errors.fetch_add(1, Ordering::Relaxed);
                if before {
                    tracing::error!(%error, policy = ?self.shared.policy, "the audit log cannot be written");
                }
            }
        }
    }

    /// A failure leaves the old file in use, so nothing is lost and nobody has to be refused.
    fn reopen(&mut self) {
        if let Err(error) = self.sink.reopen() {
            self.shared.errors.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the audit log cannot be reopened; writing on in the old file");
        }
    }

    /// What is left when the writer stops could not be written.
    fn give_up(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let left = self.held + state.queued.len();
        state.queued.clear();
        drop(state);
        if left > 0 {
            self.shared.lost.fetch_add(u64::try_from(left).unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(records = left, "audit records lost at exit");
        }
    }
}

/// A file that another process kept to the end: what waited for it is lost, and counted so.
struct Unopened;

impl Sink for Unopened {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn reopen(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn finish(&mut self) {}
}

/// Records among the process's own log lines.
struct ProcessLog;

impl Sink for ProcessLog {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        for line in String::from_utf8_lossy(lines).lines() {
            tracing::info!(target: "audit", "{line}");
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests;
