//! The way to a certificate: what would fail is looked at first, then certbot asks, then it is seen served.
//!
//! Why here: a CA counts failures, nginx cannot serve HTTPS before there is a certificate, and a renewal repeats what was
//! said the first time. So all of it is one walk, which changes nothing when there is nothing to do.
//!
//! Never here: how any of the steps is done.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::certbot::{self, Folders, Hook};
use super::challenge;
use super::clock::resolve;
use super::deploy::{Deployed, deploy, elsewhere};
use super::disk::{Disk, Trouble};
use super::place::{self, Lies};
use super::renewal::Renewal;
use super::trust::{Misfit, belongs};
use crate::config::edge::{Name, Tls};
use crate::edge::findings::{Finding, Findings, Mark};
use crate::edge::life::{Life, judge};
use crate::edge::nginx::Extent;
use crate::edge::program::find;
use crate::edge::site::Site;

/// A reload is taken within a second.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// Ends of names that no public CA issues for.
const NOT_PUBLIC: [&str; 12] = [
    "local",
    "localhost",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "test",
    "invalid",
    "example",
];
const EXAMPLES: [&str; 3] = ["example.com", "example.net", "example.org"];

/// How the walk ended.
#[derive(Debug)]
pub(crate) enum Issued {
    /// The certificate is there and served.
    Served,
    /// Something would have failed; nobody was asked.
    Refused(Findings),
    /// Somebody was asked, or did not answer.
    Failed(String),
}

/// Why the CA is asked.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    why: String,
    /// Even if the certificate that is there lives on.
    anew: bool,
}

/// Everything that would be run, in order.
pub(crate) fn steps(site: &Site, hook: &Hook) -> Result<Vec<String>, String> {
    let folders = folders(site)?;
    let [test, reload] = place::calls(site).map(|call| call.shown());
    Ok(vec![
        format!(
            "# once, unless it is there: the folder {}, open for nginx's workers",
            site.acme.webroot.display()
        ),
        format!(
            "# if the challenge is not served yet: {}, written as `gatehouse edge nginx` prints it",
            site.nginx.site_file.display()
        ),
        test,
        reload,
        certbot::certonly(site, &folders, hook, false).shown(),
        "# certbot then runs, after this issue and each renewal:".to_owned(),
        hook.as_str().to_owned(),
    ])
}

/// The whole walk. `say` is told what happens while it does.
pub(crate) fn issue(site: &Site, hook: &Hook, say: &dyn Fn(&str)) -> Issued {
    let folders = match folders(site) {
        Ok(folders) => folders,
        Err(what) => return Issued::Failed(what),
    };
    let before = before(site);
    if before.count(Mark::Fail) > 0 {
        return Issued::Refused(before);
    }
    for warning in before.findings.iter().filter(|finding| finding.mark == Mark::Warn) {
        say(&format!("note: {}", warning.seen));
    }
    let asked = match need(site, &folders) {
        Ok(None) => {
            say("nothing to ask for: the certificate is there, lives, and will be renewed as configured");
            Ok(())
        }
        Ok(Some(need)) => {
            say(&need.why);
            ask(site, &folders, hook, &need, say)
        }
        Err(what) => Err(Issued::Failed(what)),
    };
    match asked.and_then(|()| serve(site, say)) {
        Ok(()) => Issued::Served,
        Err(ended) => ended,
    }
}

fn folders(site: &Site) -> Result<Folders, String> {
    match &site.tls {
        Tls::Certbot { folder } => Ok(Folders::of(folder)),
        Tls::Files(_) => Err("`edge.tls` is `files`: the certificate is your own, and certbot is not asked. Set `certbot` to change that".to_owned()),
        Tls::Off => Err("`edge.tls` is `off`: there is no HTTPS to have a certificate for. Set `certbot` to change that".to_owned()),
    }
}

/// What would fail at the CA, or before it.
fn before(site: &Site) -> Findings {
    let mut all = Findings::default();
    let fact = "certbot is installed";
    all.push(match find("certbot") {
        Some(file) => Finding::ok("before.certbot", fact, file.display().to_string()),
        None => {
            Finding::fail("before.certbot", fact, "it is not in the search path", "apt-get install certbot")
        }
    });
    // A private CA has its own idea of names, and its own resolver.
    if site.acme.ca_file.is_none() {
        all.push(public(&site.names));
        all.push(resolves(&site.names));
    }
    all
}

