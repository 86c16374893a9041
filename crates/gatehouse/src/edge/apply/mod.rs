//! `edge apply`: the site on the disk made what the configuration says, and the old one put back unless all goes well.
//!
//! Why here: a site is changed while people use it. nginx's own test finds what does not load; that a reload was taken, and
//! that what serves then keeps its word, only watching and asking tell. So the way back stays open until both are known.
//!
//! Never here: what a site is made of (`edge::nginx`), what it should keep (`edge::check`).

pub(crate) mod around;
pub(crate) mod installed;
mod rivals;
mod running;
mod trial;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::check::facts::{MadeBy, fact};
use super::check::reading::{Read, Reading, first_line, read};
use super::check::{self, Asking};
use super::findings::{Finding, Findings, Mark};
use super::nginx::{self, Extent};
use super::site::Site;
use super::{assets, changes};
use crate::config::edge::Tls;
use installed::Installed;
use running::{Reloaded, reload};
use trial::Trial;

/// What the operator is told on the way.
pub(crate) trait News {
    /// What would change.
    fn changes(&mut self, text: &str);
    fn step(&mut self, text: &str);
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It serves, and keeps what it has to; what is wrong beside it.
    Applied { still_wrong: Vec<Finding>, findings: Findings },
    /// Written and tested; nginx does not run, so nothing is proved.
    NotRunning,
    /// Nothing has become worse, but nothing shows that it serves; why.
    Unproved(String),
    /// As it was before; why, and what to do.
    PutBack { why: String, fix: String },
    /// Looked at only.
    Tried(Result<(), String>),
}

/// `--dry-run`: what would change, and what nginx would say to it.
pub(crate) async fn try_out(site: &Site, news: &mut dyn News) -> anyhow::Result<Ended> {
    let text = rendered(site)?;
    let (file, now) = installed::look(&site.nginx.site_file)?;
    show(&file, now.as_deref(), &text, news);
    let said = match trial::of(&site.nginx, &file, &text).await? {
        Trial::Good => Ok(()),
        Trial::Refused(said) => {
            let hint = trial::hint(&said, &site.nginx, &file);
            Err(format!("{said}\n{hint}"))
        }
        Trial::NotIncluded => Err(not_included(site)),
    };
    Ok(Ended::Tried(said))
}

/// Writes, tests, reloads, checks; and goes back.
pub(crate) async fn run(site: &Site, asking: &Asking, news: &mut dyn News) -> anyhow::Result<Ended> {
    let text = rendered(site)?;
    let mut installed = Installed::open(&site.nginx.site_file)?;
    if installed.unfinished.is_some() {
        news.step(
            "an apply before this one did not come to its end: first the site that was proved before it",
        );
        installed.heal()?;
        serve_old(site, true, news).await?;
    }
    show(installed.file(), installed.now.as_deref(), &text, news);
    let before = check::run(site, asking).await?;
    write_assets(site, news)?;
    installed.replace(&text)?;
    let ended = prove(site, asking, &installed, &before, news).await;
    match ended {
        Ok(Ok(ended)) => {
            if let Some(kept) = installed.keep(&text)? {
                news.step(&format!("the site before this one is kept in {}", kept.display()));
            }
            Ok(ended)
        }
        Ok(Err(refusal)) => back(site, &installed, refusal, news).await,
        Err(error) => {
            let refusal = Refusal {
                why: format!("{error:#}"),
                fix: "mend that, then apply again".to_owned(),
                reloaded: false,
            };
            back(site, &installed, refusal, news).await
        }
    }
}

pub(crate) use trial::hint;

/// Why the new site does not stay.
struct Refusal {
    why: String,
    fix: String,
    /// The new one serves already.
    reloaded: bool,
}

fn rendered(site: &Site) -> anyhow::Result<String> {
    let nginx = around::nginx(&site.nginx)?;
    if !site.nginx.main_file.exists() {
        bail!(
            "there is no {}: install nginx, or name its main file in `edge.nginx.main_file`",
            site.nginx.main_file.display()
        );
    }
    if let Some(files) = site.certificate() {
        for file in [&files.chain, &files.key] {
            if !file.exists() {
                let fix = match site.tls {
                    Tls::Certbot { .. } => {
                        "`gatehouse edge cert` asks for a certificate, and opens the way for it"
                    }
                    _ => {
                        "put certificate and key there as PEM, or name them in `edge.certificate` and `edge.certificate_key`"
                    }
                };
                bail!("there is no {}: {fix}", file.display());
            }
        }
    }
    if let Some(file) =
        site.page.as_ref().and_then(|page| page.password_file.as_ref()).filter(|file| !file.exists())
    {
        bail!(
            "there is no {}, so nobody could open the page: make it with `htpasswd -B -c`, or with `gatehouse init`",
            file.display()
        );
    }
    Ok(nginx::site(site, &nginx, Extent::Whole)?)
}

