//! The tarball: a prefix to unpack into, for machines without Debian's tools.
//!
//! Why here: see [`super`].

use std::path::PathBuf;

use super::Release;
use super::compile::{Flavour, needs};
use super::run::run_in;
use super::stage::{self, Inputs, Layout};

const LAYOUT: Layout = Layout {
    prefix: "",
    program: "/usr/local/bin/gatehouse",
    zsh: "share/zsh/site-functions",
    config: "share/gatehouse/etc",
};

pub(super) fn write(release: &Release, inputs: &Inputs, flavour: Flavour) -> anyhow::Result<PathBuf> {
    let arch = std::env::consts::ARCH;
    let name = format!("gatehouse-{}-{arch}-{}", release.version, flavour.suffix());
    let tree = release.dist.join(&name);
    stage::fresh(&tree)?;
    stage::fill(&tree, release, inputs, &LAYOUT)?;
    stage::copy(&release.root.join("LICENSE"), &tree.join("share/doc/gatehouse/LICENSE"))?;
    let needs = format!("{}\nBuilt for {arch}; {}.\n", name, needs(&inputs.binary)?);
    stage::put(&tree.join("share/doc/gatehouse/NEEDS"), &needs)?;
    let archive = release.dist.join(format!("{name}.tar"));
    let time = format!("--mtime=@{}", release.epoch);
    let fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", &time];
    let path = archive.to_string_lossy();
    run_in(&release.dist, "tar", &[&fixed[..], &["-cf", &path, &name]].concat())?;
    stage::gzip(&archive)?;
    std::fs::remove_dir_all(&tree)?;
    Ok(archive.with_extension("tar.gz"))
}
