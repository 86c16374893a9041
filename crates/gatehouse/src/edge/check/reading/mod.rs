//! The configuration that nginx would run on, read where no request can show what holds.
//!
//! Why here: `nginx -T` puts together every file as nginx itself does; the parts of this room make a tree of it, find the
//! servers of our site, and say what holds at a path.
//!
//! Never here: whether what holds is good, and changing anything.

mod foreign;
mod parse;
mod scope;
mod tree;

use std::path::{Path, PathBuf};

use crate::config::edge::NginxFiles;
use crate::edge::site::Site;
use crate::edge::{nginx, program};

pub(crate) use foreign::{Foreign, foreign, is_foreign};
pub(crate) use parse::{Directive, parse};
pub(crate) use scope::Scope;
pub(crate) use tree::Files;

/// What asking nginx for its configuration came to.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Read(Box<Read>),
    /// nginx itself refuses the files; its own words.
    Broken(String),
    /// Cannot be known here, and why.
    Unknown(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub files: Files,
    pub tree: Vec<Directive>,
    /// Lines that nginx warns with.
    pub warnings: Vec<String>,
}

/// Asks the configured nginx.
pub(crate) async fn read(nginx: &NginxFiles) -> Reading {
    let words = ["-T".as_ref(), "-c".as_ref(), nginx.main_file.as_os_str()];
    let ended = match program::run(&nginx::program(&nginx.program), &words, "").await {
        Ok(ended) => ended,
        Err(error) => return Reading::Unknown(format!("{error:#}")),
    };
    let said = ended.complaint.as_str();
    match ended.status.success() {
        true => of_dump(&ended.out, said),
        false if said.contains("Permission denied") => Reading::Unknown(format!(
            "this user may not read what nginx reads ({}): run the check as root",
            first_line(said)
        )),
        false if !nginx.main_file.exists() => {
            Reading::Unknown(format!("there is no {} on this machine", nginx.main_file.display()))
        }
        false => Reading::Broken(said.to_owned()),
    }
}

fn of_dump(dump: &str, said: &str) -> Reading {
    let files = Files::of_dump(dump);
    match files.tree() {
        Err(error) => {
            Reading::Unknown(format!("nginx takes its configuration, this program does not: {error}"))
        }
        Ok(tree) => {
            // That this check is not run by root says nothing of the configuration.
            let warns = |line: &&str| line.contains("[warn]") && !line.contains("super-user privileges");
            let warnings = said.lines().filter(warns).map(str::to_owned).collect();
            Reading::Read(Box::new(Read { files, tree, warnings }))
        }
    }
}

/// The line that says what is wrong, without its prefix.
pub(crate) fn first_line(said: &str) -> &str {
    let wrong = |line: &&str| line.contains("[emerg]") || line.contains("[alert]");
    said.lines().find(wrong).or_else(|| said.lines().next()).unwrap_or_default().trim()
}

