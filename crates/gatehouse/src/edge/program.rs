//! Another program, run to its end: bounded in time and in what it may say.
//!
//! Why here: the edge asks nft, ip and others and must not hang with them, nor fill memory by what they print.
//!
//! Never here: what they are asked, a shell around words of others.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Long enough for a filter of a hundred thousand rules; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const OUTPUT_BYTES_MAX: u64 = 32 << 20;
/// Of an error text, what a person reads.
const COMPLAINT_CHARS_MAX: usize = 800;
/// Where Debian keeps what only root uses; a user's PATH may lack them.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub complaint: String,
}

impl Ended {
    /// Its output, or an error that says what it complained of.
    pub(crate) fn succeeded(self, what: &str) -> anyhow::Result<String> {
        if self.status.success() {
            return Ok(self.out);
        }
        let complaint =
            if self.complaint.is_empty() { self.status.to_string() } else { clipped(&self.complaint) };
        anyhow::bail!("{what}: {complaint}")
    }
}

/// The program's file, where a shell would find it and where Debian keeps those of root.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs it with `input` on its standard input.
pub(crate) async fn run<A: AsRef<OsStr>>(program: &Path, args: &[A], input: &str) -> anyhow::Result<Ended> {
    let name = program.display();
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let talk = async {
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that does not want it ends, and its status says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            anyhow::Ok(())
        };
        // Who says too much is not waited for.
        let ((), out, complaint) = tokio::try_join!(feed, read(stdout), read(stderr))?;
        anyhow::Ok((child.wait().await?, out, complaint))
    };
    let talked = tokio::time::timeout(PATIENCE, talk).await;
    let (status, out, complaint) = talked
        .map_err(|_| anyhow::anyhow!("{name} did not end within {} seconds", PATIENCE.as_secs()))?
        .with_context(|| format!("cannot read what {name} says"))?;
    Ok(Ended { status, out, complaint: complaint.trim().to_owned() })
}

/// The same for who waits for it anyway, inside a runtime or not.
pub(crate) fn run_and_wait(program: &Path, args: &[&str]) -> anyhow::Result<Ended> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(program, args, ""))
    };
    // A runtime cannot be waited for inside another one.
    let asked = std::thread::scope(|scope| scope.spawn(ask).join());
    asked.map_err(|_| anyhow::anyhow!("asking {} broke off", program.display()))?
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    }
    anyhow::ensure!((bytes.len() as u64) < OUTPUT_BYTES_MAX, "it is longer than {OUTPUT_BYTES_MAX} bytes");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn clipped(text: &str) -> String {
    text.trim().chars().take(COMPLAINT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_in_and_what_comes_out() {
        let shell = find("sh").unwrap();
        let ended = run(&shell, &["-c", "cat; echo no >&2; exit 7"], "hello").await.unwrap();
        assert_eq!((ended.out.as_str(), ended.status.code()), ("hello", Some(7)));
        let error = ended.succeeded("it failed").unwrap_err().to_string();
        assert_eq!(error, "it failed: no");
        assert!(find("no-program-has-this-name").is_none());
    }

    #[tokio::test]
    async fn it_can_be_waited_for_inside_a_runtime() {
        assert_eq!(run_and_wait(&find("sh").unwrap(), &["-c", "echo here"]).unwrap().out, "here\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_not_waited_for() {
        let error = run(&find("sleep").unwrap(), &["600"], "").await.unwrap_err();
        assert!(error.to_string().contains("did not end within 20 seconds"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_takes_no_input_is_no_error() {
        let shell = find("sh").unwrap();
        let ended = run(&shell, &["-c", "exit 0"], &"x".repeat(1 << 20)).await.unwrap();
        assert!(ended.status.success());
    }
}
