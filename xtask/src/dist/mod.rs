//! What is handed out: a Debian package, tarballs, the list of everything inside, and digests of all of it.
//!
//! Why here: a release is made by the same command on every machine, and two builds of one tree differ by nothing but the
//! build itself: times, owners and orders are fixed.
//!
//! Never here: what the files say. Units, scripts and the configuration stand in `deploy/`; manual pages and completions come
//! from the program.

mod compile;
mod deb;
mod metadata;
mod notices;
mod run;
mod sbom;
mod stage;
mod tarball;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use self::compile::Flavour;
use self::run::{output, run_in};
use self::stage::Inputs;

/// Where things lie and what they are called.
pub(crate) struct Release {
    root: PathBuf,
    /// Cargo's output.
    target: PathBuf,
    /// What is handed out.
    dist: PathBuf,
    version: String,
    /// Seconds since 1970 that stand in archives: those of the last commit.
    epoch: u64,
}

/// What a command line may say.
#[derive(Default)]
struct Options {
    binary: Option<PathBuf>,
    version: Option<String>,
    into: Option<PathBuf>,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self::default();
        while let Some(name) = args.next() {
            let value = args.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--binary" => options.binary = Some(value.into()),
                "--version" => options.version = Some(value),
                "--into" => options.into = Some(value.into()),
                _ => bail!("{name} is not known here: --binary FILE, --version VERSION, --into FOLDER"),
            }
        }
        Ok(options)
    }
}

impl Release {
    fn new(root: &Path, options: &Options) -> anyhow::Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let dist = options.into.clone().unwrap_or_else(|| target.join("dist"));
        std::fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
        let version = options.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        Ok(Self { root: root.to_owned(), target, dist: dist.canonicalize()?, version, epoch: epoch(root)? })
    }
}

/// `SOURCE_DATE_EPOCH` where a builder sets it, else the time of the last commit.
fn epoch(root: &Path) -> anyhow::Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output(root, "git", &["log", "-1", "--format=%ct"])?,
    };
    text.trim().parse().context("neither SOURCE_DATE_EPOCH nor the last commit has a time")
}

/// `cargo xtask dist`: everything.
pub(crate) fn run(root: &Path, args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let release = Release::new(root, &Options::read(args)?)?;
    let bill = sbom::write(&release)?;
    let notices = notices::write(&release)?;
    let mut made = vec![bill.clone()];
    let binary = compile::build(&release, Flavour::Engine)?;
    crate::say(&compile::needs(&binary)?);
    let inputs = Inputs { binary, bill: Some(bill), notices: Some(notices) };
    made.push(deb::write(&release, &inputs)?);
    made.push(tarball::write(&release, &inputs, Flavour::Engine)?);
    match compile::static_target(root)? {
        true => {
            let binary = compile::build(&release, Flavour::Static)?;
            let inputs = Inputs { binary, ..inputs };
            made.push(tarball::write(&release, &inputs, Flavour::Static)?);
        }
        false => crate::say(&format!(
            "no static binary: `rustup target add {}` and `apt-get install musl-tools` make it possible",
            Flavour::Static.triple()
        )),
    }
    sums(&release, &made)
}

/// `cargo xtask deb`: the package alone, of a binary that is there already.
pub(crate) fn deb(root: &Path, args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    one(root, args, deb::write)
}

/// `cargo xtask tarball`: the same for the tarball.
pub(crate) fn tarball(root: &Path, args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    one(root, args, |release, inputs| tarball::write(release, inputs, Flavour::Engine))
}

fn one(
    root: &Path,
    args: impl Iterator<Item = String>,
    write: impl FnOnce(&Release, &Inputs) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<()> {
    let options = Options::read(args)?;
    let release = Release::new(root, &options)?;
    let binary = match options.binary {
        Some(binary) => {
            binary.canonicalize().with_context(|| format!("{} is not there", binary.display()))?
        }
        None => compile::build(&release, Flavour::Engine)?,
    };
    let bill = Some(sbom::write(&release)?);
    let notices = Some(notices::write(&release)?);
    let made = write(&release, &Inputs { binary, bill, notices })?;
    crate::say(&made.display().to_string());
    Ok(())
}

/// `cargo xtask sbom`: the list of what is inside, alone.
pub(crate) fn sbom(root: &Path, args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let release = Release::new(root, &Options::read(args)?)?;
    crate::say(&sbom::write(&release)?.display().to_string());
    Ok(())
}

/// One file of digests, which `sha256sum --check` reads.
fn sums(release: &Release, made: &[PathBuf]) -> anyhow::Result<()> {
    let names: Vec<&str> = made.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let text = output(&release.dist, "sha256sum", &names)?;
    std::fs::write(release.dist.join("SHA256SUMS"), &text)?;
    run_in(&release.dist, "sha256sum", &["--check", "--quiet", "SHA256SUMS"])?;
    crate::say(text.trim_end());
    crate::say(&format!("in {}", release.dist.display()));
    Ok(())
}
