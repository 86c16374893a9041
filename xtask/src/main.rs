//! The developer's tool: house rules as a check, and files that are made from other files.
//!
//! Why here: whatever needs more than a line of shell is Rust, so that it is typed, tested and the same everywhere. The
//! Makefile is the menu in front of it.
//!
//! Never here: anything that the program needs at run time.

mod dist;
mod generate;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask tidy     check the rules of the house (imports, circles, module docs, sizes, names)
cargo xtask docs     write docs/config.md, docs/openapi.json and the tables of docs/api.md and docs/edge.md from the program's own
cargo xtask types    write the page's types from the chat's records
cargo xtask dist     build what is handed out, in target/dist: .deb, tarballs, bill of materials, SHA256SUMS
cargo xtask deb      the .deb alone; of a binary that is there with --binary FILE [--version VERSION] [--into FOLDER]
cargo xtask tarball  the tarball alone, in the same way
cargo xtask sbom     the bill of materials alone (CycloneDX)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let wanted = args.next();
    let root = root();
    let done = match wanted.as_deref() {
        Some("tidy") => tidy::run(&root),
        Some("docs") => generate::docs(&root),
        Some("types") => generate::types(&root),
        Some("dist") => dist::run(&root, args),
        Some("deb") => dist::deb(&root, args),
        Some("tarball") => dist::tarball(&root, args),
        Some("sbom") => dist::sbom(&root, args),
        _ => {
            say(USAGE.trim_end());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The repository: this crate lies one level below it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

#[expect(clippy::print_stdout, reason = "a tool for developers answers on the terminal")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a tool for developers complains on the terminal")]
fn complain(text: &str) {
    eprintln!("{text}");
}