fn public(names: &[Name]) -> Finding {
    let (id, fact) = ("before.names", "a public CA issues for these names");
    let fix = "use a name of a domain that is yours; for names inside a LAN use `edge.tls: files`, or a CA of your own with `edge.acme.ca_file`";
    match names.iter().find_map(|name| not_public(name.as_str())) {
        None => Finding::ok(id, fact, list(names)),
        Some((_, what)) => Finding::fail(id, fact, what, fix),
    }
}

/// What a dry run says of names that the walk would end at.
pub(crate) fn doubt(site: &Site) -> Option<String> {
    let found = public(&site.names);
    let refused = site.acme.ca_file.is_none() && found.mark == Mark::Fail;
    refused.then(|| format!("the CA would not be asked: {}; {}", found.seen, found.fix.unwrap_or_default()))
}

/// Why no public CA issues for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPublic {
    Address,
    /// Known inside of networks only.
    Inside,
    /// It stands in documents, and belongs to nobody.
    Example,
}

/// Whether no public CA would issue for a name, and how to say so.
pub(crate) fn not_public(name: &str) -> Option<(NotPublic, String)> {
    let last = name.rsplit('.').next().unwrap_or_default();
    let within = |end: &str| name == end || name.ends_with(&format!(".{end}"));
    if name.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit())) {
        Some((NotPublic::Address, format!("{name} is an address, not a name")))
    } else if !name.contains('.') || NOT_PUBLIC.contains(&last) {
        Some((NotPublic::Inside, format!("{name} is known inside of networks only")))
    } else if EXAMPLES.iter().any(|end| within(end)) {
        Some((NotPublic::Example, format!("{name} is a name for examples")))
    } else {
        None
    }
}

