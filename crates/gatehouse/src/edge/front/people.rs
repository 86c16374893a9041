//! Who may open the page: names and passwords, as the browser's own question brings them.
//!
//! Why here: the page has no accounts. nginx asks for a password in front of it (`edge.page.password_file`), and so does whoever stands in
//! nginx's place, from the same file.
//!
//! A password costs milliseconds to check, on purpose, and a page sends it with each request. So what was right is remembered for a while,
//! as a digest that this process alone can make; checks run two at a time beside everything else.
//!
//! Never here: the API, whose keys are its own door.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, timeout};

use super::refuse::Refusal;
use crate::edge::password::Kept;

const FILE_BYTES_MAX: u64 = 1 << 20;
/// Name and password as they come, in base64.
const CREDENTIALS_BYTES_MAX: usize = 512;
const REMEMBERED_MAX: usize = 1_024;
const REMEMBERED: Duration = Duration::from_secs(600);
const AT_ONCE: usize = 2;
/// For a turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everybody of one file.
#[derive(Debug)]
pub(crate) struct People {
    file: PathBuf,
    list: RwLock<List>,
    right: Mutex<HashMap<[u8; 32], Instant>>,
    pepper: [u8; 32],
    turns: Semaphore,
}

#[derive(Debug)]
struct List {
    stamp: Option<Stamp>,
    people: Vec<(String, Kept)>,
}

type Stamp = (i64, i64, u64, u64);

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeopleError {
    #[error("{} cannot be read: {what}; check the path, and that this user may read it", file.display())]
    Unreadable { file: PathBuf, what: String },
    #[error(
        "line {line} of {} has another form than `name:$6$...`, as `gatehouse init` and `openssl passwd -6` make it; others are nginx's alone",
        file.display()
    )]
    Form { file: PathBuf, line: usize },
    #[error("{} names nobody, so nobody could open the page", .0.display())]
    Nobody(PathBuf),
    #[error("the machine gives no random numbers")]
    NoRandomness,
}

impl People {
    pub(crate) fn open(file: &Path) -> Result<Arc<Self>, PeopleError> {
        let mut pepper = [0; 32];
        getrandom::fill(&mut pepper).map_err(|_| PeopleError::NoRandomness)?;
        let stamp = stamp(file);
        let list = RwLock::new(List { stamp, people: read(file)? });
        let turns = Semaphore::new(AT_ONCE);
        Ok(Arc::new(Self { file: file.to_owned(), list, right: Mutex::default(), pepper, turns }))
    }

