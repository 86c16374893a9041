//! The guard: a process of its own that takes rules back unless it is told to keep them.
//!
//! Why here: rules that shut the operator out also shut out his answer, and the process that loaded them may be stopped,
//! hung up on or killed with his connection. The guard has no terminal, is in no job of the shell, and needs no network:
//! silence for too long, or the end of its parent, is a no.
//!
//! Never here: loading the new rules, asking.

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::nft::Nft;
use super::{FAMILY, TABLE};
use crate::Outcome;
use crate::terminal::Terminal;

/// What the guard says on its standard output, one word a line.
pub(super) const READY: &str = "ready";
pub(super) const KEPT: &str = "kept";
pub(super) const BACK: &str = "back";
pub(super) const FAILED: &str = "failed";
/// What it is told: a first line with the bytes of rules that follow and the seconds to wait, then one word.
pub(super) const UNDO: &str = "undo";
pub(super) const KEEP: &str = "keep";

const RULES_BYTES_MAX: usize = 32 << 20;

struct Order {
    undo: String,
    within: Duration,
}

/// The guard's whole life. Its standard error is the file that says afterwards what happened.
pub(crate) async fn guard(terminal: &Terminal) -> anyhow::Result<Outcome> {
    // Before anything else: from here on no polite signal ends this process without its work done.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let nft = Nft::find()?;
    let mut parent = BufReader::new(tokio::io::stdin());
    let order = order(&mut parent).await.context("--guard is for the program itself")?;
    let deadline = Instant::now() + order.within;
    terminal.say(READY);
    let mut words = parent.lines();
    let why = loop {
        tokio::select! {
            word = words.next_line() => match word {
                Ok(Some(word)) if word == KEEP => {
                    terminal.note("the operator keeps the rules");
                    terminal.say(KEPT);
                    return Ok(Outcome::Done);
                }
                _ => break "the asking process ended, or was told no",
            },
            () = sleep_until(deadline) => break "nobody confirmed them in time",
            _ = terminate.recv() => break "the guard was told to end",
            _ = interrupt.recv() => break "the guard was told to end",
            // The operator's connection is gone; whether that is a no, his process's end will tell.
            _ = hang_up.recv() => {}
        }
    };
    terminal.note(&format!("the rules are taken back: {why}"));
    take_back(&nft, &order.undo, terminal).await
}

async fn order(parent: &mut (impl AsyncBufReadExt + Unpin)) -> anyhow::Result<Order> {
    let mut head = String::new();
    parent.take(64).read_line(&mut head).await?;
    let mut words = head.split_whitespace();
    anyhow::ensure!(words.next() == Some(UNDO), "no order");
    let bytes: usize = words.next().context("no size")?.parse()?;
    let seconds: u64 = words.next().context("no time")?.parse()?;
    anyhow::ensure!(bytes <= RULES_BYTES_MAX, "too long");
    let mut undo = vec![0; bytes];
    parent.read_exact(&mut undo).await?;
    Ok(Order { undo: String::from_utf8(undo)?, within: Duration::from_secs(seconds) })
}

async fn take_back(nft: &Nft, undo: &str, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Err(error) = nft.load(undo).await else {
        terminal.note("everything is as it was");
        terminal.say(BACK);
        return Ok(Outcome::Done);
    };
    terminal.note(&format!("the former rules cannot be loaded: {error:#}"));
    // A door that is open for a while is better than one that nobody can open again.
    let gone = format!("table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n");
    if let Err(error) = nft.load(&gone).await {
        terminal.note(&format!("our table cannot be taken out either: {error:#}"));
        terminal.say(FAILED);
        return Ok(Outcome::Failed);
    }
    terminal.note("our table is taken out: this machine is without these rules now. The former ones were:");
    terminal.note(undo);
    terminal.say(FAILED);
    Ok(Outcome::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_is_read_to_its_last_byte_and_not_further() {
        let mut parent = BufReader::new(&b"undo 6 30\ntable\nkeep\n"[..]);
        let found = order(&mut parent).await.unwrap();
        assert_eq!((found.undo.as_str(), found.within), ("table\n", Duration::from_secs(30)));
        let mut word = String::new();
        parent.read_line(&mut word).await.unwrap();
        assert_eq!(word, "keep\n");
        for bad in ["", "undo", "undo 7\n", "undo 99999999999 1\n", "undo 9 1\nshort", "do 0 1\n"] {
            assert!(order(&mut BufReader::new(bad.as_bytes())).await.is_err(), "{bad}");
        }
    }
}
