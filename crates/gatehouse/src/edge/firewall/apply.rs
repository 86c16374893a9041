//! Loading the rules with a way back: look first, set the guard, load, ask, keep or take back.
//!
//! Why here: nobody may lock himself out of a machine that stands far away. So nothing is loaded that would visibly do it,
//! and what is loaded stays only after somebody has said that he still gets in.
//!
//! Never here: taking back itself; the guard does that, whatever becomes of this process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::IsTerminal;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::guard::{BACK, KEEP, KEPT, READY, UNDO};
use super::nft::Nft;
use crate::Outcome;
use crate::edge::machine::ssh;
use crate::edge::ports::Ports;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// One change at a time: a second one would take the first one's unconfirmed rules for the former ones. The guard's words
/// go there too.
const LOCK_FILE: &str = "/run/gatehouse-firewall.log";
/// The guard only has to start; its work begins later.
const START_MAX: Duration = Duration::from_secs(10);
/// Above the guard's own bound on nft.
const END_MAX: Duration = Duration::from_secs(60);

/// What the operator asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub within: Duration,
    /// Also when it would shut out a connection that is open now.
    pub anyway: bool,
}

pub(crate) async fn apply(
    rules: &str,
    ports: &Ports,
    wish: Wish,
    terminal: &Terminal,
) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "nobody can confirm here: standard input is not a terminal. In a script: `gatehouse edge firewall | nft -f -`"
    );
    let nft = Nft::find()?;
    nft.test(rules).await?;
    if shuts_out(ports, wish.anyway, terminal) {
        return Ok(Outcome::Refused);
    }
    let lock = lock()?;
    let undo = nft.undo().await?;
    nft.test(&undo).await.context("the rules that are loaded now could not be brought back")?;
    // From here on a signal is an answer, and the answer is no.
    let mut signals = Signals::catch()?;
    let mut guard = Guard::start(&undo, wish.within, lock).await?;
    if let Err(error) = nft.load(rules).await {
        // Most likely there is nothing to take back; but a program that was ended may have done its work.
        let _its_word_is_in_the_file = guard.hang_up().await;
        return Err(error);
    }
    terminal.note(&question(wish.within));
    let kept = tokio::select! {
        kept = confirmed(terminal) => kept,
        _ = signals.next() => false,
        // Its time is over, or it was ended.
        () = guard.speaks() => false,
    };
    let told = if kept { guard.tell(KEEP).await } else { guard.hang_up().await };
    end(told.as_deref(), &nft, &undo, terminal).await
}

fn question(within: Duration) -> String {
    format!(
        "The rules are loaded. Open a second connection to this machine now, as you do every day: this one lives on in any \
         case and proves nothing.\nWhen that works, type `keep` and Enter. Without it everything is as before in {} seconds.",
        within.as_secs()
    )
}

/// Waits for the word; `false`: another clear answer, or the terminal is gone.
async fn confirmed(terminal: &Terminal) -> bool {
    let mut lines: Lines<BufReader<Stdin>> = BufReader::new(tokio::io::stdin()).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) if line.trim() == KEEP => return true,
            Ok(Some(line)) if ["n", "no"].contains(&line.trim()) => return false,
            Ok(Some(_)) => terminal.note("Type `keep` to keep the rules, `no` to take them back."),
            Ok(None) | Err(_) => return false,
        }
    }
}

/// What the guard's last word means to the operator.
async fn end(told: Option<&str>, nft: &Nft, undo: &str, terminal: &Terminal) -> anyhow::Result<Outcome> {
    match told {
        Some(KEPT) => {
            terminal.note("The rules are in force until this machine restarts. To keep them: `gatehouse edge firewall` prints the file, and says in it where it belongs.");
            Ok(Outcome::Done)
        }
        Some(BACK) => {
            // Its time may have been over while our rules were still on their way: then they came after it had looked.
            nft.load(undo).await.context("the former rules cannot be loaded again")?;
            terminal.note("The rules are taken back: everything is as it was before.");
            Ok(Outcome::Refused)
        }
        Some(_) => {
            anyhow::bail!("the former rules could not be brought back; {LOCK_FILE} says how things stand")
        }
        None => {
            // Somebody ended it by force; its work is done here then.
            nft.load(undo).await.context("the guard is gone, and the former rules cannot be loaded")?;
            terminal.note("The guard was ended; the rules are taken back: everything is as it was before.");
            Ok(Outcome::Refused)
        }
    }
}