    /// Lets a request pass, or says that a password is wanted.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.look();
        let stated = stated(headers).ok_or(Refusal::Password)?;
        let print = self.print(&stated);
        if self.is_right(&print) {
            return Ok(());
        }
        let turn = timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Refusal::Crowded) };
        let found = self.kept(&stated.name).ok_or(Refusal::Password)?;
        let kept = found.kept;
        let checked = tokio::task::spawn_blocking(move || kept.is_of(&stated.password)).await;
        if checked.unwrap_or(false) && found.known {
            self.remember(print, found.stamp);
            return Ok(());
        }
        Err(Refusal::Password)
    }

    /// What is kept under a name; for a name that is not there somebody else's, so that both take as long.
    fn kept(&self, name: &str) -> Option<Found> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let found = list.people.iter().find(|(known, _)| known == name);
        let (_, kept) = found.or_else(|| list.people.first())?;
        Some(Found { known: found.is_some(), kept: kept.clone(), stamp: list.stamp })
    }

    fn print(&self, stated: &Stated) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.pepper);
        hash.update(&stated.name);
        // A name has no colon.
        hash.update(":");
        hash.update(&stated.password);
        hash.finalize().into()
    }

    fn right(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_right(&self, print: &[u8; 32]) -> bool {
        self.right().get(print).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// `judged_by`: the list by which it was right. A list that came meanwhile has emptied, or is about to empty, what is remembered.
    fn remember(&self, print: [u8; 32], judged_by: Option<Stamp>) {
        let mut right = self.right();
        if self.list.read().unwrap_or_else(PoisonError::into_inner).stamp != judged_by {
            return;
        }
        if right.len() >= REMEMBERED_MAX {
            right.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if right.len() >= REMEMBERED_MAX {
            right.clear();
        }
        right.insert(print, Instant::now());
    }

    /// Reads the file again when it has changed; who was let in has to be right once more.
    fn look(&self) {
        let now = stamp(&self.file);
        let known = self.list.read().unwrap_or_else(PoisonError::into_inner).stamp;
        if now == known {
            return;
        }
        let people = read(&self.file);
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.stamp = now;
        match people {
            Ok(people) => {
                list.people = people;
                drop(list);
                self.right().clear();
                tracing::info!(file = %self.file.display(), "names and passwords were read again");
            }
            Err(error) => {
                tracing::error!(%error, "the changed file of passwords is not taken; the old one stays in force");
            }
        }
    }
}

/// What a password is checked against.
struct Found {
    known: bool,
    kept: Kept,
    stamp: Option<Stamp>,
}

struct Stated {
    name: String,
    password: String,
}

/// The one `Basic` credential of a request.
fn stated(headers: &HeaderMap) -> Option<Stated> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    let text = text.trim_start();
    if !scheme.eq_ignore_ascii_case("basic") || text.len() > CREDENTIALS_BYTES_MAX {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Stated { name: name.to_owned(), password: password.to_owned() })
}

fn stamp(file: &Path) -> Option<Stamp> {
    let seen = std::fs::metadata(file).ok()?;
    Some((seen.mtime(), seen.mtime_nsec(), seen.size(), seen.ino()))
}

fn read(file: &Path) -> Result<Vec<(String, Kept)>, PeopleError> {
    let unreadable = |what: String| PeopleError::Unreadable { file: file.to_owned(), what };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| unreadable(error.to_string()))?;
    let read = opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    let mut people = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let form = || PeopleError::Form { file: file.to_owned(), line: number + 1 };
        let (name, rest) = line.split_once(':').ok_or_else(form)?;
        // A comment may follow, as nginx has it.
        let kept = rest.split(':').next().and_then(|text| Kept::parse(text.trim_end()));
        people.push((name.to_owned(), kept.ok_or_else(form)?));
    }
    if people.is_empty() { Err(PeopleError::Nobody(file.to_owned())) } else { Ok(people) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::password;
    use http::HeaderValue;

    fn file(dir: &tempfile::TempDir, text: &str) -> PathBuf {
        let file = dir.path().join("people");
        std::fs::write(&file, text).unwrap();
        file
    }

    fn basic(text: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(text));
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(value).unwrap())])
    }

    #[tokio::test]
    async fn who_is_in_the_file_comes_in() {
        let dir = tempfile::tempdir().unwrap();
        let lines = ["anna", "ben"].map(|name| password::line(name, &format!("{name}'s:own")).unwrap());
        let file = file(&dir, &format!("# people\n\n{}\n{}:a comment\n", lines[0], lines[1]));
        let people = People::open(&file).unwrap();
        for _ in 0..2 {
            assert!(people.admit(&basic("anna:anna's:own")).await.is_ok());
            assert!(people.admit(&basic("ben:ben's:own")).await.is_ok());
        }
        for wrong in ["anna:ben's:own", "anna:", "ben", "", ":", "carl:anna's:own", "anna:anna's:own "] {
            assert_eq!(people.admit(&basic(wrong)).await, Err(Refusal::Password), "{wrong}");
        }
        assert_eq!(people.admit(&HeaderMap::new()).await, Err(Refusal::Password));
        let mut two = basic("anna:anna's:own");
        two.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(people.admit(&two).await, Err(Refusal::Password));
        std::fs::write(&file, password::line("anna", "changed").unwrap()).unwrap();
        assert_eq!(people.admit(&basic("anna:anna's:own")).await, Err(Refusal::Password), "at once");
        assert!(people.admit(&basic("anna:changed")).await.is_ok());
        std::fs::write(&file, "anna:nonsense").unwrap();
        assert!(people.admit(&basic("anna:changed")).await.is_ok(), "a broken file changes nothing");
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for (text, wanted) in [
            ("", "names nobody"),
            ("# nobody\n", "names nobody"),
            ("\nanna:$2y$05$abc\n", "line 2 of"),
            ("anna\n", "line 1 of"),
        ] {
            let error = People::open(&file(&dir, text)).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("people"), "{error}");
        }
        let error = People::open(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }

    /// A password that was right when its check began, and was changed before the check was over.
    #[tokio::test]
    async fn what_an_older_list_found_right_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir, &password::line("anna", "x").unwrap());
        let people = People::open(&file).unwrap();
        let before = people.kept("anna").unwrap().stamp;
        std::fs::write(&file, password::line("anna", "a longer one").unwrap() + "\n# changed\n").unwrap();
        people.look();
        people.remember([1; 32], before);
        assert!(!people.is_right(&[1; 32]));
        people.remember([1; 32], people.kept("anna").unwrap().stamp);
        assert!(people.is_right(&[1; 32]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let people = People::open(&file(&dir, &password::line("anna", "x").unwrap())).unwrap();
        for n in 0..REMEMBERED_MAX * 2 + 5 {
            let mut print = [0; 32];
            print[..8].copy_from_slice(&n.to_be_bytes());
            people.remember(print, stamp(&people.file));
            assert!(people.is_right(&print) && people.right().len() <= REMEMBERED_MAX);
        }
        people.remember([7; 32], stamp(&people.file));
        tokio::time::advance(REMEMBERED).await;
        assert!(!people.is_right(&[7; 32]));
    }
}
