//! A new certificate, put to use: nginx tested, reloaded, and seen to serve it.
//!
//! Why here: certbot calls this as its hook and does not look at how it ended. So the hook looks itself, writes down what it
//! saw, and ends with an error when visitors still get the old certificate.
//!
//! Never here: stopping nginx. Whatever goes wrong, the old certificate stays served.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::chain::Chain;
use super::disk::Disk;
use super::outcome::{self, Outcome};
use super::place::{self, Lies};
use super::served::{doors, handshake};
use super::trust::{Misfit, belongs};
use crate::config::edge::Tls;
use crate::edge::nginx::Extent;
use crate::edge::site::Site;

/// nginx takes a new configuration within a second, and a few more where there are many workers.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);
/// New and old workers answer side by side for a tenth of a second, or longer on a busy machine: so long the new certificate alone has
/// to be seen.
const ROUNDS: usize = 6;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deployed {
    /// The certificate that certbot speaks of is another site's.
    NotOurs,
    Ended(Outcome),
}

/// Puts the certificate on the disk to use. `lineage`: which one certbot renewed, where it says so. An error: the outcome could not
/// be written down.
pub(crate) fn deploy(site: &Site, lineage: Option<&Path>) -> Result<Deployed, String> {
    if lineage.is_some_and(|lineage| !is_ours(site, lineage)) {
        return Ok(Deployed::NotOurs);
    }
    let disk = site.certificate().map(|files| Disk::read(&files));
    let ended = put_to_use(site, disk.as_ref());
    let leaf = disk.and_then(|disk| disk.chain.ok()).map(|chain| chain.leaf);
    let outcome = Outcome {
        at: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string(),
        served: ended.is_ok(),
        fingerprint: leaf.as_ref().map(|leaf| leaf.fingerprint.clone()),
        not_after: leaf.map(|leaf| leaf.not_after.to_string()),
        names: site.names.iter().map(ToString::to_string).collect(),
        reason: ended.err(),
    };
    outcome::write(&site.state_dir, &outcome).map_err(|error| {
        let ended = outcome.reason.as_deref().unwrap_or("the certificate is served");
        format!("{ended}; and that could not be written to {}: {error}", site.state_dir.display())
    })?;
    Ok(Deployed::Ended(outcome))
}

/// certbot calls hooks for every certificate that it keeps.
fn is_ours(site: &Site, lineage: &Path) -> bool {
    let Some(files) = site.certificate().filter(|_| matches!(site.tls, Tls::Certbot { .. })) else {
        // Files of one's own may be copies of what certbot keeps.
        return true;
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    files.chain.parent().is_some_and(|ours| real(ours) == real(lineage))
}

fn put_to_use(site: &Site, disk: Option<&Disk>) -> Result<(), String> {
    let disk = disk.ok_or("`edge.tls` is off: there is no certificate to put to use")?;
    let at = |file: &Path, what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let chain = disk.chain.as_ref().map_err(|trouble| at(&disk.files.chain, trouble))?;
    let key = disk.key.as_ref().map_err(|trouble| at(&disk.files.key, trouble))?;
    // What this program cannot compare, nginx's own test does.
    if let Err(what @ Misfit::Another) = belongs(chain, key) {
        return Err(at(&disk.files.key, &what));
    }
    match place::lies(site)? {
        // The first certificate: now the site can be whole.
        Lies::Ours(Extent::Challenge) => place::put(site).map(|_| ())?,
        // A name has come or gone: the site has to answer to the same ones.
        Lies::Ours(Extent::Whole) if place::has_other_names(site)? => place::put(site).map(|_| ())?,
        _ => place::test(site)?,
    }
    place::reload(site)?;
    wait(site, chain)
}

/// Waits until every door serves it under every name.
fn wait(site: &Site, chain: &Chain) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    let mut rounds = 0;
    loop {
        match elsewhere(site, chain) {
            None => rounds += 1,
            Some(other) if Instant::now() >= end => {
                return Err(format!(
                    "nginx took the reload, and {} s later {other}; its error log says why",
                    PATIENCE.as_secs()
                ));
            }
            Some(_) => rounds = 0,
        }
        if rounds == ROUNDS {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The first door and name under which something else is served.
pub(crate) fn elsewhere(site: &Site, chain: &Chain) -> Option<String> {
    let doors = doors(site);
    let mut pairs = doors.iter().flat_map(|door| site.names.iter().map(move |name| (door, name)));
    pairs.find_map(|(door, name)| match handshake(*door, name) {
        Ok(seen) if seen.leaf.fingerprint == chain.leaf.fingerprint => None,
        Ok(seen) => Some(format!("{} still serves {} under {name}", door.at, seen.leaf.told())),
        Err(what) => Some(format!("{} serves nothing under {name}: {what}", door.at)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::{EdgeSettings, Name};

    fn site(folder: &Path) -> Site {
        let edge = EdgeSettings {
            tls: Tls::Certbot { folder: folder.into() },
            state_dir: folder.join("state"),
            ..EdgeSettings::default()
        };
        Site::new(&Settings::default(), &edge, vec![Name::parse("ai.example.com").unwrap()]).unwrap()
    }

    #[test]
    fn another_certificate_is_none_of_our_business() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path());
        let live = folder.path().join("live");
        std::fs::create_dir_all(live.join("ai.example.com")).unwrap();
        assert_eq!(deploy(&site, Some(&live.join("b.example.com"))), Ok(Deployed::NotOurs));
        assert!(!site.state_dir.exists());
        assert!(is_ours(&site, &folder.path().join("live/../live/ai.example.com")));
    }

    #[test]
    fn a_deploy_that_fails_writes_down_why() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path());
        let Ok(Deployed::Ended(outcome)) = deploy(&site, None) else { panic!("it is ours") };
        assert!(!outcome.served && outcome.fingerprint.is_none());
        assert!(outcome.reason.as_ref().unwrap().contains("fullchain.pem: is not there"), "{outcome:?}");
        assert_eq!(outcome::read(&site.state_dir), Ok(Some(outcome)));
    }
}