/// Whether these rules would visibly lock somebody out who is on this machine now.
fn shuts_out(ports: &Ports, anyway: bool, terminal: &Terminal) -> bool {
    let shut: Vec<_> = ssh::doors().into_iter().filter(|door| !door.stays_open(ports)).collect();
    for door in &shut {
        terminal.note(&format!("these rules shut out {door}: set `edge.firewall.ssh_port` and `ssh_from`"));
    }
    if !shut.is_empty() && !anyway {
        terminal.complain("nothing was loaded. With --anyway they are loaded nevertheless");
    }
    !shut.is_empty() && !anyway
}

fn lock() -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).open(Path::new(LOCK_FILE));
    let file = file.with_context(|| format!("cannot use {LOCK_FILE}; this needs root"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!("another `edge firewall --apply` is waiting for its confirmation")
        }
        Err(TryLockError::Error(error)) => return Err(error).context(format!("cannot lock {LOCK_FILE}")),
    }
    file.set_len(0).with_context(|| format!("cannot write {LOCK_FILE}"))?;
    Ok(file)
}

/// The running guard, seen from here.
struct Guard {
    child: Child,
    orders: Option<ChildStdin>,
    words: Lines<BufReader<ChildStdout>>,
    /// A word that was read while somebody waited for it, until it is asked for.
    said: Option<String>,
}

impl Guard {
    /// Starts it and waits until it stands. It holds the lock as long as it lives, by its standard error.
    async fn start(undo: &str, within: Duration, lock: File) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.arg0("gatehouse").args(["edge", "firewall", "--guard"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(lock);
        // Neither Ctrl-C nor Ctrl-Z on this terminal reaches it.
        command.process_group(0);
        let mut child = command.spawn().context("cannot start the guard")?;
        let mut orders = child.stdin.take().context("the guard has no standard input")?;
        let words = child.stdout.take().context("the guard has no standard output")?;
        let mut words = BufReader::new(words).lines();
        let ready = async {
            let head = format!("{UNDO} {} {}\n", undo.len(), within.as_secs());
            orders.write_all(head.as_bytes()).await?;
            orders.write_all(undo.as_bytes()).await?;
            words.next_line().await
        };
        let said = tokio::time::timeout(START_MAX, ready).await.ok().and_then(Result::ok).flatten();
        anyhow::ensure!(
            said.as_deref() == Some(READY),
            "the guard does not stand, so nothing was loaded; {LOCK_FILE} may say why"
        );
        Ok(Self { child, orders: Some(orders), words, said: None })
    }

    /// Returns when it says something, or is gone.
    async fn speaks(&mut self) {
        self.said = self.words.next_line().await.ok().flatten();
    }

    /// Gives the word and waits for its last one; `None`: it was gone without any.
    async fn tell(&mut self, word: &str) -> Option<String> {
        if let Some(orders) = &mut self.orders {
            // If it has decided already, its word says what.
            let _ = orders.write_all(format!("{word}\n").as_bytes()).await;
            let _ = orders.flush().await;
        }
        self.last_word().await
    }

    async fn hang_up(&mut self) -> Option<String> {
        drop(self.orders.take());
        self.last_word().await
    }

    async fn last_word(&mut self) -> Option<String> {
        if self.said.is_none() {
            let said = tokio::time::timeout(END_MAX, self.words.next_line()).await;
            self.said = said.ok().and_then(Result::ok).flatten();
        }
        let _ = tokio::time::timeout(END_MAX, self.child.wait()).await;
        self.said.clone()
    }
}
