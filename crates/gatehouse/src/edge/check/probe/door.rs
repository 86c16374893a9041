//! Connections to the site's listeners: from a chosen address, under a chosen name, with the certificate taken as it is.
//!
//! Why here: a certificate that would stop a browser must not stop the check, which has more to look at; it is judged as a
//! fact of its own.
//!
//! Never here: HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pace::Pace;
use crate::config::edge::{Outer, Tls};
use crate::edge::onlooker::Onlooker;
use crate::edge::site::Site;

/// A request, a handshake.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0} takes no connection: {1}")]
    NotTaken(SocketAddr, io::Error),
    #[error("the handshake failed: {0}")]
    Handshake(String),
    #[error("the connection was closed without an answer")]
    Closed,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("not HTTP: {0}")]
    NotHttp(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            ConnectionReset | BrokenPipe | ConnectionAborted | UnexpectedEof => Self::Closed,
            _ => Self::Broken(error),
        }
    }
}

/// The name in the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sni<'n> {
    Own,
    Other(&'n str),
    None,
}

/// Any connection.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Where the site is asked, and how.
pub(crate) struct Door {
    pub https: SocketAddr,
    pub http: SocketAddr,
    /// Every listener, the first of which is usually asked.
    pub https_all: Vec<SocketAddr>,
    pub http_all: Vec<SocketAddr>,
    /// The canonical name.
    pub name: String,
    /// The name as browsers send it: with the port where that is not the usual one.
    pub authority: String,
    pub tls: bool,
    /// Asked at an address that is not a listener's own.
    pub elsewhere: Option<IpAddr>,
    proxy_protocol: bool,
    pace: Pace,
}

/// An open connection with its place in the pace.
pub(crate) struct Open<'d, W> {
    pub wire: W,
    pub local: SocketAddr,
    _place: Option<SemaphorePermit<'d>>,
}

impl Open<'_, Box<dyn Wire>> {
    pub(super) fn unpaced(wire: Box<dyn Wire>) -> Self {
        Self { wire, local: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), _place: None }
    }
}

impl<'d> Open<'d, TcpStream> {
    pub(super) fn boxed(self) -> Open<'d, Box<dyn Wire>> {
        Open { wire: Box::new(self.wire), local: self.local, _place: self._place }
    }
}

impl Door {
    /// `at`: another address than the listener's own.
    pub(crate) fn new(site: &Site, at: Option<IpAddr>) -> Self {
        let listener = |all: &[SocketAddr], port| {
            let first = all.first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            SocketAddr::new(at.unwrap_or_else(|| reached(first.ip())), first.port())
        };
        let every = |all: &[SocketAddr]| {
            let mut every: Vec<SocketAddr> = Vec::new();
            for one in
                all.iter().map(|one| SocketAddr::new(at.unwrap_or_else(|| reached(one.ip())), one.port()))
            {
                if !every.contains(&one) {
                    every.push(one);
                }
            }
            every
        };
        let tls = site.tls != Tls::Off;
        let name = site.canonical().map_or_else(String::new, |name| name.as_str().to_owned());
        let authority = format!("{name}{}", site.shown_port());
        Self {
            https: listener(&site.https_listen, 443),
            http: listener(&site.http_listen, 80),
            https_all: every(&site.https_listen),
            http_all: every(&site.http_listen),
            name,
            authority,
            tls,
            elsewhere: at,
            proxy_protocol: matches!(site.outer, Outer::ProxyProtocol(_)),
            pace: Pace::new(&site.rates),
        }
    }

    /// Waits until the site would take one more request of this address.
    pub(super) async fn time(&self) {
        self.pace.time().await;
    }

    /// Where browsers come to.
    pub(crate) fn public(&self) -> SocketAddr {
        if self.tls { self.https } else { self.http }
    }

    /// `https://name[:port]`
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }

    /// An address of this machine that nobody else speaks from, where the site is asked on loopback.
    pub(crate) fn own_source(&self) -> Option<IpAddr> {
        matches!(self.public().ip(), IpAddr::V4(ip) if ip.is_loopback())
            .then_some(IpAddr::V4(Ipv4Addr::new(127, 86, 71, 2)))
    }

    /// A bare connection, without the first line of the PROXY protocol.
    pub(crate) async fn bare(
        &self,
        at: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<Open<'_, TcpStream>, Trouble> {
        let place = self.pace.place().await;
        let connected = timeout(PATIENCE, async {
            let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            socket.connect(at).await
        });
        let wire =
            connected.await.map_err(|_| Trouble::Late)?.map_err(|error| Trouble::NotTaken(at, error))?;
        // Small requests in pieces are what some of the questions are about.
        wire.set_nodelay(true)?;
        let local = wire.local_addr()?;
        Ok(Open { wire, local, _place: place })
    }

    /// A connection as the balancer in front would make it.
    pub(crate) async fn tcp(
        &self,
        at: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<Open<'_, TcpStream>, Trouble> {
        let mut open = self.bare(at, from).await?;
        if self.proxy_protocol {
            let (us, them) = (open.local, at);
            let family = if us.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {} {} {} {}\r\n", us.ip(), them.ip(), us.port(), them.port());
            open.wire.write_all(line.as_bytes()).await?;
        }
        Ok(open)
    }

    /// With TLS; `alpn` as a client offers it.
    pub(crate) async fn tls(
        &self,
        sni: Sni<'_>,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
        from: Option<IpAddr>,
    ) -> Result<Open<'_, TlsStream<TcpStream>>, Trouble> {
        self.tls_at(self.https, sni, alpn, versions, from).await
    }

    /// The same at one of the other listeners.
    pub(crate) async fn tls_at(
        &self,
        at: SocketAddr,
        sni: Sni<'_>,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
        from: Option<IpAddr>,
    ) -> Result<Open<'_, TlsStream<TcpStream>>, Trouble> {
        let open = self.tcp(at, from).await?;
        let (config, name) = self.handshake(sni, alpn, versions)?;
        let shaken = timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, open.wire)).await;
        match shaken {
            Err(_) => Err(Trouble::Late),
            Ok(Err(error)) => Err(Trouble::Handshake(error.to_string())),
            Ok(Ok(wire)) => Ok(Open { wire, local: open.local, _place: open._place }),
        }
    }

    fn handshake(
        &self,
        sni: Sni<'_>,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<(ClientConfig, ServerName<'static>), Trouble> {
        let broken = |error: String| Trouble::Handshake(error);
        let provider = Arc::new(ring::default_provider());
        let onlooker = Onlooker::new(&provider);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| broken(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(onlooker)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.enable_sni = !matches!(sni, Sni::None);
        let name = match sni {
            Sni::Other(name) => name.to_owned(),
            Sni::Own | Sni::None => self.name.clone(),
        };
        let name = ServerName::try_from(name).map_err(|error| broken(error.to_string()))?;
        Ok((config, name))
    }

    /// The usual connection of a client that speaks HTTP/1.1, encrypted where the site is.
    pub(crate) async fn usual(&self, from: Option<IpAddr>) -> Result<Open<'_, Box<dyn Wire>>, Trouble> {
        if self.tls {
            let open = self.tls(Sni::Own, &[b"http/1.1"], rustls::ALL_VERSIONS, from).await?;
            return Ok(Open { wire: Box::new(open.wire), local: open.local, _place: open._place });
        }
        Ok(self.tcp(self.http, from).await?.boxed())
    }
}

/// Where a listener is reached from this machine.
fn reached(ip: IpAddr) -> IpAddr {
    // A site for every interface has a socket for IPv4.
    if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }
}
