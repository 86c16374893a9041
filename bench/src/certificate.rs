//! A CA of one run, the certificate that it gives all servers, and clients that trust it and nobody else.
//!
//! Why here: handshakes cost what key, suite and curve cost, so all servers get one pair and all clients offer one choice:
//! P-256, AES-128-GCM and X25519, which browsers come to with any of them.
//!
//! Never here: servers; a session that is taken up again, which would be no handshake.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore};

use crate::load::target::Tls;

/// The name of the site.
pub const NAME: &str = "ai.example.com";

/// The pair's files, and how clients reach who serves it.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    pub tls: Tls,
}

impl Certificate {
    /// Makes the CA, whose key is forgotten at once, and the pair for [`NAME`] in the folder.
    pub fn make(folder: &Path) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let pair = KeyPair::generate()?;
        let issuer = Issuer::new(authority, authority_key);
        let leaf = CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&pair, &issuer)?;
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        std::fs::write(&chain, leaf.pem())?;
        let mut private = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
        std::io::Write::write_all(&mut private, pair.serialize_pem().as_bytes())?;
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone())?;
        Ok(Self { chain, key, tls: Tls { name: NAME, config: client(roots)? } })
    }
}

fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    ensure!(
        provider.cipher_suites.len() == 1 && provider.kx_groups.len() == 1,
        "not one suite and one curve"
    );
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
