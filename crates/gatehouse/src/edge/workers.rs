//! nginx's workers, as the machine shows them.
//!
//! Why here: after a reload old and new workers run side by side, and only the process table says which of them still take
//! connections. Limits of a running worker stand there too.
//!
//! Never here: signals; nginx is told by its own program.

use std::fs;

/// Processes that are looked at.
const PROCESSES_MAX: usize = 100_000;

/// One worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub pid: u32,
    /// Takes no new connections, and ends with its last one.
    pub leaving: bool,
}

/// The workers of a master process; empty where they cannot be seen.
pub(crate) fn of(master: u32) -> Vec<Worker> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.take(PROCESSES_MAX).filter(|pid| parent(*pid) == Some(master)).filter_map(worker).collect()
}

fn worker(pid: u32) -> Option<Worker> {
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title).replace('\0', " ");
    title.contains("worker process").then(|| Worker { pid, leaving: title.contains("shutting down") })
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_from_the_table() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(of(std::process::id()), []);
    }
}
