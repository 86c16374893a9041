//! Who runs certbot: a timer of systemd, or cron.
//!
//! Why here: a certificate without a timer is a service that ends on a known day. What runs elsewhere, in another container
//! or on another host, cannot be seen from here; then that is said, not guessed.
//!
//! Never here: starting or enabling anything.

use std::path::{Path, PathBuf};

use super::call::Call;
use super::certbot::Folders;
use crate::edge::findings::Finding;

const ID: &str = "cert.timer";
const FACT: &str = "certbot is run by itself, twice a day";
/// Names under which distributions and snaps ship it.
const TIMERS: [&str; 2] = ["certbot.timer", "snap.certbot.renew.timer"];
const FILE_BYTES_MAX: u64 = 1 << 20;
const FILES_MAX: usize = 500;

/// `root`: `/`, and another folder in tests.
pub(crate) fn look(root: &Path, folders: &Folders, ca_file: Option<&Path>) -> Finding {
    let systemd = root.join("run/systemd/system").exists();
    if !folders.is_default() {
        return elsewhere(root, folders, ca_file);
    }
    let enabled = enabled_timer(root);
    let cron = cron_file(root);
    match (systemd, enabled, cron) {
        (true, Some(timer), _) => Finding::ok(ID, FACT, format!("{} is enabled", timer.display())),
        (true, None, Some(cron)) if !yields(&cron) => {
            Finding::ok(ID, FACT, format!("{} runs it", cron.display()))
        }
        (true, None, _) => Finding::fail(
            ID,
            FACT,
            "systemd runs here, certbot's timer is not enabled, and no cron file runs it",
            "systemctl enable --now certbot.timer",
        ),
        (false, _, Some(cron)) if has_cron(root) => {
            Finding::ok(ID, FACT, format!("{} runs it (systemd does not run here)", cron.display()))
        }
        (false, timer, cron) => {
            let there = timer.or(cron).map_or_else(
                || "there is no timer and no cron file for it".to_owned(),
                |file| format!("{} is there, and nobody reads it", file.display()),
            );
            Finding::warn(
                ID,
                FACT,
                format!("neither systemd nor cron runs here: {there}"),
                "run `certbot -q renew` twice a day from outside, such as from the container's host, or install cron",
            )
        }
    }
}

/// certbot's own timer looks at its default folder alone.
fn elsewhere(root: &Path, folders: &Folders, ca_file: Option<&Path>) -> Finding {
    let named = folders.config.display().to_string();
    match naming(root, "certbot", &named) {
        Some(file) => Finding::ok(ID, FACT, format!("{} names {named}", file.display())),
        None => Finding::warn(
            ID,
            FACT,
            format!(
                "certbot's own timer looks at /etc/letsencrypt; no unit and no cron file here names {named}"
            ),
            format!("write /etc/cron.d/gatehouse-certbot with the line: {}", cron_line(folders, ca_file)),
        ),
    }
}

/// The unit or cron file that holds both words.
pub(crate) fn naming(root: &Path, one: &str, other: &str) -> Option<PathBuf> {
    const UNITS: [&str; 3] = ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];
    let units = UNITS.iter().flat_map(|folder| files(&root.join(folder)));
    units.chain(cron_files(root)).find(|file| {
        let text = text(file);
        text.contains(one) && text.contains(other)
    })
}

/// What has to run where nothing does. A private CA's own root has to be told each time.
fn cron_line(folders: &Folders, ca_file: Option<&Path>) -> String {
    let call = Call::new("certbot").args(["-q", "renew"]).args(folders.arguments());
    let call = match ca_file {
        Some(file) => call.env("REQUESTS_CA_BUNDLE", file.as_os_str()),
        None => call,
    };
    format!("17 3,15 * * * root {}", call.shown())
}

/// The link that enables a timer. A unit that is masked is linked to nothing.
fn enabled_timer(root: &Path) -> Option<PathBuf> {
    let wants = root.join("etc/systemd/system/timers.target.wants");
    TIMERS.iter().find_map(|timer| {
        let masked = std::fs::read_link(root.join("etc/systemd/system").join(timer))
            .is_ok_and(|target| target == Path::new("/dev/null"));
        let link = wants.join(timer);
        (!masked && link.is_symlink()).then_some(link)
    })
}

/// Debian's cron file leaves the work to the timer where systemd runs.
fn yields(cron: &Path) -> bool {
    text(cron).contains("/run/systemd/system")
}

