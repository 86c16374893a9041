//! The program behind `gatehouse`: configuration, command line, and the roles it can play.
//!
//! Why here: the gateway, the chat, the engine and the store are parts that know nothing of files, signals and terminals.
//! This crate reads the configuration, starts the parts, and says in plain words what happens.
//!
//! Never here: wire formats, SQL, a request's way through the gateway.

mod api_tables;
pub mod chat;
mod cli;
mod commands;
mod config;
mod edge;
mod folders;
mod logging;
mod manual;
mod profile;
mod service;
mod signals;
mod sockets;
mod terminal;
mod upgrade;

use std::env::ArgsOs;
use std::process::ExitCode;

use terminal::Terminal;

/// How a run ended. The codes are part of the command line's contract (docs/operations.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A configuration has errors; they have been printed.
    Refused,
    /// It could not start, or something it depends on failed.
    Failed,
}

impl Outcome {
    fn code(self) -> u8 {
        // 2 is the code for a wrong command line; clap gives it.
        match self {
            Outcome::Done => 0,
            Outcome::Refused => 1,
            Outcome::Failed => 3,
        }
    }
}

/// The whole program: arguments in, exit code out.
pub fn main(args: ArgsOs) -> ExitCode {
    let terminal = Terminal::of_this_process();
    let invocation = match cli::parse(args) {
        Ok(invocation) => invocation,
        Err(error) => {
            // clap knows what goes to standard output (help, version) and what does not.
            terminal.remember(error.print());
            return ended(u8::try_from(error.exit_code()).unwrap_or(2), &terminal);
        }
    };
    let outcome = commands::run(invocation, &terminal).unwrap_or_else(|error| {
        terminal.complain(&format!("{error:#}"));
        Outcome::Failed
    });
    ended(outcome.code(), &terminal)
}

/// An answer that was lost is no success, whatever the command did.
fn ended(code: u8, terminal: &Terminal) -> ExitCode {
    let Some(why) = terminal.lost() else { return ExitCode::from(code) };
    terminal.complain(&format!(
        "the answer could not be written: {why}. Look at where standard output goes, then run this again"
    ));
    ExitCode::from(if code == 0 { Outcome::Failed.code() } else { code })
}
