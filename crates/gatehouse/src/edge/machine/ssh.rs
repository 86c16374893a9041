//! The doors by which operators are on this machine now, or could come.
//!
//! Why here: before rules are loaded they are compared with the connections that are open at that moment. The operator's
//! own survives them; his next one would not.
//!
//! Never here: deciding what then.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::listeners::listeners;
use super::programs::holders;
use super::tcp::{State, sockets};
use crate::edge::ports::Ports;

/// What OpenSSH tells the shell that it starts: client address and port, server address and port.
const VARIABLE: &str = "SSH_CONNECTION";
const SERVER: &str = "sshd";
/// Enough to say what is wrong.
const DOORS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    /// A server waits there.
    Listener(SocketAddr),
    /// Somebody has come in.
    Open { from: IpAddr, to: SocketAddr },
}

impl Door {
    /// Whether the next one may come by the same way.
    pub(crate) fn stays_open(&self, ports: &Ports) -> bool {
        match *self {
            Door::Open { from, to } => ports.admits(from, to),
            Door::Listener(at) => {
                at.port() == ports.ssh
                    || ports.open.contains(&at.port())
                    || ports.public.iter().any(|public| public.at.port() == at.port())
            }
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Door::Listener(at) => write!(out, "everybody who comes by ssh to {at}, where {SERVER} listens"),
            Door::Open { from, to } => write!(out, "{from}, who is connected by ssh to port {}", to.port()),
        }
    }
}

/// The doors from outside; what comes over loopback no filter touches.
pub(crate) fn doors() -> Vec<Door> {
    let mut doors = BTreeSet::new();
    let is_server = |name: &str| name.starts_with(SERVER);
    let mut served = BTreeSet::new();
    for listener in listeners() {
        let ssh = listener.program.as_ref().is_some_and(|program| is_server(&program.name));
        if ssh && !listener.is_local() {
            served.insert(listener.at.port());
            doors.insert(Door::Listener(listener.at));
        }
    }
    let open = sockets(State::Established);
    let holders = holders(&open.iter().map(|socket| socket.inode).collect());
    for socket in &open {
        let held = holders.get(&socket.inode).is_some_and(|program| is_server(&program.name));
        if served.contains(&socket.local.port()) || held {
            doors.insert(Door::Open { from: socket.remote.ip().to_canonical(), to: socket.local });
        }
    }
    doors.extend(std::env::var(VARIABLE).ok().and_then(|text| own(&text)));
    let outside = |door: &Door| !matches!(door, Door::Open { from, .. } if from.is_loopback());
    doors.into_iter().filter(outside).take(DOORS_MAX).collect()
}

fn own(text: &str) -> Option<Door> {
    let mut words = text.split(' ');
    let from: IpAddr = words.next()?.parse().ok()?;
    let to = words.nth(1)?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    Some(Door::Open { from: from.to_canonical(), to: SocketAddr::new(to, port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_s_own_connection() {
        let door = own("203.0.113.9 50022 192.0.2.1 2222").unwrap();
        assert_eq!(
            door,
            Door::Open { from: "203.0.113.9".parse().unwrap(), to: "192.0.2.1:2222".parse().unwrap() }
        );
        for text in ["", "a b c d", "203.0.113.9 1 192.0.2.1", "203.0.113.9 1 192.0.2.1 ssh"] {
            assert_eq!(own(text), None, "{text}");
        }
    }
}
