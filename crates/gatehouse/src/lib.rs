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

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        // 2 is the code for a wrong command line; clap gives it.
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Refused => 1,
            Outcome::Failed => 3,
        })
    }
}

/// The whole program: arguments in, exit code out.
pub fn main(args: ArgsOs) -> ExitCode {
    let terminal = Terminal::of_this_process();
    let invocation = match cli::parse(args) {
        Ok(invocation) => invocation,
        Err(error) => {
            // clap knows what goes to standard output (help, version) and what does not; a closed pipe is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match commands::run(invocation, &terminal) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            terminal.complain(&format!("{error:#}"));
            Outcome::Failed.into()
        }
    }
}
