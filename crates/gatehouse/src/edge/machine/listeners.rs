//! What listens on this machine, with its program.
//!
//! Why here: an address and a program together are what an operator can act on.
//!
//! Never here: whether it should.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use super::programs::{Program, holders};
use super::tcp::{State, sockets};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub at: SocketAddr,
    /// `None`: another user's where this one is not root, or of another container.
    pub program: Option<Program>,
}

impl Listener {
    pub(crate) fn is_local(&self) -> bool {
        self.at.ip().to_canonical().is_loopback()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(out, "{} {program}", self.at),
            None => write!(out, "{} (a program that cannot be seen from here)", self.at),
        }
    }
}

/// Every TCP listener of this network namespace, by port.
pub(crate) fn listeners() -> Vec<Listener> {
    let sockets = sockets(State::Listening);
    let inodes: BTreeSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let programs = holders(&inodes);
    let listener = |socket: &super::tcp::Socket| Listener {
        at: socket.local,
        program: programs.get(&socket.inode).cloned(),
    };
    let mut all: Vec<Listener> = sockets.iter().map(listener).collect();
    all.sort_by_key(|listener| (listener.at.port(), listener.at));
    // Workers with a socket each on one address are one listener to whoever reads.
    all.dedup_by(|a, b| a.at == b.at);
    all
}
