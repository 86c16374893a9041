//! Upgrade in place: the program as it is on the disk now, started on the sockets of the one that runs.
//!
//! Why here: a restart refuses whoever connects in between and cuts what runs. Here both processes accept on the same sockets
//! until the new one says that it serves; only then the old one drains. A new one that fails leaves all as it was.
//!
//! Never here: what a running gateway does to drain.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use command_fds::{CommandFdExt, FdMapping};
use tokio::process::Child;

use crate::sockets::{READY, Sockets};

/// A gateway is ready within milliseconds; this leaves room for a machine that swaps.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Passed descriptors begin here: the number is systemd's.
const FIRST_DESCRIPTOR: i32 = 3;

/// A started successor that has not said yet that it serves.
pub(crate) struct Successor {
    child: Child,
    back: tokio::net::UnixDatagram,
}

impl Successor {
    /// Starts the program under the name and with the arguments that this process was given.
    pub(crate) fn start(sockets: &Sockets) -> anyhow::Result<Self> {
        let mut arguments = env::args_os();
        let program = arguments.next().context("this process does not know its own name")?;
        Self::run(&program, arguments, sockets)
    }

    fn run(
        program: &OsString,
        arguments: impl Iterator<Item = OsString>,
        sockets: &Sockets,
    ) -> anyhow::Result<Self> {
        let (back, theirs) = UnixDatagram::pair().context("cannot open the way back")?;
        back.set_nonblocking(true)?;
        let (descriptors, names) = sockets.to_pass_on(theirs).context("cannot share the sockets")?;
        let mut command = Command::new(program);
        command.args(arguments);
        command.env("LISTEN_FDS", descriptors.len().to_string()).env("LISTEN_FDNAMES", names);
        // Both would name this process; without them the successor takes them for its own.
        command.env_remove("LISTEN_PID").env_remove("WATCHDOG_PID");
        let mappings = (FIRST_DESCRIPTOR..).zip(descriptors);
        let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
        command.fd_mappings(mappings).context("cannot number the sockets")?;
        let child = tokio::process::Command::from(command).spawn();
        let child = child.with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
        Ok(Self { child, back: tokio::net::UnixDatagram::from_std(back)? })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it serves; an error when it ends, or takes too long.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        self.ready_within(READY_WITHIN).await
    }

    async fn ready_within(&mut self, patience: Duration) -> anyhow::Result<()> {
        let mut said = [0; READY.len()];
        tokio::select! {
            // What it said before it ended does not count: an ended process serves nobody.
            biased;
            ended = self.child.wait() => match ended {
                Ok(status) => anyhow::bail!("it ended before it was ready ({status}); its own messages say why"),
                Err(error) => Err(error).context("cannot watch it"),
            },
            received = self.back.recv(&mut said) => match received {
                Ok(count) if said.get(..count) == Some(READY) => Ok(()),
                Ok(_) => anyhow::bail!("it said something else than that it is ready"),
                Err(error) => Err(error).context("the way back failed"),
            },
            () = tokio::time::sleep(patience) => anyhow::bail!("it was not ready within {} s", patience.as_secs()),
        }
    }

    /// Ends it, whatever it is doing.
    pub(crate) async fn give_up(mut self) {
        if let Err(error) = self.child.kill().await
            && error.kind() != io::ErrorKind::InvalidInput
        {
            tracing::warn!(%error, "the new process cannot be ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::Inherited;

    async fn outcome(script: &str) -> String {
        outcome_within(Duration::from_secs(30), script).await
    }

    async fn outcome_within(patience: Duration, script: &str) -> String {
        let any = "127.0.0.1:0".parse().unwrap();
        let sockets = Sockets::open(&[any], Some(any), Inherited::default()).unwrap();
        let arguments = ["-c".into(), OsString::from(script)];
        let mut successor = Successor::run(&"/bin/bash".into(), arguments.into_iter(), &sockets).unwrap();
        let ready = successor.ready_within(patience).await;
        successor.give_up().await;
        ready.map_or_else(|error| error.to_string(), |()| "ready".to_owned())
    }

    /// Two listeners, then the way back, numbered and named as the reader of them expects.
    #[tokio::test]
    async fn the_sockets_arrive_under_their_names() {
        let script = r#"[ "$LISTEN_FDS $LISTEN_FDNAMES $LISTEN_PID" = "3 api:admin:predecessor " ] || exit 7
            for fd in 3 4 5; do [ -S /proc/self/fd/$fd ] || exit 8; done
            printf READY=1 >&5; read -r _ <&5"#;
        assert_eq!(outcome(script).await, "ready");
    }

    #[tokio::test]
    async fn one_that_fails_is_told_with_its_code() {
        assert!(outcome("exit 3").await.contains("exit status: 3"));
        assert!(outcome("printf nonsense >&5; read -r _ <&5").await.contains("something else"));
    }

    #[tokio::test]
    async fn a_program_that_is_gone_is_no_successor() {
        let sockets = Sockets::open(&["127.0.0.1:0".parse().unwrap()], None, Inherited::default()).unwrap();
        let error = Successor::run(&"/nowhere/gatehouse".into(), std::iter::empty(), &sockets).err().unwrap();
        assert!(error.to_string().contains("/nowhere/gatehouse"), "{error:#}");
    }

    #[tokio::test]
    async fn one_that_does_not_speak_is_given_up() {
        assert!(outcome_within(Duration::ZERO, "read -r _ <&5").await.contains("not ready within 0 s"));
    }
}
