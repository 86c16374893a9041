//! Certificates from a CA, asked for and renewed by this process.
//!
//! Why here: a team without nginx has no certbot either. The conversation with the CA is a well-kept library's
//! (`instant-acme`); when to begin it, what to keep of it and what to say when it fails is decided here.
//!
//! A failure changes nothing: the old certificate stays in force, and the next attempt waits longer. How long is kept on the
//! disk, so that a process that is started again and again does not ask again and again.
//!
//! Never here: certbot's folders; `gatehouse edge cert` is for those.

mod ask;
mod call;
mod keep;
mod schedule;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use self::ask::{AskError, Ca};
use self::keep::Folder;
use self::schedule::Attempts;
use super::pair::{self, Pair, PairError};
use super::plain::Challenges;
use super::tls::Certificate;
use crate::config::edge::{Acme, Name};
use crate::terminal::Terminal;

/// One conversation with the CA, from the first word to the certificate.
const CONVERSATION: Duration = Duration::from_secs(300);
/// The wall clock may jump, and a machine may sleep: looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Between two questions when the CA would like a renewal.
const SUGGESTION_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Looks after the certificate of one set of names.
pub(super) struct Renewal {
    names: Vec<Name>,
    ca: Ca,
    folder: Folder,
    attempts: Attempts,
    certificate: Arc<Certificate>,
    terminal: Terminal,
    pair: Option<Pair>,
    /// When the CA would like the next renewal, and when it was asked.
    suggested: Option<SystemTime>,
    asked_at: Option<SystemTime>,
}

impl Renewal {
    /// Opens the folder and puts into force what lies in it.
    pub(super) fn open(
        names: Vec<Name>,
        acme: &Acme,
        dir: &Path,
        certificate: Arc<Certificate>,
        challenges: Arc<Challenges>,
        terminal: Terminal,
    ) -> anyhow::Result<Self> {
        let folder = Folder::open(dir)?;
        let attempts = folder.attempts(&names, &acme.directory);
        let ca = Ca::new(acme, challenges)?;
        let mut renewal = Self {
            names,
            ca,
            folder,
            attempts,
            certificate,
            terminal,
            pair: None,
            suggested: None,
            asked_at: None,
        };
        if let Some(text) = renewal.folder.certificate()? {
            match pair::from_text(&text, &renewal.names, SystemTime::now()) {
                Ok(pair) => renewal.take(pair),
                Err(error @ PairError::WrongName { .. }) => renewal.take_for_some(&text, &error),
                // Nobody renewed for too long: a new one is asked for.
                Err(error @ PairError::Expired(_)) => {
                    tracing::info!(%error, "the kept certificate is not used");
                }
                Err(error) => tracing::warn!(%error, "the kept certificate cannot be used"),
            }
        }
        Ok(renewal)
    }

    fn take(&mut self, pair: Pair) {
        tracing::info!(until = pair.life.day_of_end(), "the certificate is in force");
        self.certificate.put(Arc::clone(&pair.key));
        self.pair = Some(pair);
        (self.suggested, self.asked_at) = (None, None);
    }

    /// A name has come that the kept certificate does not have. A new one is due, and until it is there the old one serves the names that
    /// it is for: a name whose time has not come must not close the door for the others.
    fn take_for_some(&self, text: &[u8], error: &PairError) {
        let now = SystemTime::now();
        let of_any =
            self.names.iter().find_map(|name| pair::from_text(text, std::slice::from_ref(name), now).ok());
        match of_any {
            Some(pair) => {
                tracing::warn!(%error, "the kept certificate serves its own names until there is a new one");
                self.certificate.put(pair.key);
            }
            None => tracing::info!(%error, "the kept certificate is not used"),
        }
    }

    fn due(&self, now: SystemTime) -> SystemTime {
        let life = self.pair.as_ref().map(|pair| pair.life);
        schedule::due(now, life, self.suggested, &self.attempts)
    }

