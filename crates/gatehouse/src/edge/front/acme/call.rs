//! One call to the CA: HTTPS with bounds on time and bytes.
//!
//! Why here: the ACME library's own client waits for ever, reads bodies of any size and takes one root from a file of several. It lets
//! itself be given another; this is a connection per call, which a conversation every sixty days can afford.
//!
//! Never here: ACME.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::edge::front::tls;

const CALL: Duration = Duration::from_secs(30);
/// Directories, orders and chains are a few thousand.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How CAs are called.
#[derive(Clone)]
pub(super) struct Caller {
    config: Arc<ClientConfig>,
}

impl Caller {
    /// Trusts the roots of the file, or the system's.
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let roots = match ca_file {
            Some(file) => file_roots(file)?,
            None => system_roots()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> anyhow::Result<Response<Full<Bytes>>> {
        let uri = request.uri().clone();
        anyhow::ensure!(
            uri.scheme_str() == Some("https"),
            "the CA names {uri}, which is no https:// address"
        );
        let host = uri.host().context("the CA names an address without a host")?.to_owned();
        let port = uri.port_u16().unwrap_or(443);
        // What a CA says in its documents goes to the log and a terminal, and a host there is a host.
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port));
        let stream = stream.await.with_context(|| format!("cannot reach the CA at {host}:{port}"))?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let stream = TlsConnector::from(self.config).connect(name, stream).await;
        let stream = stream.with_context(|| format!("the CA at {host}:{port} is not trusted"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answered = async {
            let (head, body) = sender.send_request(origin_form(request, &uri)?).await?.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            anyhow::Ok(Response::from_parts(head, Full::new(body)))
        };
        tokio::pin!(answered, connection);
        tokio::select! {
            answer = &mut answered => answer,
            ended = &mut connection => {
                ended?;
                answered.await
            }
        }
    }
}

fn origin_form(
    mut request: Request<BodyWrapper<Bytes>>,
    uri: &Uri,
) -> anyhow::Result<Request<BodyWrapper<Bytes>>> {
    let authority = uri.authority().context("no authority")?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let target = uri.path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    Ok(request)
}

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let caller = self.clone();
        Box::pin(async move {
            let answered = timeout(CALL, caller.exchange(request)).await;
            let answered =
                answered.unwrap_or_else(|_| Err(anyhow::anyhow!("the CA does not answer in time")));
            answered.map(BytesResponse::from).map_err(|error| Error::Other(error.into()))
        })
    }
}

fn file_roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let shown = file.display();
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| {
        anyhow::anyhow!("`edge.acme.ca_file`: {shown} cannot be read as certificates: {error}")
    })?;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    anyhow::ensure!(taken > 0, "`edge.acme.ca_file`: {shown} holds no certificate");
    Ok(roots)
}

fn system_roots() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    anyhow::ensure!(
        taken > 0,
        "this machine has no trusted roots to check the CA against: install the package ca-certificates"
    );
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_https_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let root =
            rcgen::CertificateParams::new(["ca.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&file, root.pem()).unwrap();
        let caller = Caller::new(Some(&file)).unwrap();
        let request = Request::get("http://127.0.0.1:9/dir").body(BodyWrapper::default()).unwrap();
        let error = caller.request(request).await.err().unwrap();
        assert!(error.to_string().contains("no https:// address"), "{error}");
    }

    #[test]
    fn roots_that_are_none_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.pem");
        for text in ["", "no certificate"] {
            std::fs::write(&file, text).unwrap();
            let error = Caller::new(Some(&file)).err().unwrap();
            assert!(error.to_string().contains("root.pem"), "{error}");
        }
    }
}