impl Read {
    pub(crate) fn main(&self) -> Scope<'_> {
        Scope::root(&self.tree)
    }

    pub(crate) fn http(&self) -> Scope<'_> {
        let main = self.main();
        self.tree.iter().find(|d| d.name == "http").map_or(main.clone(), |http| main.inner(http))
    }

    /// Blocks of the `http` context by name.
    pub(crate) fn http_blocks<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t Directive> {
        let http = self.tree.iter().filter(|d| d.name == "http").flat_map(|http| http.inside());
        http.filter(move |d| d.name == name)
    }

    /// Servers that listen on one of these ports, whatever name they answer to.
    pub(crate) fn on_ports(&self, ports: &[u16]) -> Vec<Scope<'_>> {
        let http = self.http();
        let listens = |server: &&Directive| {
            let mut listen = server.inside().iter().filter(|d| d.name == "listen").peekable();
            // Without the directive nginx listens on port 80.
            (listen.peek().is_none() && ports.contains(&80))
                || listen.any(|d| port(d.arg(0)).is_some_and(|port| ports.contains(&port)))
        };
        self.http_blocks("server").filter(listens).map(|server| http.inner(server)).collect()
    }

    /// The server that browsers are served by: its name, on the public port.
    pub(crate) fn served(&self, site: &Site) -> Option<Scope<'_>> {
        let name = site.canonical()?.as_str();
        self.on_ports(&[site.public_port()]).into_iter().find(|server| {
            server
                .own("server_name")
                .is_some_and(|names| names.args.iter().any(|n| n.eq_ignore_ascii_case(name)))
        })
    }

    /// The block of a named upstream, by the URL of a `proxy_pass`.
    pub(crate) fn upstream(&self, url: &str) -> Option<Scope<'_>> {
        let host = url.split_once("://")?.1.split('/').next()?;
        let block = self.http_blocks("upstream").find(|block| block.arg(0) == host)?;
        Some(self.http().inner(block))
    }

    /// Where the files of the process lie: `pid` of the main file, or what most builds use.
    pub(crate) fn pid_file(&self) -> PathBuf {
        pid_file(&self.tree)
    }
}

/// The same of a tree that was not asked of nginx.
pub(crate) fn pid_file(tree: &[Directive]) -> PathBuf {
    Scope::root(tree).value("pid").map_or_else(|| PathBuf::from("/run/nginx.pid"), PathBuf::from)
}

/// Lines of the `http` context with one of these names, in other files than the site's.
pub(crate) fn stated_elsewhere(tree: &[Directive], names: &[&str], site_file: &Path) -> Vec<Directive> {
    let site = std::fs::canonicalize(site_file).ok();
    let ours = |line: &Directive| site.is_some() && std::fs::canonicalize(&*line.file).ok() == site;
    let http = tree.iter().filter(|line| line.name == "http").flat_map(Directive::inside);
    http.filter(|line| names.contains(&line.name.as_str()) && !ours(line)).cloned().collect()
}

/// The port of a `listen`.
fn port(listen: &str) -> Option<u16> {
    if listen.starts_with("unix:") {
        return None;
    }
    let last = listen.rsplit(':').next()?;
    // An address alone means port 80.
    last.parse().ok().or((!last.is_empty()).then_some(80))
}

/// A time as nginx writes it: `30s`, `1m 30s`, `500ms`, a bare number being seconds.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let mut sum = 0.0;
    for part in text.split_whitespace() {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, unit) = part.split_at(digits);
        let number: f64 = number.parse().ok()?;
        sum += number
            * match unit {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
    }
    (!text.trim().is_empty()).then_some(sum)
}

/// A size as nginx writes it: `8k`, `1m`, bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (number, factor) = match lower.strip_suffix(['k', 'm', 'g']) {
        Some(number) if lower.ends_with('k') => (number, 1 << 10),
        Some(number) if lower.ends_with('m') => (number, 1 << 20),
        Some(number) => (number, 1 << 30),
        None => (lower.as_str(), 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_ports() {
        for (text, value) in
            [("8k", Some(8_192)), ("1M", Some(1 << 20)), ("12", Some(12)), ("x", None), ("", None)]
        {
            assert_eq!(bytes(text), value, "{text}");
        }
        for (text, value) in
            [("10", Some(10.0)), ("1m 30s", Some(90.0)), ("500ms", Some(0.5)), ("1x", None), ("", None)]
        {
            assert_eq!(seconds(text), value, "{text}");
        }
        for (text, value) in [
            ("443", Some(443)),
            ("127.0.0.1:8443", Some(8_443)),
            ("[::]:443", Some(443)),
            ("127.0.0.1", Some(80)),
            ("unix:/run/x", None),
        ] {
            assert_eq!(port(text), value, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_found_among_other_lines() {
        let said =
            "nginx: [warn] x\nnginx: [emerg] unknown directive \"http2\" in /s:3\nnginx: test failed\n";
        assert!(first_line(said).contains("http2"));
        assert_eq!(first_line(""), "");
    }
}
