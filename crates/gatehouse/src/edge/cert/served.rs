//! The certificate that is served, seen by shaking hands at each of nginx's doors under each name.
//!
//! Why here: what lies on the disk protects nobody. Only a handshake tells what visitors get.
//!
//! Never here: trust. Whatever is served is taken and looked at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, StreamOwned};

use super::chain::Chain;
use super::socket::{Door, Timed};
use super::trust::provider;
use crate::config::edge::{Name, Outer, Tls};
use crate::edge::onlooker::Onlooker;
use crate::edge::site::{Site, reached};

/// One handshake on this machine takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const SILENT: &str = "no answer within";
/// Doors times names that one round looks at.
const HANDSHAKES_MAX: usize = 64;

/// What one door answers for one name.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub name: Name,
    pub at: SocketAddr,
    pub chain: Result<Chain, String>,
}

/// Where the site's certificate is served.
pub(crate) fn doors(site: &Site) -> Vec<Door> {
    if site.tls == Tls::Off { Vec::new() } else { of(&site.https_listen, site) }
}

/// Where plain HTTP is answered.
pub(crate) fn plain_doors(site: &Site) -> Vec<Door> {
    of(&site.http_listen, site)
}

fn of(listen: &[SocketAddr], site: &Site) -> Vec<Door> {
    let proxy_protocol = matches!(site.outer, Outer::ProxyProtocol(_));
    let mut doors: Vec<Door> = Vec::new();
    for at in listen.iter().copied().map(reached) {
        if !doors.iter().any(|door| door.at == at) {
            doors.push(Door { at, proxy_protocol });
        }
    }
    doors
}

/// A handshake at each door under each name. A door that is silent once is not waited for again.
pub(crate) fn look(site: &Site) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for door in doors(site) {
        let mut silence = None;
        for name in site.names.iter().take(HANDSHAKES_MAX.saturating_sub(all.len())) {
            let chain = match &silence {
                Some(silence) => Err(String::clone(silence)),
                None => handshake(door, name),
            };
            silence =
                silence.or_else(|| chain.as_ref().err().filter(|what| what.starts_with(SILENT)).cloned());
            all.push(Seen { name: name.clone(), at: door.at, chain });
        }
    }
    all
}

/// The chain that a door serves under a name.
pub(crate) fn handshake(door: Door, name: &Name) -> Result<Chain, String> {
    let mut stream = Timed::open(door, PATIENCE).map_err(|error| told(&error))?;
    let mut connection = connection(name.as_str())?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| told(&error))?;
    }
    let presented = connection.peer_certificates().unwrap_or_default();
    Chain::of(presented.iter().map(|der| der.clone().into_owned()).collect())
}

/// TLS with whoever answers: for a question whose answer is no secret and is not believed either.
pub(crate) fn unverified(stream: Timed, host: &str) -> Result<StreamOwned<ClientConnection, Timed>, String> {
    Ok(StreamOwned::new(connection(host)?, stream))
}

fn connection(host: &str) -> Result<ClientConnection, String> {
    let provider = provider();
    let onlooker = Onlooker::new(&provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(onlooker)
        .with_no_client_auth();
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` cannot stand in a handshake"))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}

/// What went wrong, in words for the operator.
fn told(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (tls, error.kind()) {
        (Some(Error::AlertReceived(AlertDescription::UnrecognisedName)), _) => {
            "refuses this name: the site that runs there does not serve it".to_owned()
        }
        (Some(Error::InvalidMessage(_)), _) => "answers something else than TLS".to_owned(),
        (_, io::ErrorKind::ConnectionRefused) => "nobody listens there".to_owned(),
        (_, io::ErrorKind::TimedOut) => format!("{SILENT} {} s", PATIENCE.as_secs()),
        (_, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            "closes during the handshake".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::edge::EdgeSettings;
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::Instant;

    #[test]
    fn a_door_that_is_silent_is_waited_for_once() {
        // Connections are taken by the kernel, and nobody answers them.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let edge =
            EdgeSettings { https_listen: vec![listener.local_addr().unwrap()], ..EdgeSettings::default() };
        let names =
            ["a.example.com", "b.example.com", "c.example.com"].map(|name| Name::parse(name).unwrap());
        let site = Site::new(&Settings::default(), &edge, names.to_vec()).unwrap();
        let began = Instant::now();
        let seen = look(&site);
        assert_eq!(seen.len(), 3);
        assert!(
            seen.iter().all(|one| one.chain.as_ref().is_err_and(|what| what.starts_with(SILENT))),
            "{seen:?}"
        );
        assert!(began.elapsed() < PATIENCE * 2);
    }

    fn door(listener: &TcpListener) -> Door {
        Door { at: listener.local_addr().unwrap(), proxy_protocol: false }
    }

    #[test]
    fn what_answers_no_handshake_is_told_apart() {
        let name = Name::parse("ai.example.com").unwrap();
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            door(&listener)
        };
        assert_eq!(handshake(closed, &name).unwrap_err(), "nobody listens there");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plain = door(&listener);
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            std::io::copy(&mut peer, &mut std::io::sink())
        });
        assert_eq!(handshake(plain, &name).unwrap_err(), "answers something else than TLS");
        let _ = server.join().unwrap();
    }
}
