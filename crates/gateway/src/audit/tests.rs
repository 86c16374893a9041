//! The log against sinks that work, fail, hang and recover.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use super::*;

/// A sink that the test steers.
#[derive(Clone, Default)]
struct Steered {
    text: Arc<Mutex<String>>,
    broken: Arc<AtomicBool>,
    reopened: Arc<AtomicU64>,
    finished: Arc<AtomicBool>,
    /// Each append waits for one of these.
    gate: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Steered {
    fn gated() -> (Self, SyncSender<()>) {
        let (open, gate) = sync_channel(1_000);
        (Self { gate: Some(Arc::new(Mutex::new(gate))), ..Self::default() }, open)
    }

    fn seqs(&self) -> Vec<u64> {
        let text = self.text.lock().unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap())
            .collect()
    }
}

impl Sink for Steered {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv();
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.text.lock().unwrap().push_str(std::str::from_utf8(lines).unwrap());
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.reopened.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }

    fn finish(&mut self) {
        self.finished.store(true, Ordering::SeqCst);
    }
}

fn start(sink: &Steered, buffer_records: usize, on_error: AuditPolicy) -> AuditLog {
    let config = config::Audit { buffer_records, on_error, ..config::Audit::default() };
    AuditLog::with_sink(&config, Box::new(sink.clone()), 0).unwrap()
}

fn record(id: &str) -> Record {
    Record { request_id: id.into(), end: "complete", ..Record::default() }
}

/// Waits for the writer thread to get somewhere.
fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came");
        std::thread::yield_now();
    }
}

fn close(log: &AuditLog) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(log.close());
}

#[test]
fn every_record_is_written_once_and_numbered() {
    let sink = Steered::default();
    let log = start(&sink, 64, AuditPolicy::Refuse);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut written = 0;
                while written < 500 {
                    // The places are fewer than the threads could fill: refusal is the honest answer, not blocking.
                    let Ok(slot) = log.reserve() else {
                        std::thread::yield_now();
                        continue;
                    };
                    slot.write(record("r"));
                    written += 1;
                }
            });
        }
    });
    close(&log);
    assert_eq!(sink.seqs(), (1..=4_000).collect::<Vec<_>>());
    assert_eq!((log.written(), log.errors(), log.lost()), (4_000, 0, 0));
    assert!(sink.finished.load(Ordering::SeqCst));
}

#[test]
fn a_place_is_taken_from_reservation_to_disk() {
    let (sink, open) = Steered::gated();
    let log = start(&sink, 2, AuditPolicy::Refuse);
    let (first, second) = (log.reserve().unwrap(), log.reserve().unwrap());
    assert!(matches!(log.reserve(), Err(Error::AuditUnavailable)));
    drop(second);
    let second = log.reserve().unwrap();
    first.write(record("1"));
    // Handed over, but the disk hangs: the place is not free yet, and nobody was blocked.
    assert!(matches!(log.reserve(), Err(Error::AuditUnavailable)));
    open.send(()).unwrap();
    until(|| log.reserve().is_ok());
    second.write(record("2"));
    open.send(()).unwrap();
    close(&log);
    assert_eq!(sink.seqs(), [1, 2]);
}

#[test]
fn refuse_keeps_what_it_has_and_recovers_alone() {
    let sink = Steered::default();
    let log = start(&sink, 8, AuditPolicy::Refuse);
    let running = log.reserve().unwrap();
    sink.broken.store(true, Ordering::SeqCst);
    log.reserve().unwrap().write(record("failed"));
    until(|| !log.healthy());
    assert!(matches!(log.reserve(), Err(Error::AuditUnavailable)));
    // A request that runs still ends with its record.
    running.write(record("running"));
    until(|| log.errors() >= 2);
    assert_eq!((log.lost(), log.written()), (0, 0));

    // No new request is needed to find out: there could not be one.
    sink.broken.store(false, Ordering::SeqCst);
    until(|| log.reserve().is_ok());
    close(&log);
    assert_eq!(sink.seqs(), [1, 2]);
    assert_eq!((log.lost(), log.written()), (0, 2));
}

#[test]
fn drop_serves_on_and_shows_the_gap() {
    let sink = Steered::default();
    let log = start(&sink, 8, AuditPolicy::Drop);
    log.reserve().unwrap().write(record("1"));
    until(|| log.written() == 1);
    sink.broken.store(true, Ordering::SeqCst);
    log.reserve().unwrap().write(record("2"));
    until(|| log.lost() == 1);
    assert!(!log.healthy());
    sink.broken.store(false, Ordering::SeqCst);
    log.reserve().unwrap().write(record("3"));
    close(&log);
    assert_eq!(sink.seqs(), [1, 3]);
    assert!(log.healthy());
}