    /// What the operator is told at the start, when there is no certificate yet.
    pub(super) fn first_words(&self) -> Option<String> {
        if self.pair.is_some() {
            return None;
        }
        let (names, directory) = (self.listed(), self.ca.directory());
        let now = SystemTime::now();
        let wait = self.due(now).duration_since(now).unwrap_or_default();
        let begin = match wait.as_secs() {
            0 => "It is asked for now, and its terms are accepted by that".to_owned(),
            seconds => format!(
                "The last attempt failed; the next one is in {} (to ask at once, remove {} and start again)",
                schedule::words(Duration::from_secs(seconds)),
                self.folder.attempts_file().display(),
            ),
        };
        Some(format!(
            "There is no certificate for {names} yet. {begin}: {directory}.\n\
             Until then HTTPS refuses every connection. The CA has to reach port 80 of {names}."
        ))
    }

    fn listed(&self) -> String {
        self.names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Renews for as long as the process lives.
    pub(super) async fn keep(mut self) {
        loop {
            let now = SystemTime::now();
            match self.due(now).duration_since(now) {
                Ok(wait) if !wait.is_zero() => {
                    self.ask_for_suggestion(now).await;
                    sleep(wait.min(LOOK_EVERY)).await;
                }
                _ => self.attempt(now).await,
            }
        }
    }

    /// When the CA would like to be asked: it knows of revocations and of crowds.
    async fn ask_for_suggestion(&mut self, now: SystemTime) {
        let fresh = |at: SystemTime| now.duration_since(at).is_ok_and(|passed| passed < SUGGESTION_EVERY);
        let Some(pair) = &self.pair else { return };
        if self.asked_at.is_some_and(fresh) {
            return;
        }
        self.asked_at = Some(now);
        let Some(account) = self.folder.account(self.ca.directory()) else { return };
        let asked = timeout(CONVERSATION, self.ca.suggestion(account, pair)).await;
        if let Ok(Some((from, until))) = asked {
            let at = schedule::within(from, until, schedule::random());
            tracing::debug!(?from, ?until, "the CA suggests a time for the renewal");
            self.suggested = Some(at);
        }
    }

    async fn attempt(&mut self, now: SystemTime) {
        // Counted as failed until it has succeeded, and on the disk before the first word: neither a crash nor a full disk makes
        // us ask again at once.
        let fallen_back = self.attempts.failures > 0;
        self.attempts = self.attempts.begun(now, schedule::random());
        if let Err(error) =
            self.folder.put_attempts(&self.names, self.ca.directory(), &self.attempts, "begun")
        {
            return self.failed(&AskError::Folder(error));
        }
        tracing::info!(names = self.listed(), directory = self.ca.directory(), "asking for a certificate");
        let previous = self.pair.as_ref().filter(|_| !fallen_back);
        let asked = self.ca.ask(&self.folder, &self.names, previous);
        let asked = timeout(CONVERSATION, asked).await.unwrap_or(Err(AskError::Late));
        match asked.and_then(|text| self.kept(&text)) {
            Ok(pair) => {
                let until = pair.life.day_of_end();
                self.take(pair);
                self.attempts = Attempts::succeeded(SystemTime::now());
                let put = self.folder.put_attempts(&self.names, self.ca.directory(), &self.attempts, "done");
                if let Err(error) = put {
                    tracing::warn!("{error:#}");
                }
                self.terminal
                    .note(&format!("The certificate for {} is there, until {until}.", self.listed()));
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Checks what came and lays it on the disk.
    fn kept(&self, text: &str) -> Result<Pair, AskError> {
        let pair = pair::from_text(text.as_bytes(), &self.names, SystemTime::now())?;
        self.folder.put_certificate(text).map_err(AskError::Folder)?;
        Ok(pair)
    }

    fn failed(&mut self, error: &AskError) {
        if error.is_rate_limit() {
            self.attempts = self.attempts.put_off(SystemTime::now());
        }
        let what = error.words();
        let put = self.folder.put_attempts(&self.names, self.ca.directory(), &self.attempts, &what);
        if let Err(error) = put {
            tracing::error!("{error:#}");
        }
        let now = SystemTime::now();
        let next = schedule::words(self.due(now).duration_since(now).unwrap_or_default());
        let stays = match &self.pair {
            Some(pair) => format!("the old one stays in force until {}", pair.life.day_of_end()),
            None => "HTTPS refuses every connection until there is one".to_owned(),
        };
        tracing::error!(next, "no certificate: {what}; {stays}");
        self.terminal.note(&format!(
            "Warning: no new certificate for {}: {what}.\n{stays}. The next attempt is in {next}.",
            self.listed()
        ));
    }
}
