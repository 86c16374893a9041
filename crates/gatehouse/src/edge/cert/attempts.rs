//! What certbot's log says about the last time that it looked at our certificate.
//!
//! Why here: the timer runs it quietly, and nobody reads its mail. A renewal that fails for weeks stands in this file only.
//!
//! Never here: other certificates of the same certbot.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::disk::written;

/// Of a log that grows, its end; a run is some tens of kilobytes.
const TAIL_BYTES: u64 = 4 << 20;
/// Where each run has a file of its own.
const FILES_MAX: usize = 40;
/// The first line of each run.
const BEGIN: &str = ":DEBUG:certbot._internal.main:certbot version: ";
const REASON_CHARS_MAX: usize = 600;

/// One run's word on our certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// As the log writes it, in the machine's own time.
    pub when: String,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Renewed {
        /// What became of the hook, if certbot complained.
        hook: Option<String>,
    },
    /// It was looked at, and there was time.
    NotDue,
    Failed(String),
}

/// What the logs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub attempt: Option<Attempt>,
    /// When certbot last ran at all.
    pub last_run: Option<Timestamp>,
}

/// Reads the logs from the newest on, until one speaks of the certificate.
pub(crate) fn look(logs: &Path, name: &str) -> io::Result<Told> {
    let files = newest_first(logs)?;
    let last_run = files.first().map(|(_, at)| *at);
    for (file, _) in files.iter().take(FILES_MAX) {
        if let Some(attempt) = last(&tail(file)?, name) {
            return Ok(Told { attempt: Some(attempt), last_run });
        }
    }
    Ok(Told { attempt: None, last_run })
}

/// Plain logs of certbot; what a rotation has packed is old.
fn newest_first(logs: &Path) -> io::Result<Vec<(PathBuf, Timestamp)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(logs)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let rest = name.strip_prefix("letsencrypt.log");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && !rest.ends_with(".gz")) {
            files.extend(written(&path));
        }
    }
    files.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    Ok(files)
}

