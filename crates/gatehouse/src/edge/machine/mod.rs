//! This machine as it is now: who listens where, which program that is, who is connected by ssh.
//!
//! Why here: the firewall asks before it shuts somebody out, the report asks what could be walked around.
//!
//! Never here: judging, changing anything, other machines.

pub(crate) mod listeners;
pub(crate) mod programs;
pub(crate) mod ssh;
pub(crate) mod tcp;
pub(crate) mod units;
