//! A client's byte stream, with TLS or without.
//!
//! Why here: the generator asks and checks in one way, whatever carries the bytes. An enum and no trait object, so that plain
//! rows cost what they did before there was TLS.
//!
//! Never here: who is trusted; see [`crate::certificate`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use super::target::Tls;

#[derive(Debug)]
pub enum Line {
    Plain(TcpStream),
    /// Boxed: it holds a kilobyte, which plain connections shall not.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Shakes hands, and proves that it was the handshake that the table speaks of.
    pub async fn secure(stream: TcpStream, tls: &Tls) -> Result<Self> {
        let name = ServerName::try_from(tls.name)?;
        let stream = TlsConnector::from(tls.config.clone()).connect(name, stream).await?;
        let (_, session) = stream.get_ref();
        let spoken = session.protocol_version();
        ensure!(spoken == Some(ProtocolVersion::TLSv1_3), "{spoken:?} instead of TLS 1.3");
        let kind = session.handshake_kind();
        ensure!(kind == Some(HandshakeKind::Full), "{kind:?} instead of a full handshake");
        Ok(Self::Tls(Box::new(stream)))
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
