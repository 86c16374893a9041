//! The running nginx: told to take its configuration anew, and watched until it has.
//!
//! Why here: `nginx -s reload` says that a signal was sent, not that the new configuration serves. A port that cannot be had
//! is only found then, and nginx goes on with the old configuration and says so in its log alone.
//!
//! Never here: starting and stopping nginx; the service manager does.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::edge::NginxFiles;
use crate::edge::check::reading::{Read, first_line};
use crate::edge::workers::{self, Holder, Worker};
use crate::edge::{nginx, program};

/// New workers are there within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// What is read of an error log.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reloaded {
    /// New workers serve, old ones take nothing new.
    Serves,
    NotRunning,
    /// It goes on with what it had; why, as far as it says.
    Kept(String),
    /// The signal was sent, and the workers cannot be seen from here.
    Unseen,
}

/// Sends the signal and waits for what comes of it.
pub(super) async fn reload(nginx: &NginxFiles, read: &Read) -> anyhow::Result<Reloaded> {
    // A signal goes to whatever has that number now; nginx itself does not look.
    let Holder::Nginx(master) = workers::holder(&read.pid_file(), &nginx.program) else {
        return Ok(Reloaded::NotRunning);
    };
    let log = ErrorLog::of(read);
    let before = workers::of(master);
    let words = ["-c".as_ref(), nginx.main_file.as_os_str(), "-s".as_ref(), "reload".as_ref()];
    let sent = program::run(&nginx::program(&nginx.program), &words, "").await?;
    if !sent.status.success() {
        return Ok(Reloaded::Kept(first_line(&sent.complaint).to_owned()));
    }
    if before.is_empty() {
        return Ok(Reloaded::Unseen);
    }
    let late = Instant::now() + PATIENCE;
    while Instant::now() < late {
        if taken_over(&before, &workers::of(master)) {
            return Ok(Reloaded::Serves);
        }
        if let Some(said) = log.refusal() {
            return Ok(Reloaded::Kept(said));
        }
        sleep(POLL).await;
    }
    Ok(Reloaded::Kept(format!("no new worker within {} s", PATIENCE.as_secs())))
}

/// Whether there are new workers, and all old ones are gone or going.
fn taken_over(before: &[Worker], now: &[Worker]) -> bool {
    let old = |worker: &&Worker| before.iter().any(|known| known.pid == worker.pid);
    let fresh = now.iter().any(|worker| !worker.leaving && !old(&worker));
    fresh && now.iter().filter(old).all(|worker| worker.leaving)
}

/// The end of nginx's error log from a moment on.
struct ErrorLog {
    file: Option<PathBuf>,
    from: u64,
}

impl ErrorLog {
    fn of(read: &Read) -> Self {
        let named =
            read.main().value("error_log").map_or_else(|| "/var/log/nginx/error.log".into(), PathBuf::from);
        let file = Some(named).filter(|file| file.is_absolute());
        let from = file.as_ref().and_then(|file| fs::metadata(file).ok()).map_or(0, |meta| meta.len());
        Self { file, from }
    }

    /// The last line that says why a configuration was not taken.
    fn refusal(&self) -> Option<String> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = fs::File::open(self.file.as_ref()?).ok()?;
        file.seek(SeekFrom::Start(self.from)).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // nginx tries a port five times, half a second apart, and then says that it is still not free.
        let last = |line: &&str| {
            line.contains("[emerg]") && (line.contains("still could not bind") || !line.contains("bind()"))
        };
        let found = text.lines().find(last)?;
        let why =
            text.lines().find(|line| line.contains("[emerg]") && line.contains("bind()")).unwrap_or(found);
        Some(why.split("[emerg]").nth(1).unwrap_or(why).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_workers_and_none_of_the_old() {
        let worker = |pid, leaving| Worker { pid, leaving };
        let before = [worker(1, false), worker(2, false)];
        for (now, taken) in [
            (vec![worker(1, false), worker(2, false)], false),
            (vec![worker(1, true), worker(2, true)], false),
            (vec![worker(1, true), worker(2, false), worker(3, false)], false),
            (vec![worker(1, true), worker(3, false)], true),
            (vec![worker(3, false)], true),
            (vec![], false),
        ] {
            assert_eq!(taken_over(&before, &now), taken, "{now:?}");
        }
    }

    #[test]
    fn why_a_configuration_was_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("error.log");
        fs::write(&file, "1 [emerg] old\n").unwrap();
        let log = ErrorLog { file: Some(file.clone()), from: 14 };
        assert_eq!(log.refusal(), None);
        let bind = "1 [emerg] old\n2 [notice] 1#1: signal\n3 [emerg] 9#9: bind() to 127.0.0.1:80 failed (98: Address already in use)\n";
        fs::write(&file, bind).unwrap();
        assert_eq!(log.refusal(), None, "it tries again");
        fs::write(&file, format!("{bind}4 [emerg] 9#9: still could not bind()\n")).unwrap();
        assert!(log.refusal().unwrap().contains("127.0.0.1:80"));
        fs::write(&file, "1 [emerg] old\n5 [emerg] 9#9: unknown directive\n").unwrap();
        assert_eq!(log.refusal().unwrap(), "9#9: unknown directive");
    }
}