#[test]
fn drop_serves_on_while_the_disk_hangs() {
    let (sink, open) = Steered::gated();
    let log = start(&sink, 1, AuditPolicy::Drop);
    log.reserve().unwrap().write(record("kept"));
    for _ in 0..5 {
        log.reserve().unwrap().write(record("lost"));
    }
    assert_eq!(log.lost(), 5);
    open.send(()).unwrap();
    close(&log);
    assert_eq!((sink.seqs(), log.written()), (vec![1], 1));
}

#[test]
fn closing_a_broken_log_ends_and_counts() {
    for policy in [AuditPolicy::Refuse, AuditPolicy::Drop] {
        let sink = Steered::default();
        let log = start(&sink, 8, policy);
        sink.broken.store(true, Ordering::SeqCst);
        let [one, two, late] = [(); 3].map(|()| log.reserve().unwrap());
        one.write(record("1"));
        two.write(record("2"));
        close(&log);
        assert_eq!((log.lost(), log.written()), (2, 0), "{policy:?}");
        late.write(record("late"));
        assert_eq!(log.lost(), 3, "{policy:?}");
        assert!(matches!(log.reserve(), Err(Error::AuditUnavailable)), "{policy:?}");
    }
}

#[test]
fn a_dropped_log_still_writes_what_it_holds() {
    let (sink, open) = Steered::gated();
    let log = start(&sink, 8, AuditPolicy::Refuse);
    for _ in 0..3 {
        log.reserve().unwrap().write(record("r"));
    }
    drop(log);
    for _ in 0..3 {
        open.send(()).unwrap();
    }
    until(|| sink.finished.load(Ordering::SeqCst));
    assert_eq!(sink.seqs(), [1, 2, 3]);
}

#[test]
fn a_reopen_that_fails_stops_nothing() {
    let sink = Steered::default();
    let log = start(&sink, 8, AuditPolicy::Refuse);
    sink.broken.store(true, Ordering::SeqCst);
    log.reopen();
    until(|| log.errors() == 1);
    sink.broken.store(false, Ordering::SeqCst);
    assert!(log.healthy());
    log.reopen();
    until(|| sink.reopened.load(Ordering::SeqCst) == 2);
    log.reserve().unwrap().write(record("r"));
    close(&log);
    assert_eq!((sink.seqs(), log.errors()), (vec![1], 1));
}

#[test]
fn the_time_of_a_record_is_that_of_its_reservation() {
    let sink = Steered::default();
    let log = start(&sink, 8, AuditPolicy::Refuse);
    let before = Timestamp::now();
    let slot = log.reserve().unwrap();
    let after = Timestamp::now();
    assert!((before..=after).contains(&slot.arrived));
    let expected = format!("{:.3}", slot.arrived);
    slot.write(record("r"));
    close(&log);
    assert!(sink.text.lock().unwrap().starts_with(&format!(r#"{{"ts":"{expected}","seq":1,"#)));
}

/// The whole of it on a real file: many threads, many rotations, a reopen in between, a second run that numbers on.
#[test]
fn rotation_under_load_loses_and_tears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let config = config::Audit {
        file: Some(path),
        rotate_bytes: 100_000,
        keep_files: 40,
        buffer_records: 256,
        on_error: AuditPolicy::Refuse,
    };
    for run in 0..2 {
        let log = AuditLog::start(&config).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut written = 0;
                    while written < 1_000 {
                        let Ok(slot) = log.reserve() else {
                            std::thread::yield_now();
                            continue;
                        };
                        slot.write(record("0123456789abcdef0123456789abcdef"));
                        written += 1;
                        if written == 500 {
                            log.reopen();
                        }
                    }
                });
            }
        });
        close(&log);
        assert_eq!((log.written(), log.lost(), log.errors()), (4_000, 0, 0), "run {run}");
    }
    let mut seqs = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let file = entry.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        assert!(text.len() <= 100_000, "{:?} has {} bytes", file.path(), text.len());
        files += usize::from(!text.is_empty());
        seqs.extend(
            text.lines().map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()
            }),
        );
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=8_000).collect::<Vec<_>>());
    assert!(files > 8, "{files}");
}