fn tail(file: &Path) -> io::Result<String> {
    let mut open = File::open(file)?;
    let size = open.metadata()?.len();
    open.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
    let mut text = Vec::new();
    open.take(TAIL_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last run in a log that speaks of the certificate.
fn last(log: &str, name: &str) -> Option<Attempt> {
    let mut runs: Vec<Vec<&str>> = Vec::new();
    for line in log.lines() {
        if line.contains(BEGIN) || runs.is_empty() {
            runs.push(Vec::new());
        }
        if let Some(run) = runs.last_mut() {
            run.push(line);
        }
    }
    runs.iter().rev().find_map(|run| judged(run, name))
}

fn judged(run: &[&str], name: &str) -> Option<Attempt> {
    let failure = format!("Failed to renew certificate {name} with error: ");
    let file = format!("/live/{name}/fullchain.pem");
    let asked = format!("'--cert-name', '{name}'");
    let ours = run.iter().any(|line| line.contains(":Arguments: ") && line.contains(&asked));
    let has = |word: &str| run.iter().any(|line| line.contains(&file) && line.contains(word));
    let error = run.iter().rev().find_map(|line| line.split_once(":ERROR:certbot._internal.log:"));
    let end = if let Some((_, error)) = run.iter().find_map(|line| line.split_once(&failure)) {
        End::Failed(reason(run, error))
    } else if let Some((_, error)) = error.filter(|_| ours) {
        End::Failed(reason(run, error))
    } else if has("(success)") || has("Certificate is saved at") {
        End::Renewed { hook: hook_failed(run) }
    } else if has("(skipped)") || ours && run.iter().any(|line| line.contains("not yet due for renewal")) {
        End::NotDue
    } else {
        return None;
    };
    let when = run.iter().find_map(|line| line.split_once(',').filter(|_| line.contains(":DEBUG:")));
    Some(Attempt { when: when.map(|(when, _)| when.to_owned()).unwrap_or_default(), end })
}

/// What certbot says of a hook that failed, with the hook's own words. One that only had something to say did not fail.
fn hook_failed(run: &[&str]) -> Option<String> {
    let code = run.iter().find_map(|line| line.split_once("Hook 'deploy-hook' reported "))?.1;
    let words =
        run.iter().skip_while(|line| !line.contains("Hook 'deploy-hook' ran with error output")).skip(1);
    let words: Vec<&str> = words.map(|line| line.trim()).take_while(|line| !stamped(line)).collect();
    Some(format!("{code}: {}", words.join(" ")).chars().take(REASON_CHARS_MAX).collect())
}

/// The beginning of another message.
fn stamped(line: &str) -> bool {
    line.split_once('-').is_some_and(|(year, _)| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()))
}

/// The CA's own words say more than certbot's summary of them.
fn reason(run: &[&str], error: &str) -> String {
    let details = run.iter().filter_map(|line| line.trim_start().strip_prefix("Detail: "));
    let mut details: Vec<&str> = details.collect();
    details.dedup();
    let whole = match details.is_empty() {
        true => error.to_owned(),
        false => format!("{} {}", error.trim_end(), details.join("; ")),
    };
    whole.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with some of the lines that certbot writes.
    fn run(second: u32, lines: &[&str]) -> String {
        let stamp = format!("2026-11-26 15:00:{second:02},123");
        let mut text = format!("{stamp}{BEGIN}2.1.0\n");
        for line in lines {
            // What continues a message has no stamp.
            let line = line.replace('@', &stamp);
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    const NAME: &str = "ai.example.com";
    const SUCCESS: &[&str] = &[
        "@:DEBUG:certbot._internal.display.obj:Notifying user:   /etc/letsencrypt/live/ai.example.com/fullchain.pem (success)",
    ];
    const SKIPPED: &[&str] = &[
        "@:DEBUG:x:Notifying user:   /etc/letsencrypt/live/ai.example.com/fullchain.pem expires on 2027-01-01 (skipped)",
    ];
    const FAILED: &[&str] = &[
        "  Domain: ai.example.com",
        "  Type:   connection",
        "  Detail: dial tcp 127.0.0.9:80: connection refused",
        "@:ERROR:certbot._internal.renewal:Failed to renew certificate ai.example.com with error: Some challenges have failed.",
        "@:ERROR:certbot._internal.log:1 renew failure(s), 0 parse failure(s)",
    ];
    const OTHER: &[&str] = &[
        "@:ERROR:certbot._internal.renewal:Failed to renew certificate b.example.com with error: no",
        "@:ERROR:certbot._internal.log:1 renew failure(s)",
    ];

    #[test]
    fn the_last_run_that_speaks_of_it_counts() {
        let cases: [(&[&[&str]], Option<End>); 8] = [
            (&[], None),
            (&[SUCCESS], Some(End::Renewed { hook: None })),
            (&[FAILED, SUCCESS], Some(End::Renewed { hook: None })),
            (&[SUCCESS, SKIPPED], Some(End::NotDue)),
            (
                &[FAILED, OTHER],
                Some(End::Failed(
                    "Some challenges have failed. dial tcp 127.0.0.9:80: connection refused".into(),
                )),
            ),
            (&[OTHER], None),
            (
                &[&[
                    "@:DEBUG:certbot._internal.main:Arguments: ['--cert-name', 'ai.example.com']",
                    "@:ERROR:certbot._internal.log:no CA",
                ]],
                Some(End::Failed("no CA".into())),
            ),
            (&[&["@:ERROR:certbot._internal.log:somebody else's trouble"]], None),
        ];
        for (runs, expected) in cases {
            let mut second = 0;
            let log: String = runs
                .iter()
                .map(|lines| {
                    second += 1;
                    run(second, lines)
                })
                .collect();
            let attempt = last(&log, NAME);
            assert_eq!(attempt.clone().map(|attempt| attempt.end), expected, "{log}");
            assert!(attempt.is_none_or(|attempt| attempt.when.starts_with("2026-11-26 15:00:0")));
        }
    }

    #[test]
    fn a_hook_that_failed_stands_in_a_run_that_ended_well() {
        let failed = [
            "@:WARNING:certbot.display.ops:Hook 'deploy-hook' reported error code 3",
            "@:WARNING:certbot.display.ops:Hook 'deploy-hook' ran with error output:",
            " error: the new certificate is not served:",
            " nginx says no",
            SUCCESS[0],
        ];
        let end = last(&run(1, &failed), NAME).unwrap().end;
        let hook = "error code 3: error: the new certificate is not served: nginx says no".to_owned();
        assert_eq!(end, End::Renewed { hook: Some(hook) });
        // It had something to say, and ended well.
        let end = last(&run(1, &failed[1..]), NAME).unwrap().end;
        assert_eq!(end, End::Renewed { hook: None });
    }

    #[test]
    fn logs_are_read_from_the_newest_on() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Told { attempt: None, last_run: None };
        assert_eq!(look(folder.path(), NAME).unwrap(), nothing);
        let write = |file: &str, text: String, age: u64| {
            let path = folder.path().join(file);
            std::fs::write(&path, text).unwrap();
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        };
        write("letsencrypt.log.2", run(1, FAILED), 200);
        write("letsencrypt.log.1", run(2, SUCCESS), 100);
        write("letsencrypt.log", run(3, OTHER), 10);
        write("other.log", run(4, FAILED), 1);
        let told = look(folder.path(), NAME).unwrap();
        assert_eq!(told.attempt.unwrap().end, End::Renewed { hook: None });
        let age = Timestamp::now().duration_since(told.last_run.unwrap()).as_secs();
        assert!((9..60).contains(&age), "{age}");
        assert!(look(&folder.path().join("none"), NAME).is_err());
    }
}
