//! HTTPS for `up`: whether it is wanted, for which names, with which certificate.
//!
//! Why here: flags and the `edge` section say it together. What the section says to nginx alone is refused here, rather than left
//! out without a word.
//!
//! Never here: serving.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::cli::Up;
use crate::config::Settings;
use crate::config::edge::{CertificateFiles, EdgeSettings, Name, Outer, PageAt, Tls};
use crate::edge::front::{self, NAMES_MAX, Source};
use crate::edge::site::{Site, reached};

/// In the data folder.
const ACME_DIR: &str = "acme";

/// What is to be served, and how.
pub(super) struct Front {
    pub(super) site: Site,
    pub(super) source: Source,
}

impl Front {
    /// `None`: not wanted.
    pub(super) fn plan(options: &Up, settings: &Settings, data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let files = match (&options.tls_cert, &options.tls_key) {
            (Some(chain), Some(key)) => Some(CertificateFiles { chain: chain.clone(), key: key.clone() }),
            _ => None,
        };
        if options.domain.is_empty() && files.is_none() && !options.https {
            return Ok(None);
        }
        let edge = settings.edge.clone().unwrap_or_default();
        suits(&edge, settings)?;
        let source = source(files, &edge, data_dir)?;
        let names = names(options, &edge, &source)?;
        let site = Site::new(settings, &edge, names)?;
        ensure!(site.names.len() <= NAMES_MAX, "more than {NAMES_MAX} names: give fewer");
        Ok(Some(Self { site, source }))
    }

    /// Whether the page asks who somebody is, or where from.
    pub(super) fn guards(&self) -> bool {
        self.site.page.as_ref().is_some_and(|page| page.guarded)
    }

    /// Whether the page is let out.
    pub(super) fn has_page(&self) -> bool {
        self.site.page.is_some()
    }
}

/// What only nginx does.
fn suits(edge: &EdgeSettings, settings: &Settings) -> anyhow::Result<()> {
    let or = "or let nginx serve HTTPS (`gatehouse edge apply`)";
    ensure!(
        edge.outer == Outer::Nobody,
        "`edge.trusted_proxies`: HTTPS of `up` has no proxy in front; remove the key, {or}"
    );
    ensure!(
        edge.gateways.is_none(),
        "`edge.gateways`: HTTPS of `up` leads to the gateway that `up` runs; remove the key, {or}"
    );
    if let PageAt::Address(at) = edge.page.at {
        let ours = settings.chat.as_ref().map(|chat| chat.listen);
        ensure!(
            ours.is_some_and(|ours| reached(ours) == reached(at)),
            "`edge.page.address`: HTTPS of `up` leads to the page that `up` runs; remove the key, {or}"
        );
    }
    Ok(())
}

fn source(files: Option<CertificateFiles>, edge: &EdgeSettings, data_dir: &Path) -> anyhow::Result<Source> {
    match (files, &edge.tls) {
        (Some(files), _) => Ok(Source::Files(files)),
        (None, Tls::Files(files)) => Ok(Source::Files(files.clone())),
        // Without nginx there is no certbot to wait for: this process asks by itself.
        (None, Tls::Certbot { .. }) => Ok(Source::Acme(data_dir.join(ACME_DIR))),
        (None, Tls::Off) => {
            bail!("`edge.tls` is `off`: set it to `files`, or remove the key to have a certificate asked for")
        }
    }
}

/// Flags, else the section, else what the certificate was given for.
fn names(options: &Up, edge: &EdgeSettings, source: &Source) -> anyhow::Result<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    for text in &options.domain {
        let name = Name::parse(text).map_err(|what| anyhow::anyhow!("--domain: {what}"))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.clone_from(&edge.names);
    }
    if let (true, Source::Files(files)) = (names.is_empty(), source) {
        names = front::names_of(&files.chain).context("no names for HTTPS")?;
        ensure!(!names.is_empty(), "the certificate names no host: say which with --domain");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Up,
    }

    fn planned(line: &str, edge: Option<&str>) -> Result<Option<Front>, String> {
        let options =
            Line::try_parse_from(format!("up {line}").split_whitespace()).map_err(|e| e.to_string())?;
        let mut settings = Settings::default();
        if let Some(text) = edge {
            let file = Path::new("/x/gatehouse.yaml");
            let none = |_: &str| None;
            let context = crate::config::Context::new(file, &none);
            let read = crate::config::read(file, text, crate::config::Expectation::default(), &context);
            settings = read.settings().map_err(|report| report.render(false))?.0;
        }
        Front::plan(&options.up, &settings, Path::new("/data")).map_err(|error| format!("{error:#}"))
    }

    fn names(front: &Front) -> Vec<&str> {
        front.site.names.iter().map(Name::as_str).collect()
    }

    #[test]
    fn it_is_served_when_asked_for() {
        assert!(planned("", None).unwrap().is_none());
        assert!(planned("", Some("edge: {domain: a.example.com}")).unwrap().is_none(), "nginx may serve it");
        let front = planned("--domain AI.example.com --domain b.example.com --domain ai.example.com", None);
        let front = front.unwrap().unwrap();
        assert_eq!(names(&front), ["ai.example.com", "b.example.com"]);
        assert_eq!(front.source, Source::Acme("/data/acme".into()));
        assert!(front.has_page() && !front.guards());
        for page in ["{allow: 10.0.0.0/8}", "{password_file: people}"] {
            let edge = format!("edge: {{page: {page}}}");
            assert!(planned("--domain a.b", Some(&edge)).unwrap().unwrap().guards(), "{page}");
        }
        let front = planned("--https", Some("edge: {domain: a.example.com, page: {address: off}}"));
        let front = front.unwrap().unwrap();
        assert_eq!((names(&front), front.has_page()), (vec!["a.example.com"], false));
    }

    #[test]
    fn certificates_come_from_flags_or_the_section() {
        let files =
            |chain: &str, key: &str| Source::Files(CertificateFiles { chain: chain.into(), key: key.into() });
        let section = "edge: {domain: a.example.com, tls: files, certificate: c.pem, certificate_key: k.pem}";
        let source = |line: &str| planned(line, Some(section)).unwrap().unwrap().source;
        assert_eq!(source("--https"), files("/x/c.pem", "/x/k.pem"));
        assert_eq!(source("--tls-cert d.pem --tls-key l.pem"), files("d.pem", "l.pem"));
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_a_remedy() {
        for (line, edge, wanted) in [
            ("--https", None, "no domain"),
            ("--domain https://a", None, "--domain"),
            ("--tls-cert c.pem", None, "--tls-key"),
            ("--tls-key k.pem", None, "--tls-cert"),
            ("--tls-cert none.pem --tls-key k.pem", None, "cannot be read"),
            ("--domain a.b", Some("edge: {trusted_proxies: 10.0.0.1}"), "remove the key"),
            ("--domain a.b", Some("edge: {gateways: '10.0.0.1:18789'}"), "remove the key"),
            ("--domain a.b", Some("edge: {page: {address: '127.0.0.1:9'}}"), "remove the key"),
            ("--domain a.b", Some("edge: {tls: off}"), "`edge.tls` is `off`"),
        ] {
            let error = planned(line, edge).err().unwrap();
            assert!(error.contains(wanted), "{line} {edge:?}: {error}");
        }
    }
}
