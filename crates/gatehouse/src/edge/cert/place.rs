//! The site's file, and the nginx that reads it.
//!
//! Why here: nginx's HTTPS needs a certificate before there is one, so the first certificate is asked for with the part of
//! the site that needs none, and whoever finds a certificate and that part puts the whole in its place.
//!
//! Never here: files of others. What was not written by Gatehouse is left alone.

use std::path::PathBuf;
use std::time::Duration;

use super::call::Call;
use crate::edge::apply::around;
use crate::edge::apply::installed::{self, Installed};
use crate::edge::check::reading::{self, Files};
use crate::edge::nginx::{self, Extent};
use crate::edge::site::Site;
use crate::edge::workers::{self, Holder};

/// A test reads every file and resolves every name of the configuration.
const PATIENCE: Duration = Duration::from_secs(30);

/// What lies at the site's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    Nothing,
    Ours(Extent),
    Foreign,
}

pub(crate) fn lies(site: &Site) -> Result<Lies, String> {
    let (_, text) = installed::look(&site.nginx.site_file).map_err(|error| format!("{error:#}"))?;
    Ok(match text {
        Some(text) => Extent::written(&text).map_or(Lies::Foreign, Lies::Ours),
        None => Lies::Nothing,
    })
}

/// Whether the site that lies there answers to other names than the configuration says.
pub(crate) fn has_other_names(site: &Site) -> Result<bool, String> {
    let (_, text) = installed::look(&site.nginx.site_file).map_err(|error| format!("{error:#}"))?;
    let names: Vec<&str> = site.names.iter().map(|name| name.as_str()).collect();
    let line = format!("server_name {};", names.join(" "));
    Ok(text.is_some_and(|text| !text.contains(&line)))
}

/// Writes as much of the site as can be served now, and puts the old file back when nginx refuses the new one. Under the lock of
/// `edge apply`, and with its way back.
pub(crate) fn put(site: &Site) -> Result<Extent, String> {
    let told = |error: anyhow::Error| format!("{error:#}");
    let installed = Installed::open(&site.nginx.site_file).map_err(told)?;
    if installed.now.as_deref().is_some_and(|text| Extent::written(text).is_none()) {
        return Err(format!(
            "{} was not written by Gatehouse: move it away, or name another file in `edge.nginx.site_file`",
            installed.file().display()
        ));
    }
    let extent = Extent::of(site);
    if extent == Extent::Challenge
        && installed.now.as_deref().and_then(Extent::written) == Some(Extent::Whole)
    {
        return Err(format!(
            "{} serves HTTPS, and does not answer the challenge for each name: it stays as it is",
            installed.file().display()
        ));
    }
    let nginx = around::nginx(&site.nginx).map_err(told)?;
    let text = nginx::site(site, &nginx, extent).map_err(|error| error.to_string())?;
    installed.replace(&text).map_err(told)?;
    match test(site) {
        Ok(()) => installed.keep(&text).map_err(told).map(|_| extent),
        Err(refusal) => match installed.put_back() {
            Ok(()) => Err(format!("{refusal} (the file is as it was)")),
            Err(error) => Err(format!("{refusal}; and the old file could not be put back: {error:#}")),
        },
    }
}

/// Where nginx keeps its process's number, as its files say.
fn pid_file(site: &Site) -> PathBuf {
    let tree = Files::on_disk(&site.nginx.main_file).ok().and_then(|files| files.tree().ok());
    reading::pid_file(&tree.unwrap_or_default())
}

fn call(site: &Site) -> Call {
    Call::new(nginx::program(&site.nginx.program)).arg("-c").arg(site.nginx.main_file.as_os_str())
}

/// The calls by which a site is tested and taken into use.
pub(crate) fn calls(site: &Site) -> [Call; 2] {
    [call(site).arg("-t"), call(site).args(["-s", "reload"])]
}

/// `nginx -t`: the configuration as it lies there, with all its certificates.
pub(crate) fn test(site: &Site) -> Result<(), String> {
    let [test, _] = calls(site);
    let ended = test.run(PATIENCE)?;
    if ended.well { Ok(()) } else { Err(format!("nginx refuses its configuration: {}", gist(&ended.said))) }
}

/// Tells nginx to read its files again. It goes on with the old ones when it cannot.
pub(crate) fn reload(site: &Site) -> Result<(), String> {
    let file = pid_file(site);
    if let Holder::Stranger(pid) = workers::holder(&file, &site.nginx.program) {
        return Err(format!(
            "nginx does not run: start it (`systemctl start nginx`); {} is left over, and its number {pid} is another program's by now",
            file.display()
        ));
    }
    let [_, reload] = calls(site);
    let ended = reload.run(PATIENCE)?;
    if ended.well {
        return Ok(());
    }
    let gist = gist(&ended.said);
    match gist.contains("invalid PID") || gist.contains("nginx.pid") || gist.contains("No such process") {
        true => Err(format!("nginx does not run: start it (`systemctl start nginx`); it said: {gist}")),
        false => Err(format!("nginx was not reloaded: {gist}")),
    }
}

/// The lines that say why, without what nginx says each time.
fn gist(said: &str) -> String {
    const LINES: usize = 3;
    let reasons =
        |word: &str| said.lines().filter(|line| line.contains(word)).take(LINES).collect::<Vec<_>>();
    let found =
        ["[emerg]", "[crit]", "[error]", "[alert]"].into_iter().map(reasons).find(|lines| !lines.is_empty());
    let lines = found.unwrap_or_else(|| said.lines().rev().take(LINES).collect());
    lines.iter().map(|line| bare(line)).collect::<Vec<_>>().join("; ")
}

/// Without the time and the process's number, which nginx writes once it has begun.
fn bare(line: &str) -> String {
    let line = line.find('[').and_then(|at| line.get(at..)).unwrap_or(line).trim();
    let word =
        |word: &str| word.split_once('#').is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.ends_with(':'));
    line.split_whitespace().filter(|part| !word(part)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_taken_out_of_what_nginx_says() {
        let said = "nginx: [warn] odd\nnginx: [emerg] unknown directive \"x\" in /a:1\nnginx: configuration file /a test failed";
        assert_eq!(gist(said), "[emerg] unknown directive \"x\" in /a:1");
        let said = "2026/11/26 15:27:59 [emerg] 25535#25535: unknown directive \"x\" in /a:1";
        assert_eq!(gist(said), "[emerg] unknown directive \"x\" in /a:1");
        assert_eq!(gist("nothing known"), "nothing known");
    }
}
