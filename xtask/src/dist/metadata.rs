//! What the program is made of, as cargo and npm know it.
//!
//! Why here: the bill of materials and the licences tell of the same parts.
//!
//! Never here: formats of documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::Release;
use super::compile::Flavour;
use crate::generate::cargo;

/// A library of somebody else, or a crate of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// A package URL, which names it among all.
    pub(super) purl: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) licence: Option<String>,
    /// Algorithm and hexadecimal digits.
    pub(super) digest: Option<(&'static str, String)>,
    /// Where its source lies on this machine.
    pub(super) folder: Option<PathBuf>,
    /// Package URLs of what it uses.
    pub(super) uses: BTreeSet<String>,
    pub(super) ours: bool,
}

/// The program first, then everything that ends up in it.
pub(super) fn parts(release: &Release) -> anyhow::Result<Vec<Part>> {
    let mut parts = crates(release)?;
    let page = page(&release.root)?;
    if let Some(program) = parts.first_mut() {
        program.uses.extend(page.iter().map(|part| part.purl.clone()));
    }
    parts.extend(page);
    Ok(parts)
}

/// Crates that are linked into the program; what only tests or builds use is not.
fn crates(release: &Release) -> anyhow::Result<Vec<Part>> {
    let manifest = release.root.join("crates/gatehouse/Cargo.toml");
    let manifest = manifest.to_str().context("the folder's name is not text")?;
    let triple = Flavour::Engine.triple();
    let args = ["metadata", "--format-version", "1", "--locked", "--features", "engine"];
    let output = cargo(&release.root)
        .args(args)
        .args(["--filter-platform", &triple, "--manifest-path", manifest])
        .output()
        .context("cannot run cargo metadata")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let lock = std::fs::read_to_string(release.root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    linked(&metadata, &checksums(&lock))
}

fn linked(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> anyhow::Result<Vec<Part>> {
    let by_id = |list: &str| -> BTreeMap<&str, &Value> {
        let path = if list == "nodes" { "/resolve/nodes" } else { "/packages" };
        let all = metadata.pointer(path).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|one| Some((text(one, "id")?, one))).collect()
    };
    let (packages, nodes) = (by_id("packages"), by_id("nodes"));
    let program = packages.iter().find(|(_, package)| text(package, "name") == Some("gatehouse"));
    let (program, _) = program.context("cargo metadata does not know the program")?;
    let (mut seen, mut next, mut parts) = (BTreeSet::from([*program]), vec![*program], Vec::new());
    while let Some(id) = next.pop() {
        let package = packages.get(id).with_context(|| format!("cargo metadata lists no {id}"))?;
        let used = nodes.get(id).map(|node| uses(node)).unwrap_or_default();
        let mut part = part(package, checksums).with_context(|| format!("{id} has no name"))?;
        for other in used {
            part.uses.extend(packages.get(other).and_then(|package| purl(package)));
            if seen.insert(other) {
                next.push(other);
            }
        }
        parts.push(part);
    }
    if let Some((_, others)) = parts.split_first_mut() {
        others.sort_by(|a, b| a.purl.cmp(&b.purl));
    }
    Ok(parts)
}

/// Ids of what is linked in; development and build dependencies have another kind.
fn uses(node: &Value) -> Vec<&str> {
    let normal = |dependency: &&Value| {
        let kinds = dependency.get("dep_kinds").and_then(Value::as_array).into_iter().flatten();
        kinds.into_iter().any(|kind| kind.get("kind").is_none_or(Value::is_null))
    };
    let all = node.get("deps").and_then(Value::as_array).into_iter().flatten();
    all.filter(normal).filter_map(|dependency| text(dependency, "pkg")).collect()
}

fn part(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Option<Part> {
    let (name, version) = (text(package, "name")?.to_owned(), text(package, "version")?.to_owned());
    let digest = checksums.get(&(name.clone(), version.clone())).map(|sum| ("SHA-256", sum.clone()));
    Some(Part {
        purl: purl(package)?,
        // An old way of writing "or" that no longer is an expression.
        licence: text(package, "license").map(|licence| licence.replace('/', " OR ")),
        folder: text(package, "manifest_path").and_then(|path| Some(Path::new(path).parent()?.to_owned())),
        ours: package.get("source").is_none_or(Value::is_null),
        digest,
        name,
        version: Some(version),
        uses: BTreeSet::new(),
    })
}

fn purl(package: &Value) -> Option<String> {
    Some(format!("pkg:cargo/{}@{}", text(package, "name")?, text(package, "version")?))
}

/// Digests of downloaded crates, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks.filter_map(|b| Some(((value(b, "name")?, value(b, "version")?), value(b, "checksum")?))).collect()
}

/// Packages whose code is in the page: those that it names, and the framework, which compiles itself into it.
fn page(root: &Path) -> anyhow::Result<Vec<Part>> {
    let web = root.join("web");
    let lock =
        std::fs::read_to_string(web.join("package-lock.json")).context("cannot read the page's lock")?;
    let lock: Value = serde_json::from_str(&lock)?;
    let packages =
        lock.get("packages").and_then(Value::as_object).context("the page's lock lists nothing")?;
    let framework = "node_modules/svelte";
    let is_in = |path: &str, package: &Value| {
        path == framework || package.get("dev").and_then(Value::as_bool) != Some(true)
    };
    let found = packages.iter().filter(|(path, package)| !path.is_empty() && is_in(path, package));
    Ok(found.filter_map(|(path, package)| npm(path, package, &web)).collect())
}

fn npm(path: &str, package: &Value, web: &Path) -> Option<Part> {
    let name = path.rsplit_once("node_modules/")?.1.to_owned();
    let version = text(package, "version")?.to_owned();
    let digest =
        text(package, "integrity").and_then(|text| text.strip_prefix("sha512-")).and_then(from_base64);
    Some(Part {
        purl: format!("pkg:npm/{}@{version}", name.replace('@', "%40")),
        licence: text(package, "license").map(str::to_owned),
        digest: digest.map(|digits| ("SHA-512", digits)),
        folder: Some(web.join(path)),
        name,
        version: Some(version),
        uses: BTreeSet::new(),
        ours: false,
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// Bytes in base64 as hexadecimal digits.
fn from_base64(text: &str) -> Option<String> {
    const SIGNS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut digits) = (0_u32, 0, String::new());
    for sign in text.trim_end_matches('=').chars() {
        bits = (bits << 6) | u32::try_from(SIGNS.find(sign)?).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            digits.push_str(&format!("{:02x}", (bits >> held) & 0xff));
        }
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn digests_are_read() {
        assert_eq!(from_base64("aGVsbG8=").as_deref(), Some("68656c6c6f"));
        assert_eq!(from_base64("a*").as_deref(), None);
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        assert_eq!(checksums(lock), BTreeMap::from([(("a".into(), "1.0.0".into()), "ab".into())]));
    }

    #[test]
    fn what_is_linked_is_found_and_what_only_tests_use_is_not() {
        let package = |name: &str, licence: Option<&str>| json!({"id": name, "name": name, "version": "1.0.0", "license": licence, "source": licence.map(|_| "x"), "manifest_path": format!("/{name}/Cargo.toml")});
        let kind = |kind: Option<&str>| json!([{ "kind": kind }]);
        let metadata = json!({
            "packages": [package("gatehouse", None), package("a", Some("MIT/Apache-2.0")), package("b", Some("MIT")), package("test", Some("MIT"))],
            "resolve": {"nodes": [
                {"id": "gatehouse", "deps": [{"pkg": "a", "dep_kinds": kind(None)}, {"pkg": "test", "dep_kinds": kind(Some("dev"))}]},
                {"id": "a", "deps": [{"pkg": "b", "dep_kinds": kind(None)}]},
                {"id": "b", "deps": []},
            ]},
        });
        let parts = linked(&metadata, &BTreeMap::new()).unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["gatehouse", "a", "b"]);
        assert_eq!(parts[1].licence.as_deref(), Some("MIT OR Apache-2.0"));
        assert!(parts[0].ours && !parts[1].ours);
        assert_eq!(parts[0].uses, BTreeSet::from(["pkg:cargo/a@1.0.0".to_owned()]));
    }
}