fn cron_file(root: &Path) -> Option<PathBuf> {
    cron_files(root).find(|file| {
        let text = text(file);
        let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.any(|line| line.contains("certbot") && line.contains("renew"))
    })
}

fn cron_files(root: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = ["etc/cron.d", "etc/cron.daily", "var/spool/cron/crontabs"].map(|folder| root.join(folder));
    std::iter::once(root.join("etc/crontab")).chain(folders.into_iter().flat_map(|folder| files(&folder)))
}

/// Whether a cron that reads such files is installed.
fn has_cron(root: &Path) -> bool {
    ["usr/sbin/cron", "usr/sbin/crond", "usr/sbin/cronie", "usr/sbin/fcron"]
        .iter()
        .any(|cron| root.join(cron).exists())
}

/// The files of a folder, and of the folders of additions in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).take(FILES_MAX).collect();
        paths.sort();
        paths
    };
    let (mut found, mut inner) = (Vec::new(), Vec::new());
    for path in list(folder) {
        if path.is_file() {
            found.push(path);
        } else if path.extension().is_some_and(|end| end == "d") {
            inner.extend(list(&path).into_iter().filter(|path| path.is_file()));
        }
    }
    found.extend(inner);
    found
}

fn text(file: &Path) -> String {
    match std::fs::metadata(file) {
        Ok(about) if about.is_file() && about.len() <= FILE_BYTES_MAX => {
            std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::findings::Mark;

    const DEBIAN_CRON: &str =
        "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot -q renew\n";

    /// A machine of files: `path` or `path=content`, links end with `->target`.
    fn machine(parts: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for part in parts {
            let (path, content) = part.split_once('=').unwrap_or((part, ""));
            let (path, target) =
                path.split_once("->").map_or((path, None), |(path, target)| (path, Some(target)));
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match target {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, content).unwrap(),
            }
        }
        root
    }

    #[test]
    fn timers_and_crons_are_found_and_their_absence_is_told() {
        let systemd = "run/systemd/system/x";
        let link = "etc/systemd/system/timers.target.wants/certbot.timer->/lib/systemd/system/certbot.timer";
        let snap = "etc/systemd/system/timers.target.wants/snap.certbot.renew.timer->/x";
        let masked = "etc/systemd/system/certbot.timer->/dev/null";
        let debian = format!("etc/cron.d/certbot={DEBIAN_CRON}");
        let own = "etc/crontab=15 2 * * * root certbot renew --quiet\n";
        let off = "etc/crontab=# certbot renew\n";
        for (parts, mark, part) in [
            (vec![systemd, link], Mark::Ok, "enabled"),
            (vec![systemd, snap], Mark::Ok, "enabled"),
            (vec![systemd, link, masked], Mark::Fail, "not enabled"),
            (vec![systemd], Mark::Fail, "not enabled"),
            (vec![systemd, &debian], Mark::Fail, "not enabled"),
            (vec![systemd, own], Mark::Ok, "crontab"),
            (vec![systemd, off], Mark::Fail, "not enabled"),
            (vec![&debian, "usr/sbin/cron"], Mark::Ok, "cron.d/certbot"),
            (vec![&debian], Mark::Warn, "nobody reads it"),
            (vec![link], Mark::Warn, "nobody reads it"),
            (vec![], Mark::Warn, "no timer"),
        ] {
            let root = machine(&parts);
            let finding = look(root.path(), &Folders::of(Path::new("/etc/letsencrypt")), None);
            assert_eq!(finding.mark, mark, "{parts:?}: {finding:?}");
            assert!(finding.seen.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn another_folder_wants_a_line_that_names_it() {
        let folders = Folders::of(Path::new("/srv/certbot"));
        let root = machine(&["run/systemd/system/x"]);
        let finding = look(root.path(), &folders, Some(Path::new("/srv/roots.pem")));
        assert_eq!(finding.mark, Mark::Warn);
        let fix = finding.fix.unwrap();
        assert!(
            fix.contains("REQUESTS_CA_BUNDLE=/srv/roots.pem certbot -q renew --config-dir /srv/certbot --work-dir /srv/certbot/work"),
            "{fix}"
        );
        let line = fix.split_once("line: ").unwrap().1;
        for place in ["etc/cron.d/gatehouse-certbot", "etc/systemd/system/certbot.service.d/gatehouse.conf"] {
            let root = machine(&[&format!("{place}={line}\n")]);
            assert_eq!(
                look(root.path(), &folders, Some(Path::new("/srv/roots.pem"))).mark,
                Mark::Ok,
                "{place}"
            );
        }
    }
}