fn resolves(names: &[Name]) -> Finding {
    let (id, fact) = ("before.dns", "the names resolve");
    let fix = "point an A or AAAA record of each name to this machine; what the world sees may differ from what is seen here";
    match names.iter().find_map(|name| resolve(name.as_str(), 80).err()) {
        None => Finding::ok(id, fact, list(names)),
        // Split DNS may hide from inside what the CA sees.
        Some(what) => Finding::warn(id, fact, what, fix),
    }
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

/// What the CA has to be asked for, if anything.
fn need(site: &Site, folders: &Folders) -> Result<Option<Need>, String> {
    let need = |why: String, anew| Ok(Some(Need { why, anew }));
    let disk = match site.certificate() {
        Some(files) => Disk::read(&files),
        None => return Err("there is no name to keep a certificate under".to_owned()),
    };
    let chain = match &disk.chain {
        Ok(chain) => chain,
        Err(Trouble::Absent) => {
            return need("there is no certificate yet: asking for the first".to_owned(), false);
        }
        Err(Trouble::Closed) => {
            return Err(format!("{}: {}; run this as root", disk.files.chain.display(), Trouble::Closed));
        }
        Err(trouble) => {
            return need(format!("{}: {trouble}: asking for a new one", disk.files.chain.display()), true);
        }
    };
    let key = disk.key.as_ref().map_err(ToString::to_string);
    // A kind of key that is not known here is nginx's to judge.
    let fits = |key| match belongs(chain, key) {
        Err(what @ Misfit::Another) => Err(what.to_string()),
        Err(Misfit::Unknown(_)) | Ok(()) => Ok(()),
    };
    if let Err(what) = key.and_then(fits) {
        return need(format!("{}: {what}: asking for a new certificate", disk.files.key.display()), true);
    }
    let mut wanted: Vec<&str> = site.names.iter().map(Name::as_str).collect();
    let mut there: Vec<&str> = chain.leaf.names.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    there.sort_unstable();
    if wanted != there {
        return need(
            format!("the certificate is for {}: asking for one for {}", there.join(", "), list(&site.names)),
            false,
        );
    }
    let name = site.canonical().map(Name::as_str).unwrap_or_default();
    let faults = match Renewal::read(&folders.renewal_file(name))? {
        Some(renewal) => renewal.faults(site, folders),
        None => vec!["certbot does not know it".to_owned()],
    };
    if !faults.is_empty() {
        return need(
            format!("it would not be renewed as configured: {}: asking anew", faults.join("; ")),
            true,
        );
    }
    match judge(chain.leaf.not_before, chain.leaf.not_after, Timestamp::now()) {
        Life::Plenty(_) | Life::NotYet(_) => Ok(None),
        Life::Late(left) | Life::Short(left) => need(format!("{left}: asking whether it is time"), false),
        Life::Over(_) => need("the certificate has expired: asking for a new one".to_owned(), false),
    }
}

/// Makes the challenge reachable, and lets certbot ask.
fn ask(site: &Site, folders: &Folders, hook: &Hook, need: &Need, say: &dyn Fn(&str)) -> Result<(), Issued> {
    reachable(site, say).map_err(|(seen, fix)| {
        let mut refused = Findings::default();
        refused.push(Finding::fail(
            "before.challenge",
            "nginx serves the challenge's folder under each name",
            seen,
            fix,
        ));
        Issued::Refused(refused)
    })?;
    say(&format!("the challenge is served; certbot asks {}", site.acme.directory));
    let name = site.canonical().map(Name::as_str).unwrap_or_default();
    let ended = certbot::certonly(site, folders, hook, need.anew).run(certbot::PATIENCE);
    match ended {
        Ok(ended) if ended.well => Ok(()),
        Ok(ended) => {
            let why = certbot::complaint(&ended.said);
            let unreached =
                ["Connection refused", "Failed to resolve", "Max retries", "Network is unreachable"];
            let advice = match unreached.iter().any(|word| why.contains(word)) && why.contains("Requesting ")
            {
                true => format!(
                    "This machine does not reach {}: look at its way out, and at `edge.acme.directory`",
                    site.acme.directory
                ),
                false => format!(
                    "The CA must reach http://{name}/ on port 80 of this machine from outside: look at DNS, firewall and port forwarding"
                ),
            };
            Err(Issued::Failed(format!(
                "certbot got no certificate: {why}\n  {advice}. The whole story is in {}",
                folders.logs.join("letsencrypt.log").display()
            )))
        }
        Err(what) => Err(Issued::Failed(what)),
    }
}

/// Sees the challenge served, and writes the site where it is not. An error: what was seen, and what to do.
fn reachable(site: &Site, say: &dyn Fn(&str)) -> Result<(), (String, String)> {
    let as_root = || "run this as root".to_owned();
    challenge::prepare(&site.acme.webroot).map_err(|what| (what, as_root()))?;
    let Err(first) = challenge::probe(site) else { return Ok(()) };
    if place::lies(site).map_err(|what| (what, as_root()))? == Lies::Foreign {
        let fix = format!(
            "serve {} at /.well-known/acme-challenge/ on port 80 for these names, or let Gatehouse write the site: move {} away",
            site.acme.webroot.display(),
            site.nginx.site_file.display()
        );
        return Err((first, fix));
    }
    let file = site.nginx.site_file.display();
    let put = place::put(site).and_then(|extent| place::reload(site).map(|()| extent));
    let extent = put.map_err(|what| {
        let fix = crate::edge::apply::hint(&what, &site.nginx, &site.nginx.site_file);
        (what, format!("{fix}; then run this again"))
    })?;
    let what = match extent {
        Extent::Challenge => "with the challenge alone, until there is a certificate",
        Extent::Whole => "as it is configured",
    };
    say(&format!("{file}: written, {what}"));
    let end = Instant::now() + PATIENCE;
    loop {
        match challenge::probe(site) {
            Ok(()) => return Ok(()),
            Err(what) if Instant::now() >= end => {
                let fix = format!(
                    "see that nginx's {} includes {file}, and that no other site answers for these names",
                    site.nginx.main_file.display()
                );
                return Err((what, fix));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// certbot's hook should have done it. What it could not do, this shows with its reason.
fn serve(site: &Site, say: &dyn Fn(&str)) -> Result<(), Issued> {
    let chain = site.certificate().and_then(|files| Disk::read(&files).chain.ok());
    let chain = chain.ok_or_else(|| {
        Issued::Failed("certbot ended well, and there is no certificate that can be read".to_owned())
    })?;
    if elsewhere(site, &chain).is_some() {
        match deploy(site, None) {
            Ok(Deployed::Ended(outcome)) if outcome.served => {}
            Ok(Deployed::Ended(outcome)) => {
                let reason = outcome.reason.unwrap_or_default();
                return Err(Issued::Failed(format!("the certificate is there and is not served: {reason}")));
            }
            Ok(Deployed::NotOurs) => {}
            Err(what) => return Err(Issued::Failed(what)),
        }
    }
    say(&format!("served: {}", chain.leaf.told()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_public_ca_issues_for() {
        for (name, part) in [
            ("ai.company.com", None),
            ("ai", Some("inside")),
            ("ai.lan", Some("inside")),
            ("ai.internal", Some("inside")),
            ("10.0.0.7", Some("address")),
            ("ai.example.com", Some("examples")),
            ("notexample.com", None),
        ] {
            let said = not_public(name);
            assert_eq!(said.is_some(), part.is_some(), "{name}: {said:?}");
            assert!(part.is_none_or(|part| said.is_some_and(|(_, said)| said.contains(part))), "{name}");
        }
    }
}
