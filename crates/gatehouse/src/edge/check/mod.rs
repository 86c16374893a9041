//! `edge check`: the running site, asked whether it keeps each fact.
//!
//! Why here: a file can look right and serve wrong; a linter sees neither what a request meets nor what arrives behind it.
//! So requests are sent through the site, what the gateway saw is compared with what was sent, and only what no request can
//! show is read from the configuration that nginx itself puts together.
//!
//! How: `reading` knows the configuration, `probe` asks, `witness` looks behind the site, `groups` judge, `drift` compares a
//! site of ours with what would be written now, `facts` is the table of what should hold. Everything is bounded and changes
//! nothing.
//!
//! Never here: what the site should look like (`edge::nginx`), and repairing it (`edge::apply`).

mod drift;
pub(crate) mod facts;
mod groups;
mod probe;
pub(crate) mod reading;
mod samples;
mod witness;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use gateway::config::Secret;

use super::findings::{Finding, Findings};
use super::site::Site;
use facts::{FACTS, Said, Verdict};
use probe::Door;
use reading::Reading;
use samples::Samples;
use witness::Tail;

/// All of it together; each request has a bound of its own.
const WHOLE_TIME: Duration = Duration::from_secs(55);
const ELSEWHERE: &str = "the site is asked on another machine, and this one's files say nothing of it";

const UP: &str = "`gatehouse up` serves here, and an nginx that may be installed does not";

/// How the check was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    /// Facts to look at; empty: all.
    pub only: Vec<String>,
    /// Another address than the listener's own.
    pub address: Option<IpAddr>,
    /// Roots that the certificate is judged by; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    pub key: Option<Secret>,
    /// Asked for a short answer; `None`: the first that the gateway lists.
    pub model: Option<String>,
    /// Send more requests than the site allows.
    pub burst: bool,
    /// Send a head in single bytes.
    pub slow: bool,
}

impl Asking {
    fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| covers(only, id))
    }
}

/// Everything that a group of questions stands on.
pub(crate) struct Context<'c> {
    site: &'c Site,
    asking: &'c Asking,
    /// The site is served by this machine, so its files and the gateway's counters are the right ones.
    here: bool,
    door: Door,
    reading: Reading,
    /// The gateway's audit file, and nginx's log, each from the beginning of this check.
    audit: Result<Tail, String>,
    log: Result<Tail, String>,
    samples: Samples,
}

/// Why an `--only` cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("there is no fact `{0}`; `gatehouse edge check --json` lists all ids")]
pub(crate) struct UnknownFact(String);

/// Verdicts as they are reached, so that those outlive a check that runs out of time.
#[derive(Default)]
pub(crate) struct Ledger(RefCell<Said>);

impl Ledger {
    fn add(&self, said: Said) {
        self.0.borrow_mut().extend(said);
    }

    /// Whether all is known that was asked for.
    fn is_full(&self, asking: &Asking) -> bool {
        let said = self.0.borrow();
        FACTS.iter().all(|fact| !asking.wants(fact.id) || said.iter().any(|(id, _)| *id == fact.id))
    }
}

/// Looks at everything, and says how each fact stands.
pub(crate) async fn run(site: &Site, asking: &Asking) -> Result<Findings, UnknownFact> {
    if let Some(unknown) = asking.only.iter().find(|id| !FACTS.iter().any(|fact| covers(id, fact.id))) {
        return Err(UnknownFact(unknown.clone()));
    }
    Ok(within(WHOLE_TIME, site, asking).await)
}

/// What is known when the time is over.
async fn within(time: Duration, site: &Site, asking: &Asking) -> Findings {
    let ledger = Ledger::default();
    let looked = tokio::time::timeout(time, look(site, asking, &ledger)).await;
    let late = looked.is_err() && !ledger.is_full(asking);
    let otherwise =
        looked.unwrap_or_else(|_| format!("not reached within {} s: the check ended there", time.as_secs()));
    let mut findings = findings(ledger.0.into_inner(), &otherwise, asking);
    findings.unfinished = late.then(|| unfinished(time, site));
    findings
}

fn unfinished(time: Duration, site: &Site) -> String {
    let rates = site.rates;
    format!(
        "the check was not done within {} s. It keeps to `edge.rates` ({} requests a second, {} at once): look at fewer facts at a time (`--only`), or raise them",
        time.as_secs(),
        rates.requests_per_second,
        rates.burst
    )
}

