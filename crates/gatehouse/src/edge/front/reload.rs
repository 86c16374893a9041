//! Certificate files that change on the disk: read again, and put into force when they are good.
//!
//! Why here: who renews certificates does not know this process. It looks by itself, and at once when told to. A broken pair
//! changes nothing but the log.
//!
//! Never here: what a good pair is.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::pair::{self, Life, Pair};
use super::tls::Certificate;
use crate::config::edge::{CertificateFiles, Name};
use crate::terminal::Terminal;

const LOOK_EVERY: Duration = Duration::from_secs(2);
const WARN_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// What tells two states of the files apart.
type Stamp = [Option<(i64, i64, i64, u64, u64)>; 2];

/// Looks after one pair of files.
pub(super) struct Keeper {
    files: CertificateFiles,
    names: Vec<Name>,
    /// The root of a private CA.
    ca_file: Option<PathBuf>,
    certificate: Arc<Certificate>,
    terminal: Terminal,
    /// What is in force or was refused: not looked at again.
    known: Stamp,
    refused: bool,
    /// What was seen last time. Two files are never replaced in one moment, so a pair counts when it has stood still.
    seen: Stamp,
    life: Life,
    warned: Option<SystemTime>,
}

impl Keeper {
    /// Takes the files as they are now, or says why that cannot be.
    pub(super) fn new(
        files: CertificateFiles,
        names: Vec<Name>,
        ca_file: Option<PathBuf>,
        certificate: Arc<Certificate>,
        terminal: Terminal,
    ) -> Result<Self, pair::PairError> {
        let known = stamp(&files);
        let pair = pair::load(&files, &names, SystemTime::now())?;
        if let Some(what) = pair::open_to_others(&files.key) {
            tracing::warn!("{what}");
            terminal.note(&format!("Warning: {what}."));
        }
        tell_doubt(&pair, ca_file.as_deref(), &terminal);
        tracing::info!(until = pair.life.day_of_end(), "the certificate is in force");
        certificate.put(pair.key);
        Ok(Self {
            files,
            names,
            ca_file,
            certificate,
            terminal,
            known,
            refused: false,
            seen: known,
            life: pair.life,
            warned: None,
        })
    }

    /// Looks until it is dropped; `told` is somebody's word that the files have changed.
    pub(super) async fn keep(mut self, told: Arc<Notify>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.look(false);
                    self.warn(SystemTime::now());
                }
                () = told.notified() => self.look(true),
            }
        }
    }

    fn look(&mut self, told: bool) {
        let now = stamp(&self.files);
        let still = now == self.seen;
        self.seen = now;
        // Somebody's word counts once more for files that were refused: a mode or a clock may have been mended.
        let again = told && self.refused;
        if !again && (now == self.known || !(still || told)) {
            return;
        }
        self.known = now;
        self.refused = false;
        match pair::load(&self.files, &self.names, SystemTime::now()) {
            Ok(pair) => self.take(pair),
            Err(error) => {
                self.refused = true;
                tracing::error!(%error, "the new certificate is not taken; the old one stays in force");
                self.terminal.note(&format!(
                    "Warning: the certificate's files have changed and are not taken; the old one stays in force. {error}."
                ));
            }
        }
    }

    /// Files are somebody else's to renew, who may have forgotten.
    fn warn(&mut self, now: SystemTime) {
        let quiet =
            self.warned.is_some_and(|last| now.duration_since(last).is_ok_and(|passed| passed < WARN_EVERY));
        if now < self.life.renew_at() || quiet {
            return;
        }
        self.warned = Some(now);
        let until = self.life.day_of_end();
        tracing::warn!(until, "less than a third of the certificate's life is left: renew its files");
        self.terminal.note(&format!("Warning: the certificate runs out on {until}; renew its files."));
    }

    fn take(&mut self, pair: Pair) {
        let until = pair.life.day_of_end();
        (self.life, self.warned) = (pair.life, None);
        tell_doubt(&pair, self.ca_file.as_deref(), &self.terminal);
        tracing::info!(until, "a new certificate is in force");
        self.certificate.put(pair.key);
        self.terminal.note(&format!("A new certificate is in force, until {until}."));
    }
}

fn tell_doubt(pair: &Pair, ca_file: Option<&Path>, terminal: &Terminal) {
    if let Some(what) = pair::doubt(pair, ca_file, SystemTime::now()) {
        tracing::warn!("{what}");
        terminal.note(&format!("Warning: {what}."));
    }
}

fn stamp(files: &CertificateFiles) -> Stamp {
    [&files.chain, &files.key].map(|file| {
        let seen = std::fs::metadata(file).ok()?;
        // The time of change as well: a mode that is mended changes nothing else.
        Some((seen.ctime(), seen.ctime_nsec(), seen.mtime(), seen.size(), seen.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::CertificateDer;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["ai.example.com".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn leaf(keeper: &Keeper) -> CertificateDer<'static> {
        keeper.certificate.current().unwrap().cert[0].clone()
    }

    #[test]
    fn a_good_pair_replaces_and_a_broken_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles { chain: dir.path().join("c"), key: dir.path().join("k") };
        let write = |chain: &str, key: &str| {
            std::fs::write(&files.chain, chain).unwrap();
            std::fs::write(&files.key, key).unwrap();
        };
        let ((chain, key), (chain2, key2)) = (pair(), pair());
        write(&chain, &key);
        let names = vec![Name::parse("ai.example.com").unwrap()];
        let terminal = Terminal::default();
        let mut keeper = Keeper::new(files.clone(), names, None, Arc::default(), terminal).unwrap();
        let first = leaf(&keeper);
        write(&chain2, &key);
        keeper.look(false);
        keeper.look(false);
        assert_eq!(leaf(&keeper), first, "the halves of two pairs");
        std::fs::remove_file(&files.key).unwrap();
        keeper.look(true);
        assert_eq!(leaf(&keeper), first, "a pair that is gone");
        write(&chain2, &key2);
        keeper.look(false);
        assert_eq!(leaf(&keeper), first, "it may still be written");
        keeper.look(false);
        let second = leaf(&keeper);
        assert_ne!(second, first);
        write(&chain, &key);
        keeper.look(true);
        assert_eq!(leaf(&keeper), first, "at once when told");
    }
}
