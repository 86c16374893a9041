//! Builds the page into the program: every file of `web/dist`, compressed once, as one static table.
//!
//! Why here: Cargo must not need Node. The page is built by `make web`; this script takes what is there, or says so.
//!
//! Never here: changing what the page says.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

fn main() {
    if let Err(why) = run() {
        // Cargo prints it as one line and fails the build.
        println!("cargo::error={why}");
    }
}

fn run() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=GATEHOUSE_WEB_DIST");
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let dist = env::var_os("GATEHOUSE_WEB_DIST").map_or_else(|| root.join("../../web/dist"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", dist.display());
    let index = dist.join("index.html");
    let html = fs::read_to_string(&index).map_err(|_| {
        format!(
            "The chat page is not built: {} is missing. Run `make web` once, then build again.",
            index.display()
        )
    })?;
    let out = PathBuf::from(var("OUT_DIR")?);
    let mut table = format!("const INDEX_HTML: &str = {html:?};\nstatic ASSETS: &[Asset] = &[\n");
    for path in files(&dist.join("assets")).map_err(|e| format!("{}: {e}", dist.display()))? {
        table.push_str(&entry(&path, &out)?);
    }
    table.push_str("];\n");
    fs::write(out.join("web_assets.rs"), table).map_err(|e| e.to_string())
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}

/// Files in order of name, so that the same page gives the same program.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn entry(path: &Path, out: &Path) -> Result<String, String> {
    let name = path.file_name().and_then(|n| n.to_str()).ok_or("an asset's name is not text")?;
    let media_type =
        media_type(name).ok_or_else(|| format!("{name}: no media type is known for this file"))?;
    let plain = fs::read(path).map_err(|e| format!("{name}: {e}"))?;
    let mut digest = String::new();
    for byte in Sha256::digest(&plain).iter().take(16) {
        write!(digest, "{byte:02x}").map_err(|e| e.to_string())?;
    }
    let brotli = keep(out, &digest, "br", &plain, brotli(&plain).map_err(|e| format!("{name}: {e}"))?)?;
    let gzip = keep(out, &digest, "gz", &plain, gzip(&plain).map_err(|e| format!("{name}: {e}"))?)?;
    let plain = out.join(format!("{digest}.plain"));
    fs::copy(path, &plain).map_err(|e| format!("{name}: {e}"))?;
    Ok(format!(
        "Asset {{ path: {:?}, media_type: {media_type:?}, digest: {digest:?}, plain: include_bytes!({plain:?}), \
         brotli: {brotli}, gzip: {gzip} }},\n",
        format!("assets/{name}")
    ))
}

/// A compressed form is worth having when it is a tenth smaller.
fn keep(out: &Path, digest: &str, ending: &str, plain: &[u8], packed: Vec<u8>) -> Result<String, String> {
    if packed.len() > plain.len() / 10 * 9 {
        return Ok("None".to_owned());
    }
    let path = out.join(format!("{digest}.{ending}"));
    fs::write(&path, packed).map_err(|e| e.to_string())?;
    Ok(format!("Some(include_bytes!({path:?}))"))
}

/// The best ratio takes seconds in an unoptimised build script, so only a release pays for it.
fn brotli(plain: &[u8]) -> io::Result<Vec<u8>> {
    let release = env::var("PROFILE").is_ok_and(|p| p == "release");
    let quality = if release { 11 } else { 5 };
    let mut packed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut packed, 4096, quality, 22);
    writer.write_all(plain)?;
    drop(writer);
    Ok(packed)
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(plain)?;
    writer.finish()
}

fn media_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}
