//! Opening connections to upstreams.
//!
//! Why here: the pool needs a connector; tests need the same pool over memory pipes with a paused clock, and later a unix
//! socket. One small trait serves all of them.
//!
//! Never here: HTTP, pooling, retries.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A byte stream to an upstream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens a stream to an authority.
pub trait Dial: Send + Sync + 'static {
    fn dial(&self, authority: &Authority) -> Dialing;
}

/// TCP with a bound on the time for the handshake and without Nagle's delay.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    pub connect: Duration,
}

impl Dial for Tcp {
    fn dial(&self, authority: &Authority) -> Dialing {
        let (host, port) = (host_of(authority), authority.port_u16().unwrap_or(80));
        let limit = self.connect;
        Box::pin(async move {
            let stream = tokio::time::timeout(limit, TcpStream::connect((host.as_str(), port)))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// The host without the brackets of an IPv6 literal.
fn host_of(authority: &Authority) -> String {
    authority.host().trim_start_matches('[').trim_end_matches(']').to_owned()
}
