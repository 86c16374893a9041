//! TLS without nginx: HTTPS in this process, in front of the gateway and the page that it runs.
//!
//! Why here: a small team has one machine and nobody who knows nginx. What an nginx site made by this program does, this does:
//! the same names, paths, headers, bounds and rates, from the same [`Site`].
//!
//! How a request travels: `door` accepts, shakes hands and drives the connection (`line`, `watch`, `frames` and `stall` bound it);
//! `pass` judges the request (`rates`, `head`, `paths`) and sends it on (`hop`); `answer` owns what is held until
//! the last byte. Certificates come from files (`reload`) or a CA (`acme`), and are checked (`pair`) before they count.
//!
//! Never here: other machines as upstreams, proxies in front, caching, compression, a second opinion on keys. For those
//! there is nginx.

mod acme;
mod answer;
mod bounds;
mod door;
mod frames;
mod head;
mod hop;
mod line;
mod pair;
mod pass;
mod paths;
mod people;
mod plain;
mod rates;
mod refuse;
mod reload;
mod stall;
mod tls;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::acme::Renewal;
use self::door::{Behind, Door, Secure};
use self::pass::Passage;
use self::people::People;
use self::plain::{Challenges, Plain};
use self::rates::Addresses;
use self::reload::Keeper;
use self::tls::Certificate;
use crate::config::edge::CertificateFiles;
use crate::edge::site::Site;
use crate::terminal::Terminal;

pub(crate) use self::bounds::NAMES as NAMES_MAX;
pub(crate) use self::head::SERVER_NAME;
pub(crate) use self::hop::Way;
pub(crate) use self::pair::names_of;

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Files(CertificateFiles),
    /// A CA; what it gives is kept in this folder.
    Acme(PathBuf),
}

/// The sockets, bound before anything else is begun: a port that is taken is known at once.
#[derive(Debug)]
pub(crate) struct Sockets {
    http: Vec<TcpListener>,
    https: Vec<TcpListener>,
}

impl Sockets {
    pub(crate) fn bind(site: &Site) -> anyhow::Result<Self> {
        let bind = |all: &[SocketAddr]| all.iter().copied().map(bound).collect::<anyhow::Result<Vec<_>>>();
        Ok(Self { http: bind(&site.http_listen)?, https: bind(&site.https_listen)? })
    }

    fn https_port(&self) -> u16 {
        self.https.first().and_then(|listener| listener.local_addr().ok()).map_or(443, |at| at.port())
    }
}

/// The lowest port that everybody may bind, unless the machine says otherwise.
const FREE_PORTS: u16 = 1_024;

fn bound(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = gateway::bind(address).map_err(|error| {
        let denied = matches!(&error, gateway::StartError::Bind { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied);
        let error = anyhow::Error::from(error);
        if denied && address.port() < FREE_PORTS {
            error.context(
                "this user may not open ports below 1024: run `setcap cap_net_bind_service=+ep` on the program, \
                 start it by a service manager that grants it, or set `edge.http_listen` and `edge.https_listen`",
            )
        } else {
            error
        }
    })?;
    Ok(TcpListener::from_std(listener)?)
}

/// What files say, checked before anything is begun.
pub(crate) fn check(site: &Site, source: &Source) -> anyhow::Result<()> {
    if let Source::Files(files) = source {
        pair::load(files, &site.names, std::time::SystemTime::now()).context("no certificate")?;
    }
    people(site).map(drop)
}

fn people(site: &Site) -> anyhow::Result<Option<Arc<People>>> {
    let file = site.page.as_ref().and_then(|page| page.password_file.as_deref());
    file.map(People::open).transpose().context("`edge.page.password_file`")
}

/// Where the parts behind answer.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) gateway: Way,
    pub(crate) page: Option<SocketAddr>,
}

/// A running front.
pub(crate) struct Front {
    closing: channel::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
    keeper: JoinHandle<()>,
    told: Arc<Notify>,
    base: String,
    first_words: Option<String>,
}

