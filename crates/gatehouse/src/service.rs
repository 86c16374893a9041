//! What the service manager is told: ready, reloading, stopping, alive, and who goes on.
//!
//! Why here: `Type=notify` units order their start by it, and a watchdog restarts a process that hangs. Without a
//! manager (`NOTIFY_SOCKET` unset) every call does nothing.
//!
//! Never here: whether any of this is so.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};

/// It serves.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again; [`ready`] says that this is over.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It drains and ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process serves from now on.
pub(crate) fn succeeded_by(id: u32) {
    tell(&[NotifyState::MainPid(id), NotifyState::Ready]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Signs of life, twice in the time that the manager allows.
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    pub(crate) fn of_this_process() -> Self {
        let allowed = sd_notify::watchdog_enabled().filter(|time| *time > Duration::ZERO);
        Self(allowed.map(|time| {
            let mut interval = tokio::time::interval((time / 2).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Gives signs of life for ever; where none are asked for, does nothing for ever.
    pub(crate) async fn run(mut self) {
        let Some(interval) = &mut self.0 else { return std::future::pending().await };
        loop {
            interval.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}
