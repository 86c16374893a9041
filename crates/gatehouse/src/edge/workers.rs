//! nginx's processes, as the machine shows them.
//!
//! Why here: after a reload old and new workers run side by side, and only the process table says which of them still take
//! connections. Limits of a running worker stand there too. And a file with a process id outlives the process: by then the
//! number may be another program's, which a signal for nginx would end.
//!
//! Never here: signals; nginx is told by its own program.

use std::fs;
use std::path::Path;

/// Processes that are looked at.
const PROCESSES_MAX: usize = 100_000;

/// One worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub pid: u32,
    /// Takes no new connections, and ends with its last one.
    pub leaving: bool,
}

/// Whose number a pid file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// There is no such file, or no such process.
    Nobody,
    Nginx(u32),
    /// Another program, which must not be sent a signal.
    Stranger(u32),
}

/// Looks behind the pid file of the nginx whose program this is.
pub(crate) fn holder(pid_file: &Path, program: &Path) -> Holder {
    let number = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let Some(pid) = number else { return Holder::Nobody };
    match fs::read(format!("/proc/{pid}/cmdline")) {
        // One that has ended and waits for its parent has no words any more.
        Ok(title) if title.is_empty() => Holder::Nobody,
        Ok(title) if is_master(&title, program) => Holder::Nginx(pid),
        Ok(_) => Holder::Stranger(pid),
        Err(_) => Holder::Nobody,
    }
}

/// nginx writes its part over its command line; with `master_process off` that stays as it was started.
fn is_master(title: &[u8], program: &Path) -> bool {
    let first = title.split(|byte| *byte == 0).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    first.starts_with("nginx: master process") || Path::new(first.as_ref()).file_name() == program.file_name()
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
    fn a_pid_file_is_believed_only_where_nginx_runs() {
        let nginx = Path::new("/usr/sbin/nginx");
        for (title, master) in [
            (&b"nginx: master process /usr/sbin/nginx -c /x\0"[..], true),
            (b"/usr/sbin/nginx\0-g\0master_process off;\0", true),
            (b"nginx: worker process\0", false),
            (b"sleep\x00300\0", false),
            (b"sh\0-c\0nginx: master process\0", false),
        ] {
            assert_eq!(is_master(title, nginx), master, "{}", String::from_utf8_lossy(title));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.pid");
        assert_eq!(holder(&file, nginx), Holder::Nobody);
        fs::write(&file, std::process::id().to_string()).unwrap();
        assert_eq!(holder(&file, nginx), Holder::Stranger(std::process::id()));
        fs::write(&file, u32::MAX.to_string()).unwrap();
        assert_eq!(holder(&file, nginx), Holder::Nobody);
    }

    #[test]
    fn parents_are_read_from_the_table() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(of(std::process::id()), []);
    }
}
