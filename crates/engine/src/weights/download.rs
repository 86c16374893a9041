//! One file over HTTP, resumed where it was cut, hashed while it is written.
//!
//! Why here: the only outgoing connection of the program that goes to a public host; its limits stand together.
//!
//! Never here: trust. What arrives is worth nothing until its hash is right; a wrong one is deleted with the name of the source.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use sha2::{Digest, Sha256};

use super::progress::Progress;
use super::{feed, hex};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HEAD_LIMIT: Duration = Duration::from_secs(20);
/// Without a byte for so long, the connection is dead.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: u32 = 5;
/// Attempts that bring nothing new, in a row.
const ATTEMPTS_MAX: u32 = 3;

/// What is fetched.
pub(super) struct Wanted<'a> {
    pub(super) url: &'a str,
    pub(super) bytes: u64,
    pub(super) sha256: &'a str,
}

/// Why a source is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The source cannot be reached or refuses; another may do better.
    Unavailable(String),
    /// It delivered something else than it should.
    Lied(String),
    Disk(String),
}

/// How one attempt ended.
enum Attempt {
    Complete(String),
    /// Worth another try.
    Cut(String),
}

/// Fetches into `part`, from where it ends. `pause` waits between attempts that brought nothing.
pub(super) fn fetch(
    wanted: &Wanted<'_>,
    part: &Path,
    progress: &mut dyn Progress,
    pause: fn(Duration),
) -> Result<(), Failure> {
    let agent = agent(wanted.url);
    let mut fruitless = 0;
    loop {
        let before = length(part);
        let cut = match attempt(&agent, wanted, part, progress)? {
            Attempt::Complete(sha256) if sha256 == wanted.sha256 => return Ok(()),
            Attempt::Complete(sha256) => {
                std::fs::remove_file(part).map_err(disk)?;
                return Err(Failure::Lied(format!("its SHA-256 is {sha256}, not {}", wanted.sha256)));
            }
            Attempt::Cut(why) => why,
        };
        fruitless = if length(part) > before { 0 } else { fruitless + 1 };
        if fruitless == ATTEMPTS_MAX {
            return Err(Failure::Unavailable(cut));
        }
        progress.note(&format!("{cut}; trying again"));
        pause(Duration::from_secs(1 << fruitless));
    }
}

fn agent(url: &str) -> ureq::Agent {
    // Proxies come from the environment by default.
    ureq::Agent::config_builder()
        .timeout_resolve(Some(CONNECT_LIMIT))
        .timeout_connect(Some(CONNECT_LIMIT))
        .timeout_recv_response(Some(HEAD_LIMIT))
        .timeout_per_read(Some(IDLE_LIMIT))
        .max_redirects(REDIRECTS_MAX)
        .https_only(url.starts_with("https:"))
        .http_status_as_error(false)
        .user_agent(concat!("gatehouse/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn attempt(
    agent: &ureq::Agent,
    wanted: &Wanted<'_>,
    part: &Path,
    progress: &mut dyn Progress,
) -> Result<Attempt, Failure> {
    let mut file =
        File::options().create(true).truncate(false).read(true).write(true).open(part).map_err(disk)?;
    let mut hash = Sha256::new();
    let mut have = feed(&mut hash, &mut file).map_err(disk)?;
    if have == wanted.bytes {
        return Ok(Attempt::Complete(hex(hash)));
    }
    let answer = match agent.get(wanted.url).header("range", format!("bytes={have}-")).call() {
        Ok(answer) => answer,
        // A host that cannot be reached at all is left at once: the next source may be near.
        Err(e) if unreachable(&e) => return Err(Failure::Unavailable(e.to_string())),
        Err(e) => return Ok(Attempt::Cut(e.to_string())),
    };
    match judge(&answer, have, wanted.bytes)? {
        Verdict::Continue => {}
        Verdict::Anew => {
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(disk)?;
            (hash, have) = (Sha256::new(), 0);
        }
        Verdict::Later(why) => {
            if why.ends_with("416") {
                file.set_len(0).map_err(disk)?;
            }
            return Ok(Attempt::Cut(why));
        }
    }
    let body = answer.into_body().into_reader();
    copy(body, &mut file, hash, have, wanted, progress)
}

enum Verdict {
    Continue,
    /// The whole file is sent, whatever was asked for.
    Anew,
    Later(String),
}

fn judge(answer: &http::Response<ureq::Body>, have: u64, whole: u64) -> Result<Verdict, Failure> {
    let status = answer.status();
    let header =
        |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let expected = format!("bytes {have}-{}/{whole}", whole.saturating_sub(1));
            let range = header("content-range");
            if range == expected {
                Ok(Verdict::Continue)
            } else {
                Err(Failure::Lied(format!("it sent `{range}` where `{expected}` was due")))
            }
        }
        StatusCode::OK => match header("content-length").parse::<u64>() {
            Ok(length) if length != whole => {
                Err(Failure::Lied(format!("it offers {length} bytes where the file has {whole}")))
            }
            _ => Ok(Verdict::Anew),
        },
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Ok(Verdict::Later(format!("it answered {}", status.as_u16())))
        }
        s if s.is_server_error() => Ok(Verdict::Later(format!("it answered {}", s.as_u16()))),
        s => Err(Failure::Unavailable(format!("it answered {}", s.as_u16()))),
    }
}

fn copy(
    mut body: impl Read,
    file: &mut File,
    mut hash: Sha256,
    mut have: u64,
    wanted: &Wanted<'_>,
    progress: &mut dyn Progress,
) -> Result<Attempt, Failure> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        progress.bytes(have, wanted.bytes);
        if have == wanted.bytes {
            file.flush().map_err(disk)?;
            return Ok(Attempt::Complete(hex(hash)));
        }
        let room = usize::try_from(wanted.bytes - have).unwrap_or(usize::MAX).min(buffer.len());
        let count = match body.read(buffer.get_mut(..room).unwrap_or_default()) {
            Ok(0) => {
                return Ok(Attempt::Cut(format!(
                    "the connection ended after {have} of {} bytes",
                    wanted.bytes
                )));
            }
            Ok(count) => count,
            Err(e) => return Ok(Attempt::Cut(e.to_string())),
        };
        let piece = buffer.get(..count).unwrap_or_default();
        hash.update(piece);
        file.write_all(piece).map_err(disk)?;
        have += count as u64;
    }
}

fn unreachable(error: &ureq::Error) -> bool {
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound | Error::ConnectionFailed => true,
        Error::Timeout(which) => matches!(which, Timeout::Resolve | Timeout::Connect),
        Error::Io(e) => e.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn disk(error: std::io::Error) -> Failure {
    Failure::Disk(error.to_string())
}

#[cfg(test)]
mod tests;
