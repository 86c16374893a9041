//! Whether this machine's clock can be believed.
//!
//! Why here: with a wrong clock every certificate looks expired or not yet valid, and people replace certificates instead of
//! setting the clock. So the clock is looked at by itself, before any life is judged by it.
//!
//! Never here: trust. The time of a CA's answer is a hint about our clock; nothing is let in because of it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

use super::served::unverified;
use super::socket::{Timed, get};
use crate::edge::life::span;

/// Less is nothing that a certificate notices.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// A CA that does not answer must not hold the check for long.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// With what it was compared.
    Right(String),
    Wrong(String),
    /// There was nothing to compare it with.
    Unknown(String),
}

/// Compares it with the CA's, where one is asked for certificates, else with what the file system has seen.
pub(crate) fn look(directory: Option<&str>, written: &[(PathBuf, Timestamp)]) -> Clock {
    let unknown = match directory.map(|url| (url, date_of(url))) {
        Some((url, Ok(there))) => {
            return compared(Timestamp::now(), there, host(url).map_or(url, |(host, _)| host));
        }
        Some((url, Err(why))) => format!("{url} tells no time: {why}"),
        None => "no CA is asked for the time".to_owned(),
    };
    from_the_future(Timestamp::now(), written).unwrap_or(Clock::Unknown(unknown))
}

fn compared(here: Timestamp, there: Timestamp, whose: &str) -> Clock {
    let ahead = here.duration_since(there);
    if ahead.abs() <= TOLERANCE {
        return Clock::Right(format!(
            "within {} of {whose}",
            span(ahead.abs().max(SignedDuration::from_secs(1)))
        ));
    }
    let way = if ahead.is_positive() { "ahead of" } else { "behind" };
    Clock::Wrong(format!("it says {}, which is {} {way} {whose}", whole(here), span(ahead)))
}

/// A file that was written later than now was written by a clock that has been set back, or this one is behind.
fn from_the_future(here: Timestamp, written: &[(PathBuf, Timestamp)]) -> Option<Clock> {
    let (file, at) = written.iter().max_by_key(|(_, at)| *at)?;
    (at.duration_since(here) > TOLERANCE).then(|| {
        let behind = span(at.duration_since(here));
        Clock::Wrong(format!("it says {}, and {} was written {behind} later", whole(here), file.display()))
    })
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The `Date` of a server's answer.
fn date_of(url: &str) -> Result<Timestamp, String> {
    let (host, port) = host(url).ok_or("it is no address")?;
    let open = connect(&resolve(host, port)?).map_err(|error| error.to_string())?;
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    // Unverified: with a wrong clock no verification holds, and that is the question.
    let answer =
        get(unverified(open, host)?, host, &format!("/{path}")).map_err(|error| error.to_string())?;
    let date = answer.header("date").ok_or("its answer has no date")?;
    DateTimeParser::new().parse_timestamp(date).map_err(|_| format!("`{date}` is no date"))
}

/// To the first of a name's addresses that takes connections: `localhost` is two, and a server may have one.
fn connect(addresses: &[SocketAddr]) -> io::Result<Timed> {
    let end = Instant::now() + PATIENCE;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for at in addresses {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            break;
        }
        match Timed::connect(*at, rest) {
            Ok(open) => return Ok(open),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn host(url: &str) -> Option<(&str, u16)> {
    let authority = url.strip_prefix("https://")?.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host, port.parse().ok()?)),
        None if !authority.is_empty() => Some((authority, 443)),
        _ => None,
    }
}

/// Asks the resolver, which has its own idea of patience.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let (answer, answered) = mpsc::sync_channel(1);
    let asked = (host.to_owned(), port);
    std::thread::spawn(move || {
        let found = asked.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody may be waiting any more.
        let _ = answer.send(found);
    });
    match answered.recv_timeout(PATIENCE) {
        Ok(Ok(all)) if all.is_empty() => Err(format!("{host} has no address")),
        Ok(Ok(all)) => Ok(all),
        Ok(Err(error)) => Err(format!("{host} does not resolve: {error}")),
        Err(_) => Err(format!("no answer about {host} within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn another_clock_tells() {
        assert!(matches!(compared(at(0), at(299), "ca"), Clock::Right(_)));
        for (here, there, part) in
            [(at(0), at(86_400 * 3), "3 days behind ca"), (at(1_000), at(0), "16 minutes ahead of ca")]
        {
            let Clock::Wrong(said) = compared(here, there, "ca") else { panic!("{here} {there}") };
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn files_from_the_future_tell() {
        let file = |second| (PathBuf::from("/a"), at(second));
        assert_eq!(from_the_future(at(0), &[file(-5), file(200)]), None);
        assert!(matches!(from_the_future(at(0), &[file(-5), file(2_000)]), Some(Clock::Wrong(_))));
        assert_eq!(from_the_future(at(0), &[]), None);
    }

    #[test]
    fn where_a_directory_is_asked() {
        for (url, expected) in [
            ("https://acme.example.com/directory", Some(("acme.example.com", 443))),
            ("https://localhost:14000/dir", Some(("localhost", 14_000))),
            ("http://a/", None),
            ("https:///x", None),
            ("https://a:b/", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
        assert!(resolve("localhost", 80).is_ok());
    }

    #[test]
    fn a_name_with_a_dead_address_is_not_dead() {
        let [dead, alive] = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&dead, &alive].map(|socket| socket.local_addr().unwrap());
        drop(dead);
        assert!(connect(&addresses).is_ok());
        assert!(connect(&addresses[..1]).is_err() && connect(&[]).is_err());
    }

    #[test]
    fn a_ca_that_does_not_answer_leaves_the_question_open() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("https://127.0.0.1:{}/dir", closed.port());
        assert!(matches!(look(Some(&url), &[]), Clock::Unknown(_)));
        assert!(matches!(look(None, &[]), Clock::Unknown(_)));
    }
}
