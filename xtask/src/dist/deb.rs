//! The Debian package, from the staged tree and the scripts in `deploy/debian`.
//!
//! Why here: the tree is known file by file, so `dpkg-deb` alone is enough; a packaging framework would have to be told the
//! same things in another place.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Release;
use super::run::{finish, output};
use super::stage::{self, Inputs, Layout};

const LAYOUT: Layout = Layout {
    prefix: "usr",
    program: "/usr/bin/gatehouse",
    zsh: "share/zsh/vendor-completions",
    config: "etc",
};
/// Of this packaging of a version.
const REVISION: u32 = 1;
/// dpkg-deb's own variable, with which tests choose a fast one.
const COMPRESSION: &str = "DPKG_DEB_COMPRESSOR_TYPE";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

pub(super) fn write(release: &Release, inputs: &Inputs) -> anyhow::Result<PathBuf> {
    let architecture = architecture()?;
    let version = format!("{}-{REVISION}", release.version);
    let name = format!("gatehouse_{version}_{architecture}");
    let tree = release.dist.join(&name);
    stage::fresh(&tree)?;
    stage::fill(&tree, release, inputs, &LAYOUT)?;
    debians_own(&tree, release, &version)?;
    control(&tree, release, &version, architecture)?;
    let package = release.dist.join(format!("{name}.deb"));
    let mut build = std::process::Command::new("dpkg-deb");
    // Files belong to root whoever builds, and carry no time later than the release's.
    build.env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    if std::env::var_os(COMPRESSION).is_none() {
        // Read by every dpkg; some distributions have another default.
        build.env(COMPRESSION, "xz");
    }
    finish(build.args(["--root-owner-group", "--build"]).arg(&tree).arg(&package))?;
    fs::remove_dir_all(&tree)?;
    Ok(package)
}

fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("Debian's name for {other} is not known here"),
    }
}

/// What Debian wants beside the installation: its own changelog, the copyright, and why lintian is overruled.
fn debians_own(tree: &Path, release: &Release, version: &str) -> anyhow::Result<()> {
    let scripts = release.root.join("deploy/debian");
    let docs = tree.join("usr/share/doc/gatehouse");
    stage::copy(&scripts.join("copyright"), &docs.join("copyright"))?;
    // Debian has the text already, and every package that repeats it is asked why.
    let licence = docs.join("LICENSE");
    symlink("../../common-licenses/Apache-2.0", &licence).context("cannot link the licence")?;
    let overrides = tree.join("usr/share/lintian/overrides/gatehouse");
    stage::copy(&scripts.join("lintian-overrides"), &overrides)?;
    let time = output(&release.root, "date", &["-R", "-u", "-d", &format!("@{}", release.epoch)])?;
    let entry = format!(
        "gatehouse ({version}) unstable; urgency=medium\n\n  * What is new stands in changelog.gz.\n\n -- {}  {}",
        maintainer(),
        time
    );
    stage::put(&docs.join("changelog.Debian"), &entry)?;
    stage::gzip(&docs.join("changelog.Debian"))
}

fn control(tree: &Path, release: &Release, version: &str, architecture: &str) -> anyhow::Result<()> {
    let scripts = release.root.join("deploy/debian");
    let folder = tree.join("DEBIAN");
    let size = size_kib(tree)?;
    let text = fs::read_to_string(scripts.join("control")).context("cannot read deploy/debian/control")?;
    let values = [
        ("@VERSION@", version.to_owned()),
        ("@ARCH@", architecture.to_owned()),
        ("@MAINTAINER@", maintainer()),
        ("@SIZE@", size.to_string()),
        ("@LIBRARIES@", libraries(tree)?),
    ];
    let filled = values.iter().fold(text, |text, (mark, value)| text.replace(mark, value));
    stage::put(&folder.join("control"), &filled)?;
    stage::copy(&scripts.join("conffiles"), &folder.join("conffiles"))?;
    stage::put(&folder.join("md5sums"), &digests(tree)?)?;
    for script in SCRIPTS {
        let place = folder.join(script);
        stage::copy(&scripts.join(script), &place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Whoever builds says who answers for the package, in the variables that Debian's own tools read.
fn maintainer() -> String {
    let said = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    format!(
        "{} <{}>",
        said("DEBFULLNAME", "Gatehouse maintainers"),
        said("DEBEMAIL", "maintainers@gatehouse.invalid")
    )
}

/// The packages that hold the shared libraries of the program, as a list that ends in a comma.
fn libraries(tree: &Path) -> anyhow::Result<String> {
    // The tool wants a source tree around it.
    let folder = tree.with_extension("source");
    stage::fresh(&folder)?;
    stage::put(
        &folder.join("debian/control"),
        "Source: gatehouse\n\nPackage: gatehouse\nArchitecture: any\n",
    )?;
    let program = tree.join("usr/bin/gatehouse");
    let program = program.to_str().context("the folder's name is not text")?;
    let printed = output(&folder, "dpkg-shlibdeps", &["-O", program]);
    fs::remove_dir_all(&folder)?;
    let printed = printed.context("dpkg-shlibdeps comes with the package dpkg-dev")?;
    let listed = printed.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(listed.map_or_else(String::new, |listed| format!("{listed}, ")))
}

/// Every file but the configuration, which is the operator's to change.
fn digests(tree: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    walk(&tree.join("usr"), &mut files)?;
    files.sort();
    let names = files.iter().filter_map(|file| file.strip_prefix(tree).ok());
    output(tree, "md5sum", &names.collect::<Vec<_>>())
}

fn size_kib(tree: &Path) -> anyhow::Result<u64> {
    let mut files = Vec::new();
    walk(tree, &mut files)?;
    let sizes = files.iter().map(|file| fs::metadata(file).map(|data| data.len().div_ceil(1024)));
    Ok(sizes.sum::<std::io::Result<u64>>()?)
}

/// Plain files; links are neither counted nor summed.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}
