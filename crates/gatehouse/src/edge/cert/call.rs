//! A command line of certbot or nginx: shown as a person would type it, or run to its end within a bound.
//!
//! Why here: what `--dry-run` shows is what runs. certbot may take minutes, or hang on a network or a lock; what it said until then
//! is the reason that an operator needs. What is only asked is asked by `edge::program`.
//!
//! Never here: what to run.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is kept of a program's words; the rest is read and dropped.
const SAID_BYTES_MAX: usize = 256 << 10;
const PAUSE: Duration = Duration::from_millis(20);
/// After its end, for the last words that are still in the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A command line, before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub well: bool,
    /// Both its outputs, as text.
    pub said: String,
}

impl Call {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// As a person would type it.
    pub(crate) fn shown(&self) -> String {
        let environment = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(&value.to_string_lossy())));
        let words = std::iter::once(self.program.to_string_lossy())
            .chain(self.arguments.iter().map(|argument| argument.to_string_lossy()));
        environment.chain(words.map(|word| quoted(&word))).collect::<Vec<_>>().join(" ")
    }

    /// Runs it. An error: it could not start, or did not end in time and was ended.
    pub(crate) fn run(&self, patience: Duration) -> Result<Ended, String> {
        let shown = self.program.display();
        let end = Instant::now() + patience;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run {shown}: {error}"))?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            child.stdout.take().map(|out| listen(out, &said)),
            child.stderr.take().map(|out| listen(out, &said)),
        ];
        let well = wait(&mut child, end);
        finish(readers.into_iter().flatten());
        let words = said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&words).trim().to_owned();
        match well.map_err(|error| format!("cannot wait for {shown}: {error}"))? {
            Some(well) => Ok(Ended { well, said }),
            None => Err(format!(
                "{shown} did not end within {} s and was stopped; it said: {said}",
                patience.as_secs()
            )),
        }
    }
}

/// Whether it ended well; `None`: it was stopped.
fn wait(child: &mut Child, end: Instant) -> std::io::Result<Option<bool>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

fn listen(mut out: impl Read + Send + 'static, said: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut piece = [0; 8192];
        while let Ok(count @ 1..) = out.read(&mut piece) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            let room = SAID_BYTES_MAX.saturating_sub(said.len()).min(count);
            said.extend_from_slice(piece.get(..room).unwrap_or_default());
        }
    })
}

/// A child of the program may hold its outputs open for longer than it lives itself; nobody waits for that.
fn finish(readers: impl Iterator<Item = JoinHandle<()>>) {
    let end = Instant::now() + LAST_WORDS;
    for reader in readers {
        while !reader.is_finished() && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A file that somebody may run.
pub(crate) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./@+,:=%~".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Call {
        Call::new("/bin/sh").arg("-c").arg(script)
    }

    #[test]
    fn what_it_says_is_kept_and_how_it_ends() {
        let patience = Duration::from_secs(20);
        let ended = shell("echo one; echo two >&2; exit 3").run(patience).unwrap();
        assert!(!ended.well && ended.said.contains("one") && ended.said.contains("two"), "{ended:?}");
        let ended = shell("echo $WORD").env("WORD", "hello").run(patience).unwrap();
        assert_eq!(ended, Ended { well: true, said: "hello".into() });
        let flood = shell("head -c 1000000 /dev/zero | tr '\\0' x").run(patience).unwrap();
        assert_eq!((flood.well, flood.said.len()), (true, SAID_BYTES_MAX));
    }

    #[test]
    fn one_that_hangs_is_stopped_and_its_children_hold_nobody() {
        // By then it has begun, on a busy machine too.
        let error = shell("echo begun; exec sleep 60").run(Duration::from_secs(2)).unwrap_err();
        assert!(error.contains("did not end") && error.contains("begun"), "{error}");
        let began = Instant::now();
        assert!(shell("sleep 30 & exit 0").run(Duration::from_secs(20)).unwrap().well);
        assert!(began.elapsed() < Duration::from_secs(15), "a grandchild was waited for");
        assert!(
            Call::new("/nowhere/certbot").run(Duration::from_secs(1)).unwrap_err().contains("cannot run")
        );
    }

    #[test]
    fn words_are_shown_as_a_shell_takes_them() {
        let call =
            Call::new("certbot").args(["-d", "a.example.com", "--deploy-hook", "x 'y' $z"]).env("A", "b c");
        assert_eq!(call.shown(), r"A='b c' certbot -d a.example.com --deploy-hook 'x '\''y'\'' $z'");
        assert_eq!(quoted(""), "''");
    }
}
