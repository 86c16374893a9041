//! Signals of the process as something to wait for.
//!
//! Why here: every role ends on the same signals and reloads on the same one.
//!
//! Never here: what happens then.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What an operator or a service manager asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGTERM or SIGINT: finish what runs, then end.
    End,
    /// SIGHUP: read the configuration again, open log files anew.
    Reload,
    /// SIGUSR2: let the program as it is on the disk now take over.
    Upgrade,
}

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

impl Signals {
    /// From here on these signals no longer end the process by themselves.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined2())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::End,
            _ = self.interrupt.recv() => Request::End,
            _ = self.hang_up.recv() => Request::Reload,
            _ = self.user.recv() => Request::Upgrade,
        }
    }

    /// Waits for the request to end; others stay to be asked for.
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
