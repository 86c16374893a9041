//! The folder of the CA's challenge, tried before the CA tries it.
//!
//! Why here: a CA counts failed attempts and lets nobody try for an hour after five. What it would find, nginx can be asked
//! first: a file is laid, fetched under each name, and taken away.
//!
//! Never here: names as the world resolves them. Whether they lead here only the CA sees.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::served::plain_doors;
use super::socket::{Answer, Door, Timed, get};
use crate::edge::site::Site;

const PATIENCE: Duration = Duration::from_secs(5);
const PATH: &str = ".well-known/acme-challenge";

/// Makes the folder, open for nginx's workers; folders that are there stay as they are.
pub(crate) fn prepare(webroot: &Path) -> Result<(), String> {
    let wrong = |at: &Path, error: &io::Error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied { " (run this as root)" } else { "" };
        format!("cannot make {}: {error}{hint}", at.display())
    };
    let whole = webroot.join(PATH);
    let mut missing: Vec<&Path> = whole.ancestors().take_while(|at| !at.exists()).collect();
    missing.reverse();
    for at in missing {
        DirBuilder::new().mode(0o755).create(at).map_err(|error| wrong(at, &error))?;
        // Whatever the umask is.
        std::fs::set_permissions(at, PermissionsExt::from_mode(0o755)).map_err(|error| wrong(at, &error))?;
    }
    Ok(())
}

/// Lays a file and fetches it through each plain door under each name. An error says what came instead.
pub(crate) fn probe(site: &Site) -> Result<(), String> {
    let laid = Laid::new(&site.acme.webroot)?;
    let doors = plain_doors(site);
    for (door, name) in doors.iter().flat_map(|door| site.names.iter().map(move |name| (*door, name))) {
        let answer = ask(door, name.as_str(), &laid.name);
        let wrong = match answer {
            Ok(answer) if answer.status == 200 && answer.body == laid.content.as_bytes() => continue,
            Ok(answer) => told(&answer, &site.acme.webroot),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "nobody listens there".to_owned()
            }
            Err(error) => error.to_string(),
        };
        return Err(format!("http://{name}/{PATH}/... at {}: {wrong}", door.at));
    }
    Ok(())
}

fn ask(door: Door, name: &str, file: &str) -> io::Result<Answer> {
    get(Timed::open(door, PATIENCE)?, name, &format!("/{PATH}/{file}"))
}

fn told(answer: &Answer, webroot: &Path) -> String {
    let status = answer.status;
    match (status, closed(webroot)) {
        (200, _) => "another file is served there".to_owned(),
        (403 | 404, Some(at)) => {
            let at = at.display();
            format!(
                "{status}, and others than its owner cannot pass {at}: `chmod o+x {at}`, for nginx's workers"
            )
        }
        (300..400, _) => {
            let to = answer.header("location").unwrap_or("somewhere else");
            format!("{status} to {to}: another site answers for this name")
        }
        _ => format!("{status}: the site that runs there does not serve {}", webroot.display()),
    }
}

/// The first folder on the way that others may not pass.
fn closed(webroot: &Path) -> Option<PathBuf> {
    let whole = webroot.join(PATH);
    let mut way: Vec<&Path> = whole.ancestors().filter(|at| !at.as_os_str().is_empty()).collect();
    way.reverse();
    let shut = |at: &Path| std::fs::metadata(at).is_ok_and(|about| about.permissions().mode() & 0o001 == 0);
    way.into_iter().find(|at| shut(at)).map(Path::to_owned)
}

/// A file in the folder, for as long as it is asked for.
struct Laid {
    at: PathBuf,
    name: String,
    content: String,
}

impl Laid {
    fn new(webroot: &Path) -> Result<Self, String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
        let content: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("gatehouse-{content}");
        let at = webroot.join(PATH).join(&name);
        let put = || {
            let mut open = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&at)?;
            open.set_permissions(PermissionsExt::from_mode(0o644))?;
            open.write_all(content.as_bytes())
        };
        put().map_err(|error| format!("cannot write {}: {error}", at.display()))?;
        Ok(Self { at, name, content })
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        // A file that cannot be removed holds nothing but its own name.
        let _ = std::fs::remove_file(&self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_made_open_and_one_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let webroot = folder.path().join("a/acme");
        prepare(&webroot).unwrap();
        for at in ["a", "a/acme", "a/acme/.well-known", "a/acme/.well-known/acme-challenge"] {
            let mode = std::fs::metadata(folder.path().join(at)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o755, "{at}");
        }
        std::fs::set_permissions(&webroot, PermissionsExt::from_mode(0o700)).unwrap();
        prepare(&webroot).unwrap();
        assert_eq!(std::fs::metadata(&webroot).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_laid_file_is_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Laid::new(folder.path()).is_err(), "there is no folder yet");
        prepare(folder.path()).unwrap();
        let laid = Laid::new(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&laid.at).unwrap(), laid.content);
        let at = laid.at.clone();
        drop(laid);
        assert!(!at.exists());
    }
}
