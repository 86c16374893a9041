//! The bill of materials: everything that is inside of the program, as CycloneDX.
//!
//! Why here: who runs the program asks whether a library with a known hole is in it; this answers without building it.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Release;
use super::metadata::{Part, parts};
use super::run::output;

const SPEC: &str = "1.5";

pub(super) fn write(release: &Release) -> anyhow::Result<PathBuf> {
    let mut parts = parts(release)?;
    parts.extend(within(&parts));
    let time =
        output(&release.root, "date", &["-u", "-d", &format!("@{}", release.epoch), "+%Y-%m-%dT%H:%M:%SZ"])?;
    let bill = bill(&parts, time.trim(), &release.version)?;
    let file = release.dist.join(format!("gatehouse-{}.cdx.json", release.version));
    let text = serde_json::to_string_pretty(&bill)? + "\n";
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Code in C that comes inside of a crate: whoever looks for a hole looks for it under its own name.
fn within(parts: &[Part]) -> Vec<Part> {
    let foreign = |name: &str, purl: &str, licence: &str, version: Option<String>, inside: &str| {
        let carrier = parts.iter().find(|part| part.name == inside)?;
        Some(Part {
            purl: version.as_ref().map_or_else(|| purl.to_owned(), |version| format!("{purl}@{version}")),
            name: name.to_owned(),
            version,
            licence: Some(licence.to_owned()),
            digest: None,
            folder: carrier.folder.clone(),
            uses: std::collections::BTreeSet::new(),
            ours: false,
        })
    };
    let sqlite = parts.iter().find(|part| part.name == "libsqlite3-sys").and_then(|part| {
        let header = std::fs::read_to_string(part.folder.as_ref()?.join("sqlite3/sqlite3.h")).ok()?;
        let line = header.lines().find(|line| line.starts_with("#define SQLITE_VERSION "))?;
        Some(line.split('"').nth(1)?.to_owned())
    });
    let all = [
        foreign("sqlite", "pkg:generic/sqlite", "blessing", sqlite, "libsqlite3-sys"),
        foreign("llama.cpp", "pkg:github/ggml-org/llama.cpp", "MIT", None, "llama-cpp-sys-2"),
    ];
    all.into_iter().flatten().collect()
}

fn bill(parts: &[Part], time: &str, version: &str) -> anyhow::Result<Value> {
    let (program, others) = parts.split_first().context("there is no program")?;
    let mut root = component(program);
    if let Some(root) = root.as_object_mut() {
        root.insert("type".into(), "application".into());
        root.insert("version".into(), version.into());
    }
    let depends = |part: &Part| json!({"ref": part.purl, "dependsOn": part.uses});
    Ok(json!({
        "$schema": format!("http://cyclonedx.org/schema/bom-{SPEC}.schema.json"),
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "timestamp": time,
            "tools": {"components": [{"type": "application", "name": "cargo xtask sbom", "version": version}]},
            "component": root,
        },
        "components": others.iter().map(component).collect::<Vec<_>>(),
        "dependencies": parts.iter().map(depends).collect::<Vec<_>>(),
    }))
}

fn component(part: &Part) -> Value {
    let mut value = json!({"type": "library", "bom-ref": part.purl, "name": part.name, "purl": part.purl});
    let Some(fields) = value.as_object_mut() else { return value };
    if let Some(version) = &part.version {
        fields.insert("version".into(), version.as_str().into());
    }
    if let Some(licence) = &part.licence {
        fields.insert("licenses".into(), json!([{"expression": licence}]));
    }
    if let Some((algorithm, digits)) = &part.digest {
        fields.insert("hashes".into(), json!([{"alg": algorithm, "content": digits}]));
    }
    value
}