/// An id, or the beginning of several (`tls`).
fn covers(only: &str, id: &str) -> bool {
    id.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Fills the ledger: first with what needs no request. Returns what is said of facts that nobody could look at.
async fn look(site: &Site, asking: &Asking, ledger: &Ledger) -> String {
    let here = asking.address.is_none_or(is_here);
    let door = Door::new(site, asking.address);
    let said = groups::reach(site, &door).await;
    let reached =
        said.iter().all(|(id, verdict)| *id != "site.answers" || !matches!(verdict, Verdict::Fail(_)));
    ledger.add(said);
    if ledger.is_full(asking) {
        return String::new();
    }
    let other = match here {
        false => Some(ELSEWHERE),
        true => samples::is_up(&door).await.then_some(UP),
    };
    let reading = match other {
        Some(why) => Reading::Unknown(why.to_owned()),
        None => reading::read(&site.nginx).await,
    };
    ledger.add(groups::loads(site, &reading));
    ledger.add(groups::machine(site, &reading, other).await);
    if !reached {
        return "the site does not answer: see site.answers".to_owned();
    }
    if ledger.is_full(asking) {
        return String::new();
    }
    let audit = site.audit_file.clone().filter(|_| here);
    let audit =
        tail(audit, "no audit file is known here: give the gateway's configuration with `--config`").await;
    let log = tail(groups::log_file(site, &reading).filter(|_| here), "the log is off, or not here").await;
    let samples = Samples::ask(&door, site, asking.key.as_ref()).await;
    let context = Context { site, asking, here, door, reading, audit, log, samples };
    let drifts = drift::look(site, &context.reading).await;
    groups::all(&context, ledger).await;
    drift::join(&mut ledger.0.borrow_mut(), drifts);
    "not looked at".to_owned()
}

/// Whether an address is one of this machine's.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

async fn tail(path: Option<PathBuf>, unknown: &str) -> Result<Tail, String> {
    let path = path.ok_or_else(|| unknown.to_owned())?;
    Tail::begin(&path).await.map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn findings(said: Said, otherwise: &str, asking: &Asking) -> Findings {
    let mut by_id: HashMap<&str, Verdict> = said.into_iter().collect();
    let mut findings = Findings::default();
    // What explains why the others could not be looked at is said in any case.
    let explains = |id: &str, by_id: &HashMap<&str, Verdict>| {
        id == "site.answers" && matches!(by_id.get(id), Some(Verdict::Fail(_)))
    };
    for fact in FACTS {
        if !asking.wants(fact.id) && !explains(fact.id, &by_id) {
            continue;
        }
        let verdict = by_id.remove(fact.id).unwrap_or_else(|| Verdict::skip(otherwise));
        findings.push(match verdict {
            Verdict::Ok(seen) => Finding::ok(fact.id, fact.holds, seen),
            Verdict::Warn(seen) => Finding::warn(fact.id, fact.holds, seen, fact.fix),
            Verdict::Fail(seen) => Finding::fail(fact.id, fact.holds, seen, fact.fix),
            Verdict::Mend { seen, fix } => Finding::fail(fact.id, fact.holds, seen, fix),
            Verdict::Skip(why) => Finding::skip(fact.id, fact.holds, why),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_follow_the_table_and_nothing_is_left_out() {
        let said = vec![("tls.order", Verdict::ok("a")), ("site.answers", Verdict::fail("b"))];
        let all = findings(said.clone(), "unknown", &Asking::default());
        assert_eq!(all.findings.len(), FACTS.len());
        assert_eq!((all.findings[0].id, all.findings[0].seen.as_str()), ("site.answers", "b"));
        let only = vec!["tls".to_owned(), "site.answers".to_owned()];
        let tls = findings(said, "unknown", &Asking { only, ..Asking::default() });
        assert!(tls.findings.iter().all(|f| f.id.starts_with("tls.") || f.id == "site.answers"));
        assert!(tls.findings.len() > 5);
        assert_eq!(tls.findings.iter().find(|f| f.id == "tls.curves").unwrap().seen, "unknown");
    }

    /// Somebody takes connections and says nothing.
    #[tokio::test]
    async fn what_is_known_outlives_the_time() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut edge = crate::config::edge::EdgeSettings {
            http_listen: vec![silent.local_addr().unwrap()],
            tls: crate::config::edge::Tls::Off,
            ..Default::default()
        };
        edge.nginx.program = "/nowhere/nginx".into();
        let names = vec![crate::config::edge::Name::parse("ai.example.com").unwrap()];
        let site = Site::new(&crate::config::Settings::default(), &edge, names).unwrap();
        let time = Duration::from_millis(500);
        let late = within(time, &site, &Asking::default()).await;
        assert!(late.unfinished.as_ref().unwrap().contains("`edge.rates`"), "{late:?}");
        let mark = |all: &Findings, id: &str| all.findings.iter().find(|f| f.id == id).map(|f| f.mark);
        assert_eq!(mark(&late, "site.answers"), Some(super::super::findings::Mark::Ok));
        assert_eq!(late.findings.len(), FACTS.len());
        // What needs no request is not waited for.
        let asking = Asking { only: vec!["site.answers".into()], ..Asking::default() };
        let quick = within(Duration::from_secs(20), &site, &asking).await;
        assert_eq!(quick.unfinished, None, "{quick:?}");
    }
}
