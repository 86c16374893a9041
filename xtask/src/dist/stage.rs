//! The tree of files that an installation consists of, under the prefix of the one who installs.
//!
//! Why here: package and tarball hold the same files at different places; a file that only one of them had would be missed
//! on the other half of the machines.
//!
//! Never here: archives.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Release;
use super::run::{output, run_in};

/// What is built before.
pub(super) struct Inputs {
    pub(super) binary: PathBuf,
    /// The list of what is inside.
    pub(super) bill: Option<PathBuf>,
    /// Other people's licences.
    pub(super) notices: Option<PathBuf>,
}

/// Where an installation puts things.
pub(super) struct Layout {
    /// From the root of the tree; empty: the tree is the prefix.
    pub(super) prefix: &'static str,
    /// As units call the program.
    pub(super) program: &'static str,
    pub(super) zsh: &'static str,
    /// Where the configuration lies in the tree.
    pub(super) config: &'static str,
}

const UNITS: [&str; 4] = [
    "gatehouse-gateway.service",
    "gatehouse-gateway.socket",
    "gatehouse-chat.service",
    "gatehouse-chat.socket",
];
/// Beside the folder `docs`, with which they refer to each other as in the repository.
const PAGES: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
/// The seed's names for the program.
const LINKS: [&str; 2] = ["qwen-gateway", "clawdbot"];
/// As the units in the repository call the program.
const PROGRAM: &str = "/usr/bin/gatehouse";

/// Fills an empty folder.
pub(super) fn fill(tree: &Path, release: &Release, inputs: &Inputs, layout: &Layout) -> anyhow::Result<()> {
    let prefix = tree.join(layout.prefix);
    let deploy = release.root.join("deploy");
    program(&prefix, inputs)?;
    from_the_program(&prefix, layout)?;
    for unit in UNITS {
        let text = fs::read_to_string(deploy.join("systemd").join(unit))?;
        put(&prefix.join("lib/systemd/system").join(unit), &text.replace(PROGRAM, layout.program))?;
    }
    for folder in ["sysusers.d", "tmpfiles.d"] {
        copy(
            &deploy.join(folder).join("gatehouse.conf"),
            &prefix.join("lib").join(folder).join("gatehouse.conf"),
        )?;
    }
    let config = tree.join(layout.config);
    copy(&deploy.join("gatehouse.yaml"), &config.join("gatehouse/gatehouse.yaml"))?;
    copy(&deploy.join("logrotate.d/gatehouse"), &config.join("logrotate.d/gatehouse"))?;
    documents(&prefix.join("share/doc/gatehouse"), release, inputs)
}

fn program(prefix: &Path, inputs: &Inputs) -> anyhow::Result<()> {
    let bin = prefix.join("bin");
    let place = bin.join("gatehouse");
    copy(&inputs.binary, &place)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    run_in(&bin, "strip", &["--strip-unneeded", "gatehouse"])?;
    for link in LINKS {
        symlink("gatehouse", bin.join(link)).with_context(|| format!("cannot link {link}"))?;
    }
    Ok(())
}

/// Manual pages and completions, as the packaged binary itself prints them.
fn from_the_program(prefix: &Path, layout: &Layout) -> anyhow::Result<()> {
    let bin = prefix.join("bin");
    let pages = prefix.join("share/man/man1");
    let ask = |args: &[&str]| output(&bin, "./gatehouse", args);
    let folder = pages.to_str().context("the folder's name is not text")?;
    ask(&["reference", "man", "--into", folder])?;
    let other = prefix.join("share/man/man5");
    fs::create_dir_all(&other)?;
    fs::rename(pages.join("gatehouse.yaml.5"), other.join("gatehouse.yaml.5"))?;
    compress(&pages)?;
    compress(&other)?;
    for name in ["gatehouse"].into_iter().chain(LINKS) {
        let text = |shell: &str| ask(&["reference", "completions", shell, "--of", name]);
        put(&prefix.join("share/bash-completion/completions").join(name), &text("bash")?)?;
        put(&prefix.join(layout.zsh).join(format!("_{name}")), &text("zsh")?)?;
        put(&prefix.join("share/fish/vendor_completions.d").join(format!("{name}.fish")), &text("fish")?)?;
    }
    Ok(())
}

fn documents(folder: &Path, release: &Release, inputs: &Inputs) -> anyhow::Result<()> {
    for page in PAGES {
        copy(&release.root.join(page), &folder.join(page))?;
    }
    copy(&release.root.join("CHANGELOG.md"), &folder.join("changelog"))?;
    copy_all(&release.root.join("docs"), &folder.join("docs"))?;
    let mut large = vec![folder.join("changelog")];
    for (source, name) in [(&inputs.bill, "gatehouse.cdx.json"), (&inputs.notices, "THIRD-PARTY-NOTICES")] {
        if let Some(source) = source {
            copy(source, &folder.join(name))?;
            large.push(folder.join(name));
        }
    }
    large.iter().try_for_each(|file| gzip(file))
}

/// Every file of a folder, as Debian has manual pages.
fn compress(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        gzip(&entry?.path())?;
    }
    Ok(())
}

/// Without name and time inside, so that the same text gives the same file.
pub(super) fn gzip(file: &Path) -> anyhow::Result<()> {
    run_in(Path::new("/"), "gzip", &[Path::new("-9nf"), file])
}

pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    make_folder(to)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o644))?)
}

/// A folder with everything below it.
fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &place)?,
            false => copy(&entry.path(), &place)?,
        }
    }
    Ok(())
}

pub(super) fn put(place: &Path, text: &str) -> anyhow::Result<()> {
    make_folder(place)?;
    fs::write(place, text).with_context(|| format!("cannot write {}", place.display()))?;
    Ok(fs::set_permissions(place, fs::Permissions::from_mode(0o644))?)
}

fn make_folder(place: &Path) -> anyhow::Result<()> {
    let folder = place.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// An empty folder for a tree, whatever an earlier run left there.
pub(super) fn fresh(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}
