//! nginx's judgement of a site that is not installed.
//!
//! Why here: `--dry-run` must not touch what nginx reads, and a site alone cannot be tested. So the whole configuration is
//! written out once more, with the new site in its place, into a folder of its own; whatever else lies beside the main file
//! is linked there, so that relative names lead where they did.
//!
//! Never here: reloading.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::around;

use crate::config::edge::NginxFiles;

use crate::edge::check::reading::{Directive, Files, first_line};
use crate::edge::{nginx, program};

/// What nginx says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    Good,
    /// Its own words, with the line that they mean.
    Refused(String),
    /// It would not be read at all.
    NotIncluded,
}

/// Tests the main configuration with `text` as the site.
pub(super) async fn of(nginx_files: &NginxFiles, site_file: &Path, text: &str) -> anyhow::Result<Trial> {
    let main = &nginx_files.main_file;
    let files = Files::on_disk(main).with_context(|| format!("cannot read {}", main.display()))?;
    let name = files.names().find(|name| fs::canonicalize(name).is_ok_and(|real| real == site_file));
    let name = name.map_or_else(|| nginx_files.site_file.clone(), Path::to_owned);
    if !files.would_include(&name) {
        return Ok(Trial::NotIncluded);
    }
    let flat = files.with(&name, text).flat()?;
    let folder = Folder::new()?;
    folder.link_all(main.parent().unwrap_or(Path::new("/")))?;
    let copy = folder.0.join("gatehouse-trial.conf");
    fs::write(&copy, &flat).with_context(|| format!("cannot write {}", copy.display()))?;
    let words = ["-t".as_ref(), "-c".as_ref(), copy.as_os_str()];
    let tested = program::run(&nginx::program(&nginx_files.program), &words, "").await?;
    match tested.status.success() {
        true => Ok(Trial::Good),
        false => Ok(Trial::Refused(told(&tested.complaint, &copy, &flat))),
    }
}

/// The copy's line numbers mean nothing to anybody: the line itself does.
fn told(said: &str, copy: &Path, flat: &str) -> String {
    let first = first_line(said);
    let mark = format!(" in {}:", copy.display());
    let Some((what, number)) = first.split_once(&mark) else { return first.to_owned() };
    let number = number.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let line = number.and_then(|number| flat.lines().nth(number)).unwrap_or_default();
    format!("{what}: `{}`", line.trim())
}

/// A folder that is gone with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("gatehouse-edge-{name}"));
        // Its own, and made by it: a name that somebody laid there before is refused.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn link_all(&self, folder: &Path) -> anyhow::Result<()> {
        let folder = fs::canonicalize(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let link = self.0.join(entry.file_name());
            symlink(entry.path(), &link).with_context(|| format!("cannot make {}", link.display()))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Links are removed, not what they lead to.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a folder of a trial stays behind");
        }
    }
}

/// What makes a refusal plain where nginx's words alone do not.
pub(crate) fn hint(said: &str, files: &NginxFiles, site_file: &Path) -> String {
    if said.contains("duplicate default server") {
        let others = other_defaults(files, site_file).unwrap_or_default();
        let whose = if others.is_empty() { "another site".to_owned() } else { others.join(", ") };
        return format!(
            "{whose} wants to be the default server too. Only one can be: remove it there (Debian's own: `rm /etc/nginx/sites-enabled/default`), then try again"
        );
    }
    if said.contains("Address already in use") || said.contains("bind()") {
        return "another program has that port: `ss -ltnp` names it; stop it, or change `edge.http_listen` or `edge.https_listen`".to_owned();
    }
    if said.contains("cannot load certificate") {
        return "the certificate is not there or not readable: `gatehouse cert check` looks at it, `gatehouse edge cert` asks for one".to_owned();
    }
    if said.contains("server_names_hash") {
        let stated = around::stated(files);
        let lines: Vec<_> = stated.iter().map(Directive::shown).collect();
        let whose = if lines.is_empty() { "the site's own line".to_owned() } else { lines.join(", ") };
        return format!(
            "nginx's table of names is too small for this one ({whose}): put `server_names_hash_bucket_size 512;` there, or into the `http` block of {}",
            files.main_file.display()
        );
    }
    if said.contains("open()") && said.contains("No such file or directory") {
        return "make the folder that it names (`mkdir -p`), or name another file: `edge.access_log` for the log of requests".to_owned();
    }
    "mend what it names; where that is the rendered site itself, tell the maintainers".to_owned()
}

/// `listen ... default_server` outside of the site.
fn other_defaults(files: &NginxFiles, site_file: &Path) -> anyhow::Result<Vec<String>> {
    let tree = Files::on_disk(&files.main_file)?.tree()?;
    let http = tree.iter().filter(|d| d.name == "http").flat_map(|http| http.inside());
    let listens = http.filter(|d| d.name == "server").flat_map(|server| server.inside());
    let defaults = listens.filter(|d| d.name == "listen" && (d.has("default_server") || d.has("default")));
    let ours = |file: &str| fs::canonicalize(file).is_ok_and(|real| real == site_file);
    Ok(defaults.filter(|d| !ours(&d.file)).map(|d| d.shown()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_itself_is_told() {
        let said = "nginx: [emerg] unknown directive \"b\" in /tmp/x/t.conf:2\nnginx: test failed\n";
        let told = told(said, Path::new("/tmp/x/t.conf"), "a;\n  b c;\n");
        assert_eq!(told, "nginx: [emerg] unknown directive \"b\": `b c;`");
    }

    #[test]
    fn a_folder_is_gone_and_what_it_links_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), "x").unwrap();
        let folder = Folder::new().unwrap();
        folder.link_all(dir.path()).unwrap();
        let place = folder.0.clone();
        assert_eq!(fs::read_to_string(place.join("sub/file")).unwrap(), "x");
        drop(folder);
        assert!(!place.exists() && dir.path().join("sub/file").exists());
    }
}
