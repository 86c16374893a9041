//! The certificate, judged: everything that is looked at once, and one line for each thing that can be wrong.
//!
//! Why here: the lines share what was seen, and must not blame each other's fault: one fault, one red line.
//!
//! Never here: repairs.

mod files;
mod life;
mod renewal;
mod served;

use std::path::Path;

use jiff::Timestamp;

use super::certbot::Folders;
use super::chain::Chain;
use super::clock::{self, Clock};
use super::disk::{Disk, written};
use super::outcome::{self, Outcome};
use super::served::{Seen, look};
use crate::config::edge::Tls;
use crate::edge::findings::{Finding, Findings, Mark};
use crate::edge::site::Site;

/// What was seen.
struct View<'a> {
    site: &'a Site,
    now: Timestamp,
    disk: Disk,
    served: Vec<Seen>,
    clock: Clock,
    /// Of the last deploy, as it was written down.
    outcome: Result<Option<Outcome>, String>,
}

impl View<'_> {
    /// The certificate on the disk, where this user may read it.
    fn on_disk(&self) -> Option<&Chain> {
        self.disk.chain.as_ref().ok()
    }

    /// One of those that are served: another than the disk's, if there is one.
    fn in_use(&self) -> Option<&Chain> {
        let mut served = self.served.iter().filter_map(|seen| seen.chain.as_ref().ok());
        let other = served.clone().find(|chain| Some(&chain.leaf) != self.on_disk().map(|disk| &disk.leaf));
        other.or_else(|| served.next())
    }

    /// What the lines about the certificate itself are about.
    fn at_hand(&self) -> Option<&Chain> {
        self.on_disk().or_else(|| self.in_use())
    }

    fn differs(&self) -> bool {
        let fingerprint = self.on_disk().map(|chain| &chain.leaf.fingerprint);
        let mut seen = self.served.iter().filter_map(|seen| seen.chain.as_ref().ok());
        fingerprint.is_some_and(|disk| seen.any(|chain| &chain.leaf.fingerprint != disk))
    }

    /// The deploy of what lies on the disk failed, and that is why something else is served.
    fn deploy_failed(&self) -> Option<&Outcome> {
        let outcome = self.outcome.as_ref().ok()?.as_ref()?;
        let disk = &self.on_disk()?.leaf.fingerprint;
        (!outcome.served && outcome.fingerprint.as_ref() == Some(disk)).then_some(outcome)
    }
}

/// Looks at everything.
pub(crate) fn judge(site: &Site) -> Findings {
    let mut all = Findings::default();
    let Some(files) = site.certificate() else {
        all.push(Finding::skip(
            "cert.served",
            "each name is served with a certificate",
            "`edge.tls` is off: there is no certificate",
        ));
        return all;
    };
    let disk = Disk::read(&files);
    let mut times = disk.written();
    times.extend(written(&outcome::file(&site.state_dir)));
    let directory = matches!(site.tls, Tls::Certbot { .. }).then_some(site.acme.directory.as_str());
    let view = View {
        site,
        now: Timestamp::now(),
        disk,
        served: look(site),
        clock: clock::look(directory, &times),
        outcome: outcome::read(&site.state_dir),
    };
    let renewal = match &site.tls {
        Tls::Certbot { folder } => renewal::lines(&view, folder),
        _ => Vec::new(),
    };
    let explained = renewal.iter().any(|finding| finding.id == renewal::HOOK && finding.mark == Mark::Fail);
    let lines = served::lines(&view, explained).into_iter();
    for finding in lines.chain(files::lines(&view)).chain(life::lines(&view)).chain(renewal) {
        all.push(finding);
    }
    all
}

/// What happens from now on without anybody: who runs certbot, and whether that will find its way.
pub(crate) fn next(site: &Site, folder: &Path) -> Findings {
    let mut all = Findings::default();
    for finding in renewal::standing(site, &Folders::of(folder)) {
        all.push(finding);
    }
    all
}
