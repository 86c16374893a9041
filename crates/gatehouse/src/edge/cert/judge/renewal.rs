//! Lines about the next certificate: whether it will be asked for, how, by whom, and what became of the last time.
//!
//! Why here: see [`super`]. These turn red long before the certificate's life is short.

use std::path::Path;

use jiff::SignedDuration;

use super::View;
use crate::config::edge::Name;
use crate::edge::cert::attempts::{self, Attempt, End};
use crate::edge::cert::certbot::Folders;
use crate::edge::cert::clock::Clock;
use crate::edge::cert::outcome;
use crate::edge::cert::renewal::Renewal;
use crate::edge::cert::timer;
use crate::edge::cert::trust::system_trusts;
use crate::edge::findings::Finding;
use crate::edge::life::span;
use crate::edge::site::Site;

/// How the last deploy ended.
pub(super) const HOOK: &str = "cert.hook";
/// A timer that runs twice a day has been seen within this.
const QUIET_MAX: SignedDuration = SignedDuration::from_hours(3 * 24);

pub(super) fn lines(view: &View<'_>, folder: &Path) -> Vec<Finding> {
    let folders = Folders::of(folder);
    let name = view.site.canonical().map(ToString::to_string).unwrap_or_default();
    let mut lines = standing(view.site, &folders);
    lines.extend([last(view, &folders, &name), hook(view, &folders, &name)]);
    lines
}

/// What stands in files, whatever has happened.
pub(super) fn standing(site: &Site, folders: &Folders) -> Vec<Finding> {
    let root = Path::new("/");
    let mut lines = vec![settings(site, folders), timer::look(root, folders, site.acme.ca_file.as_deref())];
    lines.extend(ca_file(site, root));
    lines
}

fn settings(site: &Site, folders: &Folders) -> Finding {
    let (id, fact) = ("cert.renewal", "certbot renews it through the site's folder, with the deploy hook");
    let file = folders.renewal_file(site.canonical().map(Name::as_str).unwrap_or_default());
    let fix = "`gatehouse edge cert` asks anew, and says it all again";
    match Renewal::read(&file) {
        Ok(Some(renewal)) => match renewal.faults(site, folders).as_slice() {
            [] => Finding::ok(id, fact, renewal.hook().unwrap_or("the hook for all certificates").to_owned()),
            faults => Finding::fail(id, fact, format!("{}: {}", file.display(), faults.join("\n")), fix),
        },
        Ok(None) => Finding::fail(id, fact, format!("{} is not there", file.display()), fix),
        Err(what) => Finding::skip(id, fact, format!("{what}; run this as root")),
    }
}

/// A timer does not know what `gatehouse edge cert` told certbot about a private CA's own certificate.
fn ca_file(site: &Site, root: &Path) -> Option<Finding> {
    let (id, fact) = ("cert.ca-file", "a renewal by the timer trusts the CA's own certificate");
    let file = site.acme.ca_file.as_ref()?;
    let shown = file.display().to_string();
    match system_trusts(file) {
        Err(what) => return Some(Finding::skip(id, fact, what)),
        Ok(true) => return Some(Finding::ok(id, fact, "its root is one of the system's")),
        Ok(false) => {}
    }
    Some(match timer::naming(root, "REQUESTS_CA_BUNDLE", &shown) {
        Some(place) => Finding::ok(id, fact, format!("{} sets REQUESTS_CA_BUNDLE", place.display())),
        None => Finding::warn(
            id,
            fact,
            format!(
                "{shown} is not among the system's roots, and no unit or cron file sets REQUESTS_CA_BUNDLE to it"
            ),
            format!(
                "copy the root to /usr/local/share/ca-certificates and run update-ca-certificates; or `systemctl edit certbot.service` with `[Service]` and `Environment=REQUESTS_CA_BUNDLE={shown}`"
            ),
        ),
    })
}