fn show(file: &Path, now: Option<&str>, text: &str, news: &mut dyn News) {
    let file = file.display();
    let lines = changes::between(now.unwrap_or_default(), text);
    match (lines.is_empty(), now.is_some()) {
        (true, _) => news.step(&format!("{file} is as it should be")),
        (false, true) => news.changes(&format!("--- {file}\n+++ the new site\n{}", lines.trim_end())),
        (false, false) => news.changes(&format!("+++ {file} (new)\n{}", lines.trim_end())),
    }
}

fn write_assets(site: &Site, news: &mut dyn News) -> anyhow::Result<()> {
    if site.page.is_none() {
        return Ok(());
    }
    let dir = &site.assets_dir;
    let written =
        assets::write(dir).with_context(|| format!("cannot write the page's files to {}", dir.display()))?;
    if written.new > 0 {
        news.step(&format!("{} files of the page written to {}", written.new, dir.display()));
    }
    Ok(())
}

/// From the written file to a site that is known to be well.
async fn prove(
    site: &Site,
    asking: &Asking,
    installed: &Installed,
    before: &Findings,
    news: &mut dyn News,
) -> anyhow::Result<Result<Ended, Refusal>> {
    let read = match tested(site, installed).await {
        Ok(read) => read,
        Err(refusal) => return Ok(Err(refusal)),
    };
    news.step("nginx takes the configuration");
    for warning in &read.warnings {
        news.step(&format!("but it says: {}", warning.trim()));
    }
    match reload(&site.nginx, &read).await? {
        Reloaded::Serves => news.step("reloaded: new workers serve"),
        Reloaded::Unseen => news.step("told to reload; its workers cannot be seen from here"),
        Reloaded::NotRunning => return Ok(Ok(Ended::NotRunning)),
        Reloaded::Kept(why) => {
            let fix = trial::hint(&why, &site.nginx, installed.file());
            return Ok(Err(Refusal {
                why: format!("nginx kept its old configuration: {why}"),
                fix,
                reloaded: false,
            }));
        }
    }
    let mut findings = check::run(site, asking).await?;
    let mut worse = worse(before, &findings);
    if !worse.is_empty() {
        // Once more, so that a moment's trouble elsewhere does not undo a good site.
        findings = check::run(site, asking).await?;
        worse.retain(|was| findings.findings.iter().any(|now| now.id == was.id && now.mark == Mark::Fail));
    }
    if worse.is_empty() {
        if let Some(why) = unproved(&findings) {
            return Ok(Ok(Ended::Unproved(why)));
        }
        let still_wrong = findings.findings.iter().filter(|f| f.mark == Mark::Fail).cloned().collect();
        return Ok(Ok(Ended::Applied { still_wrong, findings }));
    }
    let rivals = rivals::of(site, &read, installed.file());
    if !rivals.is_empty() {
        // It explains all that fails, which would only hide it.
        return Ok(Err(Refusal { why: rivals.join("\n"), fix: rivals::FIX.to_owned(), reloaded: true }));
    }
    let lines: Vec<_> = worse.iter().map(|f| format!("{}: {}\n    seen: {}", f.id, f.fact, f.seen)).collect();
    let fixes: Vec<_> = worse.iter().filter_map(|f| f.fix.clone()).collect();
    Ok(Err(Refusal { why: lines.join("\n"), fix: fixes.join("\n"), reloaded: true }))
}

/// nginx's own test, and that the site is read at all.
async fn tested(site: &Site, installed: &Installed) -> Result<Box<Read>, Refusal> {
    let refused = |why: String, fix: String| Refusal { why, fix, reloaded: false };
    match read(&site.nginx).await {
        Reading::Broken(said) => {
            let fix = trial::hint(&said, &site.nginx, installed.file());
            Err(refused(format!("nginx refuses the configuration: {}", first_line(&said)), fix))
        }
        Reading::Unknown(why) => {
            Err(refused(format!("nginx cannot be asked: {why}"), "apply as root".to_owned()))
        }
        Reading::Read(read) => {
            let ours = |name: &Path| fs::canonicalize(name).is_ok_and(|real| real == installed.file());
            let included = read.files.names().any(ours);
            match included {
                true => Ok(read),
                false => Err(refused(
                    format!(
                        "{} does not read {}",
                        site.nginx.main_file.display(),
                        installed.file().display()
                    ),
                    not_included(site),
                )),
            }
        }
    }
}

fn not_included(site: &Site) -> String {
    let file = &site.nginx.site_file;
    let folder = file.parent().unwrap_or(file);
    format!(
        "the `http` block of {} does not include {}: add `include {}/*.conf;` there, or name a folder in `edge.nginx.site_file` that it includes",
        site.nginx.main_file.display(),
        file.display(),
        folder.display()
    )
}