impl Front {
    /// Serves the site on the sockets.
    pub(crate) fn start(
        site: &Site,
        source: &Source,
        sockets: Sockets,
        parts: Parts,
        terminal: Terminal,
    ) -> anyhow::Result<Self> {
        let certificate = Arc::<Certificate>::default();
        let challenges = Arc::<Challenges>::default();
        let told = Arc::<Notify>::default();
        let (keeper, first_words) =
            keeper(site, source, &certificate, &challenges, &told, terminal).context("no certificate")?;
        let https_port = sockets.https_port();
        let addresses = Addresses::new(site.rates);
        let people = people(site)?;
        let passage = Passage::new(site, parts.gateway, parts.page, people, Arc::clone(&addresses));
        let shared = Shared {
            site,
            addresses,
            seats: Arc::new(Semaphore::new(bounds::CONNECTIONS)),
            closing: channel::Sender::new(false),
        };
        let config = tls::config(&site.names, &certificate)?;
        let passage = Arc::new(passage);
        let secure = || {
            Behind::Tls(Secure {
                names: site.names.clone(),
                config: Arc::clone(&config),
                certificate: Arc::clone(&certificate),
                passage: Arc::clone(&passage),
            })
        };
        let plain = || {
            Behind::Plain(Plain {
                names: site.names.clone(),
                https_port,
                challenges: Arc::clone(&challenges),
                dress: pass::security_headers(),
            })
        };
        let https = sockets.https.into_iter().map(|listener| (listener, secure()));
        let http = sockets.http.into_iter().map(|listener| (listener, plain()));
        let doors = https.chain(http).map(|(listener, behind)| shared.open(listener, behind)).collect();
        let base = base(site, https_port);
        Ok(Self { closing: shared.closing, doors, keeper, told, base, first_words })
    }

    /// `https://ai.example.com`, as it is reached from outside.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What has to be said where there is no certificate yet.
    pub(crate) fn first_words(&self) -> Option<&str> {
        self.first_words.as_deref()
    }

    /// Looks at the certificate's files now.
    pub(crate) fn reread(&self) {
        self.told.notify_one();
    }

    /// No new connections, no new requests; what runs may finish.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
        self.keeper.abort();
    }

    /// Ends: the parts behind have said their last words by now, and those may still leave.
    pub(crate) async fn end(self) {
        self.close();
        let Self { mut doors, .. } = self;
        let all = async {
            for door in &mut doors {
                let _ended = door.await;
            }
        };
        if timeout(bounds::LAST_WORDS, all).await.is_err() {
            tracing::info!("clients that did not take their last words are cut");
            doors.iter().for_each(JoinHandle::abort);
        }
    }
}

/// What all listeners have in common.
struct Shared<'a> {
    site: &'a Site,
    addresses: Arc<Addresses>,
    seats: Arc<Semaphore>,
    closing: channel::Sender<bool>,
}

impl Shared<'_> {
    fn open(&self, listener: TcpListener, behind: Behind) -> JoinHandle<()> {
        let door = Door {
            behind,
            addresses: Arc::clone(&self.addresses),
            seats: Arc::clone(&self.seats),
            patience: self.site.clocks.client_write,
            closing: self.closing.subscribe(),
        };
        tokio::spawn(door.open(listener))
    }
}

fn keeper(
    site: &Site,
    source: &Source,
    certificate: &Arc<Certificate>,
    challenges: &Arc<Challenges>,
    told: &Arc<Notify>,
    terminal: Terminal,
) -> anyhow::Result<(JoinHandle<()>, Option<String>)> {
    let (names, certificate) = (site.names.clone(), Arc::clone(certificate));
    match source {
        Source::Files(files) => {
            let keeper = Keeper::new(files.clone(), names, site.acme.ca_file.clone(), certificate, terminal)?;
            Ok((tokio::spawn(keeper.keep(Arc::clone(told))), None))
        }
        Source::Acme(dir) => {
            let challenges = Arc::clone(challenges);
            let renewal = Renewal::open(names, &site.acme, dir, certificate, challenges, terminal)?;
            let first_words = renewal.first_words();
            Ok((tokio::spawn(renewal.keep()), first_words))
        }
    }
}

fn base(site: &Site, port: u16) -> String {
    let name = site.canonical().map_or("localhost", |name| name.as_str());
    if port == 443 { format!("https://{name}") } else { format!("https://{name}:{port}") }
}

/// 128 random bits; without randomness the clock, for ids only have to differ.
fn request_id() -> HeaderValue {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bytes = now.map_or(bytes, |passed| passed.as_nanos().to_be_bytes());
    }
    HeaderValue::try_from(format!("req_{:032x}", u128::from_be_bytes(bytes)))
        .unwrap_or_else(|_| HeaderValue::from_static("req_0"))
}

#[cfg(test)]
mod tests;