fn last(view: &View<'_>, folders: &Folders, name: &str) -> Finding {
    let (id, fact) = ("cert.last-renewal", "the last renewal did not fail");
    let told = match attempts::look(&folders.logs, name) {
        Ok(told) => told,
        Err(error) => {
            let seen = format!("{}: {error}; the logs are root's", folders.logs.display());
            return Finding::skip(id, fact, seen);
        }
    };
    if let Some(Attempt { when, end: End::Failed(why) }) = &told.attempt {
        return Finding::fail(
            id,
            fact,
            format!("{when}: {why}"),
            "put right what the CA says, then `gatehouse edge cert` or `certbot renew`; the certificate that is served goes on until its end",
        );
    }
    let quiet = told.last_run.map(|at| view.now.duration_since(at));
    match quiet {
        Some(quiet) if quiet > QUIET_MAX && !matches!(view.clock, Clock::Wrong(_)) => Finding::warn(
            id,
            fact,
            format!("certbot has not run for {}", span(quiet)),
            "see whether its timer runs: `systemctl list-timers certbot.timer`",
        ),
        _ => match &told.attempt {
            Some(Attempt { when, end: End::NotDue }) => Finding::ok(id, fact, format!("{when}: not due yet")),
            Some(Attempt { when, .. }) => Finding::ok(id, fact, format!("{when}: renewed")),
            None => Finding::skip(id, fact, format!("no log in {} speaks of {name}", folders.logs.display())),
        },
    }
}

/// How the hook ended: certbot does not look.
fn hook(view: &View<'_>, folders: &Folders, name: &str) -> Finding {
    let (id, fact) = (HOOK, "the last deploy saw the new certificate served");
    let fix = "`gatehouse cert deploy` does it now and says what it sees";
    let outcome = match &view.outcome {
        Ok(Some(outcome)) => outcome,
        Ok(None) => {
            let seen =
                format!("{} is not there: no deploy has run", outcome::file(&view.site.state_dir).display());
            return Finding::warn(id, fact, seen, fix);
        }
        Err(what) => return Finding::warn(id, fact, what, fix),
    };
    let Some(disk) = view.on_disk() else { return Finding::skip(id, fact, "the certificate cannot be read") };
    if outcome.fingerprint.as_ref() != Some(&disk.leaf.fingerprint) {
        return unseen(view, folders, name);
    }
    let reason = outcome.reason.as_deref().unwrap_or_default();
    match (outcome.served, view.differs()) {
        (true, _) => Finding::ok(id, fact, format!("{}: {}", outcome.at, disk.leaf.short())),
        (false, true) => Finding::fail(
            id,
            fact,
            format!("{}: {reason}", outcome.at),
            format!(
                "put that right, then run `gatehouse cert deploy`; visitors get the old certificate until then{}",
                until(view)
            ),
        ),
        (false, false) => Finding::warn(
            id,
            fact,
            format!("{}: {reason}; since then somebody put it right", outcome.at),
            format!("{fix}, so that the next renewal is no surprise"),
        ),
    }
}

fn until(view: &View<'_>) -> String {
    view.in_use().map(|chain| format!(", which lives until {}", chain.leaf.not_after)).unwrap_or_default()
}

/// The certificate on the disk came without a word of our hook.
fn unseen(view: &View<'_>, folders: &Folders, name: &str) -> Finding {
    let (id, fact) = (HOOK, "the last deploy saw the new certificate served");
    let told = attempts::look(&folders.logs, name).ok().and_then(|told| told.attempt);
    let fix = "`gatehouse cert deploy` does it now and says what it sees";
    match told {
        Some(Attempt { when, end: End::Renewed { hook: Some(hook) } }) if view.differs() => Finding::fail(
            id,
            fact,
            format!("{when}: the hook ended before it could write anything down, with {hook}"),
            format!("run {fix}; `gatehouse check` on the configuration says what keeps it from starting"),
        ),
        _ => Finding::warn(id, fact, "the certificate on the disk is newer than the last deploy", fix),
    }
}
