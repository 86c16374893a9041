//! What the site file cannot say: nginx's main file, the limits of its process, its unit.
//!
//! Why here: a site that is right runs out of connections, or is cut at each reload, by lines that stand elsewhere.
//!
//! Never here: changing them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::reading::{Directive, Read, Reading, seconds};
use crate::edge::site::Site;

const CONNECTIONS_MIN: u64 = 4_096;
/// nginx's own default.
const CONNECTIONS_DEFAULT: u64 = 512;
const ASK_TIME: Duration = Duration::from_secs(3);

/// `other`: why this machine's nginx is not the one that serves.
pub(in crate::edge::check) async fn look(site: &Site, reading: &Reading, other: Option<&str>) -> Said {
    let longest = site.clocks.total.as_secs_f64();
    let stop = match other {
        Some(why) => Verdict::skip(why),
        None => stop(longest).await,
    };
    let stop = ("main.stop", stop);
    let read = match reading {
        Reading::Read(read) => read,
        Reading::Unknown(why) => return unknown(why, stop),
        Reading::Broken(_) => {
            return unknown("nginx does not take its configuration: see config.loads", stop);
        }
    };
    vec![
        ("main.connections", connections(read)),
        ("main.files", files(read)),
        ("main.shutdown", shutdown(read, longest)),
        ("config.plain", plain(site, read)),
        stop,
    ]
}

fn unknown(why: &str, stop: (&'static str, Verdict)) -> Said {
    let ids = ["main.connections", "main.files", "main.shutdown", "config.plain"];
    ids.into_iter().map(|id| (id, Verdict::skip(why))).chain([stop]).collect()
}

fn per_worker(read: &Read) -> (u64, String) {
    let events = read.tree.iter().find(|d| d.name == "events");
    let line = events.and_then(|events| events.inside().iter().find(|d| d.name == "worker_connections"));
    let number = line.and_then(|line| line.arg(0).parse().ok()).unwrap_or(CONNECTIONS_DEFAULT);
    (number, line.map_or_else(|| format!("`worker_connections {number}` by default"), Directive::shown))
}

fn connections(read: &Read) -> Verdict {
    let (number, seen) = per_worker(read);
    if number >= CONNECTIONS_MIN { Verdict::ok(seen) } else { Verdict::fail(seen) }
}

fn files(read: &Read) -> Verdict {
    let needed = per_worker(read).0.saturating_mul(2);
    let line = read.main().own("worker_rlimit_nofile");
    let written = line.and_then(|line| line.arg(0).parse::<u64>().ok());
    // A running process says what it really has; the line may ask for more than the machine gives.
    let running = running(&read.pid_file());
    match (running, written) {
        (Some(has), _) if has >= needed => {
            Verdict::ok(format!("{has} for the running process, {needed} needed"))
        }
        (Some(has), _) => Verdict::fail(format!("{has} for the running process, {needed} needed")),
        (None, Some(number)) if number >= needed => {
            Verdict::ok(format!("`worker_rlimit_nofile {number}`, {needed} needed"))
        }
        (None, Some(number)) => Verdict::fail(format!("`worker_rlimit_nofile {number}`, {needed} needed")),
        (None, None) => Verdict::skip("no `worker_rlimit_nofile`, and the running nginx cannot be looked at"),
    }
}

/// Open files that a worker of the running nginx may have.
fn running(pid_file: &Path) -> Option<u64> {
    let master: u32 = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let worker = crate::edge::workers::of(master).into_iter().find(|worker| !worker.leaving)?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.pid)).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn shutdown(read: &Read, longest: f64) -> Verdict {
    match read.main().own("worker_shutdown_timeout") {
        None => Verdict::ok("answers may end"),
        Some(line) if seconds(line.arg(0)).is_some_and(|s| s >= longest) => Verdict::ok(line.shown()),
        Some(line) => Verdict::fail(format!("{} cuts answers, which may take {longest:.0} s", line.shown())),
    }
}

/// Debian's unit gives a stop five seconds.
async fn stop(longest: f64) -> Verdict {
    if !Path::new("/run/systemd/system").is_dir() {
        return Verdict::skip("this machine runs no systemd");
    }
    let asked = Command::new("systemctl")
        .args(["show", "nginx.service", "--property=LoadState,TimeoutStopUSec"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = match tokio::time::timeout(ASK_TIME, asked).await {
        Ok(Ok(answer)) => String::from_utf8_lossy(&answer.stdout).into_owned(),
        _ => return Verdict::skip("`systemctl show nginx` does not answer"),
    };
    let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if value("LoadState") != Some("loaded") {
        return Verdict::skip("there is no unit nginx.service");
    }
    let given = value("TimeoutStopUSec").unwrap_or_default();
    match systemd_seconds(given) {
        Some(seconds) if seconds < 30.0_f64.min(longest) => {
            Verdict::warn(format!("TimeoutStopSec is {given}"))
        }
        Some(_) => Verdict::ok(format!("TimeoutStopSec is {given}")),
        None => Verdict::skip(format!("TimeoutStopSec is `{given}`")),
    }
}

/// `5s`, `1min 30s`, `infinity`.
fn systemd_seconds(text: &str) -> Option<f64> {
    match text {
        "infinity" => Some(f64::INFINITY),
        _ => seconds(&text.replace("min", "m")),
    }
}

/// Only our own servers, and the maps that they use: other sites of the machine are not ours.
fn plain(site: &Site, read: &Read) -> Verdict {
    let ports: Vec<u16> =
        site.http_listen.iter().chain(&site.https_listen).map(std::net::SocketAddr::port).collect();
    let ours = |server: &crate::edge::check::reading::Scope<'_>| {
        server.own("server_name").is_some_and(|line| site.names.iter().any(|name| line.has(name.as_str())))
    };
    let servers: Vec<_> = read.on_ports(&ports).into_iter().filter(ours).collect();
    if servers.is_empty() {
        return Verdict::skip("the site is not in nginx's configuration: see config.included");
    }
    let lines: Vec<&Directive> = servers.iter().flat_map(|server| server.below()).collect();
    let mut wrong: Vec<String> =
        lines.iter().filter(|line| is_hazard(line)).map(|line| line.shown()).collect();
    for map in read.http_blocks("map").filter(|map| map.inside().iter().any(|row| row.name.starts_with('~')))
    {
        let used = |line: &&&Directive| line.args.iter().any(|arg| arg.contains(map.arg(1)));
        if !map.arg(1).is_empty() && lines.iter().any(|line| used(&line)) {
            wrong.push(map.shown());
        }
    }
    wrong.dedup();
    Verdict::of(&wrong, format!("{} directives", lines.len()))
}

fn is_hazard(line: &Directive) -> bool {
    match line.name.as_str() {
        "if" => true,
        "rewrite" => line.arg(1).contains('$') || line.arg(0).contains('('),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_units() {
        for (text, value) in
            [("5s", Some(5.0)), ("1min 30s", Some(90.0)), ("infinity", Some(f64::INFINITY)), ("", None)]
        {
            assert_eq!(systemd_seconds(text), value, "{text}");
        }
    }
}
