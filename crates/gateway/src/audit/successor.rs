//! Waiting for the audit file while the process before this one still writes it.
//!
//! Why here: in an upgrade two processes run for as long as the older one drains. Both writing would tear what a failed
//! write cuts back, number records twice and rotate the file away under the other. So the newer one keeps its records in
//! their places, bounded as ever, and begins to write when the older one has written its last.
//!
//! Never here: a second writer.

use std::io;
use std::time::{Duration, Instant};

use super::{Opened, Shared};

/// Between two looks whether the file is free. Short: until then every record waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A process that itself ends waits no longer than this for one that does not.
const PATIENCE_AT_END: Duration = Duration::from_secs(10);

/// Opens the sink as soon as it is free; `None` when this process ends before that.
pub(super) fn wait(shared: &Shared, open: impl Fn() -> io::Result<Opened>) -> Option<Opened> {
    wait_for(shared, open, PATIENCE_AT_END)
}

fn wait_for(shared: &Shared, open: impl Fn() -> io::Result<Opened>, patience: Duration) -> Option<Opened> {
    tracing::info!("the audit log is still written by the process before this one; records wait for it");
    let mut ends: Option<Instant> = None;
    loop {
        match open() {
            Ok(opened) => {
                shared.lock().healthy = true;
                tracing::info!("the audit log is taken over");
                return Some(opened);
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => tell(shared, &error),
        }
        if shared.lock().closing && *ends.get_or_insert_with(|| Instant::now() + patience) <= Instant::now() {
            tracing::error!("the audit log was not free before the end");
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The file is free and cannot be opened: that is a broken log like any other.
fn tell(shared: &Shared, error: &io::Error) {
    let before = std::mem::replace(&mut shared.lock().healthy, false);
    shared.errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if before {
        tracing::error!(%error, "the audit log cannot be opened");
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AuditLog, Record};
    use crate::config::Audit;

    fn record(id: &str) -> Record {
        Record { request_id: id.into(), end: "complete", ..Record::default() }
    }

    fn ids(path: &std::path::Path) -> Vec<(u64, String)> {
        let text = std::fs::read_to_string(path).unwrap();
        let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let rows = text.lines().map(row);
        rows.map(|r| (r["seq"].as_u64().unwrap(), r["request_id"].as_str().unwrap().to_owned())).collect()
    }

    #[tokio::test]
    async fn records_wait_for_the_writer_before_and_follow_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let config = Audit { file: Some(path.clone()), ..Audit::default() };
        let old = AuditLog::start(&config).unwrap();
        old.reserve().unwrap().write(record("old-1"));
        let running = old.reserve().unwrap();
        assert!(AuditLog::start(&config).is_err(), "a plain start does not share the file");
        let new = AuditLog::take_over(&config).unwrap();
        new.reserve().unwrap().write(record("new-1"));
        assert!(new.healthy(), "waiting is no failure: requests are served");
        assert!(tokio::time::timeout(std::time::Duration::ZERO, new.opened()).await.is_err());
        running.write(record("old-2"));
        old.close().await;
        new.opened().await;
        new.reserve().unwrap().write(record("new-2"));
        new.close().await;
        let expected = ["old-1", "old-2", "new-1", "new-2"].map(str::to_owned);
        assert_eq!(ids(&path), (1..).zip(expected).collect::<Vec<_>>());
        assert_eq!((new.written(), new.lost()), (2, 0));
    }

    #[tokio::test]
    async fn a_free_file_is_taken_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let config = Audit { file: Some(path.clone()), ..Audit::default() };
        let log = AuditLog::take_over(&config).unwrap();
        log.reserve().unwrap().write(record("a"));
        log.close().await;
        assert_eq!(ids(&path), [(1, "a".to_owned())]);
    }

    #[test]
    fn a_writer_that_never_ends_does_not_keep_its_successor() {
        use std::io;
        use std::sync::Arc;
        let folder = tempfile::tempdir().unwrap();
        let config = Audit { file: Some(folder.path().join("a")), ..Audit::default() };
        let log = AuditLog::start(&config).unwrap();
        let shared = Arc::clone(&log.shared);
        shared.close();
        let busy = || Err(io::ErrorKind::ResourceBusy.into());
        assert!(super::wait_for(&shared, busy, std::time::Duration::ZERO).is_none());
    }
}
