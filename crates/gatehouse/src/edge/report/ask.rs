//! One short request to this machine's own services, with or without TLS.
//!
//! Why here: the report says what answers now. It asks little and takes every certificate as it is, because it looks at the
//! layers; whether the certificate is good is `gatehouse cert check`'s question, and the site's promises `edge check`'s.
//!
//! Never here: keys, other methods than GET, redirects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::edge::onlooker::Onlooker;

/// On this machine; who does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A gateway's metrics are the longest of what is asked for.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub at: SocketAddr,
    /// Name in the request and in the handshake.
    pub host: &'a str,
    pub path: &'a str,
    pub tls: bool,
    /// The listener expects the PROXY protocol.
    pub proxied: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub secured: Option<Secured>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0} takes no connection ({1})")]
    NotTaken(SocketAddr, std::io::Error),
    #[error("{0} completes no TLS handshake ({1})")]
    NoTls(SocketAddr, std::io::Error),
    #[error("{0} closes the connection without an answer")]
    NoAnswer(SocketAddr),
    #[error("{0} does not answer within {secs} seconds", secs = PATIENCE.as_secs())]
    Late(SocketAddr),
    #[error("this request cannot be made: {0}")]
    Unasked(String),
}

/// What the handshake showed.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    pub version: &'static str,
    /// The served certificate, DER.
    pub leaf: Vec<u8>,
}

impl Question<'_> {
    pub(super) async fn ask(&self) -> Result<Answer, Trouble> {
        tokio::time::timeout(PATIENCE, self.exchange()).await.unwrap_or(Err(Trouble::Late(self.at)))
    }

    async fn exchange(&self) -> Result<Answer, Trouble> {
        let taken = |error| Trouble::NotTaken(self.at, error);
        let mut stream = TcpStream::connect(self.at).await.map_err(taken)?;
        if self.proxied {
            let (us, them) = (stream.local_addr().map_err(taken)?, self.at);
            let family = if them.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {} {} {} {}\r\n", us.ip(), them.ip(), us.port(), them.port());
            stream.write_all(line.as_bytes()).await.map_err(taken)?;
        }
        if !self.tls {
            return self.speak(stream, None).await;
        }
        let unasked = |error: &dyn std::error::Error| Trouble::Unasked(error.to_string());
        let name = ServerName::try_from(self.host.to_owned()).map_err(|error| unasked(&error))?;
        let connector = TlsConnector::from(Arc::new(config().map_err(|error| unasked(&error))?));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| Trouble::NoTls(self.at, error))?;
        let secured = secured(stream.get_ref().1);
        self.speak(stream, secured).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        secured: Option<Secured>,
    ) -> Result<Answer, Trouble> {
        let broken = |_| Trouble::NoAnswer(self.at);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::get(self.path)
            .header(header::HOST, self.host)
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("gatehouse-report/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| Trouble::Unasked(error.to_string()))?;
        let asked = async {
            let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            // A page may be longer; then its head is all that matters here.
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Ok(Answer { status: parts.status, headers: parts.headers, body, secured })
        };
        tokio::pin!(asked);
        tokio::select! {
            answer = &mut asked => answer,
            ended = connection => {
                ended.map_err(broken)?;
                asked.await
            }
        }
    }
}

fn secured(connection: &rustls::ClientConnection) -> Option<Secured> {
    let version = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        _ => "an old TLS",
    };
    let leaf = connection.peer_certificates()?.first()?.to_vec();
    Some(Secured { version, leaf })
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let onlooker = Onlooker::new(&provider);
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(onlooker).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    async fn answered_with(text: &'static str, proxied: bool) -> (Result<Answer, Trouble>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1_024];
            let mut length = 0;
            while !String::from_utf8_lossy(&request[..length]).contains("\r\n\r\n") {
                length += stream.read(&mut request[length..]).await.unwrap();
            }
            stream.write_all(text.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let question = Question { at, host: "ai.example.com", path: "/v1/models", tls: false, proxied };
        tokio::join!(question.ask(), server)
    }

    #[tokio::test]
    async fn a_status_a_header_and_a_short_body() {
        let (answer, request) =
            answered_with("HTTP/1.1 401 No\r\nx-a: b\r\ncontent-length: 2\r\n\r\nhi", false).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (401, &b"hi"[..]));
        assert!(answer.headers.contains_key("x-a"));
        assert!(request.starts_with("GET /v1/models HTTP/1.1\r\nhost: ai.example.com\r\n"), "{request}");
        let (_, request) = answered_with("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).await;
        assert!(request.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{request}");
    }

    #[tokio::test]
    async fn what_is_no_http_is_an_error_that_names_the_address() {
        let (answer, _) = answered_with("SSH-2.0-x\r\n", false).await;
        assert!(answer.unwrap_err().to_string().contains("without an answer"));
        let question =
            Question { at: "127.0.0.1:1".parse().unwrap(), host: "a", path: "/", tls: false, proxied: false };
        assert!(question.ask().await.unwrap_err().to_string().contains("takes no connection"));
    }
}
