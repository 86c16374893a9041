//! Processes that a run starts, what they cost, and the machine they run on.
//!
//! Why here: CPU time per request is the figure to trust, and only the kernel's account of a process gives it.
//!
//! Never here: load.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Clock ticks of `/proc/PID/stat`; fixed by the kernel's interface on every Linux we run on.
const TICKS_PER_S: f64 = 100.0;

/// A child that ends with the value, however the run ends.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
}

impl Running {
    /// Starts a command on one processor, or wherever the kernel likes.
    pub fn start(
        name: &'static str,
        processor: Option<usize>,
        program: &Path,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let mut command = match processor {
            Some(processor) => {
                let mut pinned = Command::new("taskset");
                pinned.arg("-c").arg(processor.to_string()).arg(program);
                pinned
            }
            None => Command::new(program),
        };
        let file = std::fs::File::create(log)?;
        command.args(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} ended: {ended:?}", self.name);
        Ok(())
    }

    /// This process and its children (nginx works in its children).
    fn family(&self) -> Vec<u32> {
        let pid = self.pid();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let mut all = vec![pid];
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        all
    }

    /// CPU seconds of the family so far.
    pub fn cpu_s(&self) -> Result<f64> {
        self.family().into_iter().map(cpu_s).sum()
    }

    /// Resident memory of the family.
    pub fn resident_bytes(&self) -> Result<f64> {
        self.family().into_iter().map(resident_bytes).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // TERM first: nginx's master takes its workers along, the gateway drains.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_s(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold blanks; fields are counted from behind it: user and system time are 12 and 13.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).context("stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).context("stat fields");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_S)
}

fn resident_bytes(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let row = text.lines().find_map(|row| row.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = row.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}

/// One line about the machine, for the table's foot.
pub fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let name = cpu.lines().find_map(|row| row.strip_prefix("model name")).unwrap_or(": unknown processor");
    let name = name.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let online = read("/sys/devices/system/cpu/online");
    format!("{name}, processors {} ({cores} for the generator), Linux {}", online.trim(), kernel.trim())
}