/// What fails now and did not before: where there was a site, whatever it is; where there was none, what a site makes.
fn worse(before: &Findings, now: &Findings) -> Vec<Finding> {
    let mark = |id: &str| before.findings.iter().find(|f| f.id == id).map(|f| f.mark);
    let made_by_site = |id: &str| fact(id).is_some_and(|fact| fact.made_by == MadeBy::Site);
    let is_worse = |f: &&Finding| match (f.mark, mark(f.id)) {
        (Mark::Fail, Some(Mark::Ok | Mark::Warn)) => true,
        (Mark::Fail, Some(Mark::Skip) | None) => made_by_site(f.id),
        _ => false,
    };
    now.findings.iter().filter(is_worse).cloned().collect()
}

/// Why a site of which nothing has become worse is still not known to serve.
fn unproved(now: &Findings) -> Option<String> {
    let answers = now.findings.iter().find(|f| f.id == "site.answers");
    match answers {
        Some(f) if f.mark == Mark::Fail => {
            let fix = f.fix.as_deref().unwrap_or_default();
            Some(format!("it does not answer: {}\n    fix: {fix}", f.seen))
        }
        Some(_) => now.unfinished.clone(),
        None => Some("nobody could look whether it answers".to_owned()),
    }
}

/// The old file, tested and reloaded where the new one was.
async fn back(
    site: &Site,
    installed: &Installed,
    refusal: Refusal,
    news: &mut dyn News,
) -> anyhow::Result<Ended> {
    let Refusal { why, fix, reloaded } = refusal;
    let old = if installed.proved().is_some() { "the old site is back" } else { "the site is removed again" };
    installed.put_back().with_context(|| {
        format!(
            "{why}\nand the old site cannot be put back: {} holds the new one",
            installed.file().display()
        )
    })?;
    news.step(&format!("{old} in {}", installed.file().display()));
    serve_old(site, reloaded, news).await?;
    Ok(Ended::PutBack { why, fix })
}

/// Tests the old file, and has it served again where another may be.
async fn serve_old(site: &Site, reloaded: bool, news: &mut dyn News) -> anyhow::Result<()> {
    match read(&site.nginx).await {
        Reading::Read(read) if reloaded => match reload(&site.nginx, &read).await? {
            Reloaded::Serves | Reloaded::Unseen => news.step("reloaded: it serves again"),
            Reloaded::NotRunning => news.step("nginx does not run"),
            Reloaded::Kept(what) => news.step(&format!("nginx did not take it back: {what}")),
        },
        Reading::Read(_) => news.step("nginx goes on with what it had"),
        Reading::Broken(said) => {
            news.step(&format!("nginx refuses the old configuration as well: {}", first_line(&said)));
        }
        Reading::Unknown(what) => news.step(&format!("nginx cannot be asked: {what}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(marks: &[(&'static str, Mark)]) -> Findings {
        let row = |(id, mark): &(&'static str, Mark)| Finding { mark: *mark, ..Finding::ok(id, "", "") };
        Findings { findings: marks.iter().map(row).collect(), ..Findings::default() }
    }

    fn worse_ids(before: &[(&'static str, Mark)], now: &[(&'static str, Mark)]) -> Vec<&'static str> {
        worse(&findings(before), &findings(now)).iter().map(|f| f.id).collect()
    }

    #[test]
    fn only_what_has_become_worse_takes_a_site_back() {
        use Mark::{Fail, Ok, Skip, Warn};
        let now = [("tls.curves", Fail), ("cert.chain", Fail), ("main.files", Fail), ("page.fresh", Ok)];
        assert_eq!(
            worse_ids(&[("tls.curves", Ok), ("cert.chain", Ok), ("main.files", Fail)], &now),
            ["tls.curves", "cert.chain"]
        );
        assert_eq!(
            worse_ids(&[("tls.curves", Fail), ("cert.chain", Warn), ("main.files", Fail)], &now),
            ["cert.chain"]
        );
        // There was no site: its certificate and nginx's main file are not its doing.
        assert_eq!(
            worse_ids(&[("tls.curves", Skip), ("cert.chain", Skip), ("main.files", Skip)], &now),
            ["tls.curves"]
        );
    }

    #[test]
    fn what_answers_nobody_or_was_not_looked_at_is_not_proved() {
        use Mark::{Fail, Ok, Skip};
        assert_eq!(unproved(&findings(&[("site.answers", Ok), ("api.answers", Skip)])), None);
        assert!(unproved(&findings(&[("site.answers", Fail)])).unwrap().contains("does not answer"));
        assert!(unproved(&findings(&[])).is_some());
        let late = Findings { unfinished: Some("late".to_owned()), ..findings(&[("site.answers", Ok)]) };
        assert_eq!(unproved(&late).as_deref(), Some("late"));
    }
}
