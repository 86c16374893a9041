//! Which program a socket belongs to, whose it is, and what it was started with.
//!
//! Why here: "something listens on 11434" helps nobody; its name, its user and its environment do.
//!
//! Never here: programs of other machines or containers, values of the environment that were not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

/// Descriptors looked at, over all processes: more than a busy machine has.
const DESCRIPTORS_MAX: usize = 1_000_000;
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub pid: u32,
    pub name: String,
    /// Its user's name, or the number where it has none here.
    pub user: String,
}

impl fmt::Display for Program {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (pid {}, user {})", self.name, self.pid, self.user)
    }
}

/// The programs that hold these sockets, by inode; of several processes with one socket the first. Another user's are
/// seen by root alone.
pub(crate) fn holders(inodes: &BTreeSet<u64>) -> BTreeMap<u64, Program> {
    let mut found = BTreeMap::new();
    let mut looked_at = 0;
    for pid in pids() {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            looked_at += 1;
            if looked_at > DESCRIPTORS_MAX || found.len() == inodes.len() {
                return found;
            }
            let inode = fs::read_link(descriptor.path()).ok().and_then(|link| socket_inode(link.to_str()?));
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode) && !found.contains_key(inode))
                && let Some(program) = program(pid)
            {
                found.insert(inode, program);
            }
        }
    }
    found
}

/// Process numbers, the eldest first: a master comes before its workers.
fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn program(pid: u32) -> Option<Program> {
    let name = read(&format!("/proc/{pid}/comm"))?.trim().to_owned();
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    Some(Program { pid, name, user: user(uid) })
}

fn user(uid: u32) -> String {
    let known = read("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

/// The variables of a process whose names begin so; `None`: they are not for this user to see.
pub(crate) fn environment(pid: u32, prefix: &str) -> Option<BTreeMap<String, String>> {
    let text = read(&format!("/proc/{pid}/environ"))?;
    let variables = text.split('\0').filter_map(|variable| variable.split_once('='));
    Some(
        variables
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

/// The systemd unit that a process runs in, such as `ollama.service`.
pub(crate) fn unit(pid: u32) -> Option<String> {
    let groups = read(&format!("/proc/{pid}/cgroup"))?;
    groups.lines().find_map(|line| {
        let last = line.rsplit('/').next()?;
        last.ends_with(".service").then(|| last.to_owned())
    })
}

fn read(file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_socket_of_this_process_is_known_as_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let inode = socket_inode(link.to_str().unwrap()).unwrap();
        let found = holders(&BTreeSet::from([inode, u64::MAX]));
        assert_eq!(found.get(&inode).map(|program| program.pid), Some(std::process::id()));
        assert_eq!(found.len(), 1);
        assert!(!found.get(&inode).unwrap().user.is_empty());
    }

    #[test]
    fn only_the_variables_that_were_asked_for() {
        let found = environment(std::process::id(), "PATH").unwrap();
        assert!(found.keys().all(|name| name.starts_with("PATH")) && found.contains_key("PATH"));
    }

    #[test]
    fn links_that_are_no_sockets() {
        for link in ["pipe:[7]", "/dev/null", "socket:[x]", "socket:[7"] {
            assert_eq!(socket_inode(link), None, "{link}");
        }
    }
}
