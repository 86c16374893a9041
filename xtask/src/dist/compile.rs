//! The binaries: one with the engine on the C library of the system, one without it on none at all.
//!
//! Why here: what a binary asks of a machine follows from how it is built.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Release;
use super::run::{finish, output};
use crate::generate::cargo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// With the embedded model; its C++ wants the system's libraries.
    Engine,
    /// Everything inside, for any Linux; without the embedded model.
    Static,
}

impl Flavour {
    pub(super) fn triple(self) -> String {
        let libc = if self == Flavour::Engine { "gnu" } else { "musl" };
        format!("{}-unknown-linux-{libc}", std::env::consts::ARCH)
    }

    /// Ending of archive names.
    pub(super) fn suffix(self) -> &'static str {
        if self == Flavour::Engine { "linux" } else { "linux-static" }
    }
}

/// Whether this machine can build [`Flavour::Static`]: Rust's half and C's half of it.
pub(super) fn static_target(root: &Path) -> anyhow::Result<bool> {
    let folder = output(root, "rustc", &["--print", "sysroot"])?;
    let rust = Path::new(folder.trim()).join("lib/rustlib").join(Flavour::Static.triple());
    Ok(rust.is_dir() && output(root, "musl-gcc", &["--version"]).is_ok())
}

pub(super) fn build(release: &Release, flavour: Flavour) -> anyhow::Result<PathBuf> {
    let mut command = cargo(&release.root);
    command.args(["build", "--release", "--package", "gatehouse"]);
    match flavour {
        Flavour::Engine => command.args(["--features", "engine"]),
        Flavour::Static => command.args(["--target", &flavour.triple()]),
    };
    finish(&mut command)?;
    let folder = match flavour {
        Flavour::Engine => release.target.clone(),
        Flavour::Static => release.target.join(flavour.triple()),
    };
    let binary = folder.join("release/gatehouse");
    binary.canonicalize().with_context(|| format!("the built binary {} is not there", binary.display()))
}

/// What the binary asks of the C library, in words.
pub(super) fn needs(binary: &Path) -> anyhow::Result<String> {
    Ok(match glibc(&output(Path::new("."), "objdump", &[Path::new("-T"), binary])?) {
        Some((major, minor)) => format!("needs glibc {major}.{minor} or newer"),
        None => "needs no C library of the system".to_owned(),
    })
}

/// The newest symbol version of glibc among the dynamic symbols.
fn glibc(symbols: &str) -> Option<(u32, u32)> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let mut numbers = rest.get(..end)?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_counts() {
        let symbols =
            "DF *UND* 0 (GLIBC_2.2.5) read\nDF *UND* 0 (GLIBC_2.34) dlsym\nDF *UND* 0 (GLIBC_2.9) pipe2\n";
        assert_eq!(glibc(symbols), Some((2, 34)));
        assert_eq!(glibc("not a dynamic object\n"), None);
    }
}
